import { type ArrayLike, bind, canonicalAxis, type NDArray, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { convertAll, toArray } from "./internal/promote.ts";

export interface SortOptions {
  /** Largest first (NaN still last). */
  readonly descending?: boolean;
  readonly stable?: boolean;
}

function along(fn: string, x: ArrayLike, axis: number | null | undefined): [x: NDArray, axis: number] {
  const a = toArray(x);
  if (axis === null) return [lax.reshape(a, [a.size]), 0];
  if (a.ndim === 0)
    throw new ShapeError(fn, { message: "a scalar has no axis to sort along", operands: { x: a }, fix: "give axis null" });
  return [a, canonicalAxis(fn, axis ?? -1, a.ndim)];
}

/** Sorted along `axis` (the last by default; flattened for null), smallest first, NaN last. Stable. */
export function sort(x: ArrayLike, axis: number | null = -1, options: SortOptions = {}): NDArray {
  const [a, d] = along("sort", x, axis);
  if (!options.descending) return lax.sort(a, d, { isStable: options.stable ?? true });
  return lax.rev(lax.sort(a, d, { isStable: options.stable ?? true }), [d]);
}

/** The indices (int32) that sort along `axis` (the last by default; flattened for null). Equal elements keep their order. */
export function argsort(x: ArrayLike, axis: number | null = -1, options: SortOptions = {}): NDArray {
  const [a, d] = along("argsort", x, axis);
  const index = lax.broadcastedIota("int32", a.shape, d);
  const isStable = options.stable ?? true;
  if (!options.descending) return lax.sortKeyVal(a, index, d, isStable)[1];
  // Reversing before and after keeps equal elements in order.
  const [, order] = lax.sortKeyVal(lax.rev(a, [d]), lax.rev(index, [d]), d, isStable);
  return lax.rev(order, [d]);
}

/** The indices that sort by several keys, the last one first. Keys are a list of arrays, or the rows of one. */
export function lexsort(keys: readonly ArrayLike[] | NDArray, axis = -1): NDArray {
  const list =
    "aval" in keys
      ? Array.from({ length: keys.shape[0] }, (_, i) => lax.indexInDim(keys, i, 0, false))
      : keys.map((k) => toArray(k));
  if (list.length === 0)
    throw new ValueError("lexsort", {
      message: "needs at least one key",
      fix: "give the keys as a list, the most significant one last",
    });
  const [first] = list;
  if (first.ndim === 0) return lax.full([], 0, "int32");
  const dimension = canonicalAxis("lexsort", axis, first.ndim);
  const index = lax.broadcastedIota("int32", first.shape, dimension);
  const outs = bind(lax.sortP, [...list].reverse().concat(index), { dimension, isStable: true, numKeys: list.length });
  return outs[outs.length - 1];
}

/** The `k`-th smallest element in its sorted place, smaller ones before it and larger ones after it. Here: sorted. */
export function partition(x: ArrayLike, kth: number, axis = -1): NDArray {
  const [a, d] = along("partition", x, axis);
  checkKth("partition", kth, a.shape[d]);
  return lax.sort(a, d);
}
/** The indices that `partition`. */
export function argpartition(x: ArrayLike, kth: number, axis = -1): NDArray {
  const [a, d] = along("argpartition", x, axis);
  checkKth("argpartition", kth, a.shape[d]);
  return argsort(a, d);
}

function checkKth(fn: string, kth: number, n: number): void {
  if (!Number.isInteger(kth) || kth < -n || kth >= n)
    throw new ValueError(fn, { message: `kth ${kth} is outside an axis of size ${n}`, fix: "give a kth in [-n, n) of that axis" });
}

/** The `k` largest elements along `axis`, largest first, and their indices. */
export function topK(
  x: ArrayLike,
  k: number,
  options: { readonly axis?: number } | number = {},
): [values: NDArray, indices: NDArray] {
  return lax.topK(toArray(x), k, options);
}

/** Sorted by real part, then by imaginary part; the result is complex. */
export function sortComplex(x: ArrayLike): NDArray {
  const [a] = convertAll([x]);
  const s = sort(a);
  return typeof s.dtype === "string" && s.dtype.startsWith("complex") ? s : lax.convertElementType(s, "complex64");
}
