import { bind, bind1, type Primitive } from "@traceform/core";
import {
  reduceWindowMaxP,
  reduceWindowMinP,
  reduceWindowP,
  type ReduceWindowParams,
  reduceWindowSumP,
  selectAndGatherAddP,
  selectAndScatterAddP,
} from "@traceform/lax";
import { insert, toFront } from "../internal/axes.ts";
import { sequential } from "../internal/sequential.ts";
import { type BatchEntry, entry } from "../rule.ts";

/** Windows of size 1 along the batch axis. */
function alongBatch<P extends ReduceWindowParams>(params: P, dim: number): P {
  return {
    ...params,
    windowDimensions: insert(params.windowDimensions, dim, 1),
    windowStrides: insert(params.windowStrides, dim, 1),
    padding: insert(params.padding, dim, [0, 0]),
    baseDilation: insert(params.baseDilation, dim, 1),
    windowDilation: insert(params.windowDilation, dim, 1),
  };
}

function windowReducer(primitive: Primitive<ReduceWindowParams>): BatchEntry {
  return entry(primitive, ([x], [d], params) => [[bind1(primitive, [x], alongBatch(params, d!))], [d]]);
}

export const windowRules = (): BatchEntry[] => [
  windowReducer(reduceWindowSumP),
  windowReducer(reduceWindowMaxP),
  windowReducer(reduceWindowMinP),
  entry(reduceWindowP, (args, dims, params, context) => {
    const n = args.length / 2;
    // Initial values are scalars: with one for each member the windows are reduced once for each.
    if (dims.slice(n).some((d) => d !== null)) return sequential(args, dims, params as never, context);
    const arrays = args.slice(0, n).map((x, i) => toFront(x, dims[i], context.axisSize));
    const outs = bind(reduceWindowP, [...arrays, ...args.slice(n)], alongBatch(params, 0));
    return [outs, outs.map(() => 0)];
  }),
  entry(selectAndScatterAddP, (args, dims, params, { axisSize }) => [
    [
      bind1(
        selectAndScatterAddP,
        args.map((x, i) => toFront(x, dims[i], axisSize)),
        {
          ...params,
          windowDimensions: [1, ...params.windowDimensions],
          windowStrides: [1, ...params.windowStrides],
          padding: [[0, 0], ...params.padding],
        },
      ),
    ],
    [0],
  ]),
  entry(selectAndGatherAddP, (args, dims, params, { axisSize }) => [
    [
      bind1(
        selectAndGatherAddP,
        args.map((x, i) => toFront(x, dims[i], axisSize)),
        alongBatch(params, 0),
      ),
    ],
    [0],
  ]),
];
