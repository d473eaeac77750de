import { type ArrayLike, type DType, type NDArray, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { convertAll, toArray } from "../internal/promote.ts";
import { cross as numpyCross, type DotOptions, matmul, outer as numpyOuter, tensordot as numpyTensordot } from "../linear.ts";
import { sum } from "../reductions.ts";
import { diagonal as numpyDiagonal } from "../triangles.ts";
import { batchOf, columns, identities, rows } from "./internal.ts";
import { inv } from "./solve.ts";

export { matmul, vecdot } from "../linear.ts";
export { matrixTranspose } from "../shape.ts";

/**
 * Square matrices to an integer power, by repeated squaring: [..., n, n] -> [..., n, n]. Negative powers are those of the
 * inverse; a power of zero is the identity.
 */
export function matrixPower(x: ArrayLike, n: number): NDArray {
  const a = toArray(x);
  if (a.ndim < 2 || rows(a) !== columns(a)) {
    throw new ShapeError("matrixPower", {
      message: "x must be square in its last two axes",
      operands: { x: a },
      fix: "give a square matrix",
    });
  }
  if (!Number.isInteger(n))
    throw new ValueError("matrixPower", { message: `the power must be an integer, got ${n}`, fix: "pass a JavaScript integer" });
  if (n === 0) return identities(batchOf(a), columns(a), a.dtype);
  let square = n < 0 ? inv(a) : a;
  let result: NDArray | null = null;
  for (let rest = Math.abs(n); ;) {
    if (rest % 2 === 1) result = result === null ? square : matmul(result, square);
    rest = Math.floor(rest / 2);
    if (rest === 0) return result!;
    square = matmul(square, square);
  }
}

/**
 * The product of several matrices, in the order that takes the fewest multiplications. The first and the last may be
 * vectors: a row and a column.
 */
export function multiDot(arrays: readonly ArrayLike[], options?: DotOptions): NDArray {
  const list = convertAll(arrays.map((x) => toArray(x)));
  const last = list.length - 1;
  if (list.length < 2)
    throw new ValueError("multiDot", {
      message: `needs two arrays at least, got ${list.length}`,
      fix: "give the factors as a list",
    });
  list.forEach((x, i) => {
    if (x.ndim === 2 || (x.ndim === 1 && (i === 0 || i === last))) return;
    throw new ShapeError("multiDot", {
      message: `operand ${i} must be a matrix${i === 0 || i === last ? " or a vector" : ""}`,
      operands: { [`x${i}`]: x },
      fix: "reshape it to a matrix; only the first and the last factor may be vectors",
    });
  });
  const mats = list.map((x, i) => (x.ndim === 2 ? x : lax.expandDims(x, [i === 0 ? 0 : 1])));
  const sizes = [rows(mats[0]), ...mats.map(columns)];
  const split = cheapestSplits(sizes);
  const product = (i: number, j: number): NDArray =>
    i === j ? mats[i] : matmul(product(i, split[i][j]), product(split[i][j] + 1, j), options);
  const ends = [...(list[0].ndim === 1 ? [0] : []), ...(list[last].ndim === 1 ? [1] : [])];
  return lax.squeeze(product(0, last), ends);
}

/**
 * Where to cut each range of a chain of matrices, whose sizes are `sizes[i]` × `sizes[i + 1]`.
 *
 * @see Cormen, Leiserson, Rivest & Stein, "Introduction to Algorithms", matrix-chain multiplication
 */
function cheapestSplits(sizes: readonly number[]): number[][] {
  const n = sizes.length - 1;
  const cost = Array.from({ length: n }, () => new Array<number>(n).fill(0));
  const split = Array.from({ length: n }, () => new Array<number>(n).fill(0));
  for (let length = 1; length < n; length++) {
    for (let i = 0; i + length < n; i++) {
      const j = i + length;
      cost[i][j] = Infinity;
      for (let k = i; k < j; k++) {
        const c = cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1];
        if (c < cost[i][j]) [cost[i][j], split[i][j]] = [c, k];
      }
    }
  }
  return split;
}

/** The vector product along an axis of size 3. */
export function cross(x: ArrayLike, y: ArrayLike, options: { readonly axis?: number } = {}): NDArray {
  const axis = options.axis ?? -1;
  const [a, b] = [toArray(x), toArray(y)];
  if (a.shape.at(axis) !== 3 || b.shape.at(axis) !== 3) {
    throw new ShapeError("cross", {
      message: `axis ${axis} must have size 3`,
      operands: { lhs: a, rhs: b },
      fix: "name the axis that holds the three components: { axis }",
    });
  }
  return numpyCross(a, b, axis);
}

/** All products of an element of one vector with one of the other: [m], [n] -> [m, n]. */
export function outer(x: ArrayLike, y: ArrayLike): NDArray {
  const [a, b] = [toArray(x), toArray(y)];
  if (a.ndim !== 1 || b.ndim !== 1) {
    throw new ShapeError("outer", {
      message: "operands must be vectors",
      operands: { lhs: a, rhs: b },
      fix: "outer of @traceform/numpy flattens its operands",
    });
  }
  return numpyOuter(a, b);
}

/** Sum over pairs of axes: the last n of `x` with the first n of `y`, or the lists of axes given. */
export function tensordot(
  x: ArrayLike,
  y: ArrayLike,
  options: DotOptions & { readonly axes?: Parameters<typeof numpyTensordot>[2] } = {},
): NDArray {
  return numpyTensordot(x, y, options.axes ?? 2, options);
}

/** The diagonals of the matrices in the last two axes. */
export function diagonal(x: ArrayLike, options: { readonly offset?: number } = {}): NDArray {
  return numpyDiagonal(x, options.offset ?? 0, -2, -1);
}

/** The sums of the diagonals of the matrices in the last two axes. */
export function trace(x: ArrayLike, options: { readonly offset?: number; readonly dtype?: DType | null } = {}): NDArray {
  return sum(diagonal(x, options), -1, { dtype: options.dtype });
}
