import {
  type ArrayLike,
  asArray,
  batchRule,
  bind,
  bind1,
  definePrimitive,
  DTypeError,
  jvpRule,
  lowerRule,
  type NDArray,
  type Primitive,
  ShapeError,
} from "@traceform/core";
import { add, eq, sub } from "../binary.ts";
import { broadcastedIota } from "../create.ts";
import { foriLoop } from "../loops.ts";
import { select } from "../select.ts";
import { type NoParams, noParams, result } from "../internal/infer.ts";
import { broadcastInDim, concatenate, pad } from "../shape.ts";
import { dynamicIndexInDim, sliceInDim } from "../slice.ts";
import {
  batchShape,
  block,
  checkMatrix,
  identityMatrix,
  lowerTriangle,
  mm,
  mT,
  rows,
  upperTriangle,
  withBlock,
} from "./matrices.ts";
import { takeElements, takeRows } from "./permute.ts";
import { batchLeading } from "./rules.ts";
import { splitPoint, triangularSolve } from "./triangular.ts";

/** The factors of a panel given by its its pivots and their permutation: the leaf of `lu`. */
export const luPanelP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("lu_panel", {
  abstractEval: ([at]) => {
    const [n, m] = at.shape.slice(-2);
    const batch = batchShape(at);
    return [
      result(at.shape, at.dtype, [at], false),
      result([...batch, Math.min(m, n)], "int32", [at], false),
      result([...batch, m], "int32", [at], false),
    ];
  },
});

/** Results: L (its ones left out) and U in one matrix, the pivots and the permutation, both int32. */
export const luP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("lu", {
  abstractEval: ([a]) => {
    checkMatrix("lu", "x", a);
    const [m, n] = a.shape.slice(-2);
    const batch = batchShape(a);
    return [
      result(a.shape, a.dtype, [a], false),
      result([...batch, Math.min(m, n)], "int32", [a], false),
      result([...batch, m], "int32", [a], false),
    ];
  },
  rules: {
    [lowerRule]: ([a]: readonly NDArray[]) => lowered(a),
    [batchRule]: batchLeading,
    [jvpRule]: ([a]: readonly NDArray[], [da]: readonly NDArray[]) => {
      const outs = bind(luP, [a], noParams);
      return [outs, [tangent(outs[0], takeRows(da, outs[2])), null, null]];
    },
  },
});

/** Columns of a panel that is eliminated column by column. Narrower ones are no faster, and make the program longer. */
const panel = 64;

interface Factors {
  /** The matrix, with the factors of the columns so far in their place. */
  readonly a: NDArray;
  /** Which row is in each row below the first one of the columns, counted from there. */
  readonly permutation: NDArray;
  readonly pivots: NDArray;
}

function lowered(a: NDArray): NDArray[] {
  const [m, n] = a.shape.slice(-2);
  if (a.size === 0) {
    const none = bind(luPanelP, [mT(a)], noParams);
    return [a, none[1], none[2]];
  }
  const k = Math.min(m, n);
  const { a: factors, permutation, pivots } = factorColumns(a, 0, k);
  if (n === k) return [factors, pivots, permutation];
  // The columns to the right of a wide matrix.
  const right = takeRows(block(factors, 0, m, k, n), permutation);
  const unit = { leftSide: true, lower: true, unitDiagonal: true };
  return [withBlock(factors, triangularSolve(block(factors, 0, m, 0, k), right, unit), 0, k), pivots, permutation];
}

/**
 * The factors of columns [from, to) and the rows from `from` on, in their place, by halves: the left half, its multipliers
 * applied to the right half, then the rows below in the right half.
 *
 * @see Toledo (1997), "Locality of reference in LU decomposition with partial pivoting"
 */
function factorColumns(a: NDArray, from: number, to: number): Factors {
  const m = rows(a);
  if (to - from <= panel) {
    const [t, pivots, permutation] = bind(luPanelP, [mT(block(a, from, m, from, to))], noParams);
    return { a: withBlock(a, mT(t), from, from), permutation, pivots };
  }
  const middle = from + splitPoint(to - from, panel);
  const h = middle - from;
  const left = factorColumns(a, from, middle);
  const right = takeRows(block(left.a, from, m, middle, to), left.permutation);
  const l11 = block(left.a, from, middle, from, middle);
  const l21 = block(left.a, middle, m, from, middle);
  const top = block(right, 0, h, 0, to - middle);
  const u12 = triangularSolve(l11, top, { leftSide: true, lower: true, unitDiagonal: true });
  const rest = sub(block(right, h, m - from, 0, to - middle), mm(l21, u12));
  const updated = withBlock(withBlock(left.a, u12, from, middle), rest, middle, middle);
  const trailing = factorColumns(updated, middle, to);
  const exchanged = takeRows(block(trailing.a, middle, m, from, middle), trailing.permutation);
  const axis = a.ndim - 2;
  const before = left.permutation;
  const tail = takeElements(sliceInDim(before, h, m - from, 1, axis), trailing.permutation);
  return {
    a: withBlock(trailing.a, exchanged, middle, from),
    permutation: concatenate([sliceInDim(before, 0, h, 1, axis), tail], axis),
    pivots: concatenate([left.pivots, add(trailing.pivots, h)], axis),
  };
}

