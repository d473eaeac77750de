import { bind1, type NDArray, type Primitive, RuleError, scalar } from "@traceform/core";
import {
  pad,
  type ReduceWindowParams,
  reduceWindowMaxP,
  reduceWindowMinP,
  reduceWindowSumP,
  selectAndGatherAddP,
  selectAndScatterAddP,
  slice,
} from "@traceform/lax";
import { linearInFirst } from "../internal/entries.ts";
import { dilated, lhsPadding } from "../internal/window.ts";
import { type JvpEntry, jvpEntry, type TransposeEntry, transposeEntry } from "../rule.ts";

/** The tangent of the first extreme element of each window. */
function chooser(primitive: Primitive<ReduceWindowParams>, selectPrim: "ge" | "le"): JvpEntry {
  return jvpEntry(primitive, ([x], [dx], params) => {
    const out = bind1(primitive, [x], params);
    return [[out], [dx === null ? null : bind1(selectAndGatherAddP, [dx, x], { ...params, selectPrim })]];
  });
}

export const windowJvps = (): JvpEntry[] => [
  linearInFirst(reduceWindowSumP),
  chooser(reduceWindowMaxP, "ge"),
  chooser(reduceWindowMinP, "le"),
  linearInFirst(selectAndScatterAddP),
  linearInFirst(selectAndGatherAddP),
];

/** Every element receives the cotangents of the windows it is in: a sum over windows of the spread out cotangent. */
function windowSumTranspose(ct: NDArray, shape: readonly number[], p: ReduceWindowParams): NDArray {
  const pads = lhsPadding(shape, p.windowDimensions, p.windowStrides, ct.shape, p.padding, p.baseDilation, p.windowDilation);
  const spread = pad(
    ct,
    scalar(0, ct.dtype),
    pads.map(([lo, hi], i) => [lo, hi, p.windowStrides[i] - 1]),
  );
  return bind1(reduceWindowSumP, [spread], {
    windowDimensions: p.windowDimensions,
    windowStrides: p.baseDilation,
    padding: shape.map((): [number, number] => [0, 0]),
    baseDilation: shape.map(() => 1),
    windowDilation: p.windowDilation,
  });
}

export const windowTransposes = (): TransposeEntry[] => [
  transposeEntry(reduceWindowSumP, ([ct], [x], params) => [windowSumTranspose(ct!, x.aval.shape, params)]),
  transposeEntry(selectAndScatterAddP, ([ct], [, operand], params) => {
    const ones = params.windowDimensions.map(() => 1);
    return [bind1(selectAndGatherAddP, [ct!, operand as NDArray], { ...params, baseDilation: ones, windowDilation: ones }), null];
  }),
  transposeEntry(selectAndGatherAddP, ([ct], [t, operand], params) => {
    const { selectPrim, windowDimensions, windowStrides, padding, baseDilation, windowDilation } = params;
    if (windowDilation.some((d) => d !== 1)) {
      throw new RuleError("reduceWindow", {
        message: "the reverse-mode derivative of a window maximum with windowDilation is not implemented",
        fix: "take strided slices and their maximum instead",
      });
    }
    const x = operand as NDArray;
    const worst = scalar(selectPrim === "ge" ? -Infinity : Infinity, x.dtype);
    const isDilated = baseDilation.some((d) => d !== 1);
    const spread = isDilated
      ? pad(
          x,
          worst,
          baseDilation.map((d) => [0, 0, d - 1]),
        )
      : x;
    const out = bind1(selectAndScatterAddP, [ct!, spread], { selectPrim, windowDimensions, windowStrides, padding });
    return [
      isDilated
        ? slice(
            out,
            out.shape.map(() => 0),
            t.aval.shape.map((n, i) => dilated(n, baseDilation[i])),
            baseDilation,
          )
        : out,
      null,
    ];
  }),
];
