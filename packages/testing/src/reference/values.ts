import {
  bfloat16ToFloat32,
  type DType,
  dtypeKind,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  type HostArray,
  integerRange,
  isComplex,
  type StandardDType,
} from "@traceform/core";

/** A complex number; the reference backend computes its parts in double precision. */
export interface Complex {
  readonly re: number;
  readonly im: number;
}

/**
 * One element: 64-bit integers are bigints, complex numbers pairs, booleans 0 or 1, elements of an extended dtype
 * arrays of their physical scalars, everything else a number that the dtype represents exactly.
 */
export type Element = number | bigint | Complex | readonly (number | bigint)[];

/** A dense row-major array of the reference backend. */
export interface RefArray {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly values: readonly Element[];
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Row-major strides in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/** Calls `visit` with every index of `shape` in row-major order. The index array is reused. */
export function forEachIndex(shape: readonly number[], visit: (index: readonly number[], flat: number) => void): void {
  const n = sizeOf(shape);
  const index = shape.map(() => 0);
  for (let flat = 0; flat < n; flat++) {
    visit(index, flat);
    for (let d = shape.length - 1; d >= 0; d--) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
}

/** An array whose element at each index is computed. */
export function build(shape: readonly number[], dtype: DType, at: (index: readonly number[], flat: number) => Element): RefArray {
  const values = new Array<Element>(sizeOf(shape));
  forEachIndex(shape, (index, flat) => (values[flat] = at(index, flat)));
  return { shape, dtype, values };
}

export function flatIndex(index: readonly number[], strides: readonly number[]): number {
  let flat = 0;
  for (let i = 0; i < index.length; i++) flat += index[i] * strides[i];
  return flat;
}

/** Reader of `x` by index. */
export function reader(x: RefArray): (index: readonly number[]) => Element {
  const strides = stridesOf(x.shape);
  return (index) => x.values[flatIndex(index, strides)];
}

type Round = (x: Element) => Element;
const real =
  (f: (x: number) => number): Round =>
  (x) =>
    f(x as number);

const rounders: Record<StandardDType, Round> = {
  bool: (x) => (typeof x === "object" ? x : x ? 1 : 0),
  int8: real((x) => (x << 24) >> 24),
  int16: real((x) => (x << 16) >> 16),
  int32: real((x) => x | 0),
  uint8: real((x) => x & 0xff),
  uint16: real((x) => x & 0xffff),
  uint32: real((x) => x >>> 0),
  int64: (x) => BigInt.asIntN(64, x as bigint),
  uint64: (x) => BigInt.asUintN(64, x as bigint),
  float16: real((x) => float16ToFloat32(float32ToFloat16(x))),
  bfloat16: real((x) => bfloat16ToFloat32(float32ToBfloat16(x))),
  float32: real(Math.fround),
  float64: (x) => x,
  complex64: (x) => ({ re: Math.fround((x as Complex).re), im: Math.fround((x as Complex).im) }),
  complex128: (x) => x,
};

/** Rounds (or wraps) a result that was computed exactly, or in double precision, to its dtype. */
export function rounder(dtype: DType): Round {
  return typeof dtype === "string" ? rounders[dtype] : (x) => x;
}

/** Converts an element between dtypes as JAX does: float to integer saturates (NaN is 0), integers wrap. */
export function convertElement(x: Element, from: DType, to: DType): Element {
  if (typeof to !== "string" || typeof from !== "string" || from === to) return x;
  const round = rounders[to];
  const kind = dtypeKind(to);
  if (kind === "complex") return round(isComplex(from) ? x : { re: Number(x), im: 0 });
  if (isComplex(from)) {
    const { re, im } = x as Complex;
    return kind === "bool" ? (re !== 0 || im !== 0 ? 1 : 0) : convertElement(re, "float64", to);
  }
  if (kind === "bool") return Number(x) !== 0 ? 1 : 0;
  if (kind === "float") return round(Number(x));
  const wide = to === "int64" || to === "uint64";
  if (dtypeKind(from) === "float") {
    const v = x as number;
    if (Number.isNaN(v)) return wide ? 0n : 0;
    if (!wide) {
      const [lo, hi] = integerRange(to);
      return Math.min(Math.max(Math.trunc(v), lo), hi);
    }
    const [lo, hi] = to === "int64" ? [-(2n ** 63n), 2n ** 63n - 1n] : [0n, 2n ** 64n - 1n];
    if (!Number.isFinite(v)) return v > 0 ? hi : lo;
    const big = BigInt(Math.trunc(v));
    return big < lo ? lo : big > hi ? hi : big;
  }
  if (wide) return round(BigInt(x as number | bigint));
  return typeof x === "bigint" ? round(Number(BigInt.asIntN(32, x))) : round(x);
}

const getters: Record<StandardDType, (view: DataView, i: number) => Element> = {
  bool: (v, i) => (v.getUint8(i) ? 1 : 0),
  int8: (v, i) => v.getInt8(i),
  int16: (v, i) => v.getInt16(2 * i, true),
  int32: (v, i) => v.getInt32(4 * i, true),
  int64: (v, i) => v.getBigInt64(8 * i, true),
  uint8: (v, i) => v.getUint8(i),
  uint16: (v, i) => v.getUint16(2 * i, true),
  uint32: (v, i) => v.getUint32(4 * i, true),
  uint64: (v, i) => v.getBigUint64(8 * i, true),
  float16: (v, i) => float16ToFloat32(v.getUint16(2 * i, true)),
  bfloat16: (v, i) => bfloat16ToFloat32(v.getUint16(2 * i, true)),
  float32: (v, i) => v.getFloat32(4 * i, true),
  float64: (v, i) => v.getFloat64(8 * i, true),
  complex64: (v, i) => ({ re: v.getFloat32(8 * i, true), im: v.getFloat32(8 * i + 4, true) }),
  complex128: (v, i) => ({ re: v.getFloat64(16 * i, true), im: v.getFloat64(16 * i + 8, true) }),
};

const setters: Record<StandardDType, (view: DataView, i: number, x: never) => void> = {
  bool: (v, i, x: number) => v.setUint8(i, x),
  int8: (v, i, x: number) => v.setInt8(i, x),
  int16: (v, i, x: number) => v.setInt16(2 * i, x, true),
  int32: (v, i, x: number) => v.setInt32(4 * i, x, true),
  int64: (v, i, x: bigint) => v.setBigInt64(8 * i, x, true),
  uint8: (v, i, x: number) => v.setUint8(i, x),
  uint16: (v, i, x: number) => v.setUint16(2 * i, x, true),
  uint32: (v, i, x: number) => v.setUint32(4 * i, x, true),
  uint64: (v, i, x: bigint) => v.setBigUint64(8 * i, x, true),
  float16: (v, i, x: number) => v.setUint16(2 * i, float32ToFloat16(x), true),
  bfloat16: (v, i, x: number) => v.setUint16(2 * i, float32ToBfloat16(x), true),
  float32: (v, i, x: number) => v.setFloat32(4 * i, x, true),
  float64: (v, i, x: number) => v.setFloat64(8 * i, x, true),
  complex64: (v, i, x: Complex) => {
    v.setFloat32(8 * i, x.re, true);
    v.setFloat32(8 * i + 4, x.im, true);
  },
  complex128: (v, i, x: Complex) => {
    v.setFloat64(16 * i, x.re, true);
    v.setFloat64(16 * i + 8, x.im, true);
  },
};

export function decode(dtype: StandardDType, bytes: Uint8Array, count: number): Element[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, i) => getters[dtype](view, i));
}

