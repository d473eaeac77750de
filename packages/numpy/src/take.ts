import { type ArrayLike, canonicalAxis, dtypeKind, type NDArray, sameShape, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { indexArray, wrapNegative } from "./internal/index.ts";
import { broadcastTo, toArray } from "./internal/promote.ts";

export interface TakeOptions {
  /** Out of bounds: NaN or the smallest integer (`fill`, the default), the nearest, or counted around. */
  readonly mode?: "fill" | "clip" | "wrap" | "promise_in_bounds";
  readonly fillValue?: number;
  readonly uniqueIndices?: boolean;
  readonly indicesAreSorted?: boolean;
}

/** Elements of `x` along `axis` (of the flattened `x` without one) at `indices`, whose axes take the place of `axis`. */
export function take(x: ArrayLike, indices: ArrayLike, axis?: number | null, options: TakeOptions = {}): NDArray {
  let a = toArray(x);
  if (axis === null || axis === undefined) a = lax.reshape(a, [a.size]);
  const d = canonicalAxis("take", axis ?? 0, a.ndim);
  const n = a.shape[d];
  const raw = indexArray("take", indices);
  const wrap = options.mode === "wrap";
  const index = wrap ? around(raw, n) : wrapNegative(raw, n);
  if (n === 0 && index.size > 0)
    throw new ShapeError("take", {
      message: "cannot take from an empty axis",
      operands: { x: a },
      fix: "take from an axis with elements, or ask for no indices",
    });
  return lax.gather(
    a,
    lax.expandDims(index, [index.ndim]),
    {
      offsetDims: a.shape
        .map((_, i) => i)
        .filter((i) => i !== d)
        .map((i) => (i < d ? i : i + index.ndim - 1)),
      collapsedSliceDims: [d],
      startIndexMap: [d],
    },
    a.shape.map((m, i) => (i === d ? Math.min(1, m) : m)),
    {
      mode: wrap ? "promise_in_bounds" : (options.mode ?? "fill"),
      fillValue: options.fillValue,
      uniqueIndices: options.uniqueIndices,
      indicesAreSorted: options.indicesAreSorted,
    },
  );
}

function around(index: NDArray, n: number): NDArray {
  const r = lax.rem(index, n);
  return dtypeKind(index.dtype) === "uint" ? r : lax.select(lax.lt(r, 0), lax.add(r, n), r);
}

/** For each place of `indices` the element of `x` with that index along `axis`; the other axes correspond (and broadcast). */
export function takeAlongAxis(
  x: ArrayLike,
  indices: ArrayLike,
  axis: number | null = -1,
  options: Pick<TakeOptions, "mode" | "fillValue"> = {},
): NDArray {
  const { a, index, d } = alongAxis("takeAlongAxis", x, indices, axis);
  const n = a.shape[d];
  const wrap = options.mode === "wrap";
  const own = wrap ? around(index, n) : wrapNegative(index, n);
  const batch = a.shape.map((_, i) => i).filter((i) => i !== d);
  return lax.gather(
    a,
    lax.expandDims(own, [own.ndim]),
    {
      offsetDims: [],
      collapsedSliceDims: [d],
      startIndexMap: [d],
      operandBatchingDims: batch,
      startIndicesBatchingDims: batch,
    },
    a.shape.map((m) => Math.min(1, m)),
    { mode: wrap ? "promise_in_bounds" : (options.mode ?? "fill"), fillValue: options.fillValue },
  );
}

/** A copy of `x` with `values` written at the places that `takeAlongAxis` would read. */
export function putAlongAxis(x: ArrayLike, indices: ArrayLike, values: ArrayLike, axis: number | null = -1): NDArray {
  const { a, index, d } = alongAxis("putAlongAxis", x, indices, axis);
  const batch = a.shape.map((_, i) => i).filter((i) => i !== d);
  const v = lax.convertElementType(toArray(values), a.dtype);
  const out = lax.scatter(
    a,
    lax.expandDims(wrapNegative(index, a.shape[d]), [index.ndim]),
    broadcastTo("putAlongAxis", v, index.shape),
    {
      updateWindowDims: [],
      insertedWindowDims: [d],
      scatterDimsToOperandDims: [d],
      operandBatchingDims: batch,
      scatterIndicesBatchingDims: batch,
    },
  );
  return axis === null ? lax.reshape(out, toArray(x).shape) : out;
}

/** Both operands with as many axes, equal but for `axis`. */
function alongAxis(fn: string, x: ArrayLike, indices: ArrayLike, axis: number | null): { a: NDArray; index: NDArray; d: number } {
  let a = toArray(x);
  let index = indexArray(fn, indices);
  if (axis === null) {
    a = lax.reshape(a, [a.size]);
    index = lax.reshape(index, [index.size]);
  }
  if (a.ndim !== index.ndim) {
    throw new ShapeError(fn, {
      message: "the indices must have as many axes as x",
      operands: { x: a, indices: index },
      fix: "add axes with expandDims, or use take",
    });
  }
  const d = canonicalAxis(fn, axis ?? 0, a.ndim);
  const shape = a.shape.map((n, i) => {
    const m = index.shape[i];
    if (i === d || n === m || m === 1) return n;
    if (n === 1) return m;
    throw new ShapeError(fn, {
      message: `axis ${i} does not broadcast`,
      operands: { x: a, indices: index },
      fix: "give indices whose other axes have the sizes of x, or size 1",
    });
  });
  const full = (v: NDArray): NDArray => {
    const target = shape.map((n, i) => (i === d ? v.shape[i] : n));
    return sameShape(target, v.shape) ? v : broadcastTo(fn, v, target);
  };
  return { a: full(a), index: full(index), d };
}

/** Writes `values` at positions in row-major order; places named twice get one of them. */
export function put(
  x: ArrayLike,
  indices: ArrayLike,
  values: ArrayLike,
  options: { readonly mode?: "clip" | "wrap" } = {},
): NDArray {
  const a = toArray(x);
  const raw = indexArray("put", indices);
  const index = lax.reshape(
    options.mode === "wrap" ? around(raw, a.size) : lax.clamp(0, wrapNegative(raw, a.size), Math.max(0, a.size - 1)),
    [raw.size],
  );
  const v = lax.convertElementType(toArray(values), a.dtype);
  if (v.size === 0)
    throw new ValueError("put", { message: "needs at least one value", fix: "give a value, or call it with no indices" });
  const flat = lax.reshape(v, [v.size]);
  const repeated =
    v.size >= index.size
      ? lax.slice(flat, [0], [index.size])
      : lax.slice(lax.tile(flat, [Math.ceil(index.size / v.size)]), [0], [index.size]);
  const out = lax.scatter(lax.reshape(a, [a.size]), lax.expandDims(index, [1]), repeated, {
    updateWindowDims: [],
    insertedWindowDims: [0],
    scatterDimsToOperandDims: [0],
  });
  return lax.reshape(out, a.shape);
}
