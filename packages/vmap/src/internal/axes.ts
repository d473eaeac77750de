import type { NDArray } from "@traceform/core";
import { broadcastInDim, transpose } from "@traceform/lax";
import type { BatchDim } from "../rule.ts";

/** `x` with axis `from` moved to place `to`. */
export function moveAxis(x: NDArray, from: number, to: number): NDArray {
  if (from === to) return x;
  const order = x.shape.map((_, i) => i).filter((i) => i !== from);
  order.splice(to, 0, from);
  return transpose(x, order);
}

/** `x` with a new axis of `size` at place `at`, along which it repeats. */
export function repeat(x: NDArray, size: number, at: number): NDArray {
  const shape = [...x.shape.slice(0, at), size, ...x.shape.slice(at)];
  return broadcastInDim(
    x,
    shape,
    x.shape.map((_, i) => (i < at ? i : i + 1)),
  );
}

/** `x` with the batch as its leading axis; repeated when it is not batched. */
export function toFront(x: NDArray, dim: BatchDim, size: number): NDArray {
  return dim === null ? repeat(x, size, 0) : moveAxis(x, dim, 0);
}

/** Where axis `axis` of the unbatched array is in the one with a batch axis at `dim`. */
export function bump(axis: number, dim: number): number {
  return axis < dim ? axis : axis + 1;
}
export function bumpAll(axes: readonly number[], dim: number): number[] {
  return axes.map((a) => bump(a, dim));
}

/** A list with `value` inserted at `at`. */
export function insert<T>(xs: readonly T[], at: number, value: T): T[] {
  return [...xs.slice(0, at), value, ...xs.slice(at)];
}
