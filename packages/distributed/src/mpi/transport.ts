import { BackendError, DisposedError, itemsize } from "@traceform/core";
import { writeSync } from "node:fs";
import { inspect } from "node:util";
import { Worker } from "node:worker_threads";
import type { Groups, ReduceOp, ReducibleDType, Transport } from "../transport.ts";
import { hintForOpenMpi, launcherOf } from "./launchers.ts";
import { loadMpi, type Mpi, readHandle, readInt } from "./library.ts";
import { countOf } from "./counts.ts";
import { endAll } from "./ending.ts";
import { type Command, commands, watchdogTag, type WatchdogStart, words } from "./words.ts";

export interface MpiOptions {
  /** How many seconds a call may wait for other processes before it ends all of them; 300 unless given. */
  readonly timeout?: number;
}

/**
 * MPI, called by the thread of the program: its calls block, as those of the backend do, and take memory as it is. A watchdog in a thread of
 * its own sees calls that do not end.
 */
export class MpiTransport implements Transport {
  readonly name: string;
  readonly processIndex: number;
  readonly processCount: number;
  readonly #mpi: Mpi;
  readonly #word: Int32Array;
  readonly #watchdog: Worker | null;
  /** All processes, for what is not part of the program: messages of watchdogs, and the end, which meets no barrier of the program. */
  readonly #apart: bigint | number;
  readonly #communicators = new Map<string, bigint | number>();
  #calls = 0;
  #disposed = false;
  #uncaught: unknown = null;
  readonly #atExit = (code: number): void => this.#leave(code);
  readonly #atError = (error: unknown): void => void (this.#uncaught = error);