/**
 * d(LU) for P A = L U: dL = L tril(L⁻¹ P dA U⁻¹, -1) and dU = triu(L⁻¹ P dA U⁻¹) U, with the factors of matrices that are not
 * square made square by ones on their diagonals. The permutation is piecewise constant.
 *
 * @see de Hoog, Anderssen & Lukas (2011), "Differentiation of matrix functionals using triangular factorization"
 */
function tangent(lu: NDArray, change: NDArray): NDArray {
  const [m, n] = lu.shape.slice(-2);
  const k = Math.min(m, n);
  const batch = batchShape(lu);
  const none = batch.map(() => [0, 0, 0] as const);
  const lower = pad(lowerTriangle(block(lu, 0, m, 0, k), -1), 0, [...none, [0, 0, 0], [0, m - k, 0]]);
  const l = add(lower, identityMatrix(lower.shape, lu.dtype));
  const rest = pad(identityMatrix([...batch, n - k, n - k], lu.dtype), 0, [...none, [k, 0, 0], [k, 0, 0]]);
  const u = add(pad(upperTriangle(block(lu, 0, k, 0, n)), 0, [...none, [0, n - k, 0], [0, 0, 0]]), rest);
  const left = triangularSolve(l, change, { leftSide: true, lower: true, unitDiagonal: true });
  const both = triangularSolve(u, left);
  return add(mm(l, lowerTriangle(both, -1)), mm(upperTriangle(both), u));
}

export interface PivotsParams {
  readonly permutationSize: number;
}
/** int32[..., k] -> int32[..., m]: what exchanging row i with row pivots[i], for i = 0, 1, …, does to the rows. */
export const luPivotsToPermutationP: Primitive<PivotsParams> = /* @__PURE__ */ definePrimitive<PivotsParams>(
  "lu_pivots_to_permutation",
  {
    abstractEval: ([pivots], { permutationSize }) => {
      if (pivots.dtype !== "int32") {
        throw new DTypeError("luPivotsToPermutation", {
          message: "pivots must be int32",
          operands: { pivots },
          fix: "pass the pivots that lu returned",
        });
      }
      if (pivots.ndim < 1 || pivots.shape[pivots.ndim - 1] > permutationSize) {
        throw new ShapeError("luPivotsToPermutation", {
          message: `there must be at most ${permutationSize} pivots in the last axis`,
          operands: { pivots },
          fix: "give a permutationSize of at least the number of pivots",
        });
      }
      return [result([...pivots.shape.slice(0, -1), permutationSize], "int32", [pivots], false)];
    },
    rules: {
      [lowerRule]: ([pivots]: readonly NDArray[], { permutationSize }: PivotsParams) => [exchanged(pivots, permutationSize)],
      [batchRule]: batchLeading,
      [jvpRule]: ([pivots]: readonly NDArray[], _: unknown, params: PivotsParams) => [
        [bind1(luPivotsToPermutationP, [pivots], params)],
        [null],
      ],
    },
  },
);

/** Exchanges one after the other: a loop whose carry is the permutation. */
function exchanged(pivots: NDArray, size: number): NDArray {
  const batch = pivots.shape.slice(0, -1);
  const start = broadcastedIota("int32", [...batch, size], batch.length);
  const steps = pivots.shape[batch.length];
  if (steps === 0 || start.size === 0) return start;
  const exchange = (i: NDArray, order: NDArray): NDArray => {
    const p = dynamicIndexInDim(pivots, i, batch.length, true);
    const atStep = dynamicIndexInDim(order, i, batch.length, true);
    const atPivot = takeElements(order, p);
    const spread = (x: NDArray): NDArray =>
      broadcastInDim(
        x,
        order.shape,
        order.shape.map((_, d) => d),
      );
    const withStep = select(eq(start, spread(p)), spread(atStep), order);
    return select(eq(start, i), spread(atPivot), withStep);
  };
  return foriLoop(0, steps, exchange, start);
}

/**
 * The permutation that the row exchanges of `lu` amount to: row `i` of the permuted matrix is row `permutation[i]`.
 *
 * int32[..., k] -> int32[..., permutationSize]
 */
export function luPivotsToPermutation(pivots: ArrayLike, permutationSize: number): NDArray {
  return bind1(luPivotsToPermutationP, [asArray(pivots)], { permutationSize });
}

/**
 * LU decompositions with partial pivoting: P A = L U, where P takes the rows of A in the order of the permutation.
 *
 * float or complex [..., m, n] -> the factors in one matrix [..., m, n] (the ones on L's diagonal are not stored), the pivots
 * int32[..., min(m, n)], which say with which row each row was exchanged, and the permutation int32[..., m]. A singular
 * matrix gives a zero on U's diagonal.
 */
export function lu(x: ArrayLike): [lu: NDArray, pivots: NDArray, permutation: NDArray] {
  return bind(luP, [asArray(x)], noParams) as [NDArray, NDArray, NDArray];
}
