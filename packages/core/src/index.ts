export * from "./arrays.ts";
export * from "./avals.ts";
export * from "./axis.ts";
export * from "./backends.ts";
export * from "./bind.ts";
export * from "./check.ts";
export * from "./closed.ts";
export {
  type Config,
  config,
  type ConfigValues,
  debugInfs,
  debugNans,
  disableJit,
  type DTypePromotion,
  numpyDtypePromotion,
} from "./config.ts";
export { blockOf, heldOf, heldShape, spansMemories, spansProcesses } from "./blocks.ts";
export { ConcreteArray, type ScalarValue } from "./concrete.ts";
export { constrain, type Layouts, withShardingConstraint } from "./constraint.ts";
export { copyBlock, zerosOnHost } from "./copyblock.ts";
export { heldPart } from "./cutting.ts";
export { shardingConstraintP, type ShardingConstraintParams } from "./relayout.ts";
export * from "./dce.ts";
export * from "./device.ts";
export * from "./dtypes.ts";
export { version } from "./duplicate.ts";
export * from "./effects.ts";
export * from "./errors.ts";
export * from "./evaluate.ts";
export { checksFloats, type WatchParams, watchP } from "./floating.ts";
export * from "./halves.ts";
export * from "./host.ts";
export {
  type HostMeetRule,
  hostMeetRule,
  type HostPlaceRule,
  hostPlaceRule,
  type HostRule,
  hostRule,
  type HostStep,
  hostStep,
  runsOnHost,
} from "./hoststep.ts";
export { refuseTracedIntegers } from "./integers.ts";
export { identity } from "./identity.ts";
export type { ArgumentAt, Input, Inputs, PositionOption, Positions, TreePrefix } from "./inputs.ts";
export { innerJaxprs } from "./innerjaxprs.ts";
export * from "./jaxpr.ts";
export { JaxprMemo } from "./jaxprmemo.ts";
export * from "./jit.ts";
export { bits, or, splitList } from "./lists.ts";
export { LruCache } from "./lru.ts";
export {
  expandLowerRules,
  JaxprRewriter,
  type LowerRule,
  type LowerRuleWhere,
  type OwnPrimitives,
  type ReplacementRule,
} from "./lowering.ts";
export { getMesh, meshForSpecs, setMesh } from "./currentmesh.ts";
export * from "./makearrays.ts";
export * from "./mesh.ts";
export { memoryBlocks } from "./memoryblocks.ts";
export { meshBlock } from "./meshblocks.ts";
export * from "./ndarray.ts";
export * from "./ownership.ts";
export { Partial } from "./partial.ts";
export * from "./partitionspec.ts";
export * from "./primitive.ts";
export * from "./process.ts";
export * from "./print.ts";
export * as profiler from "./profiler.ts";
export {
  type CacheCounts,
  clearExecutables,
  compilationCount,
  compilationCounts,
  type Compiled,
  compileProgram,
  concreteArg,
  lazily,
  runCompiled,
} from "./programs.ts";
export { deviceFor, runFloatChecked } from "./eager.ts";
export * from "./promotion.ts";
export {
  homeDevice,
  layoutOf,
  laysOutOverMemories,
  type Propagation,
  providePropagation,
  type RunInBlocks,
  runProgram,
} from "./propagation.ts";
export * from "./pytree.ts";
export * from "./queue.ts";
export { type ArrayScope, arrayScope } from "./scope.ts";
export { namedScope } from "./scopes.ts";
export { activeRecorder, type EventArgs, hostTrack, type Recorder, type Track } from "./recorder.ts";
export * from "./sharding.ts";
export { type GlobalShard, type OwnPart, ownParts, type Shard } from "./shards.ts";
export { ShapeDtypeStruct } from "./shapestruct.ts";
export * from "./source.ts";
export * from "./staging.ts";
export { avalKey, jaxprId, paramsKey, valueKey } from "./structure.ts";
export * from "./trace.ts";
export * from "./tracetree.ts";
export { blockUntilReady, deviceGet, devicePut, type Placement } from "./transfer.ts";
export { provideVmap, providedVmap, type Vectorizer } from "./vectorizer.ts";
