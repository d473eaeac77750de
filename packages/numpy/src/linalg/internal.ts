import { type ArrayLike, DTypeError, isComplex, type NDArray, ShapeError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { inexact } from "../internal/promote.ts";

/** One matrix or a stack of them, in a dtype that has decompositions: 16-bit floats are refused. */
export function matrix(fn: string, x: ArrayLike): NDArray {
  const a = inexact(fn, x);
  if (a.ndim < 2) {
    throw new ShapeError(fn, {
      message: "x must be a matrix, or a stack of them in the last two axes",
      operands: { x: a },
      fix: "give at least two axes",
    });
  }
  if (a.dtype === "float16" || a.dtype === "bfloat16") {
    throw new DTypeError(fn, {
      message: "has no 16-bit form",
      operands: { x: a },
      fix: 'convert it with astype(x, "float32")',
    });
  }
  return a;
}

/** The same with as many rows as columns. */
export function square(fn: string, x: ArrayLike): NDArray {
  const a = matrix(fn, x);
  if (rows(a) !== columns(a)) {
    throw new ShapeError(fn, {
      message: "x must be square in its last two axes",
      operands: { x: a },
      fix: "use lstsq, pinv, qr or svd for other matrices",
    });
  }
  return a;
}

export function rows(x: NDArray): number {
  return x.shape[x.ndim - 2];
}
export function columns(x: NDArray): number {
  return x.shape[x.ndim - 1];
}
export function batchOf(x: NDArray, trailing = 2): readonly number[] {
  return x.shape.slice(0, x.ndim - trailing);
}

/** The adjoint matrices. */
export function adjoint(x: NDArray): NDArray {
  const axes = Array.from({ length: x.ndim }, (_, i) => i);
  axes.push(...axes.splice(-2).reverse());
  const t = lax.transpose(x, axes);
  return isComplex(t.dtype) ? lax.conj(t) : t;
}

/** Vectors along the last axis as what every row of [..., m, n] is multiplied with. */
export function acrossColumns(v: NDArray, shape: readonly number[]): NDArray {
  return lax.broadcastInDim(
    v,
    shape,
    v.shape.map((_, i) => (i === v.ndim - 1 ? shape.length - 1 : i)),
  );
}

/** Matrices with ones on the diagonal. */
export function identities(batch: readonly number[], n: number, dtype: NDArray["dtype"]): NDArray {
  const shape = [...batch, n, n];
  const [i, j] = [0, 1].map((k) => lax.broadcastedIota("int32", shape, batch.length + k));
  return lax.convertElementType(lax.eq(i, j), dtype);
}

/** Products of the matrices of stacks of one batch shape. */
export function product(a: NDArray, b: NDArray): NDArray {
  return lax.batchMatmul(a, b);
}

/** Sums of the diagonals. */
export function traces(x: NDArray): NDArray {
  const n = columns(x);
  const masked = lax.mul(x, identities(batchOf(x), n, x.dtype));
  return lax.reduceSum(masked, [x.ndim - 2, x.ndim - 1]);
}

/** The diagonals of square matrices. */
export function diagonals(x: NDArray): NDArray {
  const mask = identities(batchOf(x), columns(x), "bool");
  return lax.reduceSum(lax.select(mask, x, lax.full(x.shape, 0, x.dtype)), [x.ndim - 1]);
}

/** A function of arrays with its forward derivative, which is linear in the tangents. */
export function differentiable<A extends readonly NDArray[], R>(
  fn: (...args: A) => R,
  rule: (primals: A, tangents: A) => readonly [primalsOut: R, tangentsOut: R],
): (...args: A) => R {
  const f = lax.customJvp(fn);
  f.defjvp(rule);
  return f;
}
