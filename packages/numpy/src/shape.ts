import { type ArrayLike, AxisError, canonicalAxes, canonicalAxis, type NDArray, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { indexArray } from "./internal/index.ts";
import { broadcastTo as broadcast, resultShape, toArray } from "./internal/promote.ts";
import { take } from "./take.ts";

export type Axis = number | readonly number[] | null;

function axesOf(fn: string, axis: Axis | undefined, ndim: number): number[] {
  if (axis === null || axis === undefined) return Array.from({ length: ndim }, (_, i) => i);
  return canonicalAxes(fn, typeof axis === "number" ? [axis] : axis, ndim);
}

/** The shape of anything array-like. */
export function shape(x: ArrayLike): readonly number[] {
  return toArray(x).shape;
}
/** The number of axes. */
export function ndim(x: ArrayLike): number {
  return toArray(x).ndim;
}
/** The number of elements, in all or along some axes. */
export function size(x: ArrayLike, axis?: Axis): number {
  const a = toArray(x);
  return axis === null || axis === undefined ? a.size : axesOf("size", axis, a.ndim).reduce((n, d) => n * a.shape[d], 1);
}

/**
 * The elements of `x` in another shape. One size may be -1. Order `C` (default) runs through the last axis fastest,
 * `F` through the first. @throws {ShapeError} when the number of elements differs
 */
export function reshape(x: ArrayLike, newShape: number | readonly number[], options: { readonly order?: "C" | "F" } = {}): NDArray {
  const a = toArray(x);
  const sizes = typeof newShape === "number" ? [newShape] : newShape;
  if (options.order !== "F") return lax.reshape(a, sizes);
  return transpose(lax.reshape(transpose(a), [...sizes].reverse()));
}

/** All elements as a vector. */
export function ravel(x: ArrayLike, options: { readonly order?: "C" | "F" } = {}): NDArray {
  return reshape(x, [-1], options);
}

/** The axes in another order, reversed by default. */
export function transpose(x: ArrayLike, axes?: readonly number[] | null): NDArray {
  const a = toArray(x);
  return lax.transpose(a, axes ? checkPermutation("transpose", axes, a) : a.shape.map((_, i) => a.ndim - 1 - i));
}
export { transpose as permuteDims };

function checkPermutation(fn: string, axes: readonly number[], x: NDArray): number[] {
  const order = canonicalAxes(fn, axes, x.ndim);
  if (order.length === x.ndim) return order;
  throw new AxisError(fn, {
    message: `needs each of the ${x.ndim} axes once, got [${axes.join(",")}]`,
    operands: { x },
    fix: "name every axis of x exactly once",
  });
}

/** The last two axes exchanged. */
export function matrixTranspose(x: ArrayLike): NDArray {
  const a = toArray(x);
  if (a.ndim < 2)
    throw new ShapeError("matrixTranspose", {
      message: "needs at least two axes",
      operands: { x: a },
      fix: "give a matrix, or a stack of them",
    });
  return swapaxes(a, -1, -2);
}

/** Two axes exchanged. */
export function swapaxes(x: ArrayLike, axis1: number, axis2: number): NDArray {
  const a = toArray(x);
  const [i, j] = [canonicalAxis("swapaxes", axis1, a.ndim), canonicalAxis("swapaxes", axis2, a.ndim)];
  return lax.transpose(
    a,
    a.shape.map((_, d) => (d === i ? j : d === j ? i : d)),
  );
}

/** Axes moved to other places; the others keep their order. */
export function moveaxis(x: ArrayLike, source: number | readonly number[], destination: number | readonly number[]): NDArray {
  const a = toArray(x);
  const from = axesOf("moveaxis", source, a.ndim);
  const to = axesOf("moveaxis", destination, a.ndim);
  if (from.length !== to.length) {
    throw new AxisError("moveaxis", {
      message: `${from.length} sources, but ${to.length} destinations`,
      fix: "name one destination for each source",
    });
  }
  const order = a.shape.map((_, i) => i).filter((i) => !from.includes(i));
  const pairs = to.map((d, i) => [d, from[i]]).sort((p, q) => p[0] - q[0]);
  for (const [d, s] of pairs) order.splice(d, 0, s);
  return lax.transpose(a, order);
}

/** Axis `axis` moved before axis `start`. */
export function rollaxis(x: ArrayLike, axis: number, start = 0): NDArray {
  const a = toArray(x);
  const from = canonicalAxis("rollaxis", axis, a.ndim);
  const to = start < 0 ? start + a.ndim : start;
  return moveaxis(a, from, to > from ? to - 1 : to);
}

/** New axes of size 1 at the given places of the result. */
export function expandDims(x: ArrayLike, axis: number | readonly number[]): NDArray {
  return lax.expandDims(toArray(x), typeof axis === "number" ? [axis] : axis);
}

/** Without the axes of size 1: all of them, or those named. @throws {ShapeError} when a named axis has another size */
export function squeeze(x: ArrayLike, axis?: Axis): NDArray {
  const a = toArray(x);
  const axes =
    axis === null || axis === undefined ? a.shape.flatMap((n, i) => (n === 1 ? [i] : [])) : axesOf("squeeze", axis, a.ndim);
  return lax.squeeze(a, axes);
}

/** `x` repeated to fill `shape`, by NumPy's rules. */
export function broadcastTo(x: ArrayLike, newShape: number | readonly number[]): NDArray {
  return broadcast("broadcastTo", toArray(x), typeof newShape === "number" ? [newShape] : newShape);
}

/** Arrays broadcast against each other. */
export function broadcastArrays(...xs: readonly ArrayLike[]): NDArray[] {
  const arrays = xs.map((x) => toArray(x));
  const common = resultShape("broadcastArrays", arrays);
  return arrays.map((x) => broadcast("broadcastArrays", x, common));
}

/** The shape that arrays of these shapes broadcast to. */
export function broadcastShapes(...shapes: readonly (number | readonly number[])[]): number[] {
  return lax.broadcastShapes(...shapes.map((s) => (typeof s === "number" ? [s] : s)));
}

/** Reversed along some axes, all by default. */
export function flip(x: ArrayLike, axis?: Axis): NDArray {
  const a = toArray(x);
  return lax.rev(a, axesOf("flip", axis, a.ndim));
}
/** Reversed along the second axis. */
export function fliplr(x: ArrayLike): NDArray {
  return flip(x, 1);
}
/** Reversed along the first axis. */
export function flipud(x: ArrayLike): NDArray {
  return flip(x, 0);
}

/** Rotated by k times 90° in the plane of two axes, from the first towards the second. */
export function rot90(x: ArrayLike, k = 1, axes: readonly number[] = [0, 1]): NDArray {
  const a = toArray(x);
  const [i, j] = axesOf("rot90", axes, a.ndim);
  switch (((k % 4) + 4) % 4) {
    case 1:
      return swapaxes(flip(a, j), i, j);
    case 2:
      return flip(a, [i, j]);
    case 3:
      return flip(swapaxes(a, i, j), j);
    default:
      return a;
  }
}

/** Elements shifted along axes, those pushed out at one end coming in at the other. The shift may be traced. */
export function roll(x: ArrayLike, shift: ArrayLike | readonly number[], axis?: Axis): NDArray {
  const a = toArray(x);
  if (axis === null || axis === undefined) return lax.reshape(roll(lax.reshape(a, [a.size]), shift, 0), a.shape);
  const axes = typeof axis === "number" ? [axis] : axis;
  const list: readonly (number | NDArray)[] =
    typeof shift === "number"
      ? axes.map(() => shift)
      : Array.isArray(shift)
        ? shift.length === 1
          ? axes.map(() => shift[0] as number)
          : (shift as number[])
        : scalars(indexArray("roll", shift as ArrayLike), axes.length);
  const all = axes.length === 1 ? list.map(() => axes[0]) : axes;
  if (list.length !== all.length)
    throw new ValueError("roll", {
      message: `${list.length} shifts for ${all.length} axes`,
      fix: "give one shift for all axes, or one for each",
    });
  return list.reduce<NDArray>((v, s, i) => rollAxis(v, s, canonicalAxis("roll", all[i], a.ndim)), a);
}

function scalars(x: NDArray, n: number): NDArray[] {
  if (x.ndim === 0) return new Array<NDArray>(n).fill(x);
  return Array.from({ length: x.size }, (_, i) => lax.reshape(lax.sliceInDim(lax.reshape(x, [x.size]), i, i + 1), []));
}

function rollAxis(x: NDArray, shift: number | NDArray, axis: number): NDArray {
  const n = x.shape[axis];
  if (n === 0) return x;
  if (typeof shift === "number") {
    const k = ((shift % n) + n) % n;
    if (k === 0) return x;
    return lax.concatenate([lax.sliceInDim(x, n - k, n, 1, axis), lax.sliceInDim(x, 0, n - k, 1, axis)], axis);
  }
  const r = lax.rem(shift, n);
  const k = lax.select(lax.lt(r, 0), lax.add(r, n), r);
  return lax.dynamicSliceInDim(lax.concatenate([x, x], axis), lax.sub(n, k), n, axis);
}

/** Elements repeated, each the same number of times or each its own, along `axis` (of the flattened x without one). */
export function repeat(
  x: ArrayLike,
  repeats: ArrayLike,
  axis?: number | null,
  options: { readonly totalRepeatLength?: number } = {},
): NDArray {
  let a = toArray(x);
  if (axis === null || axis === undefined) a = lax.reshape(a, [a.size]);
  const d = canonicalAxis("repeat", axis ?? 0, a.ndim);
  const n = a.shape[d];
  const total = options.totalRepeatLength;
  const counts = indexArray("repeat", repeats);
  if (total === undefined && typeof repeats === "number") {
    const spread = lax.broadcastInDim(
      a,
      [...a.shape.slice(0, d + 1), repeats, ...a.shape.slice(d + 1)],
      a.shape.map((_, i) => (i <= d ? i : i + 1)),
    );
    return lax.reshape(
      spread,
      a.shape.map((m, i) => (i === d ? m * repeats : m)),
    );
  }
  const vector = broadcast("repeat", lax.reshape(counts, counts.size === 1 ? [1] : counts.shape), [n]);
  if (total === undefined) {
    const each = Array.from(vector.concrete("repeat").readSync() as Iterable<number>, Number);
    return take(a, Int32Array.from(each.flatMap((m, i) => new Array<number>(m).fill(i))), d, { mode: "clip" });
  }
  // Element i starts where the counts before it add up to; counting the starts up to a place names its element.
  const starts = lax.sub(lax.cumsum(vector), vector);
  const marks = lax.scatterAdd(lax.full([total], 0, "int32"), lax.expandDims(starts, [1]), lax.full([n], 1, "int32"), {
    updateWindowDims: [],
    insertedWindowDims: [0],
    scatterDimsToOperandDims: [0],
  });
  return take(a, lax.sub(lax.cumsum(marks), 1), d, { mode: "clip" });
}

/** `x` repeated as a whole, `reps[i]` times along axis i. */
export function tile(x: ArrayLike, reps: number | readonly number[]): NDArray {
  const a = toArray(x);
  const counts = typeof reps === "number" ? [reps] : reps;
  const ndim = Math.max(a.ndim, counts.length);
  const full = [...new Array<number>(ndim - counts.length).fill(1), ...counts];
  return lax.tile(lax.broadcastToRank(a, ndim), full);
}

function atleast(n: number, x: ArrayLike): NDArray {
  const a = toArray(x);
  if (a.ndim >= n) return a;
  if (n === 3 && a.ndim > 0) return lax.expandDims(a, a.ndim === 1 ? [0, 2] : [2]);
  return lax.broadcastToRank(a, n);
}
function atleastAll(n: number, xs: readonly ArrayLike[]): NDArray | NDArray[] {
  const all = xs.map((x) => atleast(n, x));
  return all.length === 1 ? all[0] : all;
}
/** Arrays with at least one axis. */
export function atleast1d(x: ArrayLike): NDArray;
export function atleast1d(...xs: readonly ArrayLike[]): NDArray[];
export function atleast1d(...xs: readonly ArrayLike[]): NDArray | NDArray[] {
  return atleastAll(1, xs);
}
/** Arrays with at least two axes; vectors become rows. */
export function atleast2d(x: ArrayLike): NDArray;
export function atleast2d(...xs: readonly ArrayLike[]): NDArray[];
export function atleast2d(...xs: readonly ArrayLike[]): NDArray | NDArray[] {
  return atleastAll(2, xs);
}
/** Arrays with at least three axes: `[n]` becomes `[1, n, 1]`, `[m, n]` becomes `[m, n, 1]`. */
export function atleast3d(x: ArrayLike): NDArray;
export function atleast3d(...xs: readonly ArrayLike[]): NDArray[];
export function atleast3d(...xs: readonly ArrayLike[]): NDArray | NDArray[] {
  return atleastAll(3, xs);
}

/** The elements of `x`, repeated as often as needed, in a new shape. */
export function resize(x: ArrayLike, newShape: number | readonly number[]): NDArray {
  const a = lax.reshape(toArray(x), [toArray(x).size]);
  const sizes = typeof newShape === "number" ? [newShape] : newShape;
  const n = sizes.reduce((p, m) => p * m, 1);
  if (a.size === 0 || n === 0) return lax.fullLike(a, 0, { shape: sizes });
  return lax.reshape(lax.sliceInDim(lax.tile(a, [Math.ceil(n / a.size)]), 0, n), sizes);
}
