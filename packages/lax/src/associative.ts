import {
  type ArrayLike,
  asArray,
  canonicalAxis,
  flattenUpTo,
  type NDArray,
  ShapeError,
  treeFlatten,
  treeUnflatten,
} from "@traceform/core";
import { add, bitwiseOr } from "./binary.ts";
import { concatenate, pad, rev } from "./shape.ts";
import { sliceInDim } from "./slice.ts";

export interface AssociativeScanOptions {
  readonly reverse?: boolean;
  readonly axis?: number;
}

/**
 * All prefixes of an associative operation along an axis, in logarithmic depth: `[a, a∘b, a∘b∘c, …]`. `fn` combines
 * two pytrees like `elems` elementwise along the axis (it sees slices, not single elements).
 *
 * @see Blelloch (1990), "Prefix sums and their applications"; the recursion is that of `jax.lax.associative_scan`
 */
export function associativeScan<T>(fn: (a: T, b: T) => T, elems: T, options: AssociativeScanOptions = {}): T {
  const [leaves, tree] = treeFlatten(elems);
  let arrays = leaves.map((x) => asArray(x as ArrayLike));
  if (arrays.length === 0) return elems;
  const axis = canonicalAxis("associativeScan", options.axis ?? 0, arrays[0].ndim);
  const n = arrays[0].shape[axis];
  for (const x of arrays) {
    if (x.shape[axis] !== n) {
      throw new ShapeError("associativeScan", {
        message: `all elems must have ${n} elements along axis ${axis}`,
        operands: { first: arrays[0], other: x },
        fix: "slice or pad them to one length",
      });
    }
  }
  const combine = (a: readonly NDArray[], b: readonly NDArray[]): NDArray[] => {
    const out = fn(treeUnflatten(tree, a) as T, treeUnflatten(tree, b) as T);
    return flattenUpTo(tree, out, "associativeScan").map((x) => asArray(x as ArrayLike));
  };
  if (options.reverse) arrays = arrays.map((x) => rev(x, [axis]));
  let scanned = scanArrays(combine, arrays, axis);
  if (options.reverse) scanned = scanned.map((x) => rev(x, [axis]));
  return treeUnflatten(tree, scanned) as T;
}

type Combine = (a: readonly NDArray[], b: readonly NDArray[]) => NDArray[];

/** Combines neighbours, scans the half as long list, and fills in the other half. */
function scanArrays(combine: Combine, xs: readonly NDArray[], axis: number): NDArray[] {
  const n = xs[0].shape[axis];
  if (n < 2) return [...xs];
  const cut = (list: readonly NDArray[], from: number | null, to: number | null, step = 1): NDArray[] =>
    list.map((x) => sliceInDim(x, from, to, step, axis));
  const halves = combine(cut(xs, 0, -1, 2), cut(xs, 1, null, 2));
  const odd = scanArrays(combine, halves, axis);
  const even = combine(n % 2 === 0 ? cut(odd, 0, -1) : odd, cut(xs, 2, null, 2));
  const first = cut(xs, 0, 1);
  const evens = even.map((x, i) => concatenate([first[i], x], axis));
  return evens.map((e, i) => interleave(e, odd[i], axis));
}

/** `a0 b0 a1 b1 …`, by padding both with gaps and adding. */
function interleave(a: NDArray, b: NDArray, axis: number): NDArray {
  const [na, nb] = [a.shape[axis], b.shape[axis]];
  const config = (low: number, high: number): [number, number, number][] =>
    a.shape.map((_, i) => (i === axis ? [low, high, 1] : [0, 0, 0]));
  const spreadA = pad(a, a.dtype === "bool" ? false : 0, config(0, na === nb ? 1 : 0));
  const spreadB = pad(b, b.dtype === "bool" ? false : 0, config(1, na === nb ? 0 : 1));
  return a.dtype === "bool" ? bitwiseOr(spreadA, spreadB) : add(spreadA, spreadB);
}
