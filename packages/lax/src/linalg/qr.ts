import {
  type ArrayLike,
  asArray,
  batchRule,
  bind,
  bind1,
  definePrimitive,
  isComplex,
  jvpRule,
  lowerRule,
  type NDArray,
  type Primitive,
  ShapeError,
} from "@traceform/core";
import { add, mul, sub } from "../binary.ts";
import { convertElementType, real } from "../convert.ts";
import { type NoParams, noParams, result } from "../internal/infer.ts";
import { concatenate, pad, reshape } from "../shape.ts";
import { broadcastedIota } from "../create.ts";
import { sliceInDim } from "../slice.ts";
import { sortKeyVal } from "../sort.ts";
import { lu } from "./lu.ts";
import { takeColumns } from "./permute.ts";
import {
  alongColumns,
  alongRows,
  batchShape,
  block,
  checkMatrix,
  columns,
  conjugate,
  identityMatrix,
  lowerTriangle,
  mH,
  mm,
  mT,
  onDiagonal,
  rows,
  upperTriangle,
  withBlock,
} from "./matrices.ts";
import { batchLeading } from "./rules.ts";
import { splitPoint, triangularSolve } from "./triangular.ts";

const factorTypes: Primitive<NoParams>["abstractEval"] = ([a]) => {
  const k = Math.min(rows(a), columns(a));
  return [result(a.shape, a.dtype, [a], false), result([...batchShape(a), k], a.dtype, [a], false)];
};

/** The reflections of a panel given by its columns: the leaf of `geqrf`. */
export const householderPanelP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("householder_panel", {
  abstractEval: factorTypes,
});

/** Results: R above the vectors of the reflections (their leading ones left out), and the factors tau. */
export const geqrfP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("geqrf", {
  abstractEval: (avals, params) => {
    checkMatrix("geqrf", "x", avals[0]);
    return factorTypes(avals, params);
  },
  rules: {
    [lowerRule]: ([a]: readonly NDArray[]) => (a.size === 0 ? emptyFactors(a) : factor(a)),
    [batchRule]: batchLeading,
  },
});

function emptyFactors(a: NDArray): NDArray[] {
  return [a, reshape(a, [...batchShape(a), 0])];
}

/** Columns of a panel that is reduced column by column. Narrower ones are no faster, and make the program longer. */
const panel = 64;

function factor(a: NDArray): NDArray[] {
  const [m, n] = a.shape.slice(-2);
  const k = Math.min(m, n);
  const [factors, taus] = factorColumns(a, 0, k);
  if (n === k) return [factors, taus];
  const right = applyBlock(block(factors, 0, m, 0, k), taus, block(factors, 0, m, k, n), true);
  return [withBlock(factors, right, 0, k), taus];
}

/**
 * Reduces columns [from, to) and the rows from `from` on, in their place: the left half, its reflections applied to the right
 * half as one block, then the rows below.
 *
 * @see Elmroth & Gustavson (2000), "Applying recursion to serial and parallel QR factorization"
 */
function factorColumns(a: NDArray, from: number, to: number): [factors: NDArray, taus: NDArray] {
  const m = rows(a);
  if (to - from <= panel) {
    const [t, taus] = bind(householderPanelP, [mT(block(a, from, m, from, to))], noParams);
    return [withBlock(a, mT(t), from, from), taus];
  }
  const middle = from + splitPoint(to - from, panel);
  const [left, taus] = factorColumns(a, from, middle);
  const right = applyBlock(block(left, from, m, from, middle), taus, block(left, from, m, middle, to), true);
  const [factors, more] = factorColumns(withBlock(left, right, from, middle), middle, to);
  return [factors, concatenate([taus, more], a.ndim - 2)];
}

/** The vectors of the reflections as the columns of a unit lower trapezoidal matrix. */
function vectors(a: NDArray, count: number): NDArray {
  const v = lowerTriangle(block(a, 0, rows(a), 0, count), -1);
  return add(v, identityMatrix(v.shape, a.dtype));
}

/**
 * Applies H₁ H₂ … Hₖ, or its adjoint, to the columns of x. The product is I - V T Vᴴ with T = D (I + striu(Vᴴ V) D)⁻¹ and
 * D the diagonal matrix of the taus, so T is never formed: a triangular system takes its place.
 *
 * @see Schreiber & Van Loan (1989), "A storage-efficient WY representation for products of Householder transformations"
 * @see Puglisi (1992), "Modification of the Householder method based on the compact WY representation"
 */
