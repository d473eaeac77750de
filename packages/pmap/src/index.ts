export {
  getMesh,
  type Layouts,
  type MakeMeshOptions,
  Mesh,
  type NestedDevices,
  NamedSharding,
  P,
  PartitionSpec,
  setMesh,
  type Shard,
  Sharding,
  SingleDeviceSharding,
  type Slice,
  type SpecEntry,
  withShardingConstraint,
} from "@traceform/core";
export { withShardingConstraint as reshard } from "@traceform/core";
export { lockstep } from "./lockstep.ts";
export { makeMesh } from "./mesh.ts";
export { provideParallel } from "./inblocks.ts";
export { pmap } from "./pmap.ts";
export { propagateShardings } from "./propagate.ts";
export { shardMap } from "./shardmap.ts";
export { runPartitioned } from "./spmd/partition.ts";
export { mostWholeBytes } from "./spmd/steps.ts";
export type { PmapOptions, ShardMapOptions, Specs } from "./types.ts";
