import { BackendError, type Buffer, DisposedError, type Executable, type ExecutableInfo } from "@traceform/core";
import type { Program } from "@traceform/compiler";
import { CpuBuffer } from "./buffer.ts";
import type { ProgramCode } from "./code.ts";
import type { CpuDevice } from "./device.ts";
import { describeProgram } from "./inspect.ts";
import type { Heap, Storage } from "./heap.ts";
import { InstalledProgram } from "./installed.ts";
import { largestTemporaries } from "./outofmemory.ts";
import { tableLayout } from "./table.ts";

/**
 * Ends what an executable has in the memory and in the workers when nobody refers to the executable any more: the caches drop
 * those they have no room for without knowing who else may hold them.
 */
const abandoned = new FinalizationRegistry<InstalledProgram>((installed) => installed[Symbol.dispose]());

/** A program as an instance of its module. */
export class CpuExecutable implements Executable {
  readonly #program: Program;
  readonly #heap: Heap;
  readonly #device: CpuDevice;
  #installed: InstalledProgram | null;
  /** Runs that have not returned: a host step may run the program that it belongs to. */
  #depth = 0;
  #disposed = false;
  /** For each result, the first one from the same source. */
  readonly #firsts: readonly number[];

  /** `captured` are the leading arguments, owned by the executable. */
  constructor(program: Program, heap: Heap, device: CpuDevice, code: ProgramCode, captured: readonly CpuBuffer[]) {
    this.#program = program;
    this.#heap = heap;
    this.#device = device;
    const { sources } = program;
    const seen = new Map<number, number>();
    this.#firsts = sources.map((s, i) => {
      if (s.kind === "argument") return i;
      if (!seen.has(s.position)) seen.set(s.position, i);
      return seen.get(s.position)!;
    });
    this.#installed = new InstalledProgram(program, heap, code, captured);
    abandoned.register(this, this.#installed, this);
  }

  run(args: readonly Buffer[]): Buffer[] {
    if (this.#installed === null || this.#disposed)
      throw new DisposedError(this.#program.name, { message: "this executable was disposed of", fix: "compile the program again" });
    const { captured } = this.#installed;
    const inputs = captured.length === 0 ? (args as readonly CpuBuffer[]) : [...captured, ...(args as readonly CpuBuffer[])];
    if (inputs.length !== this.#program.arguments.length) {
      throw new BackendError(this.#program.name, {
        message: `the program takes ${this.#program.arguments.length - captured.length} arguments, got ${args.length}`,
        fix: "call it with the arguments that it was compiled for",
      });
    }
    const device = inputs.length > captured.length ? inputs[captured.length].device : this.#device;
    return device.queue.isIdle ? this.#runNow(inputs, device) : this.#runLater(inputs, device);
  }

  #runNow(inputs: readonly CpuBuffer[], device: CpuDevice): CpuBuffer[] {
    const heap = this.#heap;
    let pinned = 0;
    try {
      for (; pinned < inputs.length; pinned++) heap.pin(inputs[pinned].storage);
      const outs = this.#makeResults(inputs, device, this.#donors(inputs));
      try {
        this.#launch(inputs, outs);
      } catch (error) {
        for (const out of outs) out.release();
        throw error;
      } finally {
        for (const out of outs) heap.unpin(out.storage);
      }
      return outs;
    } finally {
      for (let i = 0; i < pinned; i++) heap.unpin(inputs[i].storage);
    }
  }

  /** Something before this program is waiting: its results are pending until its turn comes. */
  #runLater(inputs: readonly CpuBuffer[], device: CpuDevice): CpuBuffer[] {
    const heap = this.#heap;
    for (const input of inputs) input.retain();
    const outs = this.#makeResults(inputs, device, null);
    const own = outs.filter((out) => !inputs.includes(out));
    for (const out of own) out.isPending = true;
    void device.queue.submit(() => {
      let pinned = 0;
      try {
        for (const { failure } of inputs) if (failure !== null) throw failure;
        for (; pinned < inputs.length; pinned++) heap.pin(inputs[pinned].storage);
        this.#launch(inputs, outs);
      } catch (error) {
        for (const out of own) out.failure = error;
      } finally {
        for (let i = 0; i < pinned; i++) heap.unpin(inputs[i].storage);
        for (const out of outs) heap.unpin(out.storage);
        for (const out of own) out.isPending = false;
        for (const input of inputs) input.release();
      }
    });
    return outs;
  }

  /** For each buffer of results, the storage that it takes over: that of a donated argument with no other reference. */
  #donors(inputs: readonly CpuBuffer[]): readonly (Storage | undefined)[] | null {
    const { donations } = this.#program;
    if (donations.length === 0) return null;
    const donors: (Storage | undefined)[] = [];
    for (const { argument, result } of donations) {
      const { storage } = inputs[argument];
      // A second pin is a second argument with the same buffer.
      if (storage.refs === 1 && storage.pins === 1) donors[result] = storage;
    }
    return donors;
  }

  /** One buffer for each result, with one reference and one pin each. */
  #makeResults(inputs: readonly CpuBuffer[], device: CpuDevice, donors: readonly (Storage | undefined)[] | null): CpuBuffer[] {
    const heap = this.#heap;
    const { sources, results } = this.#program;
    const outs: CpuBuffer[] = new Array<CpuBuffer>(sources.length);
    let made = 0;
    try {
      for (; made < sources.length; made++) {
        const source = sources[made];
        const first = this.#firsts[made];
        if (source.kind === "argument" || first < made) {
          const known = source.kind === "argument" ? inputs[source.position] : outs[first];
          heap.pin(known.storage);
          known.retain();
          outs[made] = known;
        } else {
          const { shape, dtype, bytes } = results[made];
          outs[made] = new CpuBuffer(heap, device, shape, dtype, bytes, true, donors?.[source.position]);
        }
      }
    } catch (error) {
      for (let i = 0; i < made; i++) {
        heap.unpin(outs[i].storage);
        outs[i].release();
      }
      throw error;
    }
    return outs;
  }

  /** Runs on pinned buffers. */
  #launch(inputs: readonly CpuBuffer[], outs: readonly CpuBuffer[]): void {
    const heap = this.#heap;
    const { sources, donations, arenaBytes } = this.#program;
    const installed = this.#installed!;
    const start = installed.table >>> 2;
    // A host step of this program has come to run it again: the table is that of the run which waits.
    const waiting = this.#depth > 0 ? heap.u32.slice(start, start + tableLayout(this.#program).length) : null;
    const arena = arenaBytes > 0 ? heap.allocate(arenaBytes, this.#temporaries) : 0;
    this.#depth++;
    try {
      // Only now: allocation may have grown the memory and moved the view.
      const table = heap.u32;
      let at = start;
      for (let i = 0; i < inputs.length; i++) table[at++] = inputs[i].storage.pointer;
      const results = at;
      for (let i = 0; i < outs.length; i++) {
        const source = sources[i];
        if (source.kind === "buffer" && source.position === at - results) table[at++] = outs[i].storage.pointer;
      }
      // Donors that were taken over have given their address away.
      for (const { argument, result } of donations)
        if (inputs[argument].storage.pointer < 0) table[start + argument] = table[results + result];
      installed.run(arena);
    } catch (error) {
      throw error instanceof WebAssembly.RuntimeError && !installed.cameFromHost(error)
        ? new BackendError(this.#program.name, {
            message: `the compiled program failed: ${error.message}`,
            cause: error,
            fix: "the cause says what failed; if it is memory, make the batch smaller",
          })
        : error;
    } finally {
      this.#depth--;
      if (waiting !== null) heap.u32.set(waiting, start);
      if (arena !== 0) heap.release(arena, arenaBytes);
      if (this.#disposed && this.#depth === 0) this[Symbol.dispose]();
    }
  }

  readonly #temporaries = (): string =>
    `the temporaries of ${this.#program.name}, of which the largest are ${largestTemporaries(this.#program)}`;

  execute(args: readonly (readonly Buffer[])[]): Buffer[][] {
    return args.map((list) => this.run(list));
  }

  inspect(): ExecutableInfo {
    return describeProgram(this.#program);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    // A host step may dispose of the program that waits for it.
    if (this.#installed === null || this.#depth > 0) return;
    abandoned.unregister(this);
    this.#installed[Symbol.dispose]();
    this.#installed = null;
  }
}
