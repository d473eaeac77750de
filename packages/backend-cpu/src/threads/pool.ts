import { BackendError } from "@traceform/core";
import { control, state } from "./control.ts";
import { maySleep, startThread, type Thread } from "./host.ts";
import type { WorkerMessage } from "./worker.ts";

/** How long workers look for the next job before they sleep. A hand-off to a sleeping one costs about 20 us. */
const spinMilliseconds = 0.05;
/** How long one look into the job lasts while the main thread sleeps. */
const napMilliseconds = 50;

/** After so many workers have died, programs run on one thread. */
const mostDeaths = 8;

/** What the pool is told of a program: its module, the library of matrix products if it imports that, operations of a run. */
export interface PooledProgram {
  readonly module: WebAssembly.Module;
  readonly library: WebAssembly.Module | null;
  readonly work: number;
}

/** A program that the workers know. */
export interface PooledJobs {
  /** To be called before it runs. */
  select(): void;
  /** To be called when it has thrown on the main thread: closes its job, and waits for those who are inside. */
  settle(): void;
  /** It will not run again. */
  drop(): void;
}

/**
 * The workers of one shared memory. They run instances of the same
 * modules, and share the chunks of its jobs with the main thread (`control.ts` says how).
 */
export class WorkerPool {
  readonly #memory: WebAssembly.Memory;
  readonly #words: Int32Array;
  readonly #size: number;
  #threads: Thread[] = [];
  readonly #programs = new Map<number, PooledProgram>();
  #library: WebAssembly.Module | null = null;
  #nextId = 1;
  /** Told to the registry that ends the workers of a pool that nobody refers to any more. */
  readonly #owned: { threads: readonly Thread[] } = { threads: [] };
  /** How long a worker may keep the main thread waiting, in milliseconds, before it is taken for dead. */
  patience = 10_000;

