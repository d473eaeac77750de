import { isComplex, type NDArray, type StandardDType } from "@traceform/core";
import { ulp } from "./conformance/compare.ts";

/** An array recorded from JAX: row-major values; NaN and infinities are strings. */
export interface Golden {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly values: readonly unknown[];
}

const words: Record<string, number> = { nan: NaN, inf: Infinity, "-inf": -Infinity };

function number(v: unknown): number {
  if (typeof v === "string") return words[v] ?? Number(v);
  return typeof v === "boolean" ? Number(v) : (v as number);
}

export interface GoldenTolerance {
  /** Units in the last place of the expected value. */
  readonly ulps?: number;
  /** Absolute, for results in which terms cancel. */
  readonly absolute?: number;
}

/** What differs between an array and a recorded one, in words, or `null`. Reads synchronously. */
export function goldenDifference(actual: NDArray, golden: Golden, tolerance: GoldenTolerance = {}): string | null {
  const { ulps = 0, absolute = 0 } = tolerance;
  if (actual.dtype !== golden.dtype) return `dtype ${String(actual.dtype)}, JAX has ${golden.dtype}`;
  if (actual.shape.join() !== golden.shape.join()) return `shape [${actual.shape}], JAX has [${golden.shape}]`;
  const flat = [...actual.dataSync()].map(Number);
  const expected = isComplex(actual.dtype) ? (golden.values as unknown[][]).flat().map(number) : golden.values.map(number);
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [flat[i], expected[i]];
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    const error = Math.abs(a - e);
    const unit = Number.isInteger(e) && !/float|complex/.test(golden.dtype) ? 0 : ulp(e, golden.dtype as StandardDType);
    if (!(error <= Math.max(ulps * unit, absolute))) return `element ${i} is ${a}, JAX has ${e}`;
  }
  return null;
}
