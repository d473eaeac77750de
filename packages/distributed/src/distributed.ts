import { BackendError, provideProcess } from "@traceform/core";
import type { Transport } from "./transport.ts";

export interface InitializeOptions {
  /** How processes exchange data: `mpi()` of `@traceform/distributed/mpi`, or one of your own. */
  readonly transport: Transport | Promise<Transport>;
}

let transport: Transport | null = null;

/**
 * Makes this process one of several that run the same program: `processIndex()` and `processCount()` tell it its place. It has to be
 * called before arrays and meshes are made. The end of the process is that of its part in the others.
 *
 * @throws {BackendError} when it was called before, and what the transport has to say
 * @see `jax.distributed.initialize`
 */
export async function initialize(options: InitializeOptions): Promise<void> {
  if (transport !== null) {
    throw new BackendError("initialize", { message: "this process is part of several already", fix: "call initialize once" });
  }
  transport = await options.transport;
  provideProcess(transport.processIndex, transport.processCount);
}

/** Whether `initialize` has been called, and `shutdown` has not. */
export function isInitialized(): boolean {
  return transport !== null;
}

/** Leaves the other processes in good order; without it the end of the process does. */
export function shutdown(): void {
  transport?.[Symbol.dispose]();
  transport = null;
  provideProcess(0, 1);
}

/** The transport of this process. @throws {BackendError} before `initialize` */
export function currentTransport(fn: string): Transport {
  if (transport !== null) return transport;
  throw new BackendError(fn, {
    message: "this process runs alone",
    fix: "call `await initialize({ transport: mpi() })` first, and start the program with mpirun",
  });
}
