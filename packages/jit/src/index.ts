export { type CacheCounts, disableJit, ensureCompileTimeEval, ShapeDtypeStruct } from "@traceform/core";
export { explainCacheMisses } from "./explain.ts";
export { evalShape, makeJaxpr, type MakeJaxprOptions, type Shapes, type Structs } from "./inspect.ts";
export {
  cacheCounts,
  clearCaches,
  jit,
  type JitCacheCounts,
  type JitFunction,
  type JitOptions,
  type PositionsOf,
  traceCount,
} from "./jit.ts";
export { type ArgInfo, type CompiledFunction, Lowered, type MemoryAnalysis, Traced } from "./stages.ts";
