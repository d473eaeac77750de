import { type ArrayLike, canonicalAxis, isComplex, type NDArray, realDType, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { finfo } from "../dtypes.ts";
import { broadcastTo, inexact, toArray } from "../internal/promote.ts";
import { any, max, min, restoreAxes, sum } from "../reductions.ts";
import { type Axis, moveaxis } from "../shape.ts";
import { svdvals } from "./factor.ts";
import { columns, matrix, rows } from "./internal.ts";
import { inv } from "./solve.ts";

/** Which norm: a number p, or for matrices `"fro"` (Frobenius, the default) or `"nuc"` (the sum of the singular values). */
export type NormOrder = number | "fro" | "nuc" | null;

export interface NormOptions {
  readonly axis?: Axis;
  readonly keepdims?: boolean;
}

function squares(x: NDArray): NDArray {
  return isComplex(x.dtype) ? lax.real(lax.mul(x, lax.conj(x))) : lax.mul(x, x);
}
function euclidean(x: NDArray, axes: readonly number[], keepdims: boolean): NDArray {
  return lax.sqrt(sum(squares(x), axes, { keepdims }));
}

/**
 * Norms of vectors (one axis) or matrices (two axes); without `axis`, of a vector, a matrix, or, without `ord`, of all
 * elements.
 *
 * For vectors `ord` is any p: Infinity and -Infinity are the largest and the smallest magnitude, 0 counts the elements that
 * are not zero. For matrices: 1 and -1 largest and smallest sum of a column, Infinity and -Infinity of a row, 2 and -2
 * singular value, "fro" and "nuc".
 *
 * @throws {ValueError} for an order that there is not
 */
export function norm(x: ArrayLike, ord?: NormOrder, options?: NormOptions): NDArray;
export function norm(x: ArrayLike, options?: NormOptions): NDArray;
export function norm(x: ArrayLike, ord: NormOrder | NormOptions = null, options: NormOptions = {}): NDArray {
  if (typeof ord === "object" && ord !== null) return norm(x, null, ord);
  const a = inexact("norm", x);
  const { axis = null, keepdims = false } = options;
  if (axis === null && ord === null) {
    return euclidean(
      a,
      a.shape.map((_, i) => i),
      keepdims,
    );
  }
  const axes = axis === null ? a.shape.map((_, i) => i) : [axis].flat().map((d) => canonicalAxis("norm", d as number, a.ndim));
  if (axes.length === 1) return ofVectors(a, ord, axes, keepdims);
  if (axes.length === 2) return ofMatrices(a, ord, axes, keepdims);
  throw new ShapeError("norm", {
    message: `norms of order ${String(ord)} are of one axis or of two`,
    operands: { x: a },
    fix: "name the axes with `axis`, or leave the order out",
  });
}

/** p-norms over any axes. */
function ofVectors(x: NDArray, ord: NormOrder, axes: readonly number[], keepdims: boolean): NDArray {
  const real = realDType(x.dtype);
  switch (ord) {
    case null:
    case 2:
      return euclidean(x, axes, keepdims);
    case Infinity:
      return max(lax.abs(x), axes, { keepdims, initial: 0 });
    case -Infinity:
      return min(lax.abs(x), axes, { keepdims, initial: Infinity });
    case 0:
      return sum(lax.convertElementType(lax.ne(x, 0), real), axes, { keepdims });
    case 1:
      return sum(lax.abs(x), axes, { keepdims });
    default:
      if (typeof ord === "string") {
        throw new ValueError("norm", { message: `"${ord}" is no norm of vectors`, fix: "use a number, Infinity or -Infinity" });
      }
      return lax.pow(sum(lax.pow(lax.abs(x), ord), axes, { keepdims }), 1 / ord);
  }
}

function ofMatrices(x: NDArray, ord: NormOrder, axes: readonly number[], keepdims: boolean): NDArray {
  const [r, c] = axes;
  /** Sums of magnitudes along one axis, then a fold along the other. */
  const sums = (along: number, rest: number, fold: typeof max, initial: number): NDArray =>
    restoreAxes(fold(sum(lax.abs(x), along), rest > along ? rest - 1 : rest, { initial }), [...axes].sort(), keepdims);
  const singular = (fold: (s: NDArray) => NDArray): NDArray =>
    restoreAxes(fold(svdvals(moveaxis(x, axes, [-2, -1]))), [...axes].sort(), keepdims);
  switch (ord) {
    case null:
    case "fro":
      return euclidean(x, axes, keepdims);
    case "nuc":
      return singular((s) => sum(s, -1));
    case 1:
      return sums(r, c, max, 0);
    case -1:
      return sums(r, c, min, Infinity);
    case Infinity:
      return sums(c, r, max, 0);
    case -Infinity:
      return sums(c, r, min, Infinity);
    case 2:
      return singular((s) => max(s, -1));
    case -2:
      return singular((s) => min(s, -1));
    default:
      throw new ValueError("norm", {
        message: `there is no matrix norm of order ${String(ord)}`,
        fix: 'use 1, -1, 2, -2, Infinity, -Infinity, "fro" or "nuc"',
      });
  }
}

/** Norms of the matrices in the last two axes: [..., m, n] -> [...]. See `norm` for the orders. */
export function matrixNorm(x: ArrayLike, options: { readonly keepdims?: boolean; readonly ord?: NormOrder } = {}): NDArray {
  const { ord = "fro", keepdims } = options;
  return norm(x, ord, { axis: [-2, -1], keepdims });
}

/** p-norms of vectors, along one axis, several of them, or all: any order p, 2 by default. */
export function vectorNorm(x: ArrayLike, options: NormOptions & { readonly ord?: number } = {}): NDArray {
  const a = inexact("vectorNorm", x);
  const { axis = null, keepdims = false, ord = 2 } = options;
  const axes =
    axis === null ? a.shape.map((_, i) => i) : [axis].flat().map((d) => canonicalAxis("vectorNorm", d as number, a.ndim));
  return ofVectors(a, ord, axes, keepdims);
}

/**
 * Condition numbers for the inversion of matrices: |A| |A⁻¹| in the norm `p`, by default the ratio of the largest to the
 * smallest singular value. [..., m, n] -> [...], square unless p is 2 or -2. Singular matrices give Infinity.
 */
export function cond(x: ArrayLike, p: NormOrder = null): NDArray {
  const a = matrix("cond", x);
  if (p === null || p === 2 || p === -2) {
    const s = svdvals(a);
    const k = s.ndim - 1;
    const at = (i: number): NDArray => lax.squeeze(lax.sliceInDim(s, i, i + 1, 1, k), [k]);
    const [largest, smallest] = [at(0), at(s.shape[k] - 1)];
    return finite(a, p === -2 ? lax.div(smallest, largest) : lax.div(largest, smallest));
  }
  if (rows(a) !== columns(a)) {
    throw new ShapeError("cond", { message: "x must be square in its last two axes", operands: { x: a }, fix: "use p = 2" });
  }
  const axis = [-2, -1];
  return finite(a, lax.mul(norm(a, p, { axis }), norm(inv(a), p, { axis })));
}

/** NaN that is not the matrix's own stands for something infinite. */
function finite(a: NDArray, ratio: NDArray): NDArray {
  const own = any(lax.ne(a, a), [-2, -1]);
  const invented = lax.bitwiseAnd(lax.ne(ratio, ratio), lax.bitwiseNot(own));
  return lax.select(invented, lax.full(ratio.shape, Infinity, ratio.dtype), ratio);
}

/**
 * How many singular values are above `rtol` times the largest, eps max(m, n) by default: [..., m, n] -> int32[...]. Of
 * vectors and scalars, whether anything is not zero.
 */
export function matrixRank(x: ArrayLike, rtol: ArrayLike | null = null): NDArray {
  const given = toArray(x);
  if (given.ndim < 2) return lax.convertElementType(any(lax.ne(inexact("matrixRank", given), 0)), "int32");
  const a = matrix("matrixRank", given);
  const s = svdvals(a);
  const real = s.dtype;
  const part = rtol === null ? finfo(real as "float32").eps * Math.max(rows(a), columns(a)) : rtol;
  const batch = s.shape.slice(0, -1);
  const tolerance = broadcastTo("matrixRank", lax.convertElementType(inexact("matrixRank", part), real), batch);
  const cutoff = lax.mul(tolerance, max(s, -1, { initial: 0 }));
  const spread = lax.broadcastInDim(
    cutoff,
    s.shape,
    batch.map((_, i) => i),
  );
  return lax.reduceSum(lax.convertElementType(lax.gt(s, spread), "int32"), [s.ndim - 1]);
}
