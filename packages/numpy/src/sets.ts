import {
  type ArrayLike,
  canonicalAxis,
  isFloat,
  isTracer,
  type NDArray,
  ShapeError,
  ConcretizationTypeError,
} from "@traceform/core";
import * as lax from "@traceform/lax";
import { bool } from "./dtypes.ts";
import { int32s, readNumbers } from "./internal/host.ts";
import { convertAll, toArray } from "./internal/promote.ts";
import { searchsorted } from "./search.ts";
import { lexsort } from "./sorting.ts";
import { take } from "./take.ts";

export interface UniqueOptions {
  readonly returnIndex?: boolean;
  readonly returnInverse?: boolean;
  readonly returnCounts?: boolean;
  readonly axis?: number | null;
  /** NaN counts as equal to itself (default). */
  readonly equalNan?: boolean;
  /** A static number of results: more are cut off, missing ones filled up. Needed while tracing. */
  readonly size?: number | null;
  /** Default: the smallest value. */
  readonly fillValue?: number | null;
}

interface UniqueParts {
  readonly values: NDArray;
  readonly index: NDArray;
  readonly inverse: NDArray;
  readonly counts: NDArray;
}

/**
 * The sorted distinct elements (of the flattened x, or slices along `axis`). With `returnIndex`, `returnInverse` or
 * `returnCounts` a list: also the first place of each, the number of each element's value, and how often each occurs.
 * The number of results depends on the values, so they are read without awaiting unless `size` fixes it.
 */
export function unique(
  x: ArrayLike,
  options?: UniqueOptions & { readonly returnIndex?: false; readonly returnInverse?: false; readonly returnCounts?: false },
): NDArray;
export function unique(x: ArrayLike, options: UniqueOptions): NDArray | NDArray[];
export function unique(x: ArrayLike, options: UniqueOptions = {}): NDArray | NDArray[] {
  const parts = uniqueParts(x, options);
  const out = [parts.values];
  if (options.returnIndex) out.push(parts.index);
  if (options.returnInverse) out.push(parts.inverse);
  if (options.returnCounts) out.push(parts.counts);
  return out.length === 1 ? out[0] : out;
}

function uniqueParts(x: ArrayLike, options: UniqueOptions): UniqueParts {
  const a0 = toArray(x);
  const flat = options.axis === null || options.axis === undefined;
  const axis = flat ? 0 : canonicalAxis("unique", options.axis!, a0.ndim);
  const a = flat ? lax.reshape(a0, [a0.size]) : lax.transpose(a0, [axis, ...a0.shape.map((_, i) => i).filter((i) => i !== axis)]);
  const n = a.shape[0];
  const back = (v: NDArray): NDArray => {
    if (flat || axis === 0) return v;
    const order = v.shape.map((_, i) => i).slice(1);
    order.splice(axis, 0, 0);
    return lax.transpose(v, order);
  };
  const inverseShape = flat ? a0.shape : [n];
  const size = options.size ?? null;
  if (n === 0) {
    const none = lax.full([size ?? 0], 0, "int32");
    if (size !== null && size > 0)
      throw new ShapeError("unique", {
        message: "an empty array has no elements to fill with",
        operands: { x: a0 },
        fix: "pass a fillValue",
      });
    return { values: back(a), index: none, inverse: lax.full(inverseShape, 0, "int32"), counts: none };
  }
  // Rows are sorted by all their elements, the first one first.
  const rows = lax.reshape(a, [n, a.size / n]);
  const width = rows.shape[1];
  const keys =
    width === 0
      ? [lax.full([n], 0, "int32")]
      : Array.from({ length: width }, (_, j) => lax.indexInDim(rows, width - 1 - j, 1, false));
  const order = lexsort(keys);
  const sorted = take(rows, order, 0, { mode: "clip" });
  const [p, q] = [lax.sliceInDim(sorted, 1, n), lax.sliceInDim(sorted, 0, n - 1)];
  let same = lax.eq(p, q);
  if ((options.equalNan ?? true) && isFloat(a.dtype)) same = lax.bitwiseOr(same, lax.bitwiseAnd(lax.ne(p, p), lax.ne(q, q)));
  const isNew = lax.concatenate([lax.full([1], true, bool), lax.bitwiseNot(lax.reduceAnd(same, [1]))], 0);
  const group = lax.sub(lax.cumsum(lax.convertElementType(isNew, "int32")), 1);
  const inverse = lax.scatter(lax.full([n], 0, "int32"), lax.expandDims(order, [1]), group, {
    updateWindowDims: [],
    insertedWindowDims: [0],
    scatterDimsToOperandDims: [0],
  });
  let count: number;
  if (size !== null) count = size;
  else {
    if (isTracer(isNew)) {
      throw new ConcretizationTypeError("unique", {
        message: `the number of distinct values of a traced ${a0.aval} is not known`,
        fix: "give { size }",
      });
    }
    count = readNumbers("unique", isNew).reduce((s, v) => s + v, 0);
  }
  const one = { updateWindowDims: [], insertedWindowDims: [0], scatterDimsToOperandDims: [0] };
  const counts = lax.scatterAdd(lax.full([count], 0, "int32"), lax.expandDims(group, [1]), lax.full([n], 1, "int32"), one);
  const firsts = lax.scatterMin(lax.full([count], n, "int32"), lax.expandDims(group, [1]), order, one);
  const missing = lax.eq(firsts, n);
  const index = lax.select(missing, lax.broadcast(lax.indexInDim(order, 0, 0, false), [count]), firsts);
  let values = take(a, index, 0, { mode: "clip" });
  if (size !== null && options.fillValue !== undefined && options.fillValue !== null) {
    const mask = lax.broadcastInDim(missing, values.shape, [0]);
    values = lax.select(mask, lax.fullLike(values, options.fillValue), values);
  }
  return { values: back(values), index, inverse: lax.reshape(inverse, inverseShape), counts };
}

