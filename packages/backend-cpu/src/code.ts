import { activeRecorder, hostTrack } from "@traceform/core";
import type { Program, Step } from "@traceform/compiler";
import { contractionRate, emitProgram, type EmitOptions, usesContractions } from "./emit/program.ts";
import { compileWide, type GemmLibrary } from "./gemm.ts";
import type { Heap } from "./heap.ts";
import { HostSteps } from "./hoststeps.ts";
import { TimedRun } from "./timedrun.ts";
import { type PooledJobs, type WorkerPool, workersAreQuiet } from "./threads/pool.ts";

/** What the code of all programs of a backend shares. */
export interface CodeHost extends EmitOptions {
  readonly memory: WebAssembly.Memory;
  readonly heap: Heap;
  /** Null when everything runs on the calling thread. */
  readonly pool: WorkerPool | null;
  /** The matrix products: chosen by timing when first asked for. */
  readonly library: () => GemmLibrary;
  /** Simple operations after which a program is compiled again for speed; infinite where the engine has no such way. */
  readonly warmUp: number;
}

type Run = (table: number, arena: number) => void;

/**
 * The instance of a program's module.
 *
 * Engines start with code that compiles fast. Where V8's flags can be set there is a better one than they would come to by
 * themselves, with vectors of 256 bits, for 1-2 ms a kernel: it takes over when the program has done enough work for that to
 * pay. Its results are the same, bit by bit.
 */
export class ProgramCode {
  readonly #program: Program;
  readonly #host: CodeHost;
  readonly #contracts: boolean;
  readonly #hasJobs: boolean;
  readonly #work: number;
  /** For the better code; null once that is in use. */
  #bytes: Uint8Array<ArrayBuffer> | null;
  #left: number;
  #run!: Run;
  /** Null where the program has no work for several threads. */
  #jobs: PooledJobs | null = null;
  /** Null where it calls out for nothing. */
  readonly #steps: HostSteps | null;
  #table = 0;
  /** Runs that have not returned: host steps may run the program again. */
  #depth = 0;
  /** The same program with a clock, once somebody has recorded a run of it. */
  #timed: TimedRun | null = null;

  constructor(program: Program, host: CodeHost) {
    const { bytes, hasJobs } = emitProgram(program, host);
    this.#program = program;
    this.#host = host;
    this.#hasJobs = hasJobs;
    this.#contracts = usesContractions(program);
    this.#work = Math.max(callWork, ownWork(program.steps));
    this.#left = host.warmUp * Math.max(1, bytes.length / usualBytes);
    this.#bytes = bytes;
    this.#steps = program.hosts.length > 0 ? new HostSteps(program, host.heap) : null;
    if (!this.#warm()) this.#instantiate(new WebAssembly.Module(bytes));
  }

  /** Runs the program. @throws what went wrong in it, when no thread works on it any more */
  run(table: number, arena: number): void {
    // What runs now has its jobs with the workers, which would lose them.
    if (this.#bytes !== null && this.#depth === 0) this.#warm();
    const recorder = activeRecorder();
    if (recorder === null) return this.#enter(this.#run, table, arena);
    const begin = performance.now();
    this.#enter(recorder.kernels ? this.#clocked().begin(recorder, this.#program.name) : this.#run, table, arena);
    if (recorder.programs) recorder.add(hostTrack, this.#program.name, begin, performance.now());
  }
  #enter(run: Run, table: number, arena: number): void {
    const jobs = this.#jobs;
    if (this.#steps !== null) return this.#runWithSteps(run, table, arena);
    if (jobs === null) return run(table, arena);
    jobs.select();
    try {
      run(table, arena);
    } catch (error) {
      jobs.settle();
      throw error;
    }
  }

  #runWithSteps(run: Run, table: number, arena: number): void {
    this.#table = table;
    this.#depth++;
    this.#jobs?.select();
    try {
      run(table, arena);
    } catch (error) {
      this.#jobs?.settle();
      throw error;
    } finally {
      this.#depth--;
    }
  }

  /** The import `host`. The step may have run other programs, with jobs of their own. */
  readonly #callOut = (step: number): void => {
    this.#steps!.run(step, this.#table);
    this.#jobs?.select();
  };

  /** Whether an error came from a host step, and not from the program. */
  cameFromHost(error: unknown): boolean {
    return this.#steps?.threw(error) ?? false;
  }

  /** Counts a run; takes the better code when it is time. */
  #warm(): boolean {
    this.#left -= this.#work;
    // The flags for it are the whole process's, so no worker may be making instances.
    if (this.#left > 0 || !workersAreQuiet()) return false;
    const module = compileWide(this.#bytes!);
    this.#bytes = null;
    if (module === null) return false;
    this.#jobs?.drop();
    this.#instantiate(module);
    return true;
  }

  /** The program with a clock, as good as the one without. Workers go on with theirs: the jobs are the same. */
  #clocked(): TimedRun {
    if (this.#timed === null || (this.#bytes === null && !this.#timed.wide)) {
      const { bytes, marks } = emitProgram(this.#program, { ...this.#host, marks: true });
      const wide = this.#bytes === null && workersAreQuiet() ? compileWide(bytes) : null;
      const timed = new TimedRun(marks, wide !== null);
      timed.run = this.#link(wide ?? new WebAssembly.Module(bytes), { mark: timed.mark });
      this.#timed = timed;
    }
    return this.#timed;
  }

  #link(module: WebAssembly.Module, more: Record<string, WebAssembly.ImportValue> = {}): Run {
    const { memory, pool, library } = this.#host;
    const imports: Record<string, WebAssembly.ImportValue> = { m: memory, ...more };
    if (this.#contracts) imports["block"] = library().block(memory);
    if (pool !== null) imports["trouble"] = pool.trouble;
    if (this.#steps !== null) imports["host"] = this.#callOut;
    return new WebAssembly.Instance(module, { e: imports }).exports["run"] as Run;
  }
  #instantiate(module: WebAssembly.Module): void {
    const { pool, library } = this.#host;
    this.#run = this.#link(module);
    if (this.#hasJobs)
      this.#jobs = pool!.register({ module, library: this.#contracts ? library().module : null, work: this.#work });
  }

  [Symbol.dispose](): void {
    this.#bytes = null;
    this.#jobs?.drop();
  }
}

/** What a call counts at least. */
const callWork = 1 << 14;

/** The better code takes about 1 us a byte: the work of `warmUp` pays for so much of it, and larger programs wait for longer. */
const usualBytes = 1 << 16;

/** Operations of a run in the program's own code: matrix products are done by the library. Loops of unknown length count once. */
function ownWork(steps: readonly Step[]): number {
  let work = 0;
  for (const s of steps) {
    if (s.kind === "launch") work += s.kernel.kind === "contraction" ? s.kernel.flops / contractionRate : s.kernel.flops;
    else if (s.kind === "branch") work += s.branches.reduce((sum, b) => sum + ownWork(b), 0);
    else if (s.kind === "loop") work += (s.trips ?? 1) * (ownWork(s.condition) + ownWork(s.body));
  }
  return work;
}
