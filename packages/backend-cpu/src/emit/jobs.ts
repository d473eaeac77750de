import { control, mostPointers, state } from "../threads/control.ts";
import { Code } from "../wasm/code.ts";
import type { FunctionSlot, ModuleBuilder } from "../wasm/encoder.ts";

/** A kernel that threads may share: its function, the number of its tasks, and how many one call takes. */
export interface Job {
  readonly slot: FunctionSlot;
  readonly tasks: number;
  readonly chunk: number;
  /** For each pointer, how far apart the threads' own places are; 0 where all have the same. */
  readonly strides: readonly number[];
  /** Whether the number of the thread comes before the pointers: for memory of its own. */
  readonly takesThread: boolean;
}

/** Looks this often, without help, whether the other threads are done. */
const joinSpins = 1 << 14;

/**
 * The jobs of a module. `work(thread)`, exported, takes chunks of the published job until there are none left; every thread
 * calls it on its own instance. `fork(kernel)` publishes a job, works on it and waits for the others; it calls the import
 * `trouble` when they take long, or when one of them has failed.
 *
 * Chunks are the same for any number of threads, and so are the results.
 */
export class Jobs {
  readonly #fork: FunctionSlot;
  readonly #work: FunctionSlot;
  readonly #trouble: FunctionSlot;
  readonly #jobs: Job[] = [];
  readonly #numbers = new Map<FunctionSlot, { readonly strides: string; readonly kernel: number }[]>();

  /** To be made before any function is declared: imports come first. */
  static imports(module: ModuleBuilder): FunctionSlot {
    return module.import("trouble", [], []);
  }
  constructor(module: ModuleBuilder, trouble: FunctionSlot) {
    this.#trouble = trouble;
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
    const begin = code.local("i32");
    const end = code.local("i32");
    const kernel = code.local("i32");
    code.i32(control.kernel);
    code.memory("i32.load");
    code.set(kernel);
    this.#jobs.forEach(({ slot, tasks, chunk, strides, takesThread }, i) => {
      code.get(kernel);
      code.i32(i);
      code.op("i32.eq");
      code.if(() => {
        code.loop((again) => {
          code.i32(control.next);
          code.i32(chunk);
          code.atomic("i32.atomic.rmw.add");
          code.tee(begin);
          code.i32(tasks);
          code.op("i32.lt_s");
          code.if(() => {
            code.get(begin);
            code.i32(chunk);
            code.op("i32.add");
            code.set(end);
            code.get(begin);
            code.get(end);
            code.i32(tasks);
            code.get(end);
            code.i32(tasks);
            code.op("i32.lt_s");
            code.op("select");
            if (takesThread) code.get(0);
            strides.forEach((stride, p) => {
              code.i32(0);
              code.memory("i32.load", control.pointers + 4 * p);
              if (stride === 0) return;
              code.get(0);
              code.i32(stride);
              code.op("i32.mul");
              code.op("i32.add");
            });
            code.call(slot);
          });
          code.get(begin);
          code.i32(tasks);
          code.op("i32.lt_s");
          again();
        });
        code.op("return");
      });
    });
    code.finish();
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
    code.i32(control.next);
    code.i32(0);
    code.atomic("i32.atomic.store");
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
