import type { DType } from "@traceform/core";
import { build, type Element, flatIndex, reader, type RefArray, rounder, sizeOf, stridesOf } from "./values.ts";

export function broadcastInDim(x: RefArray, shape: readonly number[], dims: readonly number[]): RefArray {
  const at = reader(x);
  return build(shape, x.dtype, (index) => at(dims.map((d, i) => (x.shape[i] === 1 ? 0 : index[d]))));
}

export function transpose(x: RefArray, permutation: readonly number[]): RefArray {
  const at = reader(x);
  const source = new Array<number>(permutation.length);
  return build(
    permutation.map((d) => x.shape[d]),
    x.dtype,
    (index) => {
      permutation.forEach((d, i) => (source[d] = index[i]));
      return at(source);
    },
  );
}

export function rev(x: RefArray, dimensions: readonly number[]): RefArray {
  const at = reader(x);
  return build(x.shape, x.dtype, (index) => at(index.map((i, d) => (dimensions.includes(d) ? x.shape[d] - 1 - i : i))));
}

/** Padding may be negative, which crops; interior padding goes between elements. */
export function pad(
  x: RefArray,
  value: Element,
  config: readonly (readonly [number, number, number])[],
  shape: readonly number[],
): RefArray {
  const at = reader(x);
  const source = new Array<number>(shape.length);
  return build(shape, x.dtype, (index) => {
    for (let d = 0; d < shape.length; d++) {
      const [lo, , interior] = config[d];
      const offset = index[d] - lo;
      const step = interior + 1;
      if (offset < 0 || offset % step !== 0 || offset / step >= x.shape[d]) return value;
      source[d] = offset / step;
    }
    return at(source);
  });
}

export function slice(
  x: RefArray,
  starts: readonly number[],
  shape: readonly number[],
  strides: readonly number[] | null,
): RefArray {
  const at = reader(x);
  return build(shape, x.dtype, (index) => at(index.map((i, d) => starts[d] + i * (strides?.[d] ?? 1))));
}

/** Start indices are clamped so that the slice fits. */
export function clampStarts(starts: readonly RefArray[], shape: readonly number[], sizes: readonly number[]): number[] {
  return starts.map((s, d) => Math.min(Math.max(Number(s.values[0]), 0), shape[d] - sizes[d]));
}

export function dynamicUpdateSlice(x: RefArray, update: RefArray, starts: readonly number[]): RefArray {
  const values = [...x.values];
  const strides = stridesOf(x.shape);
  const out: RefArray = { ...x, values };
  const at = reader(update);
  build(
    update.shape,
    x.dtype,
    (index) =>
      (values[
        flatIndex(
          index.map((i, d) => i + starts[d]),
          strides,
        )
      ] = at(index)),
  );
  return out;
}

export function concatenate(xs: readonly RefArray[], dimension: number, shape: readonly number[]): RefArray {
  const readers = xs.map(reader);
  return build(shape, xs[0].dtype, (index) => {
    let i = index[dimension];
    let k = 0;
    while (i >= xs[k].shape[dimension]) i -= xs[k++].shape[dimension];
    return readers[k](index.map((j, d) => (d === dimension ? i : j)));
  });
}

export function iota(shape: readonly number[], dtype: DType, dimension: number): RefArray {
  const wide = dtype === "int64" || dtype === "uint64";
  const complex = dtype === "complex64" || dtype === "complex128";
  const round = rounder(dtype);
  return build(shape, dtype, (index) => {
    const i = index[dimension];
    return round(wide ? BigInt(i) : complex ? { re: i, im: 0 } : i);
  });
}

export function reshape(x: RefArray, shape: readonly number[]): RefArray {
  if (sizeOf(shape) !== sizeOf(x.shape)) throw new Error(`reference: reshape of ${x.shape} to ${shape}`);
  return { ...x, shape };
}
