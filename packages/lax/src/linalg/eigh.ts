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
  realDType,
} from "@traceform/core";
import { add, bitwiseAnd, bitwiseOr, div, gt, lt, mul, ne, sub } from "../binary.ts";
import { convertElementType, imag, real } from "../convert.ts";
import { broadcastedIota, full } from "../create.ts";
import { noParams, result } from "../internal/infer.ts";
import { reduceMax, reduceSum } from "../reduce.ts";
import { select } from "../select.ts";
import { broadcastInDim, concatenate, pad } from "../shape.ts";
import { sliceInDim } from "../slice.ts";
import { sortKeyVal } from "../sort.ts";
import { abs, isFinite } from "../unary.ts";
import { hermitian, symmetrized } from "./cholesky.ts";
import {
  alongColumns,
  alongRows,
  batchShape,
  block,
  checkSquare,
  conjugate,
  diagonalOf,
  identityMatrix,
  mH,
  mm,
  nanLike,
  rows,
} from "./matrices.ts";
import { takeColumns } from "./permute.ts";
import { householderProduct } from "./qr.ts";
import { batchLeading } from "./rules.ts";
import { panelColumns, panelElements, scanPanels, sweepAll, tridiagonalSweepsP, widenP } from "./sweeps.ts";

type PanelParams = { readonly width: number };

/** (a, k0) -> (v, w, d, e, tau): columns k0, k0 + 1, … of Hermitian matrices reduced to tridiagonal form. */
export const tridiagonalPanelP: Primitive<PanelParams> = /* @__PURE__ */ definePrimitive<PanelParams>("tridiagonal_panel", {
  abstractEval: ([a, k0], { width }) => {
    const batch = batchShape(a);
    const vectors = result([...batch, width, rows(a)], a.dtype, [a, k0], false);
    const scalars = result([...batch, width], realDType(a.dtype), [a, k0], false);
    return [vectors, vectors, scalars, scalars, result([...batch, width], a.dtype, [a, k0], false)];
  },
});

export interface EighParams {
  /** Which triangle is read. */
  readonly lower: boolean;
  readonly sortEigenvalues: boolean;
  /** Whether there is a second result, the eigenvectors. */
  readonly computeV: boolean;
}

/** Results: the eigenvalues, and the eigenvectors as columns. */
export const eighP: Primitive<EighParams> = /* @__PURE__ */ definePrimitive<EighParams>("eigh", {
  abstractEval: ([a], { computeV }) => {
    checkSquare("eigh", "x", a);
    const w = result([...batchShape(a), rows(a)], realDType(a.dtype), [a], false);
    return computeV ? [w, result(a.shape, a.dtype, [a], false)] : [w];
  },
  rules: {
    [lowerRule]: ([a]: readonly NDArray[], params: EighParams) => lowered(a, params),
    [batchRule]: batchLeading,
    // dw = diag(Vᴴ dA V) and dV = V (F ∘ Vᴴ dA V) with F_ij = 1 / (w_j - w_i) off the diagonal.
    // Giles (2008), "An extended collection of matrix derivative results", section 3.1
    [jvpRule]: ([a]: readonly NDArray[], [da]: readonly NDArray[], params: EighParams) => {
      const [w, v] = bind(eighP, [a], { ...params, computeV: true });
      const inner = mm(mm(mH(v), hermitian(da, params.lower)), v);
      const dw = realPart(diagonalOf(inner));
      if (!params.computeV) return [[w], [dw]];
      const shape = a.shape;
      const gaps = sub(alongColumns(w, shape), alongRows(w, shape));
      const one = identityMatrix(shape, w.dtype);
      const f = convertElementType(sub(div(full(shape, 1, w.dtype), add(gaps, one)), one), a.dtype);
      return [
        [w, v],
        [dw, mm(v, mul(f, inner))],
      ];
    },
  },
});

export function realPart(x: NDArray): NDArray {
  return isComplex(x.dtype) ? real(x) : x;
}

/** Columns of a panel: enough for the matrix product that applies it. */
const panelWidth = 32;

function lowered(x: NDArray, { lower, sortEigenvalues, computeV }: EighParams): NDArray[] {
  const n = rows(x);
  const batch = batchShape(x);
  const realType = realDType(x.dtype);
  if (x.size === 0) return [full([...batch, n], 0, realType), x].slice(0, computeV ? 2 : 1);
  const { scaled: a, scale, valid } = scaledMatrices(hermitian(x, lower));
  const width = Math.min(n, panelWidth);
  const count = Math.ceil(n / width);
  const [v, d, e, taus] = scanPanels(a, count, width, (rest, k0) => {
    const [vs, ws, ds, es, ts] = bind(tridiagonalPanelP, [rest, k0], { width });
    const axis = vs.ndim - 2;
    const after = (): NDArray => sub(rest, mm(concatenate([vs, ws], axis), conjugate(concatenate([ws, vs], axis)), ["T", "N"]));
    return [count === 1 ? rest : after(), [vs, ds, es, ts]];
  });
  const first = (y: NDArray, k: number): NDArray => sliceInDim(y, 0, k, 1, y.ndim - 1);
  const vectors = computeV ? [basis(panelColumns(v), panelElements(taus), n)] : [];
  const wide = (y: NDArray): NDArray => bind1(widenP, [first(panelElements(y), n)], noParams);
  const swept = sweepAll(tridiagonalSweepsP, wide(d), wide(e), vectors, x.dtype);
  const w0 = convertElementType(swept.d, realType);
  const good = bitwiseAnd(valid, isFalse(swept.failed));
  const outs = sortEigenvalues ? sorted(w0, swept.vectors) : [w0, ...swept.vectors];
  const [w, ...vs] = outs;
  return [orNaN(mul(w, spread(scale, w.shape)), good), ...vs.map((y) => orNaN(y, good))];
}