/** `unique` with everything it can return. */
export function uniqueAll(
  x: ArrayLike,
  options: Pick<UniqueOptions, "size" | "fillValue"> = {},
): {
  values: NDArray;
  indices: NDArray;
  inverseIndices: NDArray;
  counts: NDArray;
} {
  const p = uniqueParts(x, { ...options, equalNan: false });
  return { values: p.values, indices: p.index, inverseIndices: p.inverse, counts: p.counts };
}
export function uniqueCounts(
  x: ArrayLike,
  options: Pick<UniqueOptions, "size" | "fillValue"> = {},
): { values: NDArray; counts: NDArray } {
  const { values, counts } = uniqueAll(x, options);
  return { values, counts };
}
export function uniqueInverse(
  x: ArrayLike,
  options: Pick<UniqueOptions, "size" | "fillValue"> = {},
): { values: NDArray; inverseIndices: NDArray } {
  const { values, inverseIndices } = uniqueAll(x, options);
  return { values, inverseIndices };
}
export function uniqueValues(x: ArrayLike, options: Pick<UniqueOptions, "size" | "fillValue"> = {}): NDArray {
  return uniqueParts(x, { ...options, equalNan: false }).values;
}

/** Whether each element is among `tests`. NaN never is. */
export function isin(
  x: ArrayLike,
  tests: ArrayLike,
  options: { readonly invert?: boolean; readonly assumeUnique?: boolean } = {},
): NDArray {
  const [xs, ts] = [toArray(x), toArray(tests)];
  const [a, t] = convertAll([xs, lax.reshape(ts, [ts.size])]);
  if (t.size === 0) return lax.full(a.shape, options.invert ?? false, bool);
  let found: NDArray;
  // A comparison of all pairs is cheapest for short lists and needs no sort.
  if (t.size <= 32 || a.dtype === "bool" || a.dtype === "complex64" || a.dtype === "complex128") {
    const shape = [...a.shape, t.size];
    const pairs = lax.eq(
      lax.broadcastInDim(
        a,
        shape,
        a.shape.map((_, i) => i),
      ),
      lax.broadcastInDim(t, shape, [a.ndim]),
    );
    found = lax.reduceOr(pairs, [a.ndim]);
  } else {
    const sorted = lax.sort(t, 0);
    const place = lax.clamp(0, searchsorted(sorted, a), t.size - 1);
    found = lax.eq(take(sorted, place, 0, { mode: "clip" }), a);
  }
  return options.invert ? lax.bitwiseNot(found) : found;
}

/** The elements at which a mask holds, both concrete. */
function keep(fn: string, x: NDArray, mask: NDArray): NDArray {
  const places = readNumbers(fn, mask).flatMap((v, i) => (v ? [i] : []));
  return take(x, int32s(places), 0, { mode: "clip" });
}

type SetOptions = Pick<UniqueOptions, "size" | "fillValue">;

function flattened(x: ArrayLike, y: ArrayLike): [NDArray, NDArray] {
  const [a, b] = convertAll([x, y]);
  return [lax.reshape(a, [a.size]), lax.reshape(b, [b.size])];
}

/** The sorted distinct elements of either. */
export function union1d(x: ArrayLike, y: ArrayLike, options: SetOptions = {}): NDArray {
  return uniqueParts(lax.concatenate(flattened(x, y), 0), options).values;
}

/** The sorted distinct elements of both. */
export function intersect1d(x: ArrayLike, y: ArrayLike): NDArray {
  const [a, b] = flattened(x, y);
  const u = uniqueParts(a, {}).values;
  return keep("intersect1d", u, isin(u, b));
}

/** The sorted distinct elements of `x` that are not in `y`. */
export function setdiff1d(x: ArrayLike, y: ArrayLike, options: { readonly assumeUnique?: boolean } = {}): NDArray {
  const [a, b] = flattened(x, y);
  const u = options.assumeUnique ? a : uniqueParts(a, {}).values;
  return keep("setdiff1d", u, isin(u, b, { invert: true }));
}

/** The sorted elements that are in exactly one of both. */
export function setxor1d(x: ArrayLike, y: ArrayLike): NDArray {
  const [a, b] = flattened(x, y);
  const u = uniqueParts(lax.concatenate([uniqueParts(a, {}).values, uniqueParts(b, {}).values], 0), { returnCounts: true });
  return keep("setxor1d", u.values, lax.eq(u.counts, 1));
}
