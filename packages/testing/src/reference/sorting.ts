import { convertElement, type Element, flatIndex, forEachIndex, type RefArray, sizeOf, stridesOf } from "./values.ts";

/** NaN comes last; -0 and 0 are equal; complex numbers are ordered by real part, then imaginary part. */
function compare(a: Element, b: Element): number {
  if (typeof a === "object" && typeof b === "object" && "re" in a && "re" in b) return compare(a.re, b.re) || compare(a.im, b.im);
  const [aNaN, bNaN] = [Number.isNaN(a), Number.isNaN(b)];
  if (aNaN || bNaN) return Number(aNaN) - Number(bNaN);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Calls `visit` with the flat positions of each line along `axis`. */
function forLines(shape: readonly number[], axis: number, visit: (positions: number[]) => void): void {
  const strides = stridesOf(shape);
  const outer = shape.map((n, d) => (d === axis ? 1 : n));
  forEachIndex(outer, (index) => {
    const start = flatIndex(index, strides);
    visit(Array.from({ length: shape[axis] }, (_, i) => start + i * strides[axis]));
  });
}

/** Sorts all operands by the first `numKeys`, stably. */
export function sort(xs: readonly RefArray[], dimension: number, numKeys: number): RefArray[] {
  const outs = xs.map((x) => [...x.values]);
  if (sizeOf(xs[0].shape) > 0) {
    forLines(xs[0].shape, dimension, (positions) => {
      const order = [...positions].sort((p, q) => {
        for (let k = 0; k < numKeys; k++) {
          const c = compare(xs[k].values[p], xs[k].values[q]);
          if (c !== 0) return c;
        }
        return 0;
      });
      positions.forEach((to, i) => xs.forEach((x, k) => (outs[k][to] = x.values[order[i]])));
    });
  }
  return xs.map((x, k) => ({ ...x, values: outs[k] }));
}

/** The k largest along `axis`, descending, NaN first; ties keep the order of their indices. */
export function topK(x: RefArray, k: number, axis: number, shape: readonly number[], indexDType: "int32" = "int32"): RefArray[] {
  const values = new Array<Element>(sizeOf(shape));
  const indices = new Array<Element>(sizeOf(shape));
  const strides = stridesOf(shape);
  let line = 0;
  const starts: number[] = [];
  forEachIndex(
    shape.map((n, d) => (d === axis ? 1 : n)),
    (index) => starts.push(flatIndex(index, strides)),
  );
  forLines(x.shape, axis, (positions) => {
    const order = positions.map((_, i) => i).sort((i, j) => compare(x.values[positions[j]], x.values[positions[i]]) || i - j);
    for (let i = 0; i < k; i++) {
      const to = starts[line] + i * strides[axis];
      values[to] = x.values[positions[order[i]]];
      indices[to] = convertElement(order[i], "int32", indexDType);
    }
    line++;
  });
  return [
    { shape, dtype: x.dtype, values },
    { shape, dtype: indexDType, values: indices },
  ];
}
