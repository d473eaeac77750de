import { BackendError, OutOfMemoryError } from "@traceform/core";
import { Allocator, blockSize } from "./allocator.ts";
import { type Label, labelText, memoryFix, readableBytes } from "./outofmemory.ts";
import { control } from "./threads/control.ts";

const page = 65536;
/** What addresses of 32 bits reach. */
export const mostBytes: number = 65536 * page;
const growth = 64 << 20;
/** After so many bytes of new storages finalizers should have a chance to run. */
const accountLimit = 32 << 20;
/**
 * Room before the first block and after the last: vector loads may touch neighbours of what they use. The words by which
 * threads talk to each other are in the first one (`threads/control.ts`).
 */
const guardBytes: number = control.end;

/**
 * The bytes of one buffer: in the heap, or, after it was spilled, in an ordinary array buffer that only this object
 * owns.
 */
export interface Storage {
  /** The address in the heap, or -1. */
  pointer: number;
  readonly bytes: number;
  spilled: ArrayBuffer | null;
  /** While above zero the storage stays where it is. */
  pins: number;
  /** Said in out-of-memory errors. */
  readonly label: Label;
  readonly id: number;
  readonly device: number;
  /** References held by the library. */
  refs: number;
}

/**
 * One WebAssembly memory for all devices and programs. Resident storages are held strongly, so nothing moves while it is
 * used; under pressure unpinned ones move into array buffers of their own, and the heap forgets them: if their handle
 * is gone too, the engine frees them at once, without a finalizer having to run.
 */
export class Heap {
  readonly memory: WebAssembly.Memory;
  readonly maximumPages: number;
  readonly #allocator: Allocator;
  /** In the order in which they came in: the first are the first to go. */
  readonly #resident = new Map<number, Storage>();
  #bytesResident = 0;
  #bytesSpilled = 0;
  #account = 0;
  #u8!: Uint8Array;
  #u32!: Uint32Array;
  readonly limit: number;

  /** `shared`: between threads. */
  constructor(maxBytes: number, shared: boolean) {
    let maximum = Math.max(2, Math.min(mostBytes / page, Math.floor(maxBytes / page)));
    let memory: WebAssembly.Memory | null = null;
    // Some engines reserve the maximum: settle for less where that fails.
    while (memory === null) {
      try {
        memory = new WebAssembly.Memory({ initial: Math.min(16, maximum), maximum, shared });
      } catch (error) {
        if (maximum <= 1024) throw error;
        maximum = Math.floor(maximum / 2);
      }
    }
    this.memory = memory;
    this.maximumPages = maximum;
    this.limit = maximum * page;
    this.#allocator = new Allocator(guardBytes, memory.buffer.byteLength - guardBytes, this.limit - guardBytes);
    this.#view();
  }

