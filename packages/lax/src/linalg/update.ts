import { type ArrayLike, asArray, type NDArray, sameShape, ShapeError } from "@traceform/core";
import { add, div, eq, mul, sub } from "../binary.ts";
import { fullLike, iota } from "../create.ts";
import { checkSameDType } from "../internal/infer.ts";
import { pair } from "../internal/operands.ts";
import { scan } from "../loops.ts";
import { select } from "../select.ts";
import { broadcastInDim, transpose } from "../shape.ts";
import { dynamicIndexInDim } from "../slice.ts";
import { sqrt } from "../unary.ts";
import { batchShape, checkMatrix, checkSquare, columns, mm, mT } from "./matrices.ts";

/**
 * The upper triangular factor of RᵀR + w wᵀ from R and w, by rotations of one row after the other with w.
 *
 * r: float [..., n, n], w: [..., n] -> [..., n, n]
 *
 * @throws {ShapeError} when the shapes do not fit
 * @see Golub & Van Loan, "Matrix Computations", 4th edition, section 6.5.4
 */
export function choleskyUpdate(r: ArrayLike, w: ArrayLike): NDArray {
  const [factor, vector] = pair(r, w);
  checkSquare("choleskyUpdate", "r", factor.aval);
  checkSameDType("choleskyUpdate", [factor.aval, vector.aval]);
  if (!sameShape(vector.shape, factor.shape.slice(0, -1))) {
    throw new ShapeError("choleskyUpdate", {
      message: "w must be a vector for each matrix, of as many elements as it has rows",
      operands: { r: factor, w: vector },
      fix: "give w as [..., n] for r of [..., n, n]",
    });
  }
  if (factor.size === 0) return factor;
  const axis = factor.ndim - 2;
  const order = factor.shape.map((_, i) => i);
  const rowsFirst = transpose(factor, [axis, ...order.filter((i) => i !== axis)]);
  const rotate = (v: NDArray, [row, k]: readonly [NDArray, NDArray]): [NDArray, NDArray] => {
    const at = (x: NDArray): NDArray => dynamicIndexInDim(x, k, axis, true);
    const [a, b] = [at(row), at(v)];
    const length = sqrt(add(mul(a, a), mul(b, b)));
    const none = eq(length, 0);
    const safe = select(none, fullLike(length, 1), length);
    const [c, s] = [select(none, fullLike(a, 1), div(a, safe)), div(b, safe)].map((x) =>
      broadcastInDim(
        x,
        v.shape,
        v.shape.map((_, i) => i),
      ),
    );
    return [sub(mul(c, v), mul(s, row)), add(mul(c, row), mul(s, v))];
  };
  const [, rows] = scan(rotate, vector, [rowsFirst, iota("int32", columns(factor))] as const);
  return transpose(rows, [...order.slice(1, axis + 1), 0, ...order.slice(axis + 1)]);
}

export interface SymmetricProductOptions {
  readonly alpha?: number;
  readonly beta?: number;
  /** Return the mean of the result and its transpose, of which otherwise only the lower triangle is meant. */
  readonly symmetrizeOutput?: boolean;
}

/**
 * alpha A Aᵀ + beta C for symmetric C.
 *
 * a: float [..., n, k], c: [..., n, n] -> [..., n, n]
 */
export function symmetricProduct(a: ArrayLike, c: ArrayLike, options: SymmetricProductOptions = {}): NDArray {
  const [x, y] = [asArray(a), asArray(c)];
  checkMatrix("symmetricProduct", "a", x.aval);
  checkSquare("symmetricProduct", "c", y.aval);
  if (!sameShape([...batchShape(x), x.shape[x.ndim - 2]], y.shape.slice(0, -1))) {
    throw new ShapeError("symmetricProduct", {
      message: "c must have as many rows as a",
      operands: { a: x, c: y },
      fix: "give c as [..., n, n] for a of [..., n, k]",
    });
  }
  const { alpha = 1, beta = 0, symmetrizeOutput = false } = options;
  const result = add(mul(mm(x, x, ["N", "T"]), alpha), mul(y, beta));
  return symmetrizeOutput ? mul(add(result, mT(result)), 0.5) : result;
}
