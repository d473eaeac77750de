import type { NDArray } from "@traceform/core";
import { takeRows, triangularSolve } from "@traceform/lax/linalg";

/** Solves A X = B with the factors of P A = L U. */
export function luSolve(factors: NDArray, permutation: NDArray, b: NDArray): NDArray {
  const y = triangularSolve(factors, takeRows(b, permutation), { leftSide: true, lower: true, unitDiagonal: true });
  return triangularSolve(factors, y, { leftSide: true, lower: false });
}
