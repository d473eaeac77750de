import { control, mostPointers, state } from "../threads/control.ts";
import { Code } from "../wasm/code.ts";
import type { FunctionSlot, ModuleBuilder } from "../wasm/encoder.ts";

/** A kernel that threads may share: its function, and how many tasks it has. */
export interface Job {
  readonly slot: FunctionSlot;
  readonly tasks: number;
  /**
   * How many tasks one call takes: at most, and at least. Where they differ, it is half of what is left to take, so that calls are few, and
   * all threads end at nearly the same time, also where one of them was kept from its work.
   *
   * @see Polychronopoulos & Kuck (1987), "Guided self-scheduling: a practical scheduling scheme for parallel supercomputers"
   */
  readonly chunk: number;
  readonly least: number;
  /** For each pointer, how far apart the threads' own places are; 0 where all have the same. */
  readonly strides: readonly number[];
  /** Functions with the same pointers that each thread calls, over so many tasks, before its first task of the job. */
  readonly before: readonly { readonly slot: FunctionSlot; readonly tasks: number }[];
}

/** Looks this often, without help, whether the other threads are done. */
const joinSpins = 1 << 14;

/**
 * The jobs of a module. `work(thread)`, exported, takes chunks of the published job until there are none left; every thread
 * calls it on its own instance. `fork(kernel)` publishes a job, works on it and waits for the others; it calls the import
 * `trouble` when they take long, or when one of them has failed.
 *
 * The tasks of each job are dealt out evenly, in order, and a thread begins with its own: what one job wrote is in the cache of the core
 * whose thread reads it in the next one, which counts where cores share no cache, and as logical devices come first among tasks, those of
 * a device stay with a thread. Who has none left takes those of the others.
 *
 * Where `least` is `chunk`, chunks are the same for any number of threads; the results of other jobs do not depend on how tasks are cut.
 *
 * @see Markatos & LeBlanc (1994), "Using processor affinity in loop scheduling on shared-memory multiprocessors"
 */
export class Jobs {
  readonly #fork: FunctionSlot;
  readonly #work: FunctionSlot;
  readonly #trouble: FunctionSlot;
  readonly #threads: number;
  readonly #jobs: Job[] = [];
  readonly #numbers = new Map<FunctionSlot, { readonly strides: string; readonly kernel: number }[]>();

  /** To be made before any function is declared: imports come first. */
  static imports(module: ModuleBuilder): FunctionSlot {
    return module.import("trouble", [], []);
  }
  constructor(module: ModuleBuilder, trouble: FunctionSlot, threads: number) {
    this.#trouble = trouble;
    this.#threads = threads;
    this.#work = module.declare(["i32"], [], "work");
    this.#fork = module.declare(["i32"], []);
  }

  get count(): number {
    return this.#jobs.length;
  }

