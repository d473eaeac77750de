import { dtypeKind, type HostArray, type StandardDType } from "@traceform/core";
import { type Complex, decode, type Element, sizeOf } from "../reference/values.ts";

interface Format {
  readonly mantissa: number;
  readonly smallest: number;
}

const formats: Partial<Record<StandardDType, Format>> = {
  float16: { mantissa: 10, smallest: -24 },
  bfloat16: { mantissa: 7, smallest: -133 },
  float32: { mantissa: 23, smallest: -149 },
  float64: { mantissa: 52, smallest: -1074 },
  complex64: { mantissa: 23, smallest: -149 },
  complex128: { mantissa: 52, smallest: -1074 },
};

/** The distance to the next value of the format at |x|. */
export function ulp(x: number, dtype: StandardDType): number {
  const { mantissa, smallest } = formats[dtype]!;
  if (!Number.isFinite(x) || x === 0) return 2 ** smallest;
  return 2 ** Math.max(Math.floor(Math.log2(Math.abs(x))) - mantissa, smallest);
}

export interface Tolerance {
  readonly ulps: number;
  readonly relative: number;
}

/** What differs between two arrays, in words, or `null`. */
export function difference(actual: HostArray, expected: HostArray, { ulps, relative }: Tolerance): string | null {
  if (actual.dtype !== expected.dtype) return `dtype ${actual.dtype}, expected ${expected.dtype}`;
  if (actual.shape.join() !== expected.shape.join()) return `shape [${actual.shape}], expected [${expected.shape}]`;
  const n = sizeOf(expected.shape);
  const { dtype } = expected;
  const a = decode(dtype, actual.bytes, n);
  const b = decode(dtype, expected.bytes, n);
  const kind = dtypeKind(dtype);
  if (kind !== "float" && kind !== "complex") {
    const at = a.findIndex((x, i) => x !== b[i]);
    return at < 0 ? null : `element ${at} is ${String(a[at])}, expected ${String(b[at])}`;
  }
  const parts = (xs: readonly Element[]): number[] =>
    kind === "complex" ? (xs as Complex[]).flatMap((z) => [z.re, z.im]) : (xs as number[]);
  const [p, q] = [parts(a), parts(b)];
  const scale = q.reduce((m, x) => (Number.isFinite(x) ? Math.max(m, Math.abs(x)) : m), 0);
  for (let i = 0; i < q.length; i++) {
    if (Object.is(p[i], q[i]) || p[i] === q[i] || (Number.isNaN(p[i]) && Number.isNaN(q[i]))) continue;
    const error = Math.abs(p[i] - q[i]);
    // An error in units of the larger part: complex results are judged as a whole.
    const size = kind === "complex" ? Math.hypot(q[i - (i % 2)], q[i - (i % 2) + 1]) : q[i];
    if (error <= ulps * ulp(size, dtype) || error <= relative * scale) continue;
    return `element ${i} of ${q.length} is ${p[i]}, expected ${q[i]} (${(error / ulp(size, dtype)).toFixed(1)} ulp)`;
  }
  return null;
}
