import {
  activeRecorder,
  BackendError,
  type Buffer,
  DisposedError,
  type Device,
  type Executable,
  type ExecutableInfo,
  hostTrack,
  type Seat,
} from "@traceform/core";
import { programCost, programSegments, programText, type Program } from "@traceform/compiler";
import { WgpuBuffer } from "./buffer.ts";
import type { WgpuDevice } from "./device.ts";
import { likelyBindings, type Pointer } from "./dispatches.ts";
import type { Schedule } from "./emit/schedule.ts";
import { usage } from "./flags.ts";
import { gates } from "./gates.ts";
import { toDevice } from "./host.ts";
import { measureProducts } from "./measure.ts";
import type { Piece } from "./memory.ts";
import { joinOutcomes, Outcome } from "./outcome.ts";
import type { Compiled, Pipelines } from "./pipelines.ts";
import { needsNoHost, planProgram, type ProgramPlan } from "./plan.ts";
import { Run } from "./run.ts";
import type { Tuning } from "./tuning.ts";

/** What an executable has of the device's memory. */
class Holdings {
  readonly #device: WgpuDevice;
  readonly captured: readonly WgpuBuffer[];
  readonly constants: readonly Piece[];
  /** The memory of the gates: a buffer of its own, because no kernel may write what a dispatch takes its workgroups from. */
  readonly gates: Piece | null;

  constructor(program: Program, device: WgpuDevice, captured: readonly WgpuBuffer[], first: ProgramPlan["gates"]) {
    this.#device = device;
    this.captured = captured;
    this.constants = program.constants.map((table) => {
      const words = toDevice("uint8", new Uint8Array(table.buffer, table.byteOffset, table.byteLength));
      const piece = device.memory.allocate(words.byteLength, `a table of ${program.name}`);
      device.guarded([piece.slab.outcome], () => device.gpu.queue.writeBuffer(piece.slab.gpu, piece.offset, words));
      return piece;
    });
    this.gates = first.length === 0 ? null : gatesPiece(device.gpu, first);
  }

  [Symbol.dispose](): void {
    for (const piece of this.constants) this.#device.memory.free(piece);
    for (const buffer of this.captured) buffer.release();
    this.gates?.slab.gpu.destroy();
  }
}

/** Slabs of the device's memory count from 0. */
let nextGates = -1;
function gatesPiece(gpu: GPUDevice, words: ProgramPlan["gates"]): Piece {
  const bytes = words.byteLength;
  const buffer = gpu.createBuffer({
    label: "gates",
    size: bytes,
    usage: usage.storage | usage.indirect | usage.copyFrom | usage.copyTo,
  });
  gpu.queue.writeBuffer(buffer, 0, words);
  return { slab: { id: nextGates--, gpu: buffer, bytes, outcome: new Outcome(Promise.resolve()) }, offset: 0, bytes };
}

/** Frees the memory of executables that nobody refers to any more: caches drop them without knowing who else holds them. */
const abandoned = new FinalizationRegistry<Holdings>((holdings) => holdings[Symbol.dispose]());

/** A program as dispatches: one encoder and one submit a run. */
export class WgpuExecutable implements Executable {
  readonly #program: Program;
  readonly #device: WgpuDevice;
  readonly #pipelines: Pipelines;
  readonly #schedule: Schedule;
  readonly #tuning: Tuning;
  #plan: ProgramPlan;
  #compiled: readonly Compiled[];
  readonly #holdings: Holdings;
  #disposed = false;
  /** Runs that wait. */
  #runs = 0;

