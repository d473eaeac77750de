export { NDArray as ndarray } from "@traceform/core";
export * from "./binary.ts";
export * from "./calculus.ts";
export * from "./constants.ts";
export {
  arange,
  type ArangeOptions,
  array,
  type ArrayOptions,
  asarray,
  copy,
  type DTypeOption,
  empty,
  emptyLike,
  eye,
  frombuffer,
  fromfunction,
  full,
  fullLike,
  geomspace,
  identity,
  indices,
  type LikeOptions,
  linspace,
  type LinspaceOptions,
  logspace,
  meshgrid,
  type MeshgridOptions,
  ones,
  onesLike,
  type ShapeLike,
  vander,
  zeros,
  zerosLike,
} from "./creation.ts";
export * from "./dtypes.ts";
export * from "./einsum.ts";
export * as fft from "./fft.ts";
export * as linalg from "./linalg.ts";
export * from "./fill.ts";
export {
  type GetOptions,
  at,
  getItem,
  type Index,
  type IndexMode,
  type IndexUpdate,
  type SetOptions,
  type Slice,
  slice,
} from "./indexing.ts";
export * from "./join.ts";
export * from "./linear.ts";
export * from "./logic.ts";
export * from "./nanreductions.ts";
export * from "./pad.ts";
export * from "./polynomial.ts";
export {
  all,
  amax,
  amin,
  any,
  argmax,
  type ArgOptions,
  argmin,
  average,
  type AverageOptions,
  countNonzero,
  type CumulativeInitialOptions,
  type CumulativeOptions,
  cumprod,
  cumsum,
  cumulativeProd,
  cumulativeSum,
  max,
  mean,
  min,
  prod,
  ptp,
  type ReduceOptions,
  std,
  sum,
  var_,
  type VarOptions,
} from "./reductions.ts";
export * from "./search.ts";
export * from "./select.ts";
export * from "./sets.ts";
export * from "./shape.ts";
export * from "./sorting.ts";
export * from "./special.ts";
export * from "./statistics.ts";
export * from "./take.ts";
export * from "./triangles.ts";
export * from "./unary.ts";
export * from "./vectorize.ts";
export * from "./windows.ts";
export { ravelPytree } from "./ravel.ts";
export { segmentMax, segmentMin, segmentProd, type SegmentOptions, segmentSum } from "./segments.ts";