const widths: Record<StandardDType, number> = {
  bool: 1,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  uint8: 1,
  uint16: 2,
  uint32: 4,
  uint64: 8,
  float16: 2,
  bfloat16: 2,
  float32: 4,
  float64: 8,
  complex64: 8,
  complex128: 16,
};

export function encode(dtype: StandardDType, values: readonly Element[]): Uint8Array {
  const bytes = new Uint8Array(values.length * widths[dtype]);
  const view = new DataView(bytes.buffer);
  values.forEach((x, i) => setters[dtype](view, i, x as never));
  return bytes;
}

export function fromHost({ shape, dtype, bytes }: HostArray): RefArray {
  return { shape, dtype, values: decode(dtype, bytes, sizeOf(shape)) };
}

export function toHost(x: RefArray): HostArray {
  const { shape, dtype, values } = toPhysical(x);
  return { shape, dtype: dtype as StandardDType, bytes: encode(dtype as StandardDType, values) };
}

/** Elements of an extended dtype spread out over their trailing physical axes. */
export function toPhysical(x: RefArray): RefArray {
  const { dtype } = x;
  if (typeof dtype === "string") return x;
  return {
    shape: [...x.shape, ...dtype.physicalShape],
    dtype: dtype.physicalDtype,
    values: (x.values as (readonly number[])[]).flat(),
  };
}

/** The inverse of `toPhysical`. */
export function toLogical(x: RefArray, shape: readonly number[], dtype: DType): RefArray {
  if (typeof dtype === "string") return x;
  const n = sizeOf(dtype.physicalShape);
  const values = Array.from({ length: sizeOf(shape) }, (_, i) => x.values.slice(i * n, (i + 1) * n) as number[]);
  return { shape, dtype, values };
}
