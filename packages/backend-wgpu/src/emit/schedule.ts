import type { Dialect } from "./dialects.ts";

/** How much kernels do at a time; `tiny` where large ones take long to compile, as on a GPU that the CPU imitates. */
export type KernelSize = "full" | "tiny";

/** What decides how nests are run. */
export interface Schedule {
  readonly size: KernelSize;
  /** The most invocations of a subgroup; 0 where kernels cannot use subgroups. */
  readonly subgroups: number;
  /** Bytes of memory that a workgroup may have. */
  readonly memory: number;
  /** Whether kernels may have numbers of half precision. */
  readonly halves: boolean;
  /** What multiplies small matrices; null where there is nothing. */
  readonly units: Units | null;
  /** The name of the tile that was found to be the fastest for a class of products. */
  readonly chosenTile: (productClass: string) => string | undefined;
}

/** Sizes and types of the matrices that a unit multiplies: `result[M, N] += left[M, K] * right[K, N]`. */
export interface UnitConfig {
  readonly component: "f16" | "f32";
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Units that multiply small matrices, one of a subgroup. Their sums are f32. */
export interface Units {
  readonly dialect: Dialect;
  readonly configs: readonly UnitConfig[];
  /** The most invocations of a subgroup. */
  readonly subgroup: number;
  /** The most invocations of a workgroup. */
  readonly invocations: number;
}
