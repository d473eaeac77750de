import { type ArrayLike, canonicalAxis, isComplex, type NDArray, realDType, ShapeError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { eigh, lu, svd } from "@traceform/lax/linalg";
import { finfo } from "../dtypes.ts";
import { broadcastTo, convertAll, inexact } from "../internal/promote.ts";
import { moveaxis } from "../shape.ts";
import { acrossColumns, adjoint, batchOf, columns, differentiable, identities, matrix, product, rows, square } from "./internal.ts";
import { luSolve } from "./lusolve.ts";

/** X with A X = B, for stacks of one batch shape. */
const solveMatrices: (a: NDArray, b: NDArray) => NDArray = /* @__PURE__ */ differentiable(
  (a: NDArray, b: NDArray) => {
    const [factors, , permutation] = lu(a);
    return luSolve(factors, permutation, b);
  },
  // A dX = dB - dA X, with the factors that X was computed with.
  ([a, b], [da, db]) => {
    const [factors, , permutation] = lu(a);
    const x = luSolve(factors, permutation, b);
    return [x, luSolve(factors, permutation, lax.sub(db, product(da, x)))];
  },
);

/**
 * Solves systems of linear equations A x = b by LU decomposition with partial pivoting.
 *
 * a: [..., n, n], b: [n] or [..., n, m] -> [..., n] or [..., n, m]; batch axes broadcast. A singular `a` gives infinities
 * or NaN.
 */
export function solve(a: ArrayLike, b: ArrayLike): NDArray {
  const [p, q] = convertAll([inexact("solve", a), inexact("solve", b)]);
  const left = square("solve", p);
  const vector = q.ndim === 1;
  const right = vector ? lax.expandDims(q, [1]) : q;
  if (right.ndim < 2 || rows(right) !== columns(left)) {
    throw new ShapeError("solve", {
      message: "b must have as many rows as a",
      operands: { a: left, b: q },
      fix: "give b as [n] or [..., n, m] for a of [..., n, n]",
    });
  }
  const batch = lax.broadcastShapes(batchOf(left), batchOf(right));
  const full = (x: NDArray): NDArray => broadcastTo("solve", x, [...batch, ...x.shape.slice(-2)]);
  const x = solveMatrices(full(left), full(right));
  return vector ? lax.squeeze(x, [x.ndim - 1]) : x;
}

/** The inverses of matrices: [..., n, n] -> [..., n, n]. To solve equations, `solve` is faster and more accurate. */
export function inv(x: ArrayLike): NDArray {
  const a = square("inv", x);
  return solveMatrices(a, identities(batchOf(a), columns(a), a.dtype));
}

export interface PinvOptions {
  /** Singular values below this part of the largest are taken for zero; 10 max(m, n) eps by default. */
  readonly rtol?: ArrayLike | null;
  /** The matrices are Hermitian: their eigenvectors are used. */
  readonly hermitian?: boolean;
}

/**
 * Moore and Penrose's pseudoinverses: [..., m, n] -> [..., n, m].
 *
 * @see Golub & Pereyra (1973), "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
 * separate", for the derivative
 */
export function pinv(x: ArrayLike, options: PinvOptions = {}): NDArray {
  const a = matrix("pinv", x);
  const { hermitian = false } = options;
  if (a.size === 0) return lax.full([...batchOf(a), columns(a), rows(a)], 0, a.dtype);
  const real = realDType(a.dtype);
  const tolerance = options.rtol ?? 10 * Math.max(rows(a), columns(a)) * finfo(real).eps;
  const rtol = broadcastTo("pinv", lax.convertElementType(inexact("pinv", tolerance), real), batchOf(a));
  return (hermitian ? hermitianInverse : generalInverse)(a, rtol);
}

const pseudoinverter = (hermitian: boolean): ((a: NDArray, rtol: NDArray) => NDArray) =>
  differentiable(
    (y: NDArray, part: NDArray) => pseudoinverse(y, part, hermitian),
    ([y, part], [change]) => {
      const p = (hermitian ? hermitianInverse : generalInverse)(y, part);
      const dy = hermitian ? lax.mul(lax.add(change, adjoint(change)), 0.5) : change;
      const [ph, dyh] = [adjoint(p), adjoint(dy)];
      const outside = (z: NDArray, w: NDArray): NDArray => lax.sub(identities(batchOf(z), rows(z), z.dtype), product(z, w));
      const inner = lax.neg(product(product(p, dy), p));
      const left = product(product(product(p, ph), dyh), outside(y, p));
      const right = product(product(outside(p, y), dyh), product(ph, p));
      return [p, lax.add(inner, lax.add(left, right))];
    },
  );
const generalInverse: (a: NDArray, rtol: NDArray) => NDArray = /* @__PURE__ */ pseudoinverter(false);
const hermitianInverse: (a: NDArray, rtol: NDArray) => NDArray = /* @__PURE__ */ pseudoinverter(true);

function pseudoinverse(a: NDArray, rtol: NDArray, hermitian: boolean): NDArray {
  const inverted = (s: NDArray, size: NDArray): NDArray => {
    const largest = lax.reduceMax(size, [size.ndim - 1]);
    const cutoff = lax.broadcastInDim(
      lax.mul(rtol, largest),
      s.shape,
      rtol.shape.map((_, i) => i),
    );
    return lax.div(lax.full(s.shape, 1, s.dtype), lax.select(lax.gt(size, cutoff), s, lax.full(s.shape, Infinity, s.dtype)));
  };
  const scaled = (v: NDArray, s: NDArray): NDArray => lax.mul(v, lax.convertElementType(acrossColumns(s, v.shape), v.dtype));
  if (hermitian) {
    const [v, w] = eigh(a);
    return product(scaled(v, inverted(w, lax.abs(w))), adjoint(v));
  }
  const [u, s, vh] = svd(a, { fullMatrices: false });
  return product(scaled(adjoint(vh), inverted(s, s)), adjoint(u));
}

export interface LstsqOptions {
  /** Residuals are an empty array unless A has full rank and more rows than columns, as NumPy has it; eager only. */
  readonly numpyResid?: boolean;
}

/**
 * Least squares: the x of smallest norm that minimises |A x - b|.
 *
 * a: [m, n], b: [m] or [m, k] -> x [n] or [n, k], the sums of squared residuals [k] or [1], the rank int32[], and the
 * singular values of A. Singular values below `rcond` times the largest are taken for zero; eps max(m, n) by default.
 */
export function lstsq(
  a: ArrayLike,
  b: ArrayLike,
  rcond?: ArrayLike | null,
  options: LstsqOptions = {},
): [x: NDArray, resid: NDArray, rank: NDArray, s: NDArray] {
  const [left, q] = convertAll([matrix("lstsq", a), inexact("lstsq", b)]);
  const vector = q.ndim === 1;
  const right = vector ? lax.expandDims(q, [1]) : q;
  if (left.ndim !== 2 || right.ndim !== 2 || rows(left) !== rows(right)) {
    throw new ShapeError("lstsq", {
      message: "a must be a matrix, and b a vector or a matrix with as many rows",
      operands: { a: left, b: q },
      fix: "use vmap for a stack of problems",
    });
  }
  const [m, n] = left.shape;
  const real = realDType(left.dtype);
  const eps = finfo(real).eps;
  let cutoff: NDArray;
  if (rcond === null || rcond === undefined) cutoff = lax.full([], eps * Math.max(m, n), real);
  else {
    const given = lax.convertElementType(inexact("lstsq", rcond), real);
    cutoff = lax.select(lax.lt(given, 0), lax.full([], eps, real), given);
  }
  const [u, s, vh] = svd(left, { fullMatrices: false });
  const largest = s.size === 0 ? lax.full([], 0, real) : lax.squeeze(lax.sliceInDim(s, 0, 1), [0]);
  const kept = lax.bitwiseAnd(lax.gt(s, 0), lax.ge(s, lax.mul(cutoff, largest)));
  const zero = lax.full(s.shape, 0, real);
  // The division has no derivative where nothing is kept, so it is done on ones there.
  const inverse = lax.select(kept, lax.div(lax.full(s.shape, 1, real), lax.select(kept, s, lax.full(s.shape, 1, real))), zero);
  const projected = product(adjoint(u), right);
  const factor = lax.broadcastInDim(lax.convertElementType(inverse, left.dtype), projected.shape, [0]);
  const x = product(adjoint(vh), lax.mul(factor, projected));
  const rank = lax.reduceSum(lax.convertElementType(kept, "int32"));
  const rest = lax.sub(right, product(left, x));
  const squares = isComplex(rest.dtype) ? lax.real(lax.mul(rest, lax.conj(rest))) : lax.mul(rest, rest);
  const empty = options.numpyResid === true && (m <= n || Number(rank.itemSync()) < n);
  const resid = empty ? lax.full([0], 0, real) : lax.reduceSum(squares, [0]);
  return [vector ? lax.squeeze(x, [1]) : x, resid, rank, s];
}

/**
 * The inverse of an array seen as a linear map from its last axes to its first `ind` ones: with `tensordot` over `ind` axes
 * the two give the identity. The products of both groups of sizes must be equal.
 */
export function tensorinv(a: ArrayLike, ind = 2): NDArray {
  const x = inexact("tensorinv", a);
  if (!(ind > 0))
    throw new ShapeError("tensorinv", {
      message: `ind must be positive, got ${ind}`,
      operands: { a: x },
      fix: "pass how many leading axes are the rows: { ind: 2 }",
    });
  const [first, last] = [x.shape.slice(0, ind), x.shape.slice(ind)];
  const [m, n] = [first, last].map((s) => s.reduce((p, q) => p * q, 1));
  if (m !== n) {
    throw new ShapeError("tensorinv", {
      message: `the first ${ind} axes and the others must hold equally many elements`,
      operands: { a: x },
      fix: "choose ind so that the products of both parts of the shape are equal",
    });
  }
  return lax.reshape(inv(lax.reshape(x, [m, n])), [...last, ...first]);
}

/**
 * Solves `tensordot(a, x, x.ndim) = b` for x. `axes` of `a` are moved to its end first.
 */
export function tensorsolve(a: ArrayLike, b: ArrayLike, axes: readonly number[] | null = null): NDArray {
  const [p, right] = convertAll([inexact("tensorsolve", a), inexact("tensorsolve", b)]);
  let left = p;
  if (axes !== null) {
    const moved = axes.map((d) => canonicalAxis("tensorsolve", d, p.ndim));
    left = moveaxis(
      p,
      moved,
      moved.map((_, i) => p.ndim - moved.length + i),
    );
  }
  const shape = left.shape.slice(right.ndim);
  const n = shape.reduce((x, y) => x * y, 1);
  if (n !== right.size) {
    throw new ShapeError("tensorsolve", {
      message: "the axes of a behind those of b must hold as many elements as b",
      operands: { a: left, b: right },
      fix: "bring the axes of the unknown to the end with { axes }",
    });
  }
  return lax.reshape(solve(lax.reshape(left, [n, n]), lax.reshape(right, [n])), shape);
}
