import {
  type ArrayLike,
  batchRule,
  bind1,
  definePrimitive,
  jvpRule,
  lowerRule,
  type NDArray,
  type Primitive,
  sameShape,
  ShapeError,
  transposeRule,
} from "@traceform/core";
import { sub } from "../binary.ts";
import { checkSameDType, result } from "../internal/infer.ts";
import { pair } from "../internal/operands.ts";
import {
  batchShape,
  block,
  checkMatrix,
  checkSquare,
  columns,
  conjugate,
  lowerTriangle,
  mm,
  mT,
  rows,
  upperTriangle,
  withBlock,
} from "./matrices.ts";
import { reshape } from "../shape.ts";
import { batchLeading } from "./rules.ts";

export interface TriangularSolveParams {
  readonly leftSide: boolean;
  readonly lower: boolean;
  readonly transposeA: boolean;
  readonly conjugateA: boolean;
  readonly unitDiagonal: boolean;
}

type BlockParams = {
  readonly lower: boolean;
  readonly transpose: "none" | "transpose" | "conjugate";
  readonly unitDiagonal: boolean;
};

/** Solves op(A) X = B for small triangular A by substitution: the leaf of `triangularSolve`. */
export const triangularBlockP: Primitive<BlockParams> = /* @__PURE__ */ definePrimitive<BlockParams>("triangular_block", {
  abstractEval: ([a, b]) => [result(b.shape, b.dtype, [a, b], false)],
});

/** The largest triangle that is solved by substitution alone; larger ones are split in two. */
export const leafSize = 64;

export const triangularSolveP: Primitive<TriangularSolveParams> = /* @__PURE__ */ definePrimitive<TriangularSolveParams>(
  "triangular_solve",
  {
    abstractEval: ([a, b], { leftSide }) => {
      checkSquare("triangularSolve", "a", a);
      checkMatrix("triangularSolve", "b", b);
      checkSameDType("triangularSolve", [a, b]);
      if (!sameShape(batchShape(a), batchShape(b)) || rows(a) !== b.shape[b.ndim - (leftSide ? 2 : 1)]) {
        throw new ShapeError("triangularSolve", {
          message: `the batch axes must be equal, and the ${leftSide ? "rows" : "columns"} of b as many as those of a`,
          operands: { a, b },
          fix: "broadcast the batch axes first, and see to leftSide",
        });
      }
      return [result(b.shape, b.dtype, [a, b], false)];
    },
    rules: {
      [lowerRule]: ([a, b]: readonly NDArray[], params: TriangularSolveParams) => [lowered(a, b, params)],
      [batchRule]: batchLeading,
      // From op(A) X = B: op(A) dX = dB - op(dA) X, where only the triangle of dA counts.
      [jvpRule]: ([a, b]: readonly NDArray[], [da, db]: readonly NDArray[], params: TriangularSolveParams) => {
        const x = bind1(triangularSolveP, [a, b], params);
        const { leftSide, lower, unitDiagonal, transposeA, conjugateA } = params;
        const skip = unitDiagonal ? 1 : 0;
        const triangle = lower ? lowerTriangle(da, -skip) : upperTriangle(da, skip);
        const op = (y: NDArray): NDArray => (transposeA ? mT(y) : y);
        const change = op(conjugateA ? conjugate(triangle) : triangle);
        const right = sub(db, leftSide ? mm(change, x) : mm(x, change));
        return [[x], [bind1(triangularSolveP, [a, right], params)]];
      },
      // Linear in b alone.
      [transposeRule]: ([ct]: readonly NDArray[], [a]: readonly NDArray[], params: TriangularSolveParams) => [
        null,
        bind1(triangularSolveP, [a, ct], { ...params, transposeA: !params.transposeA }),
      ],
    },
  },
);

