import { type ArrayLike, isTracer, type NDArray, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { flatNonzero } from "./internal/nonzero.ts";
import { broadcastTo, promote, toArray } from "./internal/promote.ts";
import { truth } from "./internal/truth.ts";
import { take } from "./take.ts";

/** A static size for results whose size depends on values: more are cut off, missing ones are filled up. */
export interface SizeOptions {
  readonly size?: number | null;
  readonly fillValue?: number | readonly number[] | null;
}

/**
 * The coordinates of the elements that are not 0: one int32 vector for each axis. The number of them depends on the
 * values, so they are read without awaiting, unless `size` fixes it: then the function can be traced.
 *
 * @throws {TracerError} for a traced array without `size`
 */
export function nonzero(x: ArrayLike, options: SizeOptions = {}): NDArray[] {
  const a = toArray(x);
  if (a.ndim === 0)
    throw new ShapeError("nonzero", { message: "needs at least one axis", operands: { x: a }, fix: "use atleast1d(x)" });
  const mask = truth(a);
  if (options.size === null || options.size === undefined) return flatNonzero("nonzero", mask);
  const { size } = options;
  const fills = Array.isArray(options.fillValue) ? options.fillValue : a.shape.map(() => options.fillValue ?? 0);
  if (a.size === 0 || size === 0) return a.shape.map((_, d) => lax.full([size], fills[d] as number, "int32"));
  const flat = lax.convertElementType(lax.reshape(mask, [a.size]), "int32");
  const rank = lax.cumsum(flat);
  const total = lax.sliceInDim(rank, a.size - 1, a.size);
  // The k-th true element lies behind as many elements as have a rank of at most k.
  const counts = lax.scatterAdd(lax.full([size], 0, "int32"), lax.reshape(rank, [a.size, 1]), lax.full([a.size], 1, "int32"), {
    updateWindowDims: [],
    insertedWindowDims: [0],
    scatterDimsToOperandDims: [0],
  });
  const place = lax.cumsum(counts);
  const missing = lax.ge(lax.iota("int32", size), lax.broadcastInDim(total, [size], [0]));
  let stride = a.size;
  return a.shape.map((n, d) => {
    stride /= n;
    const coordinate = lax.rem(lax.div(place, stride), n);
    return lax.select(missing, lax.full([size], fills[d] as number, "int32"), coordinate);
  });
}

/** The coordinates of the elements that are not 0, one row for each. See `nonzero`. */
export function argwhere(x: ArrayLike, options?: SizeOptions): NDArray {
  const a = toArray(x);
  if (a.ndim === 0) return lax.full([nonzero(lax.reshape(a, [1]), options)[0].size, 0], 0, "int32");
  const columns = nonzero(a, options);
  return lax.concatenate(
    columns.map((c) => lax.expandDims(c, [1])),
    1,
  );
}

/** Positions in row-major order of the elements that are not 0. See `nonzero`. */
export function flatnonzero(x: ArrayLike, options?: SizeOptions): NDArray {
  const a = toArray(x);
  return nonzero(lax.reshape(a, [a.size]), options)[0];
}

/** The elements of `x`, in row-major order, at which `condition` holds. See `nonzero` for `size`. */
export function extract(
  condition: ArrayLike,
  x: ArrayLike,
  options: { readonly size?: number; readonly fillValue?: number } = {},
): NDArray {
  return compress(lax.reshape(truth(condition), [toArray(condition).size]), x, null, options);
}

/** The slices of `x` along `axis` (of the flattened `x` without one) at which the vector `condition` holds. */
export function compress(
  condition: ArrayLike,
  x: ArrayLike,
  axis?: number | null,
  options: { readonly size?: number; readonly fillValue?: number } = {},
): NDArray {
  const a = toArray(x);
  const c = truth(condition);
  if (c.ndim !== 1)
    throw new ShapeError("compress", {
      message: "the condition must be a vector",
      operands: { condition: c },
      fix: "ravel the condition, or use where",
    });
  const flat = axis === null || axis === undefined ? lax.reshape(a, [a.size]) : a;
  const d = axis === null || axis === undefined ? 0 : axis;
  const n = flat.shape.at(d)!;
  const known = lax.sliceInDim(c, 0, Math.min(n, c.size));
  if (options.size === undefined) return take(flat, flatnonzero(known), d);
  const [index] = nonzero(known, { size: options.size, fillValue: n });
  return take(flat, index, d, { mode: "fill", fillValue: options.fillValue ?? 0 });
}

export interface SearchsortedOptions {
  readonly side?: "left" | "right";
  /** The order that sorts `sorted`, when it is not sorted itself. */
  readonly sorter?: ArrayLike | null;
}

/**
 * Where elements would be inserted into the sorted vector: on the `left` (or `right`) of equal ones. int32. NaN sorts last.
 *
 * Binary search, all elements at once: a loop of about log2(n) steps.
 */
export function searchsorted(
  sorted: ArrayLike,
  values: ArrayLike,
  side: "left" | "right" | SearchsortedOptions = "left",
  options: SearchsortedOptions = {},
): NDArray {
  const opts: SearchsortedOptions = typeof side === "string" ? { side, ...options } : side;
  const [a0, v] = promoteOnly(sorted, values);
  if (a0.ndim !== 1)
    throw new ShapeError("searchsorted", {
      message: "needs a sorted vector",
      operands: { sorted: a0 },
      fix: "give one sorted vector, and use vmap for several",
    });
  const a = opts.sorter ? take(a0, opts.sorter) : a0;
  const n = a.size;
  if (n === 0) return lax.full(v.shape, 0, "int32");
  const left = (opts.side ?? "left") === "left";
  const zero = lax.full(v.shape, 0, "int32");
  const steps = Math.ceil(Math.log2(n + 1));
  const [low] = lax.foriLoop(
    0,
    steps,
    (_, [lo, hi]: readonly [NDArray, NDArray]) => {
      const middle = lax.div(lax.add(lo, hi), 2);
      const x = take(a, middle, 0, { mode: "clip" });
      // NaN counts as larger than everything and equal to itself.
      const goRight = left ? sortsBefore(x, v) : lax.bitwiseNot(sortsBefore(v, x));
      const open = lax.lt(lo, hi);
      return [
        lax.select(lax.bitwiseAnd(open, goRight), lax.add(middle, 1), lo),
        lax.select(lax.bitwiseAnd(open, lax.bitwiseNot(goRight)), middle, hi),
      ] as const;
    },
    [zero, lax.full(v.shape, n, "int32")] as const,
  );
  return low;
}

function promoteOnly(a: ArrayLike, b: ArrayLike): [NDArray, NDArray] {
  const [x, y] = [toArray(a), toArray(b)];
  // Shapes need not fit: only the dtypes are made common.
  const [s] = promote("searchsorted", [lax.fullLike(x, 0, { shape: [] }), lax.fullLike(y, 0, { shape: [] })]);
  return [lax.convertElementType(x, s.dtype), lax.convertElementType(y, s.dtype)];
}

function sortsBefore(x: NDArray, y: NDArray): NDArray {
  const less = lax.lt(x, y);
  return typeof x.dtype === "string" && x.dtype.includes("float")
    ? lax.bitwiseOr(less, lax.bitwiseAnd(lax.eq(x, x), lax.ne(y, y)))
    : less;
}

/** The number of the bin of each element: `bins[i-1] <= x < bins[i]`, or with `right` `bins[i-1] < x <= bins[i]`. */
export function digitize(x: ArrayLike, bins: ArrayLike, right = false): NDArray {
  const edges = toArray(bins);
  if (edges.ndim !== 1)
    throw new ShapeError("digitize", {
      message: "bins must be a vector",
      operands: { bins: edges },
      fix: "give one vector of edges, and use vmap for several",
    });
  if (edges.size === 0) return lax.full(toArray(x).shape, 0, "int32");
  const side = right ? "left" : "right";
  const up = searchsorted(edges, x, side);
  const down = lax.sub(lax.full(up.shape, edges.size, "int32"), searchsorted(lax.rev(edges, [0]), x, side));
  const rises = lax.ge(lax.indexInDim(edges, -1, 0, false), lax.indexInDim(edges, 0, 0, false));
  return lax.select(rises, up, down);
}

export interface BincountOptions {
  readonly weights?: ArrayLike | null;
  readonly minlength?: number;
  /** Makes the length static: larger values are not counted. Needed while tracing. */
  readonly length?: number | null;
}

/** How often each non-negative integer occurs, or the sum of its weights. Negative values count as 0. */
export function bincount(x: ArrayLike, options: BincountOptions = {}): NDArray {
  const a = toArray(x);
  if (a.ndim !== 1) throw new ShapeError("bincount", { message: "needs a vector", operands: { x: a }, fix: "ravel the array" });
  const index = a.dtype === "bool" ? lax.convertElementType(a, "int32") : integralVector(a);
  let { length } = options;
  if (length === null || length === undefined) {
    const data = index.concrete("bincount").readSync();
    let largest = -1;
    for (let i = 0; i < data.length; i++) largest = Math.max(largest, Number(data[i]));
    length = Math.max(largest + 1, options.minlength ?? 0);
  }
  const weights = options.weights ? toArray(options.weights) : lax.full(a.shape, 1, "int32");
  return lax.scatterAdd(
    lax.full([length], 0, weights.dtype),
    lax.reshape(lax.max(index, 0), [a.size, 1]),
    broadcastTo("bincount", weights, a.shape),
    { updateWindowDims: [], insertedWindowDims: [0], scatterDimsToOperandDims: [0] },
  );
}

function integralVector(a: NDArray): NDArray {
  if (typeof a.dtype === "string" && a.dtype.includes("int")) return a;
  if (!isTracer(a) && Array.from(a.concrete("bincount").readSync() as Iterable<number>).every(Number.isInteger)) {
    return lax.convertElementType(a, "int32");
  }
  throw new ValueError("bincount", { message: "needs integers", operands: { x: a }, fix: 'convert it with astype(x, "int32")' });
}

/** Coordinates from positions in row-major order, one array for each axis. */
export function unravelIndex(positions: ArrayLike, shape: readonly number[]): NDArray[] {
  const p = integralPositions(positions);
  const size = shape.reduce((a, b) => a * b, 1);
  const wrapped = lax.clamp(0, lax.select(lax.lt(p, 0), lax.add(p, size), p), Math.max(0, size - 1));
  let stride = size;
  return shape.map((n) => {
    stride /= n;
    return lax.rem(lax.div(wrapped, stride), n);
  });
}

function integralPositions(x: ArrayLike): NDArray {
  const a = toArray(x);
  return typeof a.dtype === "string" && a.dtype.includes("int") ? a : integralVector(a);
}

/** Positions in row-major order from coordinates. Out of bounds they are clipped or wrapped. */
export function ravelMultiIndex(
  coordinates: readonly ArrayLike[],
  shape: readonly number[],
  options: { readonly mode?: "clip" | "wrap" } = {},
): NDArray {
  if (coordinates.length !== shape.length) {
    throw new ValueError("ravelMultiIndex", {
      message: `got ${coordinates.length} coordinates for ${shape.length} axes`,
      fix: "give one array of coordinates for each axis of the shape",
    });
  }
  const parts = promote("ravelMultiIndex", coordinates.map(integralPositions));
  return parts
    .map((c, d) =>
      options.mode === "wrap" ? lax.rem(lax.add(lax.rem(c, shape[d]), shape[d]), shape[d]) : lax.clamp(0, c, shape[d] - 1),
    )
    .reduce((acc, c, d) => lax.add(d === 0 ? acc : lax.mul(acc, shape[d]), c), lax.fullLike(parts[0], 0, { shape: [] }));
}

/** Open grids from vectors: the i-th gets the shape `[1, …, n, …, 1]`, for indexing with all of them. */
export function ix_(...vectors: readonly ArrayLike[]): NDArray[] {
  return vectors.map((v, i) => {
    const a = toArray(v);
    const list = a.dtype === "bool" ? flatNonzero("ix_", a)[0] : a;
    return lax.reshape(
      list,
      vectors.map((_, d) => (d === i ? list.size : 1)),
    );
  });
}
export { ix_ as ix };
