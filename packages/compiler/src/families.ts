import { lowerAttention } from "./attention.ts";
import { lowerConv } from "./conv.ts";
import { lowerCond, lowerScan, lowerWhile } from "./control.ts";
import { lowerCumulative } from "./cumulative.ts";
import { lowerDotGeneral } from "./dot.ts";
import { lowerFft } from "./fft.ts";
import { attentionOperation } from "./graph.ts";
import { hostOperation, lowerHost } from "./host.ts";
import { linalgRules } from "./linalg/index.ts";
import { lowerArgReduce, lowerGeneralReduce, lowerReduce } from "./reduce.ts";
import { lowerConcatenate, lowerDynamicUpdateSlice, lowerScatter } from "./scatter.ts";
import type { KernelRule } from "./scope.ts";
import { lowerSort, lowerTopK } from "./sort.ts";
import { lowerGeneralReduceWindow, lowerReduceWindow, lowerSelectAndGatherAdd, lowerSelectAndScatterAdd } from "./windows.ts";

/** The primitives that need kernels of their own; all others are expressions inside kernels (`inlineRule`). */
export const kernelRules: Readonly<Record<string, KernelRule>> = {
  reduce_sum: lowerReduce("sum"),
  reduce_prod: lowerReduce("prod"),
  reduce_max: lowerReduce("max"),
  reduce_min: lowerReduce("min"),
  reduce_and: lowerReduce("and"),
  reduce_or: lowerReduce("or"),
  reduce_xor: lowerReduce("xor"),
  reduce: lowerGeneralReduce,
  argmax: lowerArgReduce(true),
  argmin: lowerArgReduce(false),
  cumsum: lowerCumulative("sum"),
  cumprod: lowerCumulative("prod"),
  cummax: lowerCumulative("max"),
  cummin: lowerCumulative("min"),
  cumlogsumexp: lowerCumulative("logsumexp"),
  reduce_window_sum: lowerReduceWindow("sum"),
  reduce_window_max: lowerReduceWindow("max"),
  reduce_window_min: lowerReduceWindow("min"),
  reduce_window: lowerGeneralReduceWindow,
  select_and_gather_add: lowerSelectAndGatherAdd,
  select_and_scatter_add: lowerSelectAndScatterAdd,
  dot_general: lowerDotGeneral,
  [attentionOperation]: lowerAttention,
  conv_general_dilated: lowerConv,
  scatter: lowerScatter(null),
  "scatter-add": lowerScatter("add"),
  "scatter-mul": lowerScatter("mul"),
  "scatter-min": lowerScatter("min"),
  "scatter-max": lowerScatter("max"),
  dynamic_update_slice: lowerDynamicUpdateSlice,
  concatenate_each: lowerConcatenate,
  fft: lowerFft,
  sort: lowerSort,
  top_k: lowerTopK,
  scan: lowerScan,
  while: lowerWhile,
  cond: lowerCond,
  [hostOperation]: lowerHost,
  ...linalgRules,
};
