/** How much kernels do at a time; `tiny` where large ones take long to compile, as on a GPU that the CPU imitates. */
export type KernelSize = "full" | "tiny";

/** What decides how nests are run. */
export interface Schedule {
  readonly size: KernelSize;
  /** The most invocations of a subgroup; 0 where kernels cannot use subgroups. */
  readonly subgroups: number;
  /** Bytes of memory that a workgroup may have. */
  readonly memory: number;
}