function applyBlock(a: NDArray, taus: NDArray, x: NDArray, adjoint: boolean): NDArray {
  const k = taus.shape[taus.ndim - 1];
  const v = vectors(a, k);
  const vh = conjugate(v);
  const gram = mm(vh, v, ["T", "N"]);
  const system = mul(upperTriangle(gram, 1), alongColumnsOf(taus, gram));
  const w = mm(vh, x, ["T", "N"]);
  const solve = { leftSide: true, lower: false, unitDiagonal: true };
  const inner = adjoint
    ? triangularSolve(system, mul(alongRows(conjugate(taus), w.shape), w), { ...solve, transposeA: true, conjugateA: true })
    : mul(alongRows(taus, w.shape), triangularSolve(system, w, solve));
  return sub(x, mm(v, inner));
}
function alongColumnsOf(v: NDArray, like: NDArray): NDArray {
  return alongColumns(v, like.shape);
}

export const householderProductP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("householder_product", {
  abstractEval: ([a, taus]) => {
    checkMatrix("householderProduct", "a", a);
    const k = taus.shape[taus.ndim - 1];
    if (rows(a) < columns(a) || taus.ndim !== a.ndim - 1 || k > columns(a)) {
      throw new ShapeError("householderProduct", {
        message: "a must have at least as many rows as columns, and taus one factor for some of its columns",
        operands: { a, taus },
        fix: "pass what geqrf returned",
      });
    }
    return [result(a.shape, a.dtype, [a, taus], false)];
  },
  rules: {
    [lowerRule]: ([a, taus]: readonly NDArray[]) => [a.size === 0 ? a : product(a, taus)],
    [batchRule]: batchLeading,
  },
});

function product(a: NDArray, taus: NDArray): NDArray {
  const k = taus.shape[taus.ndim - 1];
  const start = identityMatrix(a.shape, a.dtype);
  return k === 0 ? start : applyReflections(a, taus, start, 0, k);
}

/** Applies the reflections of columns [from, to) to what they change of `q`: the later ones first, the others as a block. */
function applyReflections(a: NDArray, taus: NDArray, q: NDArray, from: number, to: number): NDArray {
  const [m, n] = a.shape.slice(-2);
  const single = to - from <= panel;
  const middle = single ? to : from + splitPoint(to - from, panel);
  const later = single ? q : applyReflections(a, taus, q, middle, to);
  const part = sliceInDim(taus, from, middle, 1, taus.ndim - 1);
  const changed = applyBlock(block(a, from, m, from, middle), part, block(later, from, m, from, n), false);
  return from === 0 ? changed : withBlock(later, changed, from, from);
}

export interface QrParams {
  readonly fullMatrices: boolean;
}
/** Results: Q and R. */
export const qrP: Primitive<QrParams> = /* @__PURE__ */ definePrimitive<QrParams>("qr", {
  abstractEval: ([a], { fullMatrices }) => {
    checkMatrix("qr", "x", a);
    const [m, n] = a.shape.slice(-2);
    const k = fullMatrices ? m : Math.min(m, n);
    return [result([...batchShape(a), m, k], a.dtype, [a], false), result([...batchShape(a), k, n], a.dtype, [a], false)];
  },
  rules: {
    [lowerRule]: ([a]: readonly NDArray[], { fullMatrices }: QrParams) => lowered(a, fullMatrices),
    [batchRule]: batchLeading,
    [jvpRule]: ([a]: readonly NDArray[], [da]: readonly NDArray[], params: QrParams) => {
      const [q, r] = bind(qrP, [a], params);
      return [[q, r], derivative(a, q, r, da)];
    },
  },
});

function lowered(a: NDArray, fullMatrices: boolean): NDArray[] {
  const [m, n] = a.shape.slice(-2);
  const k = fullMatrices ? m : Math.min(m, n);
  if (a.size === 0) return [identityMatrix([...batchShape(a), m, k], a.dtype), reshape(a, [...batchShape(a), k, n])];
  const [factors, taus] = factor(a);
  const none = batchShape(a).map(() => [0, 0, 0] as const);
  const r = upperTriangle(block(factors, 0, k, 0, n));
  const basis = k <= n ? block(factors, 0, m, 0, k) : pad(factors, 0, [...none, [0, 0, 0], [0, k - n, 0]]);
  return [product(basis, taus), r];
}

