import type { Device, Mesh, PartitionSpec, TreePrefix } from "@traceform/core";
import type { Axes } from "@traceform/vmap";

/** Specs for a tree of arrays: one for all of it (`null` for one that cuts nothing), or a tree of the same containers. */
export type Specs<T> = TreePrefix<T, PartitionSpec | null>;

export interface ShardMapOptions<A extends readonly unknown[], R> {
  /** The mesh; the one that `setMesh` set unless given. */
  readonly mesh?: Mesh;
  /** How each argument is cut into shards: one spec for all, or a list with an entry for each argument. */
  readonly inSpecs: PartitionSpec | null | { readonly [K in keyof A]: Specs<A[K]> };
  /** How the shards of the results make whole arrays. */
  readonly outSpecs: Specs<R>;
  /**
   * Whether values know along which mesh axes they vary. On by default; without it `outSpecs` are believed, and derivatives are those of
   * the sum of what all positions return.
   */
  readonly checkVma?: boolean;
}

export interface PmapOptions<A extends readonly unknown[], R> {
  /** A name by which collectives inside the function know the devices: `psum(x, "i")`. */
  readonly axisName?: string;
  /** The axis of each argument that is spread over devices, `null` for what all of them get whole. Default 0. */
  readonly inAxes?: number | null | { readonly [K in keyof A]: Axes<A[K]> };
  /** The axis along which the results of the devices are put together. Default 0; `null` for a result that all devices share. */
  readonly outAxes?: Axes<R>;
  /** Positions of arguments that are compile-time constants, the same for all devices. */
  readonly staticBroadcastedArgnums?: number | readonly number[];
  /** Positions of arguments whose memory the results may take over. */
  readonly donateArgnums?: number | readonly number[];
  /** The devices to run on, one for each position; by default the first ones of the default backend. */
  readonly devices?: readonly Device[];
  /** How many devices; needed when no argument is mapped. */
  readonly axisSize?: number;
}
