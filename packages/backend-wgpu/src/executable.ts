import { BackendError, type Buffer, DisposedError, type Executable, type ExecutableInfo } from "@traceform/core";
import { programCost, programSegments, programText, type BufferInfo, type Program } from "@traceform/compiler";
import { WgpuBuffer } from "./buffer.ts";
import type { WgpuDevice } from "./device.ts";
import { type Dispatch, planDispatches } from "./dispatches.ts";
import { firstPointer, type Schedule, specials } from "./emit/kernel.ts";
import { toWords } from "./host.ts";
import type { Piece, Slab } from "./memory.ts";
import { joinOutcomes, type Outcome } from "./outcome.ts";
import { type Compiled, type Pipelines, wordBytes } from "./pipelines.ts";

/** What an executable has of the device's memory. */
class Holdings {
  readonly #device: WgpuDevice;
  readonly captured: readonly WgpuBuffer[];
  readonly constants: readonly Piece[];

  constructor(program: Program, device: WgpuDevice, captured: readonly WgpuBuffer[]) {
    this.#device = device;
    this.captured = captured;
    this.constants = program.constants.map((table) => {
      const words = toWords("float32", new Uint8Array(table.buffer, table.byteOffset, table.byteLength));
      const piece = device.memory.allocate(words.byteLength, `a table of ${program.name}`);
      device.guarded([piece.slab.outcome], () => device.gpu.queue.writeBuffer(piece.slab.gpu, piece.offset, words));
      return piece;
    });
  }

  [Symbol.dispose](): void {
    for (const piece of this.constants) this.#device.memory.free(piece);
    for (const buffer of this.captured) buffer.release();
  }
}

/** Frees the memory of executables that nobody refers to any more: caches drop them without knowing who else holds them. */
const abandoned = new FinalizationRegistry<Holdings>((holdings) => holdings[Symbol.dispose]());

/** A program as dispatches: one encoder and one submit a run. */
export class WgpuExecutable implements Executable {
  readonly #program: Program;
  readonly #device: WgpuDevice;
  readonly #pipelines: Pipelines;
  readonly #dispatches: readonly Dispatch[];
  readonly #compiled: readonly Compiled[];
  readonly #holdings: Holdings;
  #disposed = false;

