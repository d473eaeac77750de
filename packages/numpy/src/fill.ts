import { type ArrayLike, type NDArray, ShapeError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { eye } from "./creation.ts";
import { isScalar, toArray } from "./internal/promote.ts";
import { where } from "./select.ts";

/** `x` with its main diagonal replaced. */
export function fillDiagonal(x: ArrayLike, value: ArrayLike): NDArray {
  const a = toArray(x);
  if (a.ndim < 2)
    throw new ShapeError("fillDiagonal", {
      message: "needs at least two axes",
      operands: { x: a },
      fix: "give a matrix, or a stack of equal axes",
    });
  if (a.ndim > 2 && a.shape.some((n) => n !== a.shape[0])) {
    throw new ShapeError("fillDiagonal", {
      message: "more than two axes must have equal sizes",
      operands: { x: a },
      fix: "fill one matrix at a time with vmap",
    });
  }
  const n = Math.min(...a.shape);
  const v0 = isScalar(value) ? lax.fullLike(a, value, { shape: [] }) : lax.convertElementType(toArray(value), a.dtype);
  const flat = lax.reshape(v0, [v0.size]);
  const v = flat.size >= n ? lax.sliceInDim(flat, 0, n) : lax.sliceInDim(lax.tile(flat, [Math.ceil(n / flat.size)]), 0, n);
  if (a.ndim > 2) {
    const index = lax.broadcastInDim(lax.iota("int32", n), [n, a.ndim], [0]);
    return lax.scatter(a, index, v, {
      updateWindowDims: [],
      insertedWindowDims: a.shape.map((_, i) => i),
      scatterDimsToOperandDims: a.shape.map((_, i) => i),
    });
  }
  const padded = lax.pad(v, a.dtype === "bool" ? false : 0, [[0, a.shape[0] - n, 0]]);
  return where(eye(a.shape[0], a.shape[1], 0, "bool"), lax.broadcastInDim(padded, a.shape, [0]), a);
}
