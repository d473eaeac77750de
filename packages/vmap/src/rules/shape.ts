import { bind, bind1, scalar } from "@traceform/core";
import {
  bitcastConvertTypeP,
  broadcastInDim,
  broadcastInDimP,
  concatenateP,
  iotaP,
  optimizationBarrierP,
  pad,
  padP,
  randomUnwrapP,
  randomWrapP,
  reshapeP,
  revP,
  select,
  sliceP,
  squeezeP,
  transposeP,
} from "@traceform/lax";
import { bumpAll, insert, moveAxis, toFront } from "../internal/axes.ts";
import { type BatchEntry, entry } from "../rule.ts";

export const shapeRules = (): BatchEntry[] => [
  entry(broadcastInDimP, ([x], [d], { shape, broadcastDimensions }, { axisSize }) => [
    [
      bind1(broadcastInDimP, [moveAxis(x, d!, 0)], {
        shape: [axisSize, ...shape],
        broadcastDimensions: [0, ...broadcastDimensions.map((i) => i + 1)],
      }),
    ],
    [0],
  ]),
  entry(reshapeP, ([x], [d], { newSizes }, { axisSize }) => [
    [bind1(reshapeP, [moveAxis(x, d!, 0)], { newSizes: [axisSize, ...newSizes] })],
    [0],
  ]),
  entry(squeezeP, ([x], [d], { dimensions }) => {
    const axes = bumpAll(dimensions, d!);
    return [[bind1(squeezeP, [x], { dimensions: axes })], [d! - axes.filter((a) => a < d!).length]];
  }),
  entry(transposeP, ([x], [d], { permutation }) => [
    [bind1(transposeP, [x], { permutation: [d!, ...bumpAll(permutation, d!)] })],
    [0],
  ]),
  entry(revP, ([x], [d], { dimensions }) => [[bind1(revP, [x], { dimensions: bumpAll(dimensions, d!) })], [d]]),
  entry(sliceP, ([x], [d], { startIndices, limitIndices, strides }, { axisSize }) => [
    [
      bind1(sliceP, [x], {
        startIndices: insert(startIndices, d!, 0),
        limitIndices: insert(limitIndices, d!, axisSize),
        strides: strides === null ? null : insert(strides, d!, 1),
      }),
    ],
    [d],
  ]),
  entry(padP, ([x, value], [d, dv], { paddingConfig }, { axisSize }) => {
    if (dv === null) return [[pad(x, value, insert(paddingConfig, d!, [0, 0, 0]))], [d]];
    // One padding value for each member: pad with zeros, then write the values where x did not go.
    const config = insert(paddingConfig, 0, [0, 0, 0] as [number, number, number]);
    const front = toFront(x, d, axisSize);
    const padded = pad(front, scalar(0, x.dtype), config);
    const inside = pad(broadcastInDim(scalar(true, "bool"), front.shape, []), scalar(false, "bool"), config);
    return [[select(inside, padded, broadcastInDim(value, padded.shape, [0]))], [0]];
  }),
  entry(concatenateP, (args, dims, { dimension }, { axisSize }) => [
    [
      bind1(
        concatenateP,
        args.map((x, i) => toFront(x, dims[i], axisSize)),
        { dimension: dimension + 1 },
      ),
    ],
    [0],
  ]),
  entry(bitcastConvertTypeP, ([x], [d], params) => [[bind1(bitcastConvertTypeP, [moveAxis(x, d!, 0)], params)], [0]]),
  entry(randomWrapP, ([x], [d], params) => [[bind1(randomWrapP, [moveAxis(x, d!, 0)], params)], [0]]),
  entry(randomUnwrapP, ([x], [d], params) => [[bind1(randomUnwrapP, [x], params)], [d]]),
  entry(optimizationBarrierP, (args, dims) => [bind(optimizationBarrierP, args, {}), dims]),
  entry(iotaP, (_args, _dims, params) => [[bind1(iotaP, [], params)], [null]]),
];
