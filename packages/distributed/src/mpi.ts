import { type MpiOptions, MpiTransport } from "./mpi/transport.ts";
import type { Transport } from "./transport.ts";

export { startedByMpi } from "./mpi/launchers.ts";
export type { MpiOptions } from "./mpi/transport.ts";

/**
 * A transport over MPI, for programs that `mpirun`, `srun` or a Kubernetes MPI job has started: Open MPI, MPICH, or any library with the
 * standard's own binary interface. It needs the package `koffi`.
 *
 * A process that ends with an error, and one that waits too long for the others, ends all of them.
 *
 * @throws {BackendError} when MPI or koffi are not installed, or MPI does not see the processes that the launcher has started: it says what to do
 * @example
 * ```ts
 * await initialize({ transport: mpi() });
 * ```
 */
export function mpi(options: MpiOptions = {}): Promise<Transport> {
  return MpiTransport.start(options);
}
