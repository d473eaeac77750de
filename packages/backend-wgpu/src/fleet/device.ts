import type { Device, MemoryStats } from "@traceform/core";
import type { FleetBackend } from "./backend.ts";

/** A device of a fleet: one of a GPU, or a logical one there. */
export class FleetDevice implements Device {
  readonly id: number;
  readonly kind = "wgpu";
  readonly backend: FleetBackend;
  readonly memoryIndex: number;
  /** As the backend of its GPU has it. */
  readonly own: Device;

  constructor(id: number, backend: FleetBackend, memoryIndex: number, own: Device) {
    this.id = id;
    this.backend = backend;
    this.memoryIndex = memoryIndex;
    this.own = own;
  }
  releaseById(id: number): void {
    this.backend.live.get(id)?.release();
  }
  memoryStats(): MemoryStats {
    return this.own.memoryStats();
  }
  toString(): string {
    return `wgpu:${this.id}`;
  }
}