  private constructor(mpi: Mpi, limit: number) {
    const { abi } = mpi;
    const { world } = abi;
    const hint = abi.name === "MPICH" ? null : hintForOpenMpi(process.env);
    if (hint !== null) writeSync(2, `${hint}\n`);
    const level = readInt((out) => mpi.MPI_Init_thread(null, null, abi.threadMultiple, out));
    mpi.MPI_Comm_set_errhandler(world, abi.errorsReturn);
    this.#mpi = mpi;
    this.processIndex = readInt((out) => mpi.MPI_Comm_rank(world, out));
    this.processCount = readInt((out) => mpi.MPI_Comm_size(world, out));
    const text = new Uint8Array(8192);
    const length = readInt((out) => mpi.MPI_Get_library_version(text, out));
    const [version] = new TextDecoder().decode(text.subarray(0, length)).split(/[,\n\0]/);
    this.name = `MPI (${version.replace(/ Version:\s*| v(?=\d)/, " ")})`;
    const launcher = launcherOf(process.env);
    if (this.processCount === 1 && launcher !== null && launcher.count > 1) {
      mpi.MPI_Finalize();
      throw new BackendError("initialize", {
        message: `${launcher.name} has started ${launcher.count} processes, but ${this.name} sees this one only`,
        fix: launcher.fix,
      });
    }
    const shared = new SharedArrayBuffer(4 * Object.keys(words).length);
    this.#word = new Int32Array(shared);
    this.#apart = readHandle(abi, (out) => mpi.MPI_Comm_dup(world, out));
    // Two threads may call MPI at the same time only where it says so.
    const communicator = level === abi.threadMultiple ? this.#apart : null;
    this.#watchdog = this.processCount === 1 ? null : this.#watch({ words: shared, limit, communicator });
    process.on("exit", this.#atExit);
    process.on("uncaughtExceptionMonitor", this.#atError);
  }

  #watch(start: Omit<WatchdogStart, "rank" | "size">): Worker {
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const workerData: WatchdogStart = { ...start, rank: this.processIndex, size: this.processCount };
    const worker = new Worker(new URL(`./watchdog.${extension}`, import.meta.url), { workerData });
    worker.unref();
    return worker;
  }

  /** @throws {BackendError} when there is no MPI, or it does not see the processes of the launcher; it says what to do */
  static async start({ timeout = 300 }: MpiOptions): Promise<MpiTransport> {
    return new MpiTransport(await loadMpi(), timeout * 1000);
  }

  allReduce(send: Uint8Array, receive: Uint8Array, dtype: ReducibleDType, op: ReduceOp, groups: Groups = null): void {
    const { abi } = this.#mpi;
    const [n] = countOf("allReduce", send.byteLength, [itemsize(dtype)]);
    this.#call("allReduce", groups, (on) => this.#mpi.MPI_Allreduce(send, receive, n, abi.dtypes[dtype], abi.ops[op], on));
  }
  allGather(send: Uint8Array, receive: Uint8Array, groups: Groups = null): void {
    const [n, unit] = this.#moved("allGather", send.byteLength);
    this.#call("allGather", groups, (on) => this.#mpi.MPI_Allgather(send, n, unit, receive, n, unit, on));
  }
  reduceScatter(send: Uint8Array, receive: Uint8Array, dtype: ReducibleDType, op: ReduceOp, groups: Groups = null): void {
    const { abi } = this.#mpi;
    const [n] = countOf("reduceScatter", receive.byteLength, [itemsize(dtype)]);
    this.#call("reduceScatter", groups, (on) =>
      this.#mpi.MPI_Reduce_scatter_block(send, receive, n, abi.dtypes[dtype], abi.ops[op], on),
    );
  }
  allToAll(send: Uint8Array, receive: Uint8Array, groups: Groups = null): void {
    const members = groups?.find((g) => g.includes(this.processIndex))?.length ?? this.processCount;
    const [n, unit] = this.#moved("allToAll", send.byteLength / members);
    this.#call("allToAll", groups, (on) => this.#mpi.MPI_Alltoall(send, n, unit, receive, n, unit, on));
  }
  exchange(send: Uint8Array, to: number | null, receive: Uint8Array, from: number | null): void {
    const [sent, sentUnit] = this.#moved("exchange", send.byteLength);
    const [got, gotUnit] = this.#moved("exchange", receive.byteLength);
    const status = new Uint8Array(64);
    if (from === null) receive.fill(0);
    this.#call("exchange", null, (on) => {
      if (to !== null && from !== null)
        return this.#mpi.MPI_Sendrecv(send, sent, sentUnit, to, 0, receive, got, gotUnit, from, 0, on, status);
      if (to !== null) return this.#mpi.MPI_Send(send, sent, sentUnit, to, 0, on);
      return from === null ? 0 : this.#mpi.MPI_Recv(receive, got, gotUnit, from, 0, on, status);
    });
  }
  broadcast(data: Uint8Array, root: number): void {
    const [n, unit] = this.#moved("broadcast", data.byteLength);
    this.#call("broadcast", null, (on) => this.#mpi.MPI_Bcast(data, n, unit, root, on));
  }
  barrier(): void {
    this.#call("barrier", null, (on) => this.#mpi.MPI_Barrier(on));
  }

  /** A number of bytes as a count of elements, and their type. */
  #moved(command: Command, bytes: number): readonly [count: number, unit: bigint | number] {
    const { abi } = this.#mpi;
    const [count, size] = countOf(command, bytes, [1, 8]);
    return [count, size === 1 ? abi.bytes : abi.dtypes.uint64];
  }

  #call(command: Command, groups: Groups, run: (communicator: bigint | number) => number): void {
    if (this.#disposed) {
      throw new DisposedError(command, { message: "the transport was disposed of", fix: "exchange data before shutdown()" });
    }
    const communicator = groups === null ? this.#mpi.abi.world : this.#communicator(groups);
    this.#watched(command, () => run(communicator));
  }

  /** The communicator of the groups; all processes make it together. */
  #communicator(groups: NonNullable<Groups>): bigint | number {
    const key = JSON.stringify(groups);
    let known = this.#communicators.get(key);
    if (known === undefined) {
      const { abi } = this.#mpi;
      const color = groups.findIndex((g) => g.includes(this.processIndex));
      const rank = groups[color].indexOf(this.processIndex);
      let made: bigint | number = 0;
      this.#watched("split", () => {
        made = readHandle(abi, (out) => this.#mpi.MPI_Comm_split(abi.world, color, rank, out));
        return this.#mpi.MPI_Comm_set_errhandler(made, abi.errorsReturn);
      });
      this.#communicators.set(key, (known = made));
    }
    return known;
  }

  /** Makes a call under the eyes of the watchdog. @throws {BackendError} for what MPI refuses */
  #watched(command: Command, run: () => number): void {
    const word = this.#word;
    Atomics.store(word, words.command, commands.indexOf(command));
    Atomics.store(word, words.call, ++this.#calls);
    let error: number;
    try {
      error = run();
    } finally {
      Atomics.store(word, words.call, 0);
    }
    if (error === 0) return;
    const text = new Uint8Array(1024);
    const length = readInt((out) => this.#mpi.MPI_Error_string(error, text, out));
    throw new BackendError(command, {
      message: `MPI refused the call: ${new TextDecoder().decode(text.subarray(0, length))}`,
      fix: "see that all processes run the same program on the same shapes",
    });
  }

  /** At the end of the process: an orderly one if all went well, else that of all processes. */
  #leave(code: number): void {
    if (this.#disposed) return;
    if (code === 0) return this[Symbol.dispose]();
    // The engine would print the error after this, when there is no process any more.
    if (this.#uncaught !== null) writeSync(2, `process ${this.processIndex} of ${this.processCount}: ${inspect(this.#uncaught)}\n`);
    endAll(this.#mpi, code);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    // Others may still be at work: that is waited for as long as it takes, and where a watchdog sees it.
    this.#watched("finalize", () => this.#mpi.MPI_Barrier(this.#apart));
    this.#disposed = true;
    // From here on the watchdog must neither call MPI nor load it. It says so before it does, and looks once more then.
    Atomics.wait(this.#word, words.talking, 1);
    this.#hearRest();
    this.#mpi.MPI_Finalize();
    void this.#watchdog?.terminate();
    process.off("exit", this.#atExit);
    process.off("uncaughtExceptionMonitor", this.#atError);
  }
  /** Receives the messages that came when no watchdog listened any more: MPI wants every one received. */
  #hearRest(): void {
    const { abi, MPI_Allreduce, MPI_Recv } = this.#mpi;
    const told = Int32Array.of(Atomics.load(this.#word, words.told));
    const all = readInt((out) => MPI_Allreduce(told, out, 1, abi.dtypes.int32, abi.ops.sum, this.#apart));
    for (let left = all - told[0] - Atomics.load(this.#word, words.heard); left > 0; left--)
      MPI_Recv(new Int32Array(2), 8, abi.bytes, abi.anySource, watchdogTag, this.#apart, new Int32Array(16));
  }
}
