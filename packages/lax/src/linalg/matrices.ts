import {
  type ArrayLike,
  type Aval,
  DTypeError,
  type DType,
  isComplex,
  isFloat,
  type NDArray,
  realDType,
  ShapeError,
} from "@traceform/core";
import { bitwiseAnd, ge, le, mul, sub } from "../binary.ts";
import { complex, conj } from "../convert.ts";
import { broadcastedIota, full } from "../create.ts";
import { dotGeneral } from "../dot.ts";
import { reduceSum } from "../reduce.ts";
import { select } from "../select.ts";
import { broadcastInDim, transpose } from "../shape.ts";
import { dynamicUpdateSlice, slice } from "../slice.ts";

// Stacks of matrices: the last two axes are rows and columns, all axes before them are batch axes.

/** @throws {ShapeError} unless there are two axes at least; @throws {DTypeError} unless the dtype is one of LAPACK's */
export function checkMatrix(fn: string, name: string, x: Aval): void {
  if (x.ndim < 2) {
    throw new ShapeError(fn, {
      message: `${name} must be a matrix, or a stack of them in the last two axes`,
      operands: { [name]: x },
      fix: "give at least two axes",
    });
  }
  checkPrecision(fn, name, x);
}

/** @throws {DTypeError} unless the dtype is float32, float64, complex64 or complex128 */
export function checkPrecision(fn: string, name: string, x: Aval): void {
  if ((isFloat(x.dtype) && x.dtype !== "float16" && x.dtype !== "bfloat16") || isComplex(x.dtype)) return;
  throw new DTypeError(fn, {
    message: `${name} must be of float32, float64, complex64 or complex128`,
    operands: { [name]: x },
    fix: 'convert it with convertElementType(x, "float32")',
  });
}

/** @throws {ShapeError} unless the matrices are square */
export function checkSquare(fn: string, name: string, x: Aval): void {
  checkMatrix(fn, name, x);
  const [m, n] = x.shape.slice(-2);
  if (m !== n)
    throw new ShapeError(fn, {
      message: `${name} must be square in its last two axes`,
      operands: { [name]: x },
      fix: "give as many rows as columns",
    });
}

export function batchShape(x: NDArray | Aval, trailing = 2): readonly number[] {
  return x.shape.slice(0, x.ndim - trailing);
}
export function rows(x: NDArray | Aval): number {
  return x.shape[x.ndim - 2];
}
export function columns(x: NDArray | Aval): number {
  return x.shape[x.ndim - 1];
}

/** The transposed matrices. */
export function mT(x: NDArray): NDArray {
  const axes = Array.from({ length: x.ndim }, (_, i) => i);
  axes.push(...axes.splice(-2).reverse());
  return transpose(x, axes);
}
export function conjugate(x: NDArray): NDArray {
  return isComplex(x.dtype) ? conj(x) : x;
}
/** The adjoint matrices. */
export function mH(x: NDArray): NDArray {
  return conjugate(mT(x));
}

/** Products of the matrices of two stacks; `"T"` transposes an operand. */
export function mm(a: NDArray, b: NDArray, flags: readonly ["N" | "T", "N" | "T"] = ["N", "N"]): NDArray {
  const batch = Array.from({ length: a.ndim - 2 }, (_, i) => i);
  return dotGeneral(a, b, {
    lhsContract: [a.ndim - (flags[0] === "N" ? 1 : 2)],
    rhsContract: [b.ndim - (flags[1] === "N" ? 2 : 1)],
    lhsBatch: batch,
    rhsBatch: batch,
  });
}

/** Rows [r0, r1) and columns [c0, c1). */
export function block(x: NDArray, r0: number, r1: number, c0: number, c1: number): NDArray {
  const zeros = batchShape(x).map(() => 0);
  return slice(x, [...zeros, r0, c0], [...batchShape(x), r1, c1]);
}
/** `x` with the block at (row, column) replaced. */
export function withBlock(x: NDArray, value: NDArray, row: ArrayLike, column: ArrayLike): NDArray {
  return dynamicUpdateSlice(x, value, [...batchShape(x).map(() => 0), row, column]);
}

/** A vector along the last axis of a stack, as a column for each batch, or a row, spread over `shape`. */
export function alongRows(v: NDArray, shape: readonly number[]): NDArray {
  const axes = Array.from({ length: v.ndim }, (_, i) => i);
  return broadcastInDim(v, shape, axes);
}
export function alongColumns(v: NDArray, shape: readonly number[]): NDArray {
  const axes = Array.from({ length: v.ndim }, (_, i) => (i === v.ndim - 1 ? i + 1 : i));
  return broadcastInDim(v, shape, axes);
}

function where(x: NDArray, mask: NDArray): NDArray {
  return select(mask, x, full(x.shape, 0, x.dtype));
}
function rowsMinusColumns(x: NDArray): NDArray {
  return sub(broadcastedIota("int32", x.shape, x.ndim - 2), broadcastedIota("int32", x.shape, x.ndim - 1));
}
/** What stands for a result that there is not: NaN in both parts of complex numbers. */
export function nanLike(x: NDArray): NDArray {
  const nan = full(x.shape, NaN, realDType(x.dtype));
  return isComplex(x.dtype) ? complex(nan, nan) : nan;
}
/** The lower triangle, up to diagonal `k`. */
export function lowerTriangle(x: NDArray, k = 0): NDArray {
  return where(x, ge(rowsMinusColumns(x), -k));
}
/** The upper triangle, from diagonal `k` on. */
export function upperTriangle(x: NDArray, k = 0): NDArray {
  return where(x, le(rowsMinusColumns(x), -k));
}
/** Matrices with ones on diagonal `k`. */
export function identityMatrix(shape: readonly number[], dtype: DType, k = 0): NDArray {
  const one = full(shape, 1, dtype);
  return upperTriangle(lowerTriangle(one, k), k);
}
/** The lower triangle with half of the diagonal: what the derivative of a triangular factor takes of a symmetric matrix. */
export function halvedLower(x: NDArray): NDArray {
  return sub(lowerTriangle(x), mul(onDiagonal(x), 0.5));
}
/** The matrices with everything off the diagonal set to zero. */
export function onDiagonal(x: NDArray): NDArray {
  return upperTriangle(lowerTriangle(x));
}
/** The diagonals, as vectors. */
export function diagonalOf(x: NDArray): NDArray {
  const n = Math.min(rows(x), columns(x));
  const square = block(x, 0, n, 0, n);
  return reduceSum(onDiagonal(square), [x.ndim - 1]);
}
export function withinColumns(x: NDArray, from: number, to: number): NDArray {
  const j = broadcastedIota("int32", x.shape, x.ndim - 1);
  return where(x, bitwiseAnd(ge(j, from), le(j, to - 1)));
}
