export { processCount, processIndex } from "@traceform/core";
export { saveCheckpoint, type SaveCheckpointOptions } from "./checkpoint.ts";
export { initialize, type InitializeOptions, isInitialized, shutdown } from "./distributed.ts";
export { loadCheckpoint } from "./loading.ts";
export {
  assertEqual,
  broadcastOneToAll,
  globalArrayToHostLocalArray,
  hostLocalArrayToGlobalArray,
  processAllgather,
  type ProcessAllgatherOptions,
  syncGlobalDevices,
} from "./multihost.ts";
export type { Groups, ReduceOp, ReducibleDType, Transport } from "./transport.ts";
