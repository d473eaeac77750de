import { BackendError } from "@traceform/core";
import type { Transport } from "./transport.ts";

let transport: Transport | null = null;

export function provideTransport<T extends Transport | null>(chosen: T): T {
  transport = chosen;
  return chosen;
}

/** The transport of this process; `null` while it runs alone. */
export function current(): Transport | null {
  return transport;
}

/** The transport of this process. @throws {BackendError} before `initialize` */
export function currentTransport(fn: string): Transport {
  if (transport !== null) return transport;
  throw new BackendError(fn, {
    message: "this process runs alone",
    fix: "call `await initialize({ transport: mpi() })` first, and start the program with mpirun",
  });
}
