import { bind1, type NDArray, type Primitive, scalar } from "@traceform/core";
import {
  add, argmaxP, argminP, associativeScan, broadcastInDim, concatenate, convertElementType, cumlogsumexpP, cummaxP, cumminP, cumprodP,
  cumsumP, type CumulativeParams, div, eq, exp, gt, isFinite, log, lt, mul, reduceAndP, reduceMaxP, reduceMinP, reduceOrP, type ReduceParams,
  reduceProdP, reduceSum, reduceSumP, reduceXorP, reshape, select, sliceInDim, sub, transpose,
} from "@traceform/lax";
import { linearInFirst, zeroDerivative } from "../internal/entries.ts";
import { type JvpEntry, jvpEntry, type TransposeEntry, transposeEntry } from "../rule.ts";

/** `y` of a reduction, with the reduced axes back as axes of size 1, repeated over the shape of `x`. */
function spreadOver(y: NDArray, x: NDArray, axes: readonly number[]): NDArray {
  const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  return broadcastInDim(y, x.shape, kept);
}

/** The mean of the tangents at the places of the extreme value: ties share evenly. */
function chooser(primitive: Primitive<ReduceParams>): JvpEntry {
  return jvpEntry(primitive, ([x], [dx], params) => {
    const out = bind1(primitive, [x], params);
    if (dx === null) return [[out], [null]];
    const chosen = convertElementType(eq(x, spreadOver(out, x, params.axes)), x.dtype);
    const count = reduceSum(chosen, params.axes);
    return [[out], [div(reduceSum(mul(dx, chosen), params.axes), count)]];
  });
}

/** For every element, the product of all the others along one axis, without dividing by zero. */
function productOfOthers(x: NDArray, axis: number): NDArray {
  const n = x.shape[axis];
  const one = broadcastInDim(scalar(1, x.dtype), x.shape.map((m, i) => (i === axis ? 1 : m)), []);
  if (n === 0) return x;
  const before = n === 1 ? one : concatenate([one, bind1(cumprodP, [sliceInDim(x, 0, n - 1, 1, axis)], { axis, reverse: false })], axis);
  const after = n === 1 ? one : concatenate([bind1(cumprodP, [sliceInDim(x, 1, n, 1, axis)], { axis, reverse: true }), one], axis);
  return mul(before, after);
}

function productTangent(x: NDArray, dx: NDArray, axes: readonly number[]): NDArray {
  // One merged axis serves any number of reduced ones.
  const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const order = [...kept, ...axes];
  const outShape = kept.map((i) => x.shape[i]);
  const flat = (a: NDArray): NDArray => reshape(transpose(a, order), [...outShape, axes.reduce((p, i) => p * x.shape[i], 1)]);
  return reduceSum(mul(flat(dx), productOfOthers(flat(x), kept.length)), [kept.length]);
}

type Pair = readonly NDArray[];

/**
 * A running reduction: its tangents are a prefix scan over pairs (value, tangent) with the derivative of the combining
 * function, `combine`.
 */
function running(
  primitive: Primitive<CumulativeParams>,
  combine: (a: Pair, b: Pair) => [value: NDArray, tangent: NDArray],
): JvpEntry {
  return jvpEntry(primitive, ([x], [dx], params) => {
    const out = bind1(primitive, [x], params);
    if (dx === null) return [[out], [null]];
    const [, t] = associativeScan<Pair>(combine, [x, dx], params);
    return [[out], [t]];
  });
}

/** Ties of two parts share evenly. */
function runningExtreme(better: (a: NDArray, b: NDArray) => NDArray): (a: Pair, b: Pair) => [NDArray, NDArray] {
  return ([xa, ta], [xb, tb]) => {
    const first = better(xa, xb);
    return [select(first, xa, xb), select(eq(xa, xb), mul(add(ta, tb), 0.5), select(first, ta, tb))];
  };
}

/** log(e^a + e^b); each part's tangent is weighed by its share of the sum. A part at -Infinity weighs nothing. */
function runningLogsumexp([ya, ta]: Pair, [yb, tb]: Pair): [NDArray, NDArray] {
  const top = select(gt(ya, yb), ya, yb);
  const safe = select(isFinite(top), top, broadcastInDim(scalar(0, top.dtype), top.shape, []));
  const wa = exp(sub(ya, safe));
  const wb = exp(sub(yb, safe));
  const total = add(wa, wb);
  const some = select(eq(total, 0), broadcastInDim(scalar(1, top.dtype), top.shape, []), total);
  return [add(log(total), safe), add(mul(ta, div(wa, some)), mul(tb, div(wb, some)))];
}

export const reduceJvps = (): JvpEntry[] => [
  linearInFirst(reduceSumP),
  chooser(reduceMaxP),
  chooser(reduceMinP),
  jvpEntry(reduceProdP, ([x], [dx], params) => {
    const out = bind1(reduceProdP, [x], params);
    return [[out], [dx === null ? null : productTangent(x, dx, params.axes)]];
  }),
  zeroDerivative(reduceAndP),
  zeroDerivative(reduceOrP),
  zeroDerivative(reduceXorP),
  zeroDerivative(argmaxP),
  zeroDerivative(argminP),
  linearInFirst(cumsumP),
  running(cumprodP, ([xa, ta], [xb, tb]) => [mul(xa, xb), add(mul(ta, xb), mul(xa, tb))]),
  running(cummaxP, runningExtreme(gt)),
  running(cumminP, runningExtreme(lt)),
  running(cumlogsumexpP, runningLogsumexp),
];

export const reduceTransposes = (): TransposeEntry[] => [
  transposeEntry(reduceSumP, ([ct], [x], { axes }) => {
    const { shape } = x.aval;
    return [broadcastInDim(ct!, shape, shape.map((_, i) => i).filter((i) => !axes.includes(i)))];
  }),
  transposeEntry(cumsumP, ([ct], _x, { axis, reverse }) => [bind1(cumsumP, [ct!], { axis, reverse: !reverse })]),
];