  /** `captured` are the leading arguments, owned by the executable. */
  constructor(program: Program, device: WgpuDevice, pipelines: Pipelines, captured: readonly WgpuBuffer[], schedule: Schedule) {
    this.#program = program;
    this.#device = device;
    this.#pipelines = pipelines;
    this.#dispatches = planDispatches(program, schedule);
    // What cannot be written in WGSL is refused now; most programs run with all of their memory in one slab.
    this.#compiled = this.#dispatches.map((d) => pipelines.pipeline(d, new Array<number>(d.pointers.length).fill(0)));
    this.#holdings = new Holdings(program, device, captured);
    abandoned.register(this, this.#holdings, this);
  }

  /** @throws {BackendError} for kernels that WebGPU does not take */
  async prepare(): Promise<void> {
    await Promise.all(this.#compiled.map((c) => c.prepare()));
  }

  run(args: readonly Buffer[]): WgpuBuffer[] {
    const program = this.#program;
    if (this.#disposed) {
      throw new DisposedError(program.name, {
        message: "this executable was disposed of",
        fix: "compile the program again, or dispose of the executable later",
      });
    }
    this.#device.check();
    const { captured, constants } = this.#holdings;
    const inputs = [...captured, ...(args as readonly WgpuBuffer[])];
    if (inputs.length !== program.arguments.length) {
      throw new BackendError(program.name, {
        message: `the program takes ${program.arguments.length - captured.length} arguments, got ${args.length}`,
        fix: "pass one array for each argument that the program was compiled for",
      });
    }
    const { memory } = this.#device;
    const arena = program.arenaBytes > 0 ? memory.allocate(program.arenaBytes, `the temporaries of ${program.name}`) : null;
    const made: WgpuBuffer[] = [];
    try {
      const donors = this.#donors(inputs);
      program.sources.forEach((source, i) => {
        const { shape, dtype } = program.results[i];
        if (source.kind !== "buffer") return;
        made[source.position] ??= new WgpuBuffer(this.#device, shape, dtype, donors.get(source.position)?.give());
      });
      const outcome = this.#submit((buffer) => {
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
      });
      const joined = joinOutcomes([outcome, ...inputs.map((b) => b.outcome)]);
      for (const buffer of made) buffer.outcome = joined;
    } catch (error) {
      for (const buffer of made) buffer.release();
      throw error;
    } finally {
      // Whoever has it next comes later in the queue.
      if (arena !== null) memory.free(arena);
    }
    return this.#results(inputs, made);
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

  /** Encodes all dispatches into one pass. Errors of a run are those of its pipelines. */
  #submit(pieceOf: (buffer: BufferInfo) => Piece): Outcome | null {
    const pipelines = this.#pipelines;
    const { gpu } = this.#device;
    if (this.#dispatches.length === 0) return null;
    const places = this.#dispatches.map((d) => placesOf(d, pieceOf));
    const compiled = this.#dispatches.map((d, i) => pipelines.pipeline(d, places[i].bindings));
    const slabs = places.flatMap((p) => p.slabs);
    const outcome = joinOutcomes([...compiled, ...slabs].map((c) => c.outcome));
    if (outcome !== null && outcome.failure !== null) return outcome;
    const bytes = this.#dispatches.reduce((sum, d) => sum + wordBytes(d.pointers.length), 0);
    const words = new Uint32Array(bytes / 4);
    const buffer = pipelines.words(bytes);
    // A pipeline that turns out to be none makes the commands invalid too; what it says itself is what counts.
    if (outcome !== null) gpu.pushErrorScope("validation");
    const encoder = gpu.createCommandEncoder({ label: this.#program.name });
    const pass = encoder.beginComputePass({ label: this.#program.name });
    let at = 0;
    this.#dispatches.forEach((d, i) => {
      const { slabs, offsets } = places[i];
      words.set([...specials, ...offsets], at / 4);
      if (d.kernel.kind === "copy") words[at / 4 + firstPointer + offsets.length] = d.words;
      pass.setPipeline(compiled[i].pipeline);
      pass.setBindGroup(0, pipelines.group(slabs, offsets.length), [at]);
      pass.dispatchWorkgroups(...workgroups(d.groups, gpu.limits.maxComputeWorkgroupsPerDimension));
      at += wordBytes(offsets.length);
    });
    pass.end();
    gpu.queue.writeBuffer(buffer, 0, words);
    gpu.queue.submit([encoder.finish()]);
    if (outcome !== null) void gpu.popErrorScope();
    return outcome;
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
    this.#holdings[Symbol.dispose]();
  }
}

/** The slabs that a dispatch uses, and for each pointer which of them it is in and at which word. */
function placesOf(
  { pointers }: Dispatch,
  pieceOf: (buffer: BufferInfo) => Piece,
): { readonly slabs: readonly Slab[]; readonly bindings: readonly number[]; readonly offsets: readonly number[] } {
  const slabs: Slab[] = [];
  const offsets: number[] = [];
  const bindings = pointers.map((p) => {
    const { slab, offset } = pieceOf(p.buffer);
    offsets.push((offset + p.offset) / 4);
    const known = slabs.indexOf(slab);
    return known < 0 ? slabs.push(slab) - 1 : known;
  });
  return { slabs, bindings, offsets };
}

/** So many workgroups in two dimensions, neither of which may be longer than the device's limit. */
function workgroups(groups: number, most: number): [number, number] {
  const rows = Math.ceil(groups / most);
  return [Math.ceil(groups / rows), rows];
}
