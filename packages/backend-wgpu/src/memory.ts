import { invariant, OutOfMemoryError } from "@traceform/core";
import { usage } from "./flags.ts";
import { Outcome } from "./outcome.ts";

/** A large buffer of the GPU, from which arrays are cut. */
export interface Slab {
  readonly id: number;
  readonly gpu: GPUBuffer;
  readonly bytes: number;
  /** Whether the GPU had the memory. */
  readonly outcome: Outcome;
}

/** A piece of a slab. `bytes` is what it occupies. */
export interface Piece {
  readonly slab: Slab;
  readonly offset: number;
  readonly bytes: number;
}

interface Range {
  offset: number;
  bytes: number;
}

/** Pieces begin at multiples of this, so that vectors of words can be read. */
const alignment = 64;
/** Pointers are bytes in 32 bits, and what follows the last byte of a slab has one too. */
const addresses = 2 ** 32 - alignment;
/** Slabs are at least so large: kernels may bind few buffers, so their arrays should be in few of them. */
const usualSlab = 1 << 26;

/**
 * The memory of a device: a few slabs, bound as a whole by every kernel that uses them. Work is done in the order in which it was
 * submitted, so a piece may be used again as soon as the host has let go of it.
 */
export class Memory {
  readonly #device: GPUDevice;
  readonly #slabs = new Map<Slab, Range[]>();
  #nextId = 0;
  bytesInUse = 0;
  bytesReserved = 0;
  /** The most that all slabs together may take, and one array. */
  readonly bytesLimit: number;
  readonly mostBytes: number;

  constructor(device: GPUDevice, bytesLimit: number) {
    this.#device = device;
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    this.bytesLimit = bytesLimit;
    this.mostBytes =
      Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize, bytesLimit, addresses) / alignment) * alignment;
  }

  /** @throws {OutOfMemoryError} when the array is larger than a binding may be, or the limit is reached */
  allocate(bytes: number, what: string): Piece {
    const size = Math.max(alignment, Math.ceil(bytes / alignment) * alignment);
    if (size > this.mostBytes) {
      throw new OutOfMemoryError("wgpu", {
        message: `${what} needs ${bytes} bytes at once, and the device binds ${this.mostBytes} at the most`,
        fix: "split it into smaller arrays, or use the CPU backend for it",
      });
    }
    for (const [slab, free] of this.#slabs) {
      const i = free.findIndex((r) => r.bytes >= size);
      if (i < 0) continue;
      const range = free[i];
      const piece = { slab, offset: range.offset, bytes: size };
      if (range.bytes === size) free.splice(i, 1);
      else {
        range.offset += size;
        range.bytes -= size;
      }
      this.bytesInUse += size;
      return piece;
    }
    this.#grow(size, what);
    return this.allocate(bytes, what);
  }

  #grow(size: number, what: string): void {
    if (size > this.#room()) this.#giveBack();
    const room = this.#room();
    if (size > room) {
      throw new OutOfMemoryError("wgpu", {
        message: `${what} needs ${size} bytes, of the ${this.bytesLimit} that the backend may take ${this.bytesReserved} are reserved and ${this.bytesInUse} in use`,
        fix: "dispose of arrays that are no longer needed, or raise maxMemoryBytes",
      });
    }
    // As much as there is already: slabs stay few, however much memory is used.
    const bytes = Math.min(room, this.mostBytes, Math.max(size, usualSlab, this.bytesReserved));
    const id = this.#nextId++;
    this.#device.pushErrorScope("out-of-memory");
    const gpu = this.#device.createBuffer({
      label: `slab ${id}`,
      size: bytes,
      usage: usage.storage | usage.copyFrom | usage.copyTo,
    });
    const outcome = this.#device.popErrorScope().then(
      (error) => {
        if (error === null) return;
        this.#slabs.delete(slab);
        this.bytesReserved -= bytes;
        throw new OutOfMemoryError("wgpu", {
          message: `the GPU did not have the ${bytes} bytes that ${what} needed: ${error.message}`,
          fix: "dispose of arrays that are no longer needed, use smaller ones, or lower maxMemoryBytes; arrays that were there before are as they were",
          cause: error,
        });
      },
      // The device is lost, and says so itself.
      () => undefined,
    );
    const slab: Slab = { id, gpu, bytes, outcome: new Outcome(outcome) };
    this.#slabs.set(slab, [{ offset: 0, bytes }]);
    this.bytesReserved += bytes;
  }

  #room(): number {
    return Math.floor((this.bytesLimit - this.bytesReserved) / alignment) * alignment;
  }
  /** Gives the slabs back in which there is nothing: what is needed now is larger than each of them. */
  #giveBack(): void {
    for (const [slab, [range]] of this.#slabs) {
      if (range?.bytes !== slab.bytes) continue;
      this.#slabs.delete(slab);
      this.bytesReserved -= slab.bytes;
      // What was submitted before is done all the same.
      slab.gpu.destroy();
    }
  }

  free({ slab, offset, bytes }: Piece): void {
    const ranges = this.#slabs.get(slab);
    this.bytesInUse -= bytes;
    if (ranges === undefined) return invariant(slab.outcome.failure !== null, "a piece of memory was freed that is of no slab");
    let i = ranges.findIndex((r) => r.offset > offset);
    if (i < 0) i = ranges.length;
    ranges.splice(i, 0, { offset, bytes });
    // Neighbours are joined: first with what follows, then with what comes before.
    for (const k of [i, i - 1]) {
      const [a, b] = [ranges[k], ranges[k + 1]];
      if (a === undefined || b === undefined || a.offset + a.bytes !== b.offset) continue;
      a.bytes += b.bytes;
      ranges.splice(k + 1, 1);
    }
  }
}
