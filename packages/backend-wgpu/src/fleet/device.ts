import type { Device, MemoryStats } from "@traceform/core";
import type { FleetBackend } from "./backend.ts";

/** A device of a fleet: a GPU, or one of several logical devices on it. */
export class FleetDevice implements Device {
  readonly id: number;
  readonly kind = "wgpu";
  readonly backend: FleetBackend;
  readonly memoryIndex: number;
  readonly #gpu: Device;

  constructor(id: number, backend: FleetBackend, memoryIndex: number, gpu: Device) {
    this.id = id;
    this.backend = backend;
    this.memoryIndex = memoryIndex;
    this.#gpu = gpu;
  }
  releaseById(id: number): void {
    this.backend.live.get(id)?.release();
  }
  memoryStats(): MemoryStats {
    return this.#gpu.memoryStats();
  }
  toString(): string {
    return `wgpu:${this.id}`;
  }
}
