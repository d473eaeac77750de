import type { TreePrefix } from "@traceform/core";

/**
 * Which axis of each array in `T` is the batch: one axis for all of it (`null` for none), or a tree of axes whose
 * containers are those of `T`.
 */
export type Axes<T> = TreePrefix<T, number | null>;

export interface VmapOptions<A extends readonly unknown[], R> {
  /** The batch axis of every argument, or one entry for each argument. Default 0. Negative axes count from the end. */
  readonly inAxes?: number | null | { readonly [K in keyof A]: Axes<A[K]> };
  /** Where the batch axis goes in the results. Default 0; `null` for a result that is the same for the whole batch. */
  readonly outAxes?: Axes<R>;
  /** A name by which collectives inside the function know the batch: `psum(x, "i")`. */
  readonly axisName?: string;
  /** The mesh axes over which the batch is spread, for `shardMap` and sharding constraints inside the function. */
  readonly spmdAxisName?: string | readonly string[];
  /** The size of the batch; needed when no argument is mapped. */
  readonly axisSize?: number;
}
