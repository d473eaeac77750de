import { BackendError } from "@traceform/core";
import { writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { inspect } from "node:util";
import { workerData } from "node:worker_threads";
import { endAll, interval } from "./ending.ts";
import { loadMpi, type Mpi, readInt } from "./library.ts";
import { commands, unlimited, watchdogTag as tag, type WatchdogStart, words } from "./words.ts";

// A thread that looks at how long the main thread has been in a call of MPI, which blocks it. Who waits longer than a second tells the
// others where, past the call that does not end; so the watchdog can say who makes another call, and who does not come. There is no way
// to end such a call but to end the processes.

/** After how long it tells the others, in milliseconds. */
const patience = 1000;

interface Arrival {
  readonly call: number;
  readonly command: number;
}

class Watchdog {
  /** Loaded when a call takes long: a thread that ends while it loads a library takes the process with it. */
  #mpi: Mpi | null = null;
  readonly #start: WatchdogStart;
  readonly #word: Int32Array;
  readonly #arrivals = new Map<number, Arrival>();
  #call = 0;
  #since = 0;
  #told = 0;

  constructor(start: WatchdogStart) {
    this.#start = start;
    this.#word = new Int32Array(start.words);
  }

  async look(): Promise<void> {
    const call = Atomics.load(this.#word, words.call);
    const command = Atomics.load(this.#word, words.command);
    const now = performance.now();
    if (call !== this.#call) [this.#call, this.#since] = [call, now];
    const waited = now - this.#since;
    if (call === 0 || waited < patience) return;
    await this.#talk(call, command);
    if (Atomics.load(this.#word, words.call) !== call) return;
    const { rank, size, limit } = this.#start;
    const where = `process ${rank} of ${size} calls ${commands[command]}, call ${call} of the program`;
    for (const [other, a] of this.#arrivals) {
      if (a.call !== call || a.command === command) continue;
      this.#end(
        commands[command],
        `${where}, but process ${other} calls ${commands[a.command]} there`,
        "run the same program on the same shapes in every process",
      );
    }
    if (waited < limit || unlimited.has(commands[command])) return;
    const missing = [];
    for (let i = 0; i < size; i++) if (i !== rank && (this.#arrivals.get(i)?.call ?? 0) < call) missing.push(i);
    const who =
      this.#start.communicator === null ? "other processes" : `process${missing.length === 1 ? "" : "es"} ${missing.join(", ")}`;
    this.#end(
      commands[command],
      `${where}, and has waited ${limit / 1000} s for ${who}`,
      "look at why that process does not come: an error, an endless loop, or a branch that only some processes take; mpi({ timeout }) changes the limit",
    );
  }

  /** Tells and hears where processes are, unless the main thread has left the call; it does not leave MPI before this is done. */
  async #talk(call: number, command: number): Promise<void> {
    if (this.#start.communicator === null) return;
    Atomics.store(this.#word, words.talking, 1);
    if (Atomics.load(this.#word, words.call) === call) {
      this.#mpi ??= await loadMpi();
      if (this.#told !== call) this.#tell(this.#mpi, call, command);
      this.#told = call;
      this.#listen(this.#mpi);
    }
    Atomics.store(this.#word, words.talking, 0);
    Atomics.notify(this.#word, words.talking);
  }

  /** Messages of this size are on their way at once. */
  #tell({ MPI_Send, abi }: Mpi, call: number, command: number): void {
    const message = Int32Array.of(call, command);
    const { rank, size, communicator } = this.#start;
    for (let other = 0; other < size; other++) if (other !== rank) MPI_Send(message, 8, abi.bytes, other, tag, communicator);
    Atomics.add(this.#word, words.told, 1);
  }

  #listen({ MPI_Iprobe, MPI_Recv, abi }: Mpi): void {
    const { communicator } = this.#start;
    const status = new Int32Array(16);
    while (readInt((flag) => MPI_Iprobe(abi.anySource, tag, communicator, flag, status)) !== 0) {
      const message = new Int32Array(2);
      const source = status[abi.sourceWord];
      MPI_Recv(message, 8, abi.bytes, source, tag, communicator, new Int32Array(16));
      Atomics.add(this.#word, words.heard, 1);
      this.#arrivals.set(source, { call: message[0], command: message[1] });
    }
  }

  #end(command: string, message: string, fix: string): never {
    writeSync(2, `${inspect(new BackendError(command, { message, fix }))}\n`);
    endAll(this.#mpi, 1);
    process.abort();
  }
}

const watchdog = new Watchdog(workerData as WatchdogStart);
for (;;) {
  await setTimeout(interval);
  await watchdog.look();
}
