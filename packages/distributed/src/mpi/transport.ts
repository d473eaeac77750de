import { BackendError, DisposedError } from "@traceform/core";
import { once } from "node:events";
import { writeSync } from "node:fs";
import { inspect } from "node:util";
import { Worker } from "node:worker_threads";
import type { Groups, ReduceOp, ReducibleDType, Transport } from "../transport.ts";
import {
  type Command,
  commands,
  controlBytes,
  dtypes,
  type Known,
  ops,
  type Ready,
  type Start,
  states,
  textOffset,
  words,
} from "./control.ts";
import { Watch } from "./watch.ts";

export interface MpiOptions {
  /** How many seconds a call may wait for other processes before it is an error; 300 unless given. */
  readonly timeout?: number;
}

/** Bytes of an element. */
const sizes: Readonly<Record<ReducibleDType, number>> = {
  float32: 4,
  float64: 8,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  uint8: 1,
  uint16: 2,
  uint32: 4,
  uint64: 8,
  complex64: 8,
  complex128: 16,
};

/** How long the answer is looked for before the main thread sleeps, in rounds of some nanoseconds. */
const rounds = 4000;
/** Who waits longer than this tells the others, in milliseconds. */
const patience = 1000;

const disposedOf = "the transport was disposed of";

/** What a command says beside its name. */
interface Details {
  readonly send?: Uint8Array;
  readonly receive?: Uint8Array;
  readonly count?: number;
  readonly dtype?: ReducibleDType;
  readonly op?: ReduceOp;
  readonly groups?: Groups;
  readonly to?: number;
  readonly from?: number;
}

/** MPI, called by a thread of its own. */
export class MpiTransport implements Transport {
  readonly name: string;
  readonly processIndex: number;
  readonly processCount: number;
  readonly #worker: Worker;
  readonly #control: SharedArrayBuffer;
  readonly #word: Int32Array;
  readonly #watch: Watch | null;
  readonly #limit: number;
  readonly #memories = new WeakMap<SharedArrayBuffer, number>();
  #nextMemory = 0;
  readonly #communicators = new Map<string, number>();
  #staging: SharedArrayBuffer = new SharedArrayBuffer(1 << 16);
  #calls = 0;
  /** Why no more calls are possible. */
  #ended: string | null = null;
  readonly #atExit = (code: number): void => this.#leave(code);
  #uncaught: unknown = null;
  readonly #atError = (error: unknown): void => void (this.#uncaught = error);

  private constructor(
    worker: Worker,
    control: SharedArrayBuffer,
    ready: Ready & { readonly kind: "ready" },
    watch: Watch | null,
    limit: number,
  ) {
    this.#worker = worker;
    this.#control = control;
    this.#word = new Int32Array(control);
    this.#watch = watch;
    this.#limit = limit;
    this.name = `MPI (${ready.version})`;
    this.processIndex = ready.rank;
    this.processCount = ready.size;
    process.on("exit", this.#atExit);
    process.on("uncaughtExceptionMonitor", this.#atError);
  }

  /** @throws {BackendError} when there is no MPI; it says what to install */
  static async start({ timeout = 300 }: MpiOptions): Promise<MpiTransport> {
    const control = new SharedArrayBuffer(controlBytes);
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), { workerData: { control } satisfies Start });
    const [ready] = (await once(worker, "message")) as [Ready];
    if (ready.kind === "missing") throw new BackendError("initialize", { message: ready.message, fix: ready.fix });
    // The thread sleeps in the library or in wait for a command; neither is a reason to stay alive.
    worker.unref();
    const watch = ready.watch === null ? null : await Watch.open(ready.watch, ready.rank, ready.size);
    return new MpiTransport(worker, control, ready, watch, timeout * 1000);
  }

  allReduce(send: Uint8Array, receive: Uint8Array, dtype: ReducibleDType, op: ReduceOp, groups: Groups = null): void {
    this.#call("allReduce", { send, receive, count: send.byteLength / sizes[dtype], dtype, op, groups });
  }
  allGather(send: Uint8Array, receive: Uint8Array, groups: Groups = null): void {
    this.#call("allGather", { send, receive, count: send.byteLength, groups });
  }
  reduceScatter(send: Uint8Array, receive: Uint8Array, dtype: ReducibleDType, op: ReduceOp, groups: Groups = null): void {
    this.#call("reduceScatter", { send, receive, count: receive.byteLength / sizes[dtype], dtype, op, groups });
  }
  allToAll(send: Uint8Array, receive: Uint8Array, groups: Groups = null): void {
    this.#call("allToAll", { send, receive, count: send.byteLength / this.#members(groups).length, groups });
  }
  exchange(send: Uint8Array, to: number | null, receive: Uint8Array, from: number | null): void {
    if (from === null) receive.fill(0);
    this.#call("exchange", { send, receive, count: send.byteLength, to: to ?? -1, from: from ?? -1 });
  }
  broadcast(data: Uint8Array, root: number): void {
    this.#call("broadcast", { send: data, receive: data, count: data.byteLength, from: root });
  }
  barrier(): void {
    this.#call("barrier", {});
  }

