import { type Backend, BackendError, type Device, DeviceQueue, type MemoryStats } from "@traceform/core";
import type { WgpuBuffer } from "./buffer.ts";
import { Memory } from "./memory.ts";
import type { Outcome } from "./outcome.ts";
import { Reads } from "./reads.ts";

/** A GPU: its memory, and what went wrong there. */
export class WgpuDevice implements Device {
  readonly id = 0;
  readonly kind = "wgpu";
  readonly backend: Backend;
  readonly gpu: GPUDevice;
  readonly memory: Memory;
  readonly reads: Reads;
  /** Programs run in order: those that have to wait for values of the GPU hold up the ones after them. */
  readonly queue: DeviceQueue = new DeviceQueue();
  readonly live: Map<number, WgpuBuffer> = new Map();
  /** Why the device is of no use any more, or what it has complained about that no program was asked for. */
  #failure: BackendError | null = null;

  constructor(backend: Backend, gpu: GPUDevice, bytesLimit: number) {
    this.backend = backend;
    this.gpu = gpu;
    this.memory = new Memory(gpu, bytesLimit);
    this.reads = new Reads(this);
    void gpu.lost.then(({ reason, message }) => {
      this.#failure = new BackendError("wgpu", {
        message: `the GPU device was lost (${reason}): ${message}`,
        fix: "make another backend with `await wgpu()` and put the arrays there again; values that were not read are gone",
      });
    });
    gpu.addEventListener("uncapturederror", (event) => {
      const { error } = event as GPUUncapturedErrorEvent;
      this.#failure ??= new BackendError("wgpu", {
        message: `WebGPU reported an error: ${error.message}`,
        fix: "nothing on the device can be trusted: make another backend with `await wgpu()`, and report the message",
        cause: error,
      });
    });
  }

  /** @throws {BackendError} when the device is lost, or has reported an error: then nothing on it can be trusted */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /**
   * Does work on things that may turn out not to be. What WebGPU says about the work is then a consequence of what `outcomes` will
   * tell, and not a failure of the device.
   */
  guarded<T>(outcomes: readonly (Outcome | null)[], work: () => T): T {
    if (outcomes.every((o) => o === null || (o.settled === null && o.failure === null))) return work();
    this.gpu.pushErrorScope("validation");
    try {
      return work();
    } finally {
      // A device that is lost has no scopes.
      this.gpu.popErrorScope().catch(() => null);
    }
  }

  releaseById(id: number): void {
    this.live.get(id)?.release();
  }
  memoryStats(): MemoryStats {
    const { bytesInUse, bytesLimit, bytesReserved } = this.memory;
    return { bytesInUse, liveBuffers: this.live.size, bytesLimit, bytesReserved, bytesSpilled: 0 };
  }
  toString(): string {
    return `wgpu:${this.id}`;
  }
}
