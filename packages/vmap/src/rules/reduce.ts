import { bind, bind1, type Primitive } from "@traceform/core";
import {
  argmaxP,
  argminP,
  cumlogsumexpP,
  cummaxP,
  cumminP,
  cumprodP,
  cumsumP,
  type CumulativeParams,
  reduceAndP,
  reduceMaxP,
  reduceMinP,
  reduceOrP,
  reduceP,
  reduceProdP,
  reduceSumP,
  reduceXorP,
  sortP,
  topKP,
} from "@traceform/lax";
import { bump, bumpAll, moveAxis, repeat } from "../internal/axes.ts";
import { sequential } from "../internal/sequential.ts";
import { type BatchEntry, entry } from "../rule.ts";

/** Reductions name their axes; the batch axis moves up by those that vanish before it. */
function reducer<P extends { readonly axes: readonly number[] }>(primitive: Primitive<P>): BatchEntry {
  return entry(primitive, ([x], [d], params) => {
    const axes = bumpAll(params.axes, d!);
    return [[bind1(primitive, [x], { ...params, axes })], [d! - axes.filter((a) => a < d!).length]];
  });
}

function cumulative(primitive: Primitive<CumulativeParams>): BatchEntry {
  return entry(primitive, ([x], [d], params) => [[bind1(primitive, [x], { ...params, axis: bump(params.axis, d!) })], [d]]);
}

export const reduceRules = (): BatchEntry[] => [
  reducer(reduceSumP),
  reducer(reduceProdP),
  reducer(reduceMaxP),
  reducer(reduceMinP),
  reducer(reduceAndP),
  reducer(reduceOrP),
  reducer(reduceXorP),
  reducer(argmaxP),
  reducer(argminP),
  cumulative(cumsumP),
  cumulative(cumprodP),
  cumulative(cummaxP),
  cumulative(cumminP),
  cumulative(cumlogsumexpP),
  entry(reduceP, (args, dims, params, context) => {
    const n = args.length / 2;
    // Initial values are scalars: with one for each member the reduction runs once for each.
    if (dims.slice(n).some((d) => d !== null)) return sequential(args, dims, params as never, context);
    const arrays = args.slice(0, n).map((x, i) => (dims[i] === null ? repeat(x, context.axisSize, 0) : moveAxis(x, dims[i], 0)));
    const outs = bind(reduceP, [...arrays, ...args.slice(n)], { ...params, dimensions: params.dimensions.map((a) => a + 1) });
    return [outs, outs.map(() => 0)];
  }),
  entry(sortP, (args, dims, params, { axisSize }) => {
    const dim = dims.find((d) => d !== null)!;
    const aligned = args.map((x, i) => (dims[i] === null ? repeat(x, axisSize, dim) : moveAxis(x, dims[i], dim)));
    const outs = bind(sortP, aligned, { ...params, dimension: bump(params.dimension, dim) });
    return [outs, outs.map(() => dim)];
  }),
  entry(topKP, ([x], [d], params) => [bind(topKP, [x], { ...params, axis: bump(params.axis, d!) }), [d, d]]),
];
