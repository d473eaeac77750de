import { bind, bind1, type NDArray, type Primitive, type StandardDType } from "@traceform/core";
import {
  addP,
  broadcastInDim,
  broadcastInDimP,
  complexP,
  concatenateP,
  conjP,
  convertElementType,
  convertElementTypeP,
  convGeneralDilatedP,
  copyP,
  cumsumP,
  div,
  dotGeneralP,
  dynamicSliceP,
  dynamicUpdateSliceP,
  eq,
  fftP,
  gatherP,
  imagP,
  mulP,
  nameP,
  negP,
  optimizationBarrierP,
  padP,
  psumP,
  realP,
  reduceMaxP,
  reduceMinP,
  reducePrecisionP,
  reduceSum,
  reduceSumP,
  reduceWindowSumP,
  reshapeP,
  revP,
  scatterAddP,
  scatterP,
  select,
  selectNP,
  sliceP,
  squareP,
  squeezeP,
  subP,
  transposeP,
} from "@traceform/lax";
import { zeros } from "../../internal/zeros.ts";
import { type JetEntry, jetEntry } from "../rule.ts";
import { build, convolve, type Series, value } from "../series.ts";

type Operands = (operand: number) => boolean;
const all: Operands = () => true;
const first: Operands = (i) => i === 0;

/** Linear in some operands together: coefficients go the way of the value, with parameters of their own where they need any. */
function linear<P>(primitive: Primitive<P>, isLinear: Operands = all, higherParams: (params: P) => P = (p) => p): JetEntry {
  return jetEntry(primitive, (inputs, params, { order }) => {
    const coefficients = (k: number): NDArray[] | null => {
      if (!inputs.some((s, i) => isLinear(i) && s[k] !== null)) return null;
      const args = inputs.map((s, i) => (isLinear(i) ? (s[k] ?? zeros(value(s).aval)) : value(s)));
      return bind(primitive, args, higherParams(params));
    };
    const values = bind(primitive, inputs.map(value), params);
    const higher = Array.from({ length: order }, (_, k) => coefficients(k + 1));
    return values.map((y, i): Series => [y, ...higher.map((c) => c?.[i] ?? null)]);
  });
}

/** Linear in each of two operands: coefficients are convolved. */
function bilinear<P>(primitive: Primitive<P>): JetEntry {
  return jetEntry(primitive, ([a, b], params) => {
    const product = (x: NDArray | number | null, y: NDArray | number | null): NDArray | null =>
      x === null || y === null ? null : bind(primitive, [x as NDArray, y as NDArray], params)[0];
    return [build(a.length, (k) => convolve(a, b, k, 0, k, product))];
  });
}

/** Of the largest (or smallest) elements the mean of their coefficients, as the derivative has it. */
function extremum(primitive: typeof reduceMaxP): JetEntry {
  return jetEntry(primitive, ([x], params) => {
    const out = bind1(primitive, [value(x)], params);
    const kept = value(x).shape.flatMap((_, i) => (params.axes.includes(i) ? [] : [i]));
    const there = eq(value(x), broadcastInDim(out, value(x).shape, kept));
    const zero = zeros(value(x).aval);
    const count = reduceSum(convertElementType(there, out.dtype as StandardDType), params.axes);
    return [[out, ...x.slice(1).map((c) => (c === null ? null : div(reduceSum(select(there, c, zero), params.axes), count)))]];
  });
}

export const linearJets = (): JetEntry[] => [
  ...[addP, subP, negP, realP, imagP, conjP, complexP, copyP].map((p) => linear(p)),
  linear(reshapeP),
  linear(broadcastInDimP),
  linear(transposeP),
  linear(revP),
  linear(squeezeP),
  linear(sliceP),
  linear(padP),
  linear(concatenateP),
  linear(convertElementTypeP),
  linear(nameP),
  linear(optimizationBarrierP),
  linear(reduceSumP),
  linear(reduceWindowSumP),
  linear(cumsumP),
  linear(fftP),
  linear(psumP),
  linear(reducePrecisionP),
  linear(selectNP, (i) => i > 0),
  linear(dynamicSliceP, first),
  // What is read outside of the operand does not move.
  linear(gatherP, first, (p) => ({ ...p, fillValue: p.mode === "fill" ? 0 : null })),
  linear(dynamicUpdateSliceP, (i) => i < 2),
  linear(scatterAddP, (i) => i !== 1),
  linear(scatterP, (i) => i !== 1),
  extremum(reduceMaxP),
  extremum(reduceMinP),
  bilinear(mulP),
  bilinear(dotGeneralP),
  bilinear(convGeneralDilatedP),
  jetEntry(squareP, ([x]) => [build(x.length, (k) => convolve(x, x, k))]),
];
