import { type Backend, type Device, type DeviceQueue, type MemoryStats } from "@traceform/core";
import type { Heap } from "./heap.ts";

/** A logical device, in the memory that all of them share. */
export class CpuDevice implements Device {
  readonly id: number;
  readonly kind = "cpu";
  readonly backend: Backend;
  /**
   * Orders programs and reads of all devices: a program may work for several. Everything here is synchronous, so it is idle
   * unless a host step awaits something.
   */
  readonly queue: DeviceQueue;
  readonly #heap: Heap;

  constructor(id: number, backend: Backend, heap: Heap, queue: DeviceQueue) {
    this.id = id;
    this.backend = backend;
    this.#heap = heap;
    this.queue = queue;
  }
  releaseById(id: number): void {
    // A spilled storage is not in the table: its memory went with its handle.
    const storage = this.#heap.resident(id);
    if (storage !== undefined && storage.refs > 0 && --storage.refs === 0) this.#heap.free(storage);
  }
  memoryStats(): MemoryStats {
    let bytesInUse = 0;
    let liveBuffers = 0;
    for (const s of this.#heap.residents()) {
      if (s.device !== this.id) continue;
      bytesInUse += s.bytes;
      liveBuffers++;
    }
    const { limit: bytesLimit, bytesReserved, bytesSpilled } = this.#heap;
    return { bytesInUse, liveBuffers, bytesLimit, bytesReserved, bytesSpilled };
  }
  toString(): string {
    return `cpu:${this.id}`;
  }
}
