export { shardingConstraintP, type ShardingConstraintParams, withShardingConstraint } from "@traceform/core";
export * from "./associative.ts";
export * from "./binary.ts";
export * from "./callback.ts";
export type * from "./carrytypes.ts";
export * from "./collectives.ts";
export * from "./cond.ts";
export * from "./conv.ts";
export * from "./convert.ts";
export * from "./create.ts";
export * from "./cumulative.ts";
export * from "./custom.ts";
export * from "./customvmap.ts";
export * as debug from "./debug.ts";
export * from "./dot.ts";
export * from "./exchange.ts";
export * from "./fft.ts";
export * from "./gather.ts";
export * from "./identity.ts";
export { refuseDivergence } from "./internal/divergence.ts";
export * as linalg from "./linalg.ts";
export * from "./linearcall.ts";
export {
  customLinearSolve,
  customLinearSolveP,
  type CustomLinearSolveParams,
  type LinearMap,
  type LinearSolveOptions,
  transposedCallP,
  type TransposedCallParams,
} from "./linearsolve.ts";
export * from "./loops.ts";
export * from "./random.ts";
export * from "./reduce.ts";
export * from "./remat.ts";
export * from "./root.ts";
export * from "./scatter.ts";
export * from "./select.ts";
export * from "./shardmap.ts";
export * from "./shape.ts";
export * from "./slice.ts";
export * from "./sort.ts";
export * from "./unary.ts";
export * from "./window.ts";