/**
 * From A = Q R with a square R: Qᴴ dA R⁻¹ = Qᴴ dQ + dR R⁻¹ is the sum of a skew-Hermitian and an upper triangular matrix with
 * a real diagonal. A wide matrix is differentiated by its leading columns.
 *
 * @see Walter & Lehmann (2012), "Algorithmic differentiation of linear algebra functions with application in optimum
 * experimental design", section 4.2
 */
function derivative(a: NDArray, whole: NDArray, r: NDArray, da: NDArray): NDArray[] {
  const [m, n] = a.shape.slice(-2);
  const k = Math.min(m, n);
  const q = block(whole, 0, m, 0, k);
  const square = block(r, 0, k, 0, k);
  const quotient = triangularSolve(square, block(da, 0, m, 0, k));
  const x = mm(mH(q), quotient);
  const below = lowerTriangle(x, -1);
  const skew = sub(below, mH(below));
  const omega = isComplex(a.dtype) ? add(skew, onDiagonal(sub(x, convertElementType(real(x), a.dtype)))) : skew;
  const dq = add(mm(q, sub(omega, x)), quotient);
  const dr = mm(sub(x, omega), square);
  if (columns(whole) > k) return [concatenate([dq, remaining(q, dq)], a.ndim - 1), padRows(dr, m - k)];
  if (n === k) return [dq, dr];
  const right = add(mm(mH(dq), block(a, 0, m, k, n)), mm(mH(q), block(da, 0, m, k, n)));
  return [dq, concatenate([dr, right], a.ndim - 1)];
}

/**
 * The derivative of the other columns of a full Q. As a product of k reflections Q = I - V T Vᴴ, so its leading columns give
 * the others: with Z = V₂ V₁⁻¹ = Q₂₁ (Q₁₁ - I)⁻¹ these are (0; I) + (Q₁ - (I; 0)) Zᴴ.
 */
function remaining(q: NDArray, dq: NDArray): NDArray {
  const [m, k] = q.shape.slice(-2);
  const less = sub(q, identityMatrix(q.shape, q.dtype));
  const [top, bottom] = [block(less, 0, k, 0, k), block(less, k, m, 0, k)];
  const z = quotientOf(bottom, top);
  const dz = quotientOf(sub(block(dq, k, m, 0, k), mm(z, block(dq, 0, k, 0, k))), top);
  return add(mm(dq, mH(z)), mm(less, mH(dz)));
}

/** y a⁻¹ */
function quotientOf(y: NDArray, a: NDArray): NDArray {
  const [factors, , permutation] = lu(a);
  const w = triangularSolve(factors, triangularSolve(factors, y), { lower: true, unitDiagonal: true });
  const [, inverse] = sortKeyVal(permutation, broadcastedIota("int32", permutation.shape, permutation.ndim - 1));
  return takeColumns(w, inverse);
}

function padRows(x: NDArray, count: number): NDArray {
  return pad(x, 0, [...batchShape(x).map(() => [0, 0, 0] as const), [0, count, 0], [0, 0, 0]]);
}

/**
 * QR decompositions in LAPACK's form: R in the upper triangle, below it the vectors of the Householder reflections
 * H = I - tau v vᴴ, whose product is Q.
 *
 * float or complex [..., m, n] -> [..., m, n] and the factors tau [..., min(m, n)].
 */
export function geqrf(x: ArrayLike): [factors: NDArray, taus: NDArray] {
  return bind(geqrfP, [asArray(x)], noParams) as [NDArray, NDArray];
}

/**
 * The leading columns of a product of Householder reflections, which come as `geqrf` returns them.
 *
 * a: [..., m, n] with m >= n, taus: [..., k] with k <= n -> [..., m, n]
 */
export function householderProduct(a: ArrayLike, taus: ArrayLike): NDArray {
  return bind1(householderProductP, [asArray(a), asArray(taus)], noParams);
}

export interface QrOptions {
  /** Q is square; otherwise it has as many columns as A has, at most. */
  readonly fullMatrices?: boolean;
}

/**
 * QR decompositions: A = Q R with orthonormal columns in Q and an upper triangular R. Signs are LAPACK's: R's diagonal is
 * real and may be negative.
 *
 * float or complex [..., m, n] -> [..., m, k] and [..., k, n], with k = m for full matrices and min(m, n) otherwise.
 */
export function qr(x: ArrayLike, options: QrOptions = {}): [q: NDArray, r: NDArray] {
  return bind(qrP, [asArray(x)], { fullMatrices: options.fullMatrices ?? true }) as [NDArray, NDArray];
}
