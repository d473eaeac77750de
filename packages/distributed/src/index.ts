export { processCount, processIndex } from "@traceform/core";
export { loadCheckpoint, saveCheckpoint, type SaveCheckpointOptions } from "./checkpoint.ts";
export { initialize, type InitializeOptions, isInitialized, shutdown } from "./distributed.ts";
export { assertEqual, broadcastOneToAll, processAllgather, type ProcessAllgatherOptions, syncGlobalDevices } from "./multihost.ts";
export type { Groups, ReduceOp, ReducibleDType, Transport } from "./transport.ts";
