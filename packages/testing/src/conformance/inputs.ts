import { dtypeKind, type HostArray, integerRange, itemsize, type StandardDType } from "@traceform/core";
import { type Element, encode, rounder, sizeOf } from "../reference/values.ts";
import type { Operand } from "./case.ts";

/** A small seeded generator (mulberry32), so that a failure repeats. */
export function random(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const specialFloats = [NaN, Infinity, -Infinity, 0, -0, 1, -1, 0.5, 1e-40, -1e-40, 1e-6, 1e4, -1e4, 3e38, Math.PI];

function specials(dtype: StandardDType): Element[] {
  const kind = dtypeKind(dtype);
  if (kind === "float") return specialFloats.map(rounder(dtype));
  if (kind === "bool") return [0, 1];
  if (kind === "complex")
    return [
      { re: 0, im: -0 },
      { re: -1, im: 0 },
      { re: 0, im: 2 },
    ];
  if (itemsize(dtype) === 8) return dtype === "int64" ? [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n)] : [0n, 1n, 2n ** 64n - 1n];
  const [lo, hi] = integerRange(dtype);
  return [0, 1, lo, hi, ...(lo < 0 ? [-1] : [])];
}

/** The values of an operand, on the host. */
export function makeInput(operand: Operand, caseDType: StandardDType, seed: number): HostArray {
  const dtype = operand.dtype ?? caseDType;
  const kind = dtypeKind(dtype);
  const next = random(seed);
  const round = rounder(dtype);
  const big = dtype === "int64" || dtype === "uint64";
  const [low, high] = operand.range ?? (kind === "float" || kind === "complex" ? [-2, 2] : kind === "uint" ? [0, 20] : [-10, 10]);
  const float = (): number => low + (high - low) * next();
  const draw = (): Element => {
    if (kind === "bool") return next() < 0.5 ? 1 : 0;
    if (kind === "float") return round(float());
    if (kind === "complex") return round({ re: float(), im: float() });
    const n = Math.floor(low + (high - low + 1) * next());
    return big ? BigInt(n) : round(n);
  };
  const n = sizeOf(operand.shape);
  const values: Element[] =
    operand.values?.map((v) => (big ? BigInt(v) : kind === "complex" ? { re: v, im: 0 } : round(v))) ??
    Array.from({ length: n }, draw);
  if (operand.special) {
    const list = specials(dtype);
    for (let i = 0; i < n; i++) if (i % 3 !== 2) values[i] = list[Math.floor(next() * list.length)];
  }
  return { shape: operand.shape, dtype, bytes: encode(dtype, values) };
}