/** I ⊕ the product of the reflections, the k-th of which begins in row k + 1: column k of `v` holds its vector. */
export function basis(v: NDArray, taus: NDArray, n: number): NDArray {
  const batch = batchShape(v);
  if (n === 1) return full([...batch, 1, 1], 1, v.dtype);
  const none = batch.map(() => [0, 0, 0] as const);
  const q = householderProduct(block(v, 1, n, 0, n - 1), sliceInDim(taus, 0, n - 1, 1, taus.ndim - 1));
  const corner = pad(full([...batch, 1, 1], 1, v.dtype), 0, [...none, [0, n - 1, 0], [0, n - 1, 0]]);
  return add(pad(q, 0, [...none, [1, 0, 0], [1, 0, 0]]), corner);
}

/** A value for each matrix of a stack, spread over what belongs to it. */
export function spread(x: NDArray, shape: readonly number[]): NDArray {
  return broadcastInDim(
    x,
    shape,
    x.shape.map((_, i) => i),
  );
}
export function orNaN(x: NDArray, good: NDArray): NDArray {
  return select(spread(good, x.shape), x, nanLike(x));
}
function isFalse(x: NDArray): NDArray {
  return ne(x, true);
}

/**
 * Matrices with elements so large, or so small, that squares would overflow or vanish are scaled. `valid` is false for
 * those that hold NaN or infinities; zeros take their place, so that iterations end.
 */
export function scaledMatrices(a: NDArray): { scaled: NDArray; scale: NDArray; valid: NDArray } {
  const axes = [a.ndim - 2, a.ndim - 1];
  const size = isComplex(a.dtype) ? add(abs(real(a)), abs(imag(a))) : abs(a);
  const valid = isFinite(reduceSum(mul(size, 0), axes));
  const largest = reduceMax(size, axes);
  const limit = realDType(a.dtype) === "float32" ? 1e12 : 1e100;
  const extreme = bitwiseAnd(bitwiseOr(gt(largest, limit), lt(largest, 1 / limit)), gt(largest, 0));
  const scale = select(bitwiseAnd(valid, extreme), largest, full(largest.shape, 1, largest.dtype));
  const factor = convertElementType(spread(scale, a.shape), a.dtype);
  const scaled = select(spread(valid, a.shape), div(a, factor), full(a.shape, 0, a.dtype));
  return { scaled, scale, valid };
}

/** Values in ascending order, and the columns that belong to them. */
function sorted(w: NDArray, vectors: readonly NDArray[]): NDArray[] {
  const [values, order] = sortKeyVal(w, broadcastedIota("int32", w.shape, w.ndim - 1), w.ndim - 1);
  return [values, ...vectors.map((v) => takeColumns(v, order))];
}

export interface EighOptions {
  /** Read the lower triangle; otherwise the upper one. */
  readonly lower?: boolean;
  /** Use the mean of the matrix and its adjoint. */
  readonly symmetrizeInput?: boolean;
  readonly sortEigenvalues?: boolean;
}

/**
 * Eigenvectors and eigenvalues of Hermitian matrices: A V = V diag(w), with w ascending and orthonormal columns in V.
 *
 * float or complex [..., n, n] -> V [..., n, n] and w, real [..., n]. NaN and infinities give NaN.
 *
 * The matrix is reduced to tridiagonal form by Householder reflections in blocks and diagonalised by implicit QR sweeps.
 * @see Golub & Van Loan, "Matrix Computations", 4th edition, section 8.3
 */
export function eigh(x: ArrayLike, options: EighOptions = {}): [v: NDArray, w: NDArray] {
  const a = asArray(x);
  const symmetric = (options.symmetrizeInput ?? true) && a.ndim >= 2 ? symmetrized(a) : a;
  const [w, v] = bind(eighP, [symmetric], {
    lower: options.lower ?? true,
    sortEigenvalues: options.sortEigenvalues ?? true,
    computeV: true,
  });
  return [v, w];
}

/** The eigenvalues of Hermitian matrices, ascending: [..., n, n] -> real [..., n]. Cheaper than `eigh`. */
export function eigvalsh(x: ArrayLike, options: EighOptions = {}): NDArray {
  const a = asArray(x);
  const symmetric = (options.symmetrizeInput ?? true) && a.ndim >= 2 ? symmetrized(a) : a;
  const { lower = true, sortEigenvalues = true } = options;
  return bind(eighP, [symmetric], { lower, sortEigenvalues, computeV: false })[0];
}
