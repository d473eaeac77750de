import type { Program } from "@traceform/compiler";
import type { CpuBuffer } from "./buffer.ts";
import type { ProgramCode } from "./code.ts";
import type { Heap } from "./heap.ts";
import { tableLayout } from "./table.ts";

/**
 * What a program has in the memory for as long as it may run: its code, the table of pointers that the code reads, its tables of
 * constants, and a reference to each captured array. Whoever owns it disposes of it once.
 */
export class InstalledProgram implements Disposable {
  /** The leading arguments. */
  readonly captured: readonly CpuBuffer[];
  /** The address of the table of pointers. */
  readonly table: number;
  readonly #heap: Heap;
  readonly #code: ProgramCode;
  readonly #blocks: { readonly pointer: number; readonly bytes: number }[] = [];

  /** Takes over `code` and the references to the captured arrays. */
  constructor(program: Program, heap: Heap, code: ProgramCode, captured: readonly CpuBuffer[]) {
    this.#heap = heap;
    this.#code = code;
    this.captured = captured;
    const layout = tableLayout(program);
    try {
      this.table = this.#allocate(4 * layout.length, `the table of pointers of ${program.name}`);
      program.constants.forEach(({ buffer, byteOffset, byteLength }, i) => {
        const pointer = this.#allocate(byteLength, `a table of constants of ${program.name}`);
        heap.u8.set(new Uint8Array(buffer, byteOffset, byteLength), pointer);
        heap.u32[(this.table >>> 2) + layout.constant + i] = pointer;
      });
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #allocate(bytes: number, label: string): number {
    const pointer = this.#heap.allocate(bytes, label);
    this.#blocks.push({ pointer, bytes });
    return pointer;
  }

  /** Runs the program on what the table points to. */
  run(arena: number): void {
    this.#code.run(this.table, arena);
  }

  cameFromHost(error: unknown): boolean {
    return this.#code.cameFromHost(error);
  }

  [Symbol.dispose](): void {
    this.#code[Symbol.dispose]();
    for (const { pointer, bytes } of this.#blocks) this.#heap.release(pointer, bytes);
    for (const c of this.captured) c.release();
  }
}
