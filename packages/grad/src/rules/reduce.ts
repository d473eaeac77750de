import { bind, bind1, evalJaxpr, type NDArray, type Primitive, scalar } from "@traceform/core";
import {
  add,
  argmaxP,
  argminP,
  associativeScan,
  broadcastInDim,
  concatenate,
  convertElementType,
  cumlogsumexpP,
  cummaxP,
  cumminP,
  cumprodP,
  cumsumP,
  type CumulativeParams,
  div,
  eq,
  exp,
  type GeneralReduceParams,
  gt,
  isFinite,
  log,
  lt,
  mul,
  reduceAndP,
  reduceMaxP,
  reduceMinP,
  reduceOrP,
  reduceP,
  type ReduceParams,
  reduceProdP,
  reduceSum,
  reduceSumP,
  reduceXorP,
  reshape,
  select,
  sliceInDim,
  sub,
  transpose,
} from "@traceform/lax";
import { linearInFirst, zeroDerivative } from "../internal/entries.ts";
import { place } from "../internal/flags.ts";
import { hasTangent, instantiate } from "../internal/zeros.ts";
import { type JvpContext, type JvpEntry, jvpEntry, type Tangent, type TransposeEntry, transposeEntry } from "../rule.ts";

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
  const one = broadcastInDim(
    scalar(1, x.dtype),
    x.shape.map((m, i) => (i === axis ? 1 : m)),
    [],
  );
  if (n === 0) return x;
  const before =
    n === 1 ? one : concatenate([one, bind1(cumprodP, [sliceInDim(x, 0, n - 1, 1, axis)], { axis, reverse: false })], axis);
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

/** All operands with the reduced axes merged into a last one. */
function mergeAxes(x: NDArray, dimensions: readonly number[]): NDArray {
  const kept = x.shape.map((_, i) => i).filter((i) => !dimensions.includes(i));
  const sizes = kept.map((i) => x.shape[i]);
  return reshape(transpose(x, [...kept, ...dimensions]), [...sizes, dimensions.reduce((p, i) => p * x.shape[i], 1)]);
}

/**
 * A reduction with any associative computation: a tree of applications of its derivative, elementwise on halves.
 * The computation takes scalars, so its equations work on arrays too.
 */
function generalReduction(
  primals: readonly NDArray[],
  tangents: readonly Tangent[],
  params: GeneralReduceParams,
  { jvpJaxpr }: JvpContext,
): readonly [NDArray[], Tangent[]] {
  const n = primals.length / 2;
  const outs = bind(reduceP, primals, params);
  const inexact = outs.map((x) => hasTangent(x.aval));
  const derivative = jvpJaxpr(params.jaxpr, [...inexact, ...inexact], inexact);
  const dots = primals.map((x, i) => (inexact[i % n] ? instantiate(tangents[i], x.aval) : null)).filter((t) => t !== null);
  const k = dots.length / 2;
  // (values, tangents) of two parts -> of both together.
  const combine = (a: Pair, b: Pair): NDArray[] =>
    evalJaxpr(derivative.jaxpr, [], [...derivative.consts, ...a.slice(0, n), ...b.slice(0, n), ...a.slice(n), ...b.slice(n)]);
  let parts: Pair = [...primals.slice(0, n), ...dots.slice(0, k)].map((x) => mergeAxes(x, params.dimensions));
  const last = parts[0].ndim - 1;
  const cut = (from: number, to: number): NDArray[] => parts.map((x) => sliceInDim(x, from, to, 1, last));
  for (let size = parts[0].shape[last]; size > 1; size = parts[0].shape[last]) {
    const half = Math.floor(size / 2);
    const both = combine(cut(0, half), cut(half, 2 * half));
    parts = size % 2 === 0 ? both : both.map((x, i) => concatenate([x, cut(2 * half, size)[i]], last));
  }
  const { shape } = outs[0];
  const initial = [...primals.slice(n), ...dots.slice(k)].map((x) => broadcastInDim(x, shape, []));
  if (parts[0].shape[last] === 0) return [outs, place(inexact, initial.slice(n))];
  const all = combine(
    initial,
    parts.map((x) => reshape(x, shape)),
  );
  return [outs, place(inexact, all.slice(n))];
}

export const reduceJvps = (): JvpEntry[] => [
  jvpEntry(reduceP, generalReduction),
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
    return [
      broadcastInDim(
        ct!,
        shape,
        shape.map((_, i) => i).filter((i) => !axes.includes(i)),
      ),
    ];
  }),
  transposeEntry(cumsumP, ([ct], _x, { axis, reverse }) => [bind1(cumsumP, [ct!], { axis, reverse: !reverse })]),
];
