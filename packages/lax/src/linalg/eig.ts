import {
  type ArrayLike,
  asArray,
  batchRule,
  bind,
  bind1,
  complexDType,
  definePrimitive,
  DTypeError,
  isComplex,
  jvpRule,
  lowerRule,
  type NDArray,
  type Primitive,
  realDType,
  RuleError,
  scalar,
} from "@traceform/core";
import { add, bitwiseAnd, div, eq, gt, le, lt, mul, ne } from "../binary.ts";
import { complex, conj, convertElementType, imag, real } from "../convert.ts";
import { broadcastedIota, full } from "../create.ts";
import { type NoParams, noParams, result } from "../internal/infer.ts";
import { whileLoop } from "../loops.ts";
import { argmax, reduceMax, reduceSum } from "../reduce.ts";
import { select } from "../select.ts";
import { broadcastInDim, concatenate, expandDims, rev } from "../shape.ts";
import { abs, sqrt } from "../unary.ts";
import { basis, orNaN, scaledMatrices, spread } from "./eigh.ts";
import { lu } from "./lu.ts";
import { alongColumns, batchShape, checkSquare, diagonalOf, lowerTriangle, mH, mm, mT, rows, upperTriangle } from "./matrices.ts";
import { takeRows } from "./permute.ts";
import { batchLeading } from "./rules.ts";
import { triangularSolve } from "./triangular.ts";

/** Columns of a matrix -> Hessenberg form by columns, with the reflections below, and their factors. */
export const hessenbergBlockP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("hessenberg_block", {
  abstractEval: ([at]) => {
    const steps = Math.max(0, rows(at) - 1);
    return [result(at.shape, at.dtype, [at], false), result([...batchShape(at), steps], at.dtype, [at], false)];
  },
});

type SchurSweepParams = { readonly sweeps: number };
/** (T, Zᵀ, state) -> (T, Zᵀ, state, active). */
export const schurSweepsP: Primitive<SchurSweepParams> = /* @__PURE__ */ definePrimitive<SchurSweepParams>("schur_sweeps", {
  abstractEval: ([t, z, state]) => [t, z, state, result(batchShape(t), "int32", [t], false)],
});

/** Upper triangular matrices -> their eigenvectors as rows. */
export const triangularEigenvectorsP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("triangular_eigenvectors", {
  abstractEval: ([t]) => [t],
});

/** Results: H with the vectors of the reflections below its subdiagonal, and their factors. */
export const hessenbergP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("hessenberg", {
  abstractEval: ([a]) => {
    checkSquare("hessenberg", "x", a);
    const steps = Math.max(0, rows(a) - 1);
    return [result(a.shape, a.dtype, [a], false), result([...batchShape(a), steps], a.dtype, [a], false)];
  },
  rules: {
    [lowerRule]: ([a]: readonly NDArray[]) => {
      if (a.size === 0) return [a, full([...batchShape(a), 0], 0, a.dtype)];
      const [t, taus] = bind(hessenbergBlockP, [mT(a)], noParams);
      return [mT(t), taus];
    },
    [batchRule]: batchLeading,
  },
});

export interface SchurParams {
  readonly computeSchurVectors: boolean;
}
/** Results: T, and Z when asked for. Complex matrices only. */
export const schurP: Primitive<SchurParams> = /* @__PURE__ */ definePrimitive<SchurParams>("schur", {
  abstractEval: ([a], { computeSchurVectors }) => {
    checkSquare("schur", "x", a);
    if (!isComplex(a.dtype)) {
      throw new DTypeError("schur", {
        message: "x must be complex: the real Schur form, with its blocks of two rows, is not computed",
        operands: { x: a },
        fix: 'convert it with convertElementType(x, "complex64")',
      });
    }
    const same = result(a.shape, a.dtype, [a], false);
    return computeSchurVectors ? [same, same] : [same];
  },
  rules: {
    [lowerRule]: ([a]: readonly NDArray[], { computeSchurVectors }: SchurParams) => {
      const { t, zt } = schurForm(a);
      return computeSchurVectors ? [t, mT(zt)] : [t];
    },
    [batchRule]: batchLeading,
  },
});

/** QR sweeps that one call runs. */
const sweepsAtOnce = 16;
/** Two or three sweeps find an eigenvalue; this many for each mean that the iteration has failed. */
const mostSweeps = 30;