  #members(groups: Groups): readonly number[] {
    const own = groups?.find((g) => g.includes(this.processIndex));
    return own ?? Array.from({ length: this.processCount }, (_, i) => i);
  }

  #call(command: Command, d: Details): void {
    if (this.#ended !== null) {
      throw new DisposedError(command, { message: this.#ended, fix: "call initialize again in a new run of the program" });
    }
    const communicator = this.#communicator(d.groups ?? null);
    // What is not shared goes through memory that is.
    const shared = (view: Uint8Array | undefined): boolean => view === undefined || view.buffer instanceof SharedArrayBuffer;
    const staged = shared(d.send) && shared(d.receive) ? null : this.#stage(d);
    this.#ask(command, { ...d, ...staged }, communicator);
    if (staged !== null && d.receive !== undefined && d.from !== -1) d.receive.set(staged.receive);
  }

  #stage({ send, receive }: Details): { readonly send: Uint8Array; readonly receive: Uint8Array } {
    const [a, b] = [send?.byteLength ?? 0, receive?.byteLength ?? 0];
    const first = Math.ceil(a / 16) * 16;
    const one = send === receive;
    if (this.#staging.byteLength < first + b) this.#staging = new SharedArrayBuffer(2 * (first + b));
    const staged = new Uint8Array(this.#staging, 0, a);
    if (send !== undefined) staged.set(send);
    return { send: staged, receive: one ? staged : new Uint8Array(this.#staging, first, b) };
  }

  /** The communicator of the groups; all processes make it together. */
  #communicator(groups: Groups): number {
    if (groups === null) return 0;
    const key = JSON.stringify(groups);
    let index = this.#communicators.get(key);
    if (index === undefined) {
      const color = groups.findIndex((g) => g.includes(this.processIndex));
      this.#word[words.color] = color;
      this.#word[words.rank] = groups[color].indexOf(this.processIndex);
      this.#ask("split", {}, 0);
      this.#communicators.set(key, (index = this.#communicators.size + 1));
    }
    return index;
  }

  #ask(command: Command, d: Details, communicator: number): void {
    const word = this.#word;
    const code = commands.indexOf(command);
    word[words.command] = code;
    word[words.communicator] = communicator;
    word[words.count] = d.count ?? 0;
    word[words.dtype] = dtypes.indexOf(d.dtype ?? "float32");
    word[words.op] = ops.indexOf(d.op ?? "sum");
    word[words.to] = d.to ?? -1;
    word[words.from] = d.from ?? -1;
    this.#point(words.sendMemory, words.sendOffset, d.send);
    this.#point(words.receiveMemory, words.receiveOffset, d.receive);
    Atomics.store(word, words.state, states.asked);
    Atomics.notify(word, words.state);
    const call = this.#calls++;
    for (let i = 0; i < rounds && Atomics.load(word, words.state) === states.asked; i++);
    if (Atomics.load(word, words.state) === states.asked) this.#wait(command, code, call);
    if (word[words.error] === 0) return;
    const text = new TextDecoder().decode(new Uint8Array(this.#control.slice(textOffset, textOffset + 1024))).replace(/\0.*$/s, "");
    throw new BackendError(command, {
      message: `MPI refused the call: ${text}`,
      fix: "see that all processes run the same program",
    });
  }

  #point(memory: number, offset: number, view: Uint8Array | undefined): void {
    this.#word[memory] = -1;
    if (view === undefined) return;
    const buffer = view.buffer as SharedArrayBuffer;
    let id = this.#memories.get(buffer);
    if (id === undefined) {
      this.#memories.set(buffer, (id = this.#nextMemory++));
      this.#worker.postMessage({ id, memory: buffer } satisfies Known);
    }
    this.#word[memory] = id;
    this.#word[offset] = view.byteOffset;
  }

  /** Waits for the answer. @throws {BackendError} when another process makes another call, or the time is over */
  #wait(command: Command, code: number, call: number): void {
    const word = this.#word;
    for (let waited = 0; ; waited += patience) {
      if (Atomics.wait(word, words.state, states.asked, patience) !== "timed-out") return;
      if (waited === 0) this.#watch?.announce(call, code);
      const other = this.#watch?.mismatch(call, code) ?? null;
      const where = `process ${this.processIndex} of ${this.processCount} calls ${command}, call ${call + 1} of the program`;
      if (other !== null) this.#fail(command, `${where}, but ${other}`, "run the same program on the same shapes in every process");
      if (waited + patience < this.#limit) continue;
      const missing = this.#watch?.missing(call) ?? [];
      const who = missing.length === 0 ? "other processes" : `process${missing.length > 1 ? "es" : ""} ${missing.join(", ")}`;
      this.#fail(
        command,
        `${where}, and has waited ${this.#limit / 1000} s for ${who}`,
        "look at why that process does not come: an error, an endless loop, or a branch that only some processes take; mpi({ timeout }) changes the limit",
      );
    }
  }

  /** Nothing can be done about a thread that waits in MPI: there are no more calls, and the end of this process ends the others. */
  #fail(command: Command, message: string, fix: string): never {
    this.#ended = `an earlier call failed: ${message}`;
    throw new BackendError(command, { message, fix });
  }

  /** At the end of the process: an orderly one if all went well, else that of all processes. */
  #leave(code: number): void {
    if (this.#ended === disposedOf) return;
    if (this.#ended === null && code === 0) return this[Symbol.dispose]();
    // The engine would print the error after this, when there is no process any more.
    if (this.#uncaught !== null) writeSync(2, `process ${this.processIndex} of ${this.processCount}: ${inspect(this.#uncaught)}\n`);
    this.#watch?.abort(code === 0 ? 1 : code);
  }

  [Symbol.dispose](): void {
    if (this.#ended !== null) return;
    this.#ask("finalize", {}, 0);
    this.#ended = disposedOf;
    process.off("exit", this.#atExit);
    process.off("uncaughtExceptionMonitor", this.#atError);
  }
}
