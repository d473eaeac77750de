import { bind1, type NDArray } from "@traceform/core";
import { type DotGeneralParams, dotGeneralP, convertElementType, transpose } from "@traceform/lax";
import { known } from "../internal/known.ts";
import { addTangents } from "../internal/zeros.ts";
import {
  isLinear,
  type JvpEntry,
  jvpEntry,
  type LinearOperand,
  type Tangent,
  type TransposeEntry,
  transposeEntry,
} from "../rule.ts";

export const dotJvps = (): JvpEntry[] => [
  jvpEntry(dotGeneralP, ([x, y], [dx, dy], params) => {
    const dot = (a: NDArray, b: NDArray): NDArray => bind1(dotGeneralP, [a, b], params);
    const left: Tangent = dx === null ? null : dot(dx, y);
    const right: Tangent = dy === null ? null : dot(x, dy);
    return [[dot(x, y)], [addTangents(left, right)]];
  }),
];

function freeAxes(ndim: number, used: readonly number[]): number[] {
  return Array.from({ length: ndim }, (_, i) => i).filter((i) => !used.includes(i));
}

/**
 * The cotangent of `lhs` in `out = dot(lhs, rhs)`: contract `ct` with the free axes of `rhs`, then put the axes
 * (batch, lhs free, contracted) back where they are in `lhs`.
 */
function transposeLhs(ct: NDArray, lhs: LinearOperand, rhs: NDArray, params: DotGeneralParams): NDArray {
  const { lhsContract, rhsContract, lhsBatch, rhsBatch } = params.dimensionNumbers;
  const lhsFree = freeAxes(lhs.aval.ndim, [...lhsContract, ...lhsBatch]);
  const rhsFree = freeAxes(rhs.ndim, [...rhsContract, ...rhsBatch]);
  const nb = lhsBatch.length;
  const out = bind1(dotGeneralP, [ct, rhs], {
    ...params,
    dimensionNumbers: {
      lhsContract: rhsFree.map((_, i) => nb + lhsFree.length + i),
      rhsContract: rhsFree,
      lhsBatch: lhsBatch.map((_, i) => i),
      rhsBatch,
    },
    preferredElementType: null,
  });
  // The contracted axes of the result come in the order in which rhs has them.
  const contracted = rhsContract
    .map((r, i) => [r, lhsContract[i]])
    .sort((a, b) => a[0] - b[0])
    .map(([, l]) => l);
  const order = [...lhsBatch, ...lhsFree, ...contracted];
  const placed = transpose(
    out,
    order.map((_, axis) => order.indexOf(axis)),
  );
  return convertElementType(placed, lhs.aval.dtype);
}

/** The cotangent of `rhs`: contract `ct` with the free axes of `lhs`; the result's axes are (batch, contracted, rhs free). */
function transposeRhs(ct: NDArray, lhs: NDArray, rhs: LinearOperand, params: DotGeneralParams): NDArray {
  const { lhsContract, rhsContract, lhsBatch, rhsBatch } = params.dimensionNumbers;
  const nb = lhsBatch.length;
  const lhsFree = freeAxes(lhs.ndim, [...lhsContract, ...lhsBatch]);
  const rhsFree = freeAxes(rhs.aval.ndim, [...rhsContract, ...rhsBatch]);
  const out = bind1(dotGeneralP, [lhs, ct], {
    ...params,
    dimensionNumbers: {
      lhsContract: lhsFree,
      rhsContract: lhsFree.map((_, i) => nb + i),
      lhsBatch,
      rhsBatch: lhsBatch.map((_, i) => i),
    },
    preferredElementType: null,
  });
  const contracted = lhsContract
    .map((l, i) => [l, rhsContract[i]])
    .sort((a, b) => a[0] - b[0])
    .map(([, r]) => r);
  const order = [...rhsBatch, ...contracted, ...rhsFree];
  const placed = transpose(
    out,
    order.map((_, axis) => order.indexOf(axis)),
  );
  return convertElementType(placed, rhs.aval.dtype);
}

export const dotTransposes = (): TransposeEntry[] => [
  transposeEntry(dotGeneralP, ([ct], [lhs, rhs], params) => [
    isLinear(lhs) ? transposeLhs(operandType(ct!, rhs), lhs, known(rhs, "dot_general"), params) : null,
    isLinear(rhs) ? transposeRhs(operandType(ct!, lhs), known(lhs, "dot_general"), rhs, params) : null,
  ]),
];

/** With `preferredElementType` the cotangent is wider than the operands; both sides of a product have one dtype. */
function operandType(ct: NDArray, other: NDArray | LinearOperand): NDArray {
  return convertElementType(ct, other.aval.dtype);
}