function lowered(a: NDArray, b: NDArray, params: TriangularSolveParams): NDArray {
  const { leftSide, lower, transposeA, conjugateA, unitDiagonal } = params;
  if (b.size === 0) return b;
  // X op(A) = B is op(A)ᵀ Xᵀ = Bᵀ.
  const transposed = leftSide ? transposeA : !transposeA;
  const right = leftSide ? b : mT(b);
  const matrix = conjugateA && !transposed ? conjugate(a) : a;
  const transpose = !transposed ? "none" : conjugateA ? "conjugate" : "transpose";
  const x = solveBlocks(matrix, right, { lower, transpose, unitDiagonal }, 0, rows(a));
  return leftSide ? x : mT(x);
}

/**
 * Solves for rows [from, to) of X, in the place of the right side, by halves: one half, its product with the block beside
 * it taken off the other, the other half. So nearly all work is in matrix products, and the small triangles are solved by
 * substitution, never inverted.
 *
 * @see Elmroth, Gustavson, Jonsson & Kågström (2004), "Recursive blocked algorithms and hybrid data structures"
 */
function solveBlocks(a: NDArray, x: NDArray, params: BlockParams, from: number, to: number): NDArray {
  const part = (y: NDArray, r0: number, r1: number): NDArray => block(y, r0, r1, 0, columns(y));
  if (to - from <= leafSize) {
    const solved = bind1(triangularBlockP, [block(a, from, to, from, to), part(x, from, to)], params);
    return to - from === rows(x) ? solved : withBlock(x, solved, from, 0);
  }
  const middle = from + splitPoint(to - from);
  const { lower, transpose } = params;
  const flipped = transpose !== "none";
  const beside = lower ? block(a, middle, to, from, middle) : block(a, from, middle, middle, to);
  const factor = transpose === "conjugate" ? conjugate(beside) : beside;
  const firstHalf: [number, number] = lower === flipped ? [middle, to] : [from, middle];
  const secondHalf: [number, number] = lower === flipped ? [from, middle] : [middle, to];
  const half = solveBlocks(a, x, params, ...firstHalf);
  const product = mm(factor, part(half, ...firstHalf), [flipped ? "T" : "N", "N"]);
  const rest = withBlock(half, sub(part(half, ...secondHalf), product), secondHalf[0], 0);
  return solveBlocks(a, rest, params, ...secondHalf);
}

/** Where to cut n in two: at a multiple of the leaf, near the middle. */
export function splitPoint(n: number, leaf: number = leafSize): number {
  return Math.max(leaf, Math.round(n / 2 / leaf) * leaf);
}

export interface TriangularSolveOptions {
  /** Solve `op(a) x = b`; otherwise `x op(a) = b`. */
  readonly leftSide?: boolean;
  /** Read the lower triangle of `a`; otherwise the upper one. */
  readonly lower?: boolean;
  readonly transposeA?: boolean;
  readonly conjugateA?: boolean;
  /** Take the diagonal of `a` for ones. */
  readonly unitDiagonal?: boolean;
}

/**
 * Solves systems of equations whose matrix is triangular; its other triangle is not read.
 *
 * a: [..., n, n], b: [..., n, m] or, on the right side, [..., m, n] -> as b. A `b` with one axis less is a vector for each
 * batch. A singular `a` gives infinities or NaN.
 *
 * @throws {ShapeError} when the shapes do not fit; @throws {DTypeError} for other dtypes than LAPACK's four
 */
export function triangularSolve(a: ArrayLike, b: ArrayLike, options: TriangularSolveOptions = {}): NDArray {
  const [matrix, right] = pair(a, b);
  const { leftSide = false, lower = false, transposeA = false, conjugateA = false, unitDiagonal = false } = options;
  const params = { leftSide, lower, transposeA, conjugateA, unitDiagonal };
  if (right.ndim !== matrix.ndim - 1) return bind1(triangularSolveP, [matrix, right], params);
  const shape = leftSide ? [...right.shape, 1] : [...right.shape.slice(0, -1), 1, right.shape[right.ndim - 1]];
  const x = bind1(triangularSolveP, [matrix, reshape(right, shape)], params);
  return reshape(x, right.shape);
}