  /** `captured` are the leading arguments, owned by the executable. */
  constructor(
    program: Program,
    device: WgpuDevice,
    pipelines: Pipelines,
    captured: readonly WgpuBuffer[],
    schedule: Schedule,
    tuning: Tuning,
  ) {
    this.#program = program;
    this.#device = device;
    this.#pipelines = pipelines;
    this.#schedule = schedule;
    this.#tuning = tuning;
    [this.#plan, this.#compiled] = this.#makePlan();
    this.#holdings = new Holdings(program, device, captured, this.#plan.gates);
    abandoned.register(this, this.#holdings, this);
  }

  /** @throws {BackendError} for kernels that WebGPU does not take */
  async prepare(): Promise<void> {
    if (await this.#measure()) [this.#plan, this.#compiled] = this.#makePlan();
    await Promise.all(this.#compiled.map((c) => c.prepare()));
  }

  /** Whether there is something to gain by planning again: gates have been laid out for the workgroups that there were. */
  async #measure(): Promise<boolean> {
    const { gates: first, dispatches } = this.#plan;
    const others = await measureProducts(dispatches, this.#tuning, {
      program: this.#program,
      device: this.#device,
      pipelines: this.#pipelines,
    });
    return others && first.length === 0;
  }

  #makePlan(): readonly [ProgramPlan, readonly Compiled[]] {
    const plan = planProgram(this.#program, this.#schedule, this.#device.gpu.limits.maxComputeWorkgroupsPerDimension);
    // What cannot be written in WGSL is refused now; most programs run with all of their memory in one slab.
    return [plan, plan.dispatches.map((d) => this.#pipelines.pipeline(d, likelyBindings(d.pointers)).compiled)];
  }

  run(args: readonly Buffer[], _device?: Device, seat: Seat | null = null): WgpuBuffer[] {
    const program = this.#program;
    if (this.#disposed) {
      throw new DisposedError(program.name, {
        message: "this executable was disposed of",
        fix: "compile the program again, or dispose of the executable later",
      });
    }
    this.#device.check();
    const { captured } = this.#holdings;
    const inputs = [...captured, ...(args as readonly WgpuBuffer[])];
    if (inputs.length !== program.arguments.length) {
      throw new BackendError(program.name, {
        message: `the program takes ${program.arguments.length - captured.length} arguments, got ${args.length}`,
        fix: "pass one array for each argument that the program was compiled for",
      });
    }
    const alone = needsNoHost(this.#plan.steps);
    const recorder = activeRecorder();
    const begin = recorder === null ? 0 : performance.now();
    const now = alone && this.#device.queue.isIdle;
    const outs = now ? this.#runNow(inputs) : this.#runLater(inputs, seat);
    if (now) seat?.leave();
    if (recorder?.programs) recorder.add(hostTrack, program.name, begin, performance.now());
    return outs;
  }

  #runNow(inputs: readonly WgpuBuffer[]): WgpuBuffer[] {
    const made: WgpuBuffer[] = [];
    try {
      this.#makeResults(made, this.#donors(inputs));
      const { run, end } = this.#start(inputs, made, null);
      try {
        run.addPlan(this.#plan.steps);
        run.submit();
      } finally {
        end();
      }
      const joined = joinOutcomes([run.outcome, ...inputs.map((b) => b.outcome)]);
      for (const buffer of made) buffer.outcome = joined;
    } catch (error) {
      for (const buffer of made) buffer.release();
      throw error;
    }
    return this.#results(inputs, made);
  }

  /**
   * The program waits for values of the GPU, or for programs before it that do: its results are pending until then. Memory that it
   * is going to use is kept, since nobody else may have it meanwhile.
   */
  #runLater(inputs: readonly WgpuBuffer[], seat: Seat | null): WgpuBuffer[] {
    const made: WgpuBuffer[] = [];
    try {
      this.#makeResults(made, this.#donors(inputs));
    } catch (error) {
      for (const buffer of made) buffer.release();
      throw error;
    }
    const kept = [...inputs, ...made];
    for (const buffer of kept) buffer.retain();
    this.#runs++;
    const outs = this.#results(inputs, made);
    const done = Promise.resolve(this.#device.queue.submit(() => this.#perform(inputs, made, seat)));
    const submitted = done.then(() => {
      for (const buffer of made) buffer.submitted = null;
      for (const buffer of kept) buffer.release();
      if (--this.#runs === 0 && this.#disposed) this.#holdings[Symbol.dispose]();
    });
    for (const buffer of made) buffer.submitted = submitted;
    return outs;
  }
  /** Never rejects: failures are those of the results. */
  async #perform(inputs: readonly WgpuBuffer[], made: readonly WgpuBuffer[], seat: Seat | null): Promise<void> {
    let outcome: Outcome | null;
    let failure: unknown;
    try {
      this.#device.check();
      // What was never computed may keep a loop going for ever.
      const known = joinOutcomes(inputs.map((b) => b.outcome));
      if (known !== null) await known.check();
      const { run, end } = this.#start(inputs, made, seat);
      try {
        await run.perform(this.#plan.steps);
        run.submit();
      } finally {
        end();
      }
      outcome = run.outcome;
    } catch (error) {
      failure = error;
      outcome = new Outcome(Promise.reject(error));
    }
    seat?.leave(failure);
    for (const buffer of made) buffer.outcome = joinOutcomes([buffer.outcome, outcome]);
  }

  /** Adds a buffer for each buffer of results, with one reference. */
  #makeResults(made: WgpuBuffer[], donors: ReadonlyMap<number, WgpuBuffer>): void {
    const { sources, results } = this.#program;
    sources.forEach((source, i) => {
      const { shape, dtype } = results[i];
      if (source.kind !== "buffer") return;
      made[source.position] ??= new WgpuBuffer(this.#device, shape, dtype, donors.get(source.position)?.give());
    });
  }

  /** A run with memory for temporaries, until `end`: whoever has that next comes later in the queue. */
  #start(
    inputs: readonly WgpuBuffer[],
    made: readonly WgpuBuffer[],
    seat: Seat | null,
  ): { readonly run: Run; readonly end: () => void } {
    const program = this.#program;
    const { memory } = this.#device;
    const { constants, gates: gatesOf } = this.#holdings;
    const arena = program.arenaBytes > 0 ? memory.allocate(program.arenaBytes, `the temporaries of ${program.name}`) : null;
    const pieceOf = (buffer: Pointer["buffer"]): Piece => {
      if (buffer === gates) return gatesOf!;
      switch (buffer.kind) {
        case "argument":
          return inputs[buffer.position].piece;
        case "result":
          return made[buffer.position].piece;
        case "constant":
          return constants[buffer.position];
        case "temporary":
          return { ...arena!, offset: arena!.offset + program.offsets.get(buffer.id)! };
      }
    };
    const run = new Run({ program, device: this.#device, pipelines: this.#pipelines, pieceOf, seat });
    return {
      run,
      end: () => {
        if (arena !== null) memory.free(arena);
      },
    };
  }

  /** For results that may have it, the argument whose memory they take over: a donated one that nobody else has. */
  #donors(inputs: readonly WgpuBuffer[]): ReadonlyMap<number, WgpuBuffer> {
    const free = this.#program.donations.filter(({ argument }) => {
      const buffer = inputs[argument];
      return buffer.isUnshared && inputs.indexOf(buffer) === inputs.lastIndexOf(buffer);
    });
    return new Map(free.map(({ argument, result }) => [result, inputs[argument]]));
  }

  /** One reference for each result; several may be the same buffer. */
  #results(inputs: readonly WgpuBuffer[], made: readonly WgpuBuffer[]): WgpuBuffer[] {
    const outs = this.#program.sources.map((s) => (s.kind === "argument" ? inputs[s.position] : made[s.position]));
    outs.forEach((out, i) => {
      if (inputs.includes(out) || outs.indexOf(out) < i) out.retain();
    });
    return outs;
  }

  execute(args: readonly (readonly Buffer[])[]): Buffer[][] {
    return args.map((list) => this.run(list));
  }

  inspect(): ExecutableInfo {
    const program = this.#program;
    return { text: programText(program), segments: programSegments(program), cost: programCost(program) };
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    abandoned.unregister(this);
    if (this.#runs === 0) this.#holdings[Symbol.dispose]();
  }
}
