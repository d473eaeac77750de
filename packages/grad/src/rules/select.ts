import { bind1, type NDArray, scalar } from "@traceform/core";
import { bitwiseAnd, broadcastInDim, clampP, gt, lt, select, selectNP } from "@traceform/lax";
import { elementwise } from "../internal/entries.ts";
import { isLinear, type JvpEntry, jvpEntry, type LinearOperand, type TransposeEntry, transposeEntry } from "../rule.ts";
import { unbroadcast } from "./binary.ts";

function zeroScalar(x: NDArray | LinearOperand): NDArray {
  return scalar(0, x.aval.dtype);
}

export const selectJvps = (): JvpEntry[] => [
  jvpEntry(selectNP, (primals, tangents) => {
    const [which, ...cases] = primals;
    const out = bind1(selectNP, primals, {});
    if (tangents.every((t) => t === null)) return [[out], [null]];
    const parts = cases.map((c, i) => tangents[i + 1] ?? zeroScalar(c));
    // Scalar cases broadcast only against another operand that has the shape of the result.
    if (which.ndim === 0 && out.ndim > 0 && !parts.some((p) => p.ndim > 0)) {
      parts[0] = broadcastInDim(parts[0], out.shape, []);
    }
    return [[out], [bind1(selectNP, [which, ...parts], {})]];
  }),
  elementwise(
    clampP,
    (dmin, _z, min, x, max) => select(bitwiseAnd(gt(min, x), lt(min, max)), repeated(dmin, x), zeroScalar(dmin)),
    (dx, _z, min, x, max) => select(bitwiseAnd(gt(x, min), lt(x, max)), dx, zeroScalar(dx)),
    (dmax, _z, _min, x, max) => select(gt(x, max), repeated(dmax, x), zeroScalar(dmax)),
  ),
];

function repeated(t: NDArray, x: NDArray): NDArray {
  return t.ndim === x.ndim ? t : broadcastInDim(t, x.shape, []);
}

export const selectTransposes = (): TransposeEntry[] => [
  transposeEntry(selectNP, ([ct], [which, ...cases]) => [
    null,
    ...cases.map((c, k) => {
      if (!isLinear(c)) return null;
      const parts = cases.map((_, i) => (i === k ? ct! : zeroScalar(c)));
      return unbroadcast(bind1(selectNP, [which as NDArray, ...parts], {}), c);
    }),
  ]),
];
