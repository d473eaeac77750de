export { batchJaxpr, BatchTrace, BatchTracer } from "./batch.ts";
export type { BatchContext, BatchDim, BatchedJaxpr, BatchRule } from "./rule.ts";
export { elementwise } from "./rules/elementwise.ts";
export { batchRules } from "./rules/index.ts";
export type { Axes, VmapOptions } from "./types.ts";
export { vmap } from "./vmap.ts";
