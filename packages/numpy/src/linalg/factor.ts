import { type ArrayLike, type NDArray, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import * as laxLinalg from "@traceform/lax/linalg";
import { adjoint, matrix, square } from "./internal.ts";

export interface CholeskyOptions {
  /** Return the upper triangular factor, Lᴴ. */
  readonly upper?: boolean;
  /** Use the mean of the matrix and its adjoint; otherwise its lower triangle. */
  readonly symmetrizeInput?: boolean;
}

/**
 * Cholesky decompositions of positive definite matrices: the lower triangular L with A = L Lᴴ.
 *
 * [..., n, n] -> [..., n, n]. A matrix that is not positive definite gives NaN.
 */
export function cholesky(x: ArrayLike, { upper = false, symmetrizeInput = true }: CholeskyOptions = {}): NDArray {
  const l = laxLinalg.cholesky(square("cholesky", x), { symmetrizeInput });
  return upper ? adjoint(l) : l;
}

/** What `qr` returns: Q with as many columns as A at most, a square Q, R alone, or LAPACK's reflections. */
export type QrMode = "reduced" | "complete" | "r" | "raw";

/**
 * QR decompositions: A = Q R with orthonormal columns in Q and an upper triangular R.
 *
 * [..., m, n] -> `[Q, R]`, for mode `"reduced"` [..., m, k] and [..., k, n] with k = min(m, n), for `"complete"` with k = m;
 * for `"r"` R alone; for `"raw"` the transposed reflections [..., n, m] and their factors, as LAPACK has them.
 */
export function qr(x: ArrayLike, mode?: Exclude<QrMode, "r">): [q: NDArray, r: NDArray];
export function qr(x: ArrayLike, mode: "r"): NDArray;
export function qr(x: ArrayLike, mode: QrMode = "reduced"): NDArray | [q: NDArray, r: NDArray] {
  const a = matrix("qr", x);
  switch (mode) {
    case "raw": {
      const [factors, taus] = laxLinalg.geqrf(a);
      const axes = Array.from({ length: a.ndim }, (_, i) => i);
      axes.push(...axes.splice(-2).reverse());
      return [lax.transpose(factors, axes), taus];
    }
    case "reduced":
    case "complete":
      return laxLinalg.qr(a, { fullMatrices: mode === "complete" });
    case "r":
      return laxLinalg.qr(a, { fullMatrices: false })[1];
    default:
      throw new ValueError("qr", {
        message: `there is no mode "${String(mode)}"`,
        fix: 'use "reduced", "complete", "r" or "raw"',
      });
  }
}

export interface EighOptions {
  /** Which triangle is read. */
  readonly UPLO?: "L" | "U";
  /** Use the mean of the matrix and its adjoint. */
  readonly symmetrizeInput?: boolean;
}

function triangle(fn: string, UPLO: "L" | "U" = "L"): boolean {
  if (UPLO === "L" || UPLO === "U") return UPLO === "L";
  throw new ValueError(fn, {
    message: `UPLO must be "L" or "U", got ${String(UPLO)}`,
    fix: 'pass { UPLO: "L" } to read the lower triangle, "U" for the upper one',
  });
}

/**
 * Eigenvalues, ascending, and eigenvectors of Hermitian matrices: A V = V diag(w).
 *
 * [..., n, n] -> w, real [..., n], and V [..., n, n], whose columns are orthonormal.
 */
export function eigh(x: ArrayLike, options: EighOptions = {}): [w: NDArray, v: NDArray] {
  const lower = triangle("eigh", options.UPLO);
  const [v, w] = laxLinalg.eigh(square("eigh", x), { lower, symmetrizeInput: options.symmetrizeInput });
  return [w, v];
}

/**
 * Eigenvalues and eigenvectors of square matrices: A V = V diag(w). Both are complex; the columns of V have length one.
 *
 * [..., n, n] -> w [..., n], in no particular order, and V [..., n, n]. The eigenvalues alone are differentiable: `eigvals`.
 */
export function eig(x: ArrayLike): [w: NDArray, v: NDArray] {
  const options = { computeLeftEigenvectors: false, computeRightEigenvectors: true };
  return laxLinalg.eig(square("eig", x), options) as [NDArray, NDArray];
}

/** The eigenvalues of square matrices, in no particular order: [..., n, n] -> complex [..., n]. */
export function eigvals(x: ArrayLike): NDArray {
  return laxLinalg.eig(square("eigvals", x), { computeLeftEigenvectors: false, computeRightEigenvectors: false })[0];
}

/** The eigenvalues of Hermitian matrices, ascending: [..., n, n] -> real [..., n]. */
export function eigvalsh(x: ArrayLike, options: EighOptions = {}): NDArray {
  const lower = triangle("eigvalsh", options.UPLO);
  return laxLinalg.eigvalsh(square("eigvalsh", x), { lower, symmetrizeInput: options.symmetrizeInput });
}

export interface SvdOptions {
  /** U and V are square; otherwise they have min(m, n) columns. */
  readonly fullMatrices?: boolean;
  /** The matrices are Hermitian: their eigenvectors are used. */
  readonly hermitian?: boolean;
}

/**
 * Singular value decompositions: A = U diag(s) Vᴴ with s descending.
 *
 * [..., m, n] -> `[U, s, Vᴴ]`, or s alone when `computeUv` is false.
 */
export function svd(x: ArrayLike, options?: SvdOptions & { readonly computeUv?: true }): [u: NDArray, s: NDArray, vh: NDArray];
export function svd(x: ArrayLike, options: SvdOptions & { readonly computeUv: false }): NDArray;
export function svd(
  x: ArrayLike,
  options: SvdOptions & { readonly computeUv?: boolean } = {},
): NDArray | [u: NDArray, s: NDArray, vh: NDArray] {
  const { fullMatrices = true, computeUv = true, hermitian = false } = options;
  if (hermitian) return hermitianSvd(x, computeUv);
  const a = matrix("svd", x);
  return computeUv ? laxLinalg.svd(a, { fullMatrices }) : laxLinalg.svd(a, { fullMatrices, computeUv: false });
}

/** A = V diag(w) Vᴴ is U diag(|w|) Vᴴ with the signs of w in U, once in the order of |w|. */
function hermitianSvd(x: ArrayLike, computeUv: boolean): NDArray | [u: NDArray, s: NDArray, vh: NDArray] {
  const a = square("svd", x);
  if (!computeUv) return lax.rev(lax.sort(lax.abs(laxLinalg.eigvalsh(a))), [a.ndim - 2]);
  const [w, v] = eigh(a);
  const places = lax.broadcastedIota("int32", w.shape, w.ndim - 1);
  const [, order] = lax.sortKeyVal(lax.neg(lax.abs(w)), places);
  const sorted = laxLinalg.takeColumns(v, order);
  const values = laxLinalg.takeElements(w, order);
  const signs = lax.select(lax.lt(values, 0), lax.full(w.shape, -1, w.dtype), lax.full(w.shape, 1, w.dtype));
  const spread = lax.broadcastInDim(
    signs,
    sorted.shape,
    signs.shape.map((_, i) => (i === signs.ndim - 1 ? i + 1 : i)),
  );
  return [lax.mul(sorted, lax.convertElementType(spread, a.dtype)), lax.abs(values), adjoint(sorted)];
}

/** The singular values, descending: [..., m, n] -> real [..., min(m, n)]. */
export function svdvals(x: ArrayLike): NDArray {
  return svd(x, { fullMatrices: false, computeUv: false });
}
