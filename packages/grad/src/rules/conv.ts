import { bind1, type NDArray } from "@traceform/core";
import { type ConvGeneralDilatedParams, convGeneralDilatedP, convertElementType, reshape, rev, transpose } from "@traceform/lax";
import { known } from "../internal/known.ts";
import { addTangents } from "../internal/zeros.ts";
import { lhsPadding, rhsPadding } from "../internal/window.ts";
import {
  isLinear,
  type JvpEntry,
  jvpEntry,
  type LinearOperand,
  type Tangent,
  type TransposeEntry,
  transposeEntry,
} from "../rule.ts";

export const convJvps = (): JvpEntry[] => [
  jvpEntry(convGeneralDilatedP, ([x, y], [dx, dy], params) => {
    const conv = (a: NDArray, b: NDArray): NDArray => bind1(convGeneralDilatedP, [a, b], params);
    const left: Tangent = dx === null ? null : conv(dx, y);
    const right: Tangent = dy === null ? null : conv(x, dy);
    return [[conv(x, y)], [addTangents(left, right)]];
  }),
];

/** Splits axis `axis` into `groups` and what remains; the groups come first. */
function splitAxis(x: NDArray, axis: number, groups: number): NDArray {
  return reshape(x, [...x.shape.slice(0, axis), groups, x.shape[axis] / groups, ...x.shape.slice(axis + 1)]);
}
/** Merges axis `from` into axis `into` (counted without `from`), as its slower part. */
function mergeAxis(x: NDArray, from: number, into: number): NDArray {
  const rest = x.shape.map((_, i) => i).filter((i) => i !== from);
  const order = [...rest.slice(0, into), from, ...rest.slice(into)];
  const moved = transpose(x, order);
  return reshape(moved, [...moved.shape.slice(0, into), moved.shape[into] * moved.shape[into + 1], ...moved.shape.slice(into + 2)]);
}

const at = (shape: readonly number[], dims: readonly number[]): number[] => dims.map((d) => shape[d]);
const exchanged = ([a, b, ...spatial]: readonly number[]): number[] => [b, a, ...spatial];

/** The cotangent of `lhs`: a convolution of `ct` with the reversed kernel, strides and dilations exchanged. */
function transposeLhs(ct: NDArray, lhs: LinearOperand, rhs: NDArray, p: ConvGeneralDilatedParams): NDArray {
  const { lhsSpec, rhsSpec, outSpec } = p.dimensionNumbers;
  const groups = Math.max(p.featureGroupCount, p.batchGroupCount);
  // The groups of the kernel's output features become groups of its input features.
  const kernel = groups > 1 ? mergeAxis(splitAxis(rhs, rhsSpec[0], groups), rhsSpec[0], rhsSpec[1]) : rhs;
  const spatial = lhsSpec.slice(2);
  const padding = lhsPadding(
    at(lhs.aval.shape, spatial),
    at(rhs.shape, rhsSpec.slice(2)),
    p.windowStrides,
    at(ct.shape, outSpec.slice(2)),
    p.padding,
    p.lhsDilation,
    p.rhsDilation,
  );
  const out = bind1(convGeneralDilatedP, [ct, rev(kernel, rhsSpec.slice(2))], {
    ...p,
    windowStrides: p.lhsDilation,
    padding,
    lhsDilation: p.windowStrides,
    dimensionNumbers: { lhsSpec: outSpec, rhsSpec: exchanged(rhsSpec), outSpec: lhsSpec },
    featureGroupCount: groups,
    batchGroupCount: 1,
    preferredElementType: null,
  });
  if (p.batchGroupCount === 1) return convertElementType(out, lhs.aval.dtype);
  const whole = mergeAxis(splitAxis(out, lhsSpec[1], p.batchGroupCount), lhsSpec[1], lhsSpec[0]);
  return convertElementType(whole, lhs.aval.dtype);
}

/** The cotangent of the kernel: a convolution of `lhs` with `ct`, batch and features exchanged. */
function transposeRhs(ct: NDArray, lhs: NDArray, rhs: LinearOperand, p: ConvGeneralDilatedParams): NDArray {
  const { lhsSpec, rhsSpec, outSpec } = p.dimensionNumbers;
  const padding = rhsPadding(
    at(lhs.shape, lhsSpec.slice(2)),
    at(rhs.aval.shape, rhsSpec.slice(2)),
    p.windowStrides,
    at(ct.shape, outSpec.slice(2)),
    p.padding,
    p.lhsDilation,
    p.rhsDilation,
  );
  const out = bind1(convGeneralDilatedP, [lhs, ct], {
    ...p,
    windowStrides: p.rhsDilation,
    padding,
    rhsDilation: p.windowStrides,
    dimensionNumbers: { lhsSpec: exchanged(lhsSpec), rhsSpec: exchanged(outSpec), outSpec: exchanged(rhsSpec) },
    featureGroupCount: p.batchGroupCount,
    batchGroupCount: p.featureGroupCount,
    preferredElementType: null,
  });
  return convertElementType(out, rhs.aval.dtype);
}

export const convTransposes = (): TransposeEntry[] => [
  transposeEntry(convGeneralDilatedP, ([ct], [lhs, rhs], params) => [
    isLinear(lhs) ? transposeLhs(convertElementType(ct!, lhs.aval.dtype), lhs, known(rhs, "conv_general_dilated"), params) : null,
    isLinear(rhs) ? transposeRhs(convertElementType(ct!, rhs.aval.dtype), known(lhs, "conv_general_dilated"), rhs, params) : null,
  ]),
];