  /**
   * `workers`: how many threads besides the caller's. They start when programs with jobs have done `startAfter` operations:
   * starting them takes as long as tracing and compiling a small model, on the same cores.
   */
  constructor(memory: WebAssembly.Memory, workers: number, startAfter: number) {
    this.#memory = memory;
    this.#words = new Int32Array(memory.buffer, 0, control.end / 4);
    this.#size = workers;
    this.#left = startAfter;
    abandoned.register(this, this.#owned, this.#owned);
    pools.add(new WeakRef(this));
  }

  /** Workers there are. */
  get size(): number {
    return this.#threads.length;
  }
  /** Workers that have reported ready; programs run without them until then. */
  get ready(): number {
    return Atomics.load(this.#words, control.ready / 4);
  }

  /** Whether the workers have done all that they were told: between jobs they then neither compile nor make instances. */
  get isQuiet(): boolean {
    return Atomics.load(this.#words, control.received / 4) >= this.#sent;
  }
  /** Messages to single workers so far. */
  #sent = 0;

  /** Gives a program to the workers. */
  register(program: PooledProgram): PooledJobs {
    const id = this.#nextId++;
    this.#programs.set(id, program);
    if (this.#started) this.#introduce(id, program);
    return {
      select: () => {
        this.#words[control.program / 4] = id;
        if (!this.#started && (this.#left -= program.work) <= 0) this.#start();
      },
      settle: () => this.#settle(),
      drop: () => {
        if (this.#programs.delete(id)) this.#tell({ kind: "drop", id });
      },
    };
  }

  #started = false;
  /** Operations until the workers start. */
  #left: number;
  #start(): void {
    this.#started = true;
    try {
      while (this.#threads.length < this.#size) {
        const thread: Thread = startThread(() => this.#bury(thread));
        this.#threads.push(thread);
      }
    } catch {
      // No workers here, or no more of them: programs run on those that there are.
    }
    this.#owned.threads = this.#threads;
    const at = (byte: number): number => byte / 4;
    this.#tell((i) => ({
      kind: "start",
      memory: this.#memory,
      words: {
        state: at(control.state),
        sleepers: at(control.sleepers),
        posted: at(control.posted),
        failed: at(control.failed),
        ready: at(control.ready),
        waiting: at(control.waiting),
        program: at(control.program),
        received: at(control.received),
      },
      open: state.open,
      generation: state.generation,
      spin: spinMilliseconds,
      posted: this.#words[control.posted / 4] - 1,
      thread: i + 1,
    }));
    this.#library = null;
    for (const [id, program] of this.#programs) this.#introduce(id, program);
  }

  #introduce(id: number, { module, library }: PooledProgram): void {
    if (library !== null && this.#library === null) {
      this.#library = library;
      this.#tell({ kind: "library", module: library });
    }
    this.#tell({ kind: "program", id, module });
  }

  /** Sends a message to all workers and wakes them up for it. */
  #tell(message: WorkerMessage | ((worker: number) => WorkerMessage)): void {
    if (this.#threads.length === 0) return;
    // Counted first: a worker that has the message must find that there is nothing more.
    Atomics.add(this.#words, control.posted / 4, 1);
    this.#sent += this.#threads.length;
    this.#threads.forEach((thread, i) => thread.post(typeof message === "function" ? message(i) : message));
    Atomics.add(this.#words, control.state / 4, state.generation);
    Atomics.notify(this.#words, control.state / 4);
  }

  /**
   * The import `trouble` of programs: called when the others take long, or when one has failed. It sleeps a little, where that
   * is allowed, and gives up on workers that do not come back.
   */
  readonly trouble = (): void => {
    const words = this.#words;
    const at = control.state / 4;
    if (Atomics.exchange(words, control.failed / 4, 0) !== 0) {
      throw new BackendError("cpu", {
        message: "a kernel failed in a worker thread",
        fix: "pass cpu({ threads: 1 }) to run on the calling thread, where the failure shows",
      });
    }
    const start = performance.now();
    const sleep = maySleep();
    if (sleep) Atomics.store(words, control.waiting / 4, 1);
    for (let value = Atomics.load(words, at); (value & state.active) !== 0; value = Atomics.load(words, at)) {
      if (sleep) Atomics.wait(words, at, value, napMilliseconds);
      if (performance.now() - start < this.patience) continue;
      this.#rebuild();
      throw new BackendError("cpu", {
        message: `a worker thread has not come back for ${Math.round(this.patience / 1000)} s; the threads were replaced`,
        fix: "run the program again; cpu({ threads: 1 }) runs without worker threads",
      });
    }
    if (sleep) Atomics.store(words, control.waiting / 4, 0);
  };

  #settle(): void {
    const at = control.state / 4;
    if ((Atomics.load(this.#words, at) & state.open) !== 0) Atomics.sub(this.#words, at, state.open);
    if ((Atomics.load(this.#words, at) & state.active) !== 0) this.trouble();
  }

  /** A worker has ended by itself. Where none has ever come up (a page may forbid them), there is no use in trying again. */
  #bury(thread: Thread): void {
    if (!this.#threads.includes(thread)) return;
    if (this.ready > 0 && ++this.#deaths < mostDeaths) this.#rebuild();
    else this.terminate();
  }
  #deaths = 0;

  #rebuild(): void {
    this.terminate();
    const words = this.#words;
    // A new generation, closed, with nobody inside.
    Atomics.store(words, control.state / 4, ((Atomics.load(words, control.state / 4) & -state.generation) + state.generation) | 0);
    for (const word of [control.ready, control.sleepers, control.failed, control.waiting, control.received])
      Atomics.store(words, word / 4, 0);
    if (this.#programs.size > 0) this.#start();
  }

  /** Ends all workers. */
  terminate(): void {
    const threads = this.#threads;
    this.#threads = [];
    this.#owned.threads = [];
    this.#sent = 0;
    for (const thread of threads) thread.terminate();
  }
}

const abandoned = new FinalizationRegistry<{ threads: readonly Thread[] }>((owned) => {
  for (const thread of owned.threads) thread.terminate();
});

/** The pools of this thread: what concerns the whole process concerns all of them. */
const pools = new Set<WeakRef<WorkerPool>>();

/** Whether the workers of all pools are quiet. */
export function workersAreQuiet(): boolean {
  for (const ref of pools) {
    const pool = ref.deref();
    if (pool === undefined) pools.delete(ref);
    else if (!pool.isQuiet) return false;
  }
  return true;
}

/** Waits until the workers are quiet, which they come to be by themselves; false if that takes too long. */
export function awaitQuietWorkers(milliseconds: number): boolean {
  const end = performance.now() + milliseconds;
  while (!workersAreQuiet()) if (performance.now() > end) return false;
  return true;
}