/** A = Z T Zᴴ for complex matrices; NaN where A is not finite, or the iteration did not end. */
function schurForm(x: NDArray): { t: NDArray; zt: NDArray } {
  const n = rows(x);
  if (x.size === 0) return { t: x, zt: x };
  const { scaled: a, scale, valid } = scaledMatrices(x);
  const [h, taus] = bind(hessenbergP, [a], noParams);
  const reflections = lowerTriangle(h, -1);
  // The vector of reflection k has its one in row k + 1: `basis` puts that there.
  const q = basis(reflections, taus, n);
  const batch = batchShape(x);
  interface Carry {
    count: NDArray;
    active: NDArray;
    t: NDArray;
    zt: NDArray;
    state: NDArray;
  }
  const params = { sweeps: sweepsAtOnce };
  const step = ({ count, t, zt, state }: Carry): Carry => {
    const [t1, z1, s1, active] = bind(schurSweepsP, [t, zt, state], params);
    return { count: add(count, 1), active, t: t1, zt: z1, state: s1 };
  };
  const start = concatenate([full([...batch, 1], n - 1, "int32"), full([...batch, 1], 0, "int32")], batch.length);
  const limit = Math.ceil((mostSweeps * n) / sweepsAtOnce);
  const axes = batch.map((_, i) => i);
  const more = ({ count, active }: Carry): NDArray =>
    bitwiseAnd(ne(axes.length === 0 ? active : reduceMax(active, axes), 0), lt(count, limit));
  const first = step({
    count: scalar(0, "int32"),
    active: scalar(1, "int32"),
    t: upperTriangle(h, -1),
    zt: mT(q),
    state: start,
  });
  const last = whileLoop(more, step, first);
  const good = bitwiseAnd(valid, eq(last.active, 0));
  const t = mul(upperTriangle(last.t), convertElementType(spread(scale, x.shape), x.dtype));
  return { t: orNaN(t, good), zt: orNaN(last.zt, good) };
}

export interface EigParams {
  readonly computeLeftEigenvectors: boolean;
  readonly computeRightEigenvectors: boolean;
}

/** Results: the eigenvalues, and left and right eigenvectors as columns when asked for; all complex. */
export const eigP: Primitive<EigParams> = /* @__PURE__ */ definePrimitive<EigParams>("eig", {
  abstractEval: ([a], { computeLeftEigenvectors, computeRightEigenvectors }) => {
    checkSquare("eig", "x", a);
    const dtype = complexDType(a.dtype);
    const vectors = result(a.shape, dtype, [a], false);
    const w = result([...batchShape(a), rows(a)], dtype, [a], false);
    return [w, ...(computeLeftEigenvectors ? [vectors] : []), ...(computeRightEigenvectors ? [vectors] : [])];
  },
  rules: {
    [lowerRule]: ([a]: readonly NDArray[], params: EigParams) => lowered(a, params),
    [batchRule]: batchLeading,
    // dw = diag(V⁻¹ dA V).
    [jvpRule]: ([a]: readonly NDArray[], [da]: readonly NDArray[], params: EigParams) => {
      if (params.computeLeftEigenvectors || params.computeRightEigenvectors) {
        throw new RuleError("eig", {
          message: "the eigenvectors of an unsymmetric matrix have no derivative here",
          fix: "differentiate the eigenvalues only (eigvals), or use eigh for a symmetric matrix",
        });
      }
      const [w, v] = bind(eigP, [a], { computeLeftEigenvectors: false, computeRightEigenvectors: true });
      const [factors, , permutation] = lu(v);
      const change = mm(convertElementType(da, v.dtype), v);
      const y = triangularSolve(factors, takeRows(change, permutation), { leftSide: true, lower: true, unitDiagonal: true });
      return [[w], [diagonalOf(triangularSolve(factors, y, { leftSide: true }))]];
    },
  },
});

