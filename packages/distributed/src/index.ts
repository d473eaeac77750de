export { processCount, processIndex } from "@traceform/core";
export { initialize, type InitializeOptions, isInitialized, shutdown } from "./distributed.ts";
export type { Groups, ReduceOp, ReducibleDType, Transport } from "./transport.ts";