  /** Emits the launch of a kernel as a job. Its pointers are pushed one by one. */
  launch(code: Code, job: Job, pointer: (i: number) => void): void {
    const kernel = this.#numberOf(job);
    for (let i = 0; i < job.strides.length; i++) {
      code.i32(control.pointers + 4 * i);
      pointer(i);
      code.memory("i32.store");
    }
    code.i32(kernel);
    code.call(this.#fork);
  }

  #numberOf(job: Job): number {
    const strides = job.strides.join();
    let known = this.#numbers.get(job.slot);
    if (known === undefined) this.#numbers.set(job.slot, (known = []));
    let found = known.find((n) => n.strides === strides);
    if (found === undefined) known.push((found = { strides, kernel: this.#jobs.push(job) - 1 }));
    return found.kernel;
  }

  static accepts(pointers: number): boolean {
    return pointers <= mostPointers;
  }

  finish(): void {
    this.#emitWork();
    this.#emitFork();
  }

  #emitWork(): void {
    const code = new Code(this.#work);
    const [kernel, owner, turn] = [code.local("i32"), code.local("i32"), code.local("i32")];
    code.i32(control.kernel);
    code.memory("i32.load");
    code.set(kernel);
    code.get(0);
    code.set(owner);
    const take = this.#emitTaking(code, owner);
    this.#jobs.forEach((job, i) => {
      code.get(kernel);
      code.i32(i);
      code.op("i32.eq");
      code.if(() => {
        if (job.before.length > 0) this.#emitBefore(code, job);
        code.loop((again) => {
          take(job);
          code.get(owner);
          code.i32(1);
          code.op("i32.add");
          code.tee(owner);
          code.i32(0);
          code.get(owner);
          code.i32(this.#threads);
          code.op("i32.lt_s");
          code.op("select");
          code.set(owner);
          code.get(turn);
          code.i32(1);
          code.op("i32.add");
          code.tee(turn);
          code.i32(this.#threads);
          code.op("i32.lt_s");
          again();
        });
        code.op("return");
      });
    });
    code.finish();
  }

  /** How many tasks are dealt to a thread; the last ones may get fewer. */
  #share({ tasks, chunk, least }: Job): number {
    // Where all calls take a chunk, whole ones.
    const unit = least === chunk ? chunk : 1;
    return Math.ceil(tasks / unit / this.#threads) * unit;
  }

  /** Pushes the pointers of the job, those of memory that threads have for themselves for this one. */
  #emitPointers(code: Code, { strides }: Job): void {
    strides.forEach((stride, p) => {
      code.i32(0);
      code.memory("i32.load", control.pointers + 4 * p);
      if (stride === 0) return;
      code.get(0);
      code.i32(stride);
      code.op("i32.mul");
      code.op("i32.add");
    });
  }

  #emitBefore(code: Code, job: Job): void {
    // Who comes so late that others have taken its own tasks does not begin.
    code.get(0);
    code.i32(control.takenBytes);
    code.op("i32.mul");
    code.atomic("i32.atomic.load", control.taken);
    code.i32(this.#share(job));
    code.op("i32.ge_s");
    code.if(() => code.op("return"));
    for (const { slot, tasks } of job.before) {
      code.i32(0);
      code.i32(tasks);
      this.#emitPointers(code, job);
      code.call(slot);
    }
  }

  /** Emits the loop that takes all tasks of a job that the thread `owner` has left. */
  #emitTaking(code: Code, owner: number): (job: Job) => void {
    const [first, own, taken, begin, size] = Array.from({ length: 5 }, () => code.local("i32"));
    /** `into` = the smaller or the larger one of itself and what is pushed. */
    const bound = (into: number, by: () => void, keep: "i32.lt_s" | "i32.gt_s"): void => {
      code.get(into);
      by();
      code.get(into);
      by();
      code.op(keep);
      code.op("select");
      code.set(into);
    };
    return (job) => {
      const { slot, tasks, chunk, least } = job;
      const share = this.#share(job);
      code.get(owner);
      code.i32(share);
      code.op("i32.mul");
      code.set(first);
      code.i32(tasks);
      code.get(first);
      code.op("i32.sub");
      code.set(own);
      bound(own, () => code.i32(share), "i32.lt_s");
      code.get(owner);
      code.i32(control.takenBytes);
      code.op("i32.mul");
      code.set(taken);
      code.loop((again) => {
        if (least === chunk) code.i32(chunk);
        else {
          // Another thread may take some of it meanwhile: then this is a little too much, and as good.
          code.get(own);
          code.get(taken);
          code.atomic("i32.atomic.load", control.taken);
          code.op("i32.sub");
          code.i32(2);
          code.op("i32.div_s");
        }
        code.set(size);
        if (least !== chunk) {
          bound(size, () => code.i32(chunk), "i32.lt_s");
          bound(size, () => code.i32(least), "i32.gt_s");
        }
        code.get(taken);
        code.get(size);
        code.atomic("i32.atomic.rmw.add", control.taken);
        code.tee(begin);
        code.get(own);
        code.op("i32.lt_s");
        code.if(() => {
          code.get(begin);
          code.get(size);
          code.op("i32.add");
          code.set(size);
          bound(size, () => code.get(own), "i32.lt_s");
          for (const limit of [begin, size]) {
            code.get(first);
            code.get(limit);
            code.op("i32.add");
          }
          this.#emitPointers(code, job);
          code.call(slot);
        });
        code.get(begin);
        code.get(own);
        code.op("i32.lt_s");
        again();
      });
    };
  }

  #emitFork(): void {
    const code = new Code(this.#fork);
    const spins = code.local("i32");
    const state32 = (value: number, name: "i32.atomic.rmw.add" | "i32.atomic.rmw.sub"): void => {
      code.i32(control.state);
      code.i32(value);
      code.atomic(name);
      code.op("drop");
    };
    code.i32(control.kernel);
    code.get(0);
    code.memory("i32.store");
    for (let thread = 0; thread < this.#threads; thread++) {
      code.i32(thread * control.takenBytes);
      code.i32(0);
      code.atomic("i32.atomic.store", control.taken);
    }
    state32(state.generation + state.open, "i32.atomic.rmw.add");
    code.i32(control.sleepers);
    code.atomic("i32.atomic.load");
    code.if(() => {
      code.i32(control.state);
      code.i32(-1);
      code.atomic("memory.atomic.notify");
      code.op("drop");
    });
    // The thread of `run` is number 0.
    code.i32(0);
    code.call(this.#work);
    state32(state.open, "i32.atomic.rmw.sub");
    code.block((joined) =>
      code.loop((again) => {
        code.i32(control.state);
        code.atomic("i32.atomic.load");
        code.i32(state.active);
        code.op("i32.and");
        code.op("i32.eqz");
        code.if(() => joined());
        code.get(spins);
        code.i32(1);
        code.op("i32.add");
        code.tee(spins);
        code.i32(joinSpins);
        code.op("i32.ge_s");
        code.if(() => code.call(this.#trouble));
        code.i32(1);
        again();
      }),
    );
    code.i32(control.failed);
    code.atomic("i32.atomic.load");
    code.if(() => code.call(this.#trouble));
    code.finish();
  }
}
