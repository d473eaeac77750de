import { BackendError, type Buffer, DisposedError, type Executable, type ExecutableInfo, type Device } from "@traceform/core";
import type { Program } from "@traceform/compiler";
import { CpuBuffer } from "./buffer.ts";
import { describeProgram } from "./inspect.ts";
import type { Heap } from "./heap.ts";

type Run = (table: number, arena: number) => void;

/** A program as an instance of its module. */
export class CpuExecutable implements Executable {
  readonly #program: Program;
  readonly #heap: Heap;
  readonly #constants: readonly CpuBuffer[];
  readonly #device: Device;
  #run: Run | null;
  readonly #table: number;
  /** For each result, the first one from the same source. */
  readonly #firsts: readonly number[];

  /** `constants` are the leading arguments, owned by the executable. */
  constructor(program: Program, heap: Heap, device: Device, run: Run, constants: readonly CpuBuffer[]) {
    this.#program = program;
    this.#heap = heap;
    this.#device = device;
    this.#run = run;
    this.#constants = constants;
    const { sources } = program;
    const seen = new Map<number, number>();
    this.#firsts = sources.map((s, i) => {
      if (s.kind === "argument") return i;
      if (!seen.has(s.position)) seen.set(s.position, i);
      return seen.get(s.position)!;
    });
    this.#table = heap.allocate(4 * (program.arguments.length + program.results.length), "argument table");
  }

  run(args: readonly Buffer[]): Buffer[] {
    const run = this.#run;
    if (run === null) throw new DisposedError(this.#program.name, { message: "this executable was disposed of" });
    const heap = this.#heap;
    const constants = this.#constants;
    const { sources, results, arenaBytes } = this.#program;
    const inputs = constants.length === 0 ? (args as readonly CpuBuffer[]) : [...constants, ...(args as readonly CpuBuffer[])];
    if (inputs.length !== this.#program.arguments.length) {
      throw new BackendError(this.#program.name, {
        message: `the program takes ${this.#program.arguments.length - constants.length} arguments, got ${args.length}`,
      });
    }
    const device = inputs.length > constants.length ? inputs[constants.length].device : this.#device;
    const outs: CpuBuffer[] = new Array<CpuBuffer>(sources.length);
    let pinned = 0;
    let at = this.#table >>> 2;
    let arena = 0;
    let made = 0;
    try {
      for (; pinned < inputs.length; pinned++) heap.pin(inputs[pinned].storage);
      arena = arenaBytes > 0 ? heap.allocate(arenaBytes, "temporaries") : 0;
      for (; made < sources.length; made++) {
        const source = sources[made];
        if (source.kind === "argument") {
          const argument = inputs[source.position];
          argument.retain();
          heap.pin(argument.storage);
          outs[made] = argument;
        } else {
          const first = this.#firsts[made];
          if (first < made) {
            outs[made] = outs[first];
            outs[made].retain();
            heap.pin(outs[made].storage);
          } else {
            const { shape, dtype, bytes } = results[made];
            outs[made] = new CpuBuffer(heap, device, shape, dtype, bytes, true);
          }
        }
      }
      // Only now: allocation may have grown the memory and moved the view.
      const table = heap.u32;
      for (let i = 0; i < inputs.length; i++) table[at++] = inputs[i].storage.pointer;
      let position = 0;
      for (let i = 0; i < outs.length; i++) {
        const source = sources[i];
        if (source.kind === "buffer" && source.position === position) {
          table[at++] = outs[i].storage.pointer;
          position++;
        }
      }
      run(this.#table, arena);
    } catch (error) {
      for (let i = 0; i < made; i++) {
        heap.unpin(outs[i].storage);
        outs[i].release();
      }
      made = 0;
      throw error instanceof WebAssembly.RuntimeError
        ? new BackendError(this.#program.name, { message: `the compiled program failed: ${error.message}`, cause: error })
        : error;
    } finally {
      for (let i = 0; i < pinned; i++) heap.unpin(inputs[i].storage);
      for (let i = 0; i < made; i++) heap.unpin(outs[i].storage);
      if (arena !== 0) heap.release(arena, arenaBytes);
    }
    return outs;
  }

  execute(args: readonly (readonly Buffer[])[]): Buffer[][] {
    return args.map((list) => this.run(list));
  }

  inspect(): ExecutableInfo {
    return describeProgram(this.#program);
  }

  [Symbol.dispose](): void {
    if (this.#run === null) return;
    this.#run = null;
    this.#heap.release(this.#table, 4 * (this.#program.arguments.length + this.#program.results.length));
    for (const c of this.#constants) c.release();
  }
}
