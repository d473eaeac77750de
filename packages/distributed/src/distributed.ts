import { BackendError, provideProcess } from "@traceform/core";
import { current, provideTransport } from "./current.ts";
import { exchange } from "./exchange.ts";
import type { Transport } from "./transport.ts";

export interface InitializeOptions {
  /** How processes exchange data: `mpi()` of `@traceform/distributed/mpi`, or one of your own. */
  readonly transport: Transport | Promise<Transport>;
}

/**
 * Makes this process one of several that run the same program: `processIndex()` and `processCount()` tell it its place. It has to be
 * called before arrays and meshes are made. The end of the process is that of its part in the others.
 *
 * @throws {BackendError} when it was called before, and what the transport has to say
 * @see `jax.distributed.initialize`
 */
export async function initialize(options: InitializeOptions): Promise<void> {
  if (current() !== null) {
    throw new BackendError("initialize", { message: "this process is part of several already", fix: "call initialize once" });
  }
  const transport = provideTransport(await options.transport);
  provideProcess(transport.processIndex, transport.processCount, exchange);
}

/** Whether `initialize` has been called, and `shutdown` has not. */
export function isInitialized(): boolean {
  return current() !== null;
}

/** Leaves the other processes in good order; without it the end of the process does. */
export function shutdown(): void {
  current()?.[Symbol.dispose]();
  provideTransport(null);
  provideProcess(0, 1);
}
