export { type Batched, type CustomVmap, customVmap, sequentialVmap } from "@traceform/lax";
export { batchJaxpr, BatchTrace, BatchTracer } from "./batch.ts";
export type { BatchAxis, BatchContext, BatchDim, BatchedJaxpr, BatchRule, Beyond } from "./rule.ts";
export { elementwise } from "./rules/elementwise.ts";
export { batchRules } from "./rules/index.ts";
export type { Axes, VmapOptions } from "./types.ts";
export { vmap } from "./vmap.ts";