  #view(): void {
    this.#u8 = new Uint8Array(this.memory.buffer);
    this.#u32 = new Uint32Array(this.memory.buffer);
  }
  /** The whole memory. Views go stale when it grows (shared ones just stay short): fetch them anew for every use. */
  get u8(): Uint8Array {
    if (this.#u8.length === 0) this.#view();
    return this.#u8;
  }
  get u32(): Uint32Array {
    if (this.#u32.length === 0) this.#view();
    return this.#u32;
  }

  get bytesResident(): number {
    return this.#bytesResident;
  }
  get bytesReserved(): number {
    return this.memory.buffer.byteLength;
  }
  get bytesSpilled(): number {
    return this.#bytesSpilled;
  }
  residents(): Iterable<Storage> {
    return this.#resident.values();
  }
  resident(id: number): Storage | undefined {
    return this.#resident.get(id);
  }

  /** Memory for a new storage; it starts with one pin if `pinned`. */
  create(id: number, device: number, bytes: number, label: Label, pinned: boolean): Storage {
    const storage: Storage = {
      pointer: this.allocate(bytes, label),
      bytes,
      spilled: null,
      pins: pinned ? 1 : 0,
      label,
      id,
      device,
      refs: 1,
    };
    this.#resident.set(id, storage);
    this.#bytesResident += bytes;
    this.#account += bytes;
    return storage;
  }

  /** Whether much was allocated since this last said so: then it is time for a task, in which finalizers can run. */
  accountIsHigh(): boolean {
    if (this.#account < accountLimit) return false;
    this.#account = 0;
    return true;
  }

  /** A new storage, with one pin, in the memory of a resident one that has come to its end. */
  takeOver(from: Storage, id: number, device: number, label: Label): Storage {
    const storage: Storage = { pointer: from.pointer, bytes: from.bytes, spilled: null, pins: 1, label, id, device, refs: 1 };
    this.#resident.delete(from.id);
    from.pointer = -1;
    this.#resident.set(id, storage);
    return storage;
  }

  /** Makes the storage resident and keeps it so until `unpin`. */
  pin(storage: Storage): number {
    if (storage.pointer < 0) {
      const bytes = new Uint8Array(spilledBytes(storage));
      storage.pointer = this.allocate(storage.bytes, storage.label);
      this.u8.set(bytes, storage.pointer);
      storage.spilled = null;
      this.#resident.set(storage.id, storage);
      this.#bytesResident += storage.bytes;
    }
    storage.pins++;
    return storage.pointer;
  }
  unpin(storage: Storage): void {
    storage.pins--;
  }

  free(storage: Storage): void {
    if (storage.pointer >= 0) {
      this.#allocator.release(storage.pointer, storage.bytes);
      this.#resident.delete(storage.id);
      this.#bytesResident -= storage.bytes;
      storage.pointer = -1;
    }
    storage.spilled = null;
  }

  /** A range of the heap; the memory grows, then storages are spilled, to find it. @throws {OutOfMemoryError} */
  allocate(bytes: number, label: Label): number {
    let pointer = this.#allocator.allocate(bytes);
    if (pointer >= 0) return pointer;
    // What cannot fit at all should not drive everything else out.
    if (bytes > this.capacity) throw this.#outOfMemory(bytes, label);
    if (this.#grow(blockSize(bytes))) {
      pointer = this.#allocator.allocate(bytes);
      if (pointer >= 0) return pointer;
    }
    for (const storage of this.#resident.values()) {
      if (storage.pins > 0) continue;
      this.#spill(storage);
      // Looking for a range costs little beside the copy; enough neighbours must be free.
      pointer = this.#allocator.allocate(bytes);
      if (pointer >= 0) return pointer;
    }
    throw this.#outOfMemory(bytes, label);
  }
  release(pointer: number, bytes: number): void {
    this.#allocator.release(pointer, bytes);
  }

  #grow(bytes: number): boolean {
    const { end, limit } = this.#allocator;
    const room = Math.floor((limit - end) / page);
    if (room <= 0) return false;
    const need = Math.ceil(bytes / page);
    for (const want of [Math.min(room, Math.max(need, growth / page)), Math.min(room, need)]) {
      try {
        this.memory.grow(want);
      } catch {
        continue;
      }
      this.#view();
      this.#allocator.extend(end + want * page);
      return true;
    }
    return false;
  }

  #spill(storage: Storage): void {
    storage.spilled = this.u8.slice(storage.pointer, storage.pointer + storage.bytes).buffer as ArrayBuffer;
    this.#allocator.release(storage.pointer, storage.bytes);
    storage.pointer = -1;
    this.#resident.delete(storage.id);
    this.#bytesResident -= storage.bytes;
    this.#bytesSpilled += storage.bytes;
  }

  #outOfMemory(bytes: number, label: Label): OutOfMemoryError {
    const largest = [...this.#resident.values()]
      .sort((a, b) => b.bytes - a.bytes)
      .slice(0, 5)
      .map((s) => labelText(s.label));
    const fits = bytes <= this.capacity;
    const room = `${readableBytes(this.#bytesResident)} are taken by arrays, ${readableBytes(this.bytesOther)} by programs`;
    return new OutOfMemoryError("cpu", {
      message: `no room for ${labelText(label)} (${readableBytes(bytes)}) in a heap of ${readableBytes(this.limit)}, ${fits ? `of which ${room}` : "not even if it were empty"}`,
      operands: fits ? { "largest in use": largest.join(", ") || "none" } : {},
      fix: memoryFix({ disposing: fits, growing: this.limit < mostBytes }),
    });
  }

  /** The largest range there could be. */
  get capacity(): number {
    return this.#allocator.capacity;
  }
  /** Bytes that are neither free nor of arrays: tables of programs, and temporaries of those that run. */
  get bytesOther(): number {
    return this.#allocator.end - guardBytes - this.#allocator.freeBytes - this.#bytesResident;
  }
}

/** The bytes of a storage that is not in the heap. @throws {BackendError} when a donation has taken its memory */
export function spilledBytes(storage: Storage): ArrayBuffer {
  if (storage.spilled !== null) return storage.spilled;
  throw new BackendError("cpu", {
    message: `the buffer ${labelText(storage.label)} was donated or released: it has no memory any more`,
    fix: "use the result that took its memory over, or do not donate the argument",
  });
}
