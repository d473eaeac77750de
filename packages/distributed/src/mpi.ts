import { type MpiOptions, MpiTransport } from "./mpi/transport.ts";
import type { Transport } from "./transport.ts";

export type { MpiOptions } from "./mpi/transport.ts";

/**
 * A transport over MPI, for programs that `mpirun`, `srun` or a Kubernetes MPI job has started: Open MPI, MPICH, or any library with the
 * standard's own binary interface. It needs the package `koffi`.
 *
 * A process that ends with an error, and one that waits too long for the others, ends all of them.
 *
 * @throws {BackendError} when MPI or koffi are not installed; it says what to install
 * @example
 * ```ts
 * await initialize({ transport: mpi() });
 * ```
 */
export function mpi(options: MpiOptions = {}): Promise<Transport> {
  return MpiTransport.start(options);
}

/** Names that launchers set for the processes that they start: how many there are, or, `PMIX_RANK`, which of them a process is. */
const marks = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS"] as const;

/** Whether this process was started by a launcher of MPI: `mpirun`, `mpiexec`, or `srun` with more than one task. */
export function startedByMpi(env: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return marks.some((name) => env[name] !== undefined && (name !== "SLURM_STEP_NUM_TASKS" || Number(env[name]) > 1));
}
