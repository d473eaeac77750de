import type { Mpi } from "./library.ts";

/** How often watchdogs look, in milliseconds. */
export const interval = 250;

/**
 * Ends all processes, after a moment for what has been written: MPICH's launcher ends as soon as it hears of it and drops what its pipes
 * still hold. What the other watchdogs have to say about it comes in that time, within their own look.
 */
export function endAll(mpi: Mpi | null, code: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * interval);
  mpi?.MPI_Abort(mpi.abi.world, code);
}