function lowered(x: NDArray, params: EigParams): NDArray[] {
  const { computeLeftEigenvectors: left, computeRightEigenvectors: right } = params;
  const a = isComplex(x.dtype) ? x : complex(x, full(x.shape, 0, x.dtype));
  const { t, zt } = schurForm(a);
  const z = mT(zt);
  const w = isComplex(x.dtype) ? diagonalOf(t) : realWhereReal(diagonalOf(t));
  if (x.size === 0) return [w, ...[left, right].flatMap((wanted) => (wanted ? [a] : []))];
  const rightVectors = (m: NDArray): NDArray => mT(bind1(triangularEigenvectorsP, [m], noParams));
  const outs = [w];
  if (left) {
    // The left eigenvectors of T are the right ones of Tᴴ, which is upper triangular with its order reversed.
    const axes = [t.ndim - 2, t.ndim - 1];
    outs.push(normalised(mm(z, rev(rightVectors(rev(mH(t), axes)), axes))));
  }
  if (right) outs.push(normalised(mm(z, rightVectors(t))));
  return outs;
}

/** The eigenvalues of a real matrix are real or come in pairs: an imaginary part that is only rounding is none. */
function realWhereReal(w: NDArray): NDArray {
  const [re, im] = [real(w), imag(w)];
  const n = w.shape[w.ndim - 1];
  if (n === 0) return w;
  const eps = realDType(w.dtype) === "float32" ? 2 ** -23 : 2 ** -52;
  const largest = reduceMax(add(abs(re), abs(im)), [w.ndim - 1]);
  const bound = mul(spread(largest, w.shape), 4 * eps);
  return complex(re, select(le(abs(im), bound), full(im.shape, 0, im.dtype), im));
}

/** Columns of length one, whose largest element is real. */
function normalised(v: NDArray): NDArray {
  const axis = v.ndim - 2;
  const size = add(mul(real(v), real(v)), mul(imag(v), imag(v)));
  const length = sqrt(reduceSum(size, [axis]));
  const place = expandDims(argmax(size, axis), [axis]);
  const index = broadcastInDim(
    place,
    v.shape,
    v.shape.map((_, i) => i),
  );
  const here = eq(rowNumbers(v), index);
  const largest = reduceSum(select(here, v, full(v.shape, 0, v.dtype)), [axis]);
  const magnitude = sqrt(reduceMax(size, [axis]));
  const safe = select(gt(magnitude, 0), magnitude, full(magnitude.shape, 1, magnitude.dtype));
  const phase = div(conj(largest), convertElementType(safe, v.dtype));
  const factor = div(phase, convertElementType(length, v.dtype));
  return mul(v, alongColumns(factor, v.shape));
}
function rowNumbers(v: NDArray): NDArray {
  return broadcastedIota("int32", v.shape, v.ndim - 2);
}

export interface EigOptions {
  readonly computeLeftEigenvectors?: boolean;
  readonly computeRightEigenvectors?: boolean;
}

/**
 * Eigenvalues and eigenvectors of square matrices: A V = V diag(w), and Uᴴ A = diag(w) Uᴴ for the left ones.
 *
 * float or complex [..., n, n] -> `[w, U, V]` or what was asked for of it; all complex: w [..., n] in no particular order, U
 * and V [..., n, n] with columns of length one, whose largest element is real. NaN and infinities give NaN. The eigenvalues
 * are differentiable.
 */
export function eig(x: ArrayLike, options: EigOptions = {}): NDArray[] {
  const { computeLeftEigenvectors = true, computeRightEigenvectors = true } = options;
  return bind(eigP, [asArray(x)], { computeLeftEigenvectors, computeRightEigenvectors });
}

/**
 * The Schur form of complex matrices: A = Z T Zᴴ with an upper triangular T and a unitary Z.
 *
 * complex [..., n, n] -> T and Z, or T alone
 * @throws {DTypeError} for real matrices, whose real form is not computed
 */
export function schur(x: ArrayLike, options: { readonly computeSchurVectors?: boolean } = {}): NDArray[] {
  return bind(schurP, [asArray(x)], { computeSchurVectors: options.computeSchurVectors ?? true });
}

/**
 * Hessenberg forms: A = Q H Qᴴ, in LAPACK's form: H in the upper triangle and the subdiagonal, below it the vectors of the
 * reflections whose product is Q.
 *
 * float or complex [..., n, n] -> [..., n, n] and the factors tau [..., n - 1]
 */
export function hessenberg(x: ArrayLike): [factors: NDArray, taus: NDArray] {
  return bind(hessenbergP, [asArray(x)], noParams) as [NDArray, NDArray];
}
