import {
  type ArrayLike,
  asArray,
  batchRule,
  bind1,
  definePrimitive,
  isComplex,
  jvpRule,
  lowerRule,
  type NDArray,
  type Primitive,
} from "@traceform/core";
import { add, ne, mul, sub } from "../binary.ts";
import { result } from "../internal/infer.ts";
import { type NoParams, noParams } from "../internal/infer.ts";
import { real } from "../convert.ts";
import { select } from "../select.ts";
import { broadcastInDim } from "../shape.ts";
import {
  block,
  checkSquare,
  conjugate,
  halvedLower,
  lowerTriangle,
  mH,
  mm,
  nanLike,
  rows,
  upperTriangle,
  withBlock,
} from "./matrices.ts";
import { batchLeading } from "./rules.ts";
import { leafSize, splitPoint, triangularSolve } from "./triangular.ts";

/** The factor of a small matrix: the leaf of `cholesky`. */
export const choleskyBlockP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("cholesky_block", {
  abstractEval: ([a]) => [result(a.shape, a.dtype, [a], false)],
});

export const choleskyP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("cholesky", {
  abstractEval: ([a]) => {
    checkSquare("cholesky", "x", a);
    return [result(a.shape, a.dtype, [a], false)];
  },
  rules: {
    [lowerRule]: ([a]: readonly NDArray[]) => [lowered(a)],
    [batchRule]: batchLeading,
    // dL = L Φ(L⁻¹ dA L⁻ᴴ), where Φ takes the lower triangle and half of the diagonal.
    // Murray (2016), "Differentiation of the Cholesky decomposition".
    [jvpRule]: ([a]: readonly NDArray[], [da]: readonly NDArray[]) => {
      const l = bind1(choleskyP, [a], noParams);
      const left = triangularSolve(l, hermitian(da, true), { leftSide: true, lower: true });
      const both = triangularSolve(l, left, { lower: true, transposeA: true, conjugateA: true });
      return [[l], [mm(l, halvedLower(both))]];
    },
  },
});

function lowered(a: NDArray): NDArray {
  const n = rows(a);
  if (a.size === 0) return a;
  const l = n <= leafSize ? bind1(choleskyBlockP, [a], noParams) : lowerTriangle(factorBlocks(a, 0, n));
  // A pivot that was not positive shows in the last one.
  const last = block(l, n - 1, n, n - 1, n);
  const broken = ne(realPart(last), realPart(last));
  const everywhere = broadcastInDim(
    broken,
    l.shape,
    l.shape.map((_, i) => i),
  );
  return select(everywhere, lowerTriangle(nanLike(l)), l);
}

function realPart(x: NDArray): NDArray {
  return isComplex(x.dtype) ? real(x) : x;
}

/**
 * The factor of rows and columns [from, to), in the place of the lower triangle of the matrix, by halves: the leading half,
 * the block below it, the trailing half less what they explain. Nearly all work is in matrix products.
 */
function factorBlocks(a: NDArray, from: number, to: number): NDArray {
  if (to - from <= leafSize) {
    return withBlock(a, bind1(choleskyBlockP, [block(a, from, to, from, to)], noParams), from, from);
  }
  const middle = from + splitPoint(to - from);
  const head = factorBlocks(a, from, middle);
  const l11 = block(head, from, middle, from, middle);
  const below = triangularSolve(l11, block(head, middle, to, from, middle), { lower: true, transposeA: true, conjugateA: true });
  const withBelow = withBlock(head, below, middle, from);
  const l21 = block(withBelow, middle, to, from, middle);
  const rest = sub(block(withBelow, middle, to, middle, to), mm(l21, conjugate(l21), ["N", "T"]));
  return factorBlocks(withBlock(withBelow, rest, middle, middle), middle, to);
}

export interface CholeskyOptions {
  /** Use the mean of the matrix and its adjoint; otherwise its lower triangle is read. */
  readonly symmetrizeInput?: boolean;
}

/**
 * Cholesky decompositions: the lower triangular L with A = L Lᴴ.
 *
 * float or complex [..., n, n] -> [..., n, n]. A matrix that is not positive definite gives NaN throughout.
 *
 * @throws {ShapeError} unless the matrices are square
 */
export function cholesky(x: ArrayLike, options: CholeskyOptions = {}): NDArray {
  const a = asArray(x);
  return bind1(choleskyP, [(options.symmetrizeInput ?? true) && a.ndim >= 2 ? symmetrized(a) : a], noParams);
}

/** The Hermitian matrix of which one triangle is given. */
export function hermitian(a: NDArray, lower: boolean): NDArray {
  const triangle = lower ? lowerTriangle(a) : upperTriangle(a);
  const other = mH(lower ? lowerTriangle(a, -1) : upperTriangle(a, 1));
  return add(triangle, other);
}

/** (A + Aᴴ) / 2 */
export function symmetrized(a: NDArray): NDArray {
  return mul(add(a, mH(a)), 0.5);
}
