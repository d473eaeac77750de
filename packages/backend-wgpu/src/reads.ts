import { BackendError, type HostArray } from "@traceform/core";
import { bytesOf, type WgpuBuffer } from "./buffer.ts";
import type { WgpuDevice } from "./device.ts";
import { mapForReading, usage } from "./flags.ts";
import { fromDevice, inWords } from "./host.ts";
import type { Piece } from "./memory.ts";

/** A read that waits for its batch. */
interface Wanted {
  readonly buffer: WgpuBuffer;
  readonly bytes: number;
  resolve(array: HostArray): void;
  reject(error: unknown): void;
}

/** Staging buffers have sizes of powers of two, from this on, so that they fit again. */
const leastStaging = 1 << 16;
/** How long a failed read waits for the news that the device is lost, in milliseconds. */
const patience = 2000;
/** So many bytes of them are kept for later reads, and no batch is larger unless one array is. */
const mostKept = 1 << 26;

/**
 * Copies arrays to the host. Reads that are asked for in one task are one submit and one staging buffer: each of either takes
 * longer than copying a small array. A waiting read holds a reference, so the memory stays as it is until then.
 */
export class Reads {
  readonly #device: WgpuDevice;
  #wanted: Wanted[] = [];
  readonly #kept: GPUBuffer[] = [];
  #keptBytes = 0;

  constructor(device: WgpuDevice) {
    this.#device = device;
  }

  read(buffer: WgpuBuffer): Promise<HostArray> {
    const { shape, dtype } = buffer;
    const bytes = inWords(bytesOf(shape, dtype));
    if (bytes === 0) return Promise.resolve({ shape, dtype, bytes: new Uint8Array(0) });
    buffer.retain();
    if (buffer.submitted !== null) return buffer.submitted.then(() => this.read(buffer)).finally(() => buffer.release());
    if (this.#wanted.length === 0) queueMicrotask(() => this.#flush());
    return new Promise((resolve, reject) => this.#wanted.push({ buffer, bytes, resolve, reject }));
  }

  /** The words in pieces of memory, as they are when what was submitted so far has run. */
  async words(ranges: readonly { readonly piece: Piece; readonly bytes: number }[]): Promise<Uint32Array<ArrayBuffer>[]> {
    this.#device.check();
    const { gpu } = this.#device;
    const bytes = ranges.reduce((sum, r) => sum + r.bytes, 0);
    if (bytes === 0) return ranges.map(() => new Uint32Array(0));
    const staging = this.#staging(bytes);
    const encoder = gpu.createCommandEncoder({ label: "read" });
    let at = 0;
    for (const { piece, bytes: own } of ranges) {
      encoder.copyBufferToBuffer(piece.slab.gpu, piece.offset, staging, at, own);
      at += own;
    }
    gpu.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(mapForReading, 0, bytes);
    } catch (error) {
      staging.destroy();
      return this.#explain(error, [null]) as never;
    }
    const all = new Uint32Array(staging.getMappedRange(0, bytes).slice());
    staging.unmap();
    this.#keep(staging);
    at = 0;
    return ranges.map((r) => all.slice(at / 4, (at += r.bytes) / 4));
  }

  #flush(): void {
    const wanted = this.#wanted;
    this.#wanted = [];
    let batch: Wanted[] = [];
    let bytes = 0;
    for (const w of wanted) {
      if (batch.length > 0 && bytes + w.bytes > mostKept) {
        void this.#copy(batch, bytes);
        [batch, bytes] = [[], 0];
      }
      batch.push(w);
      bytes += w.bytes;
    }
    void this.#copy(batch, bytes);
  }

  async #copy(batch: readonly Wanted[], bytes: number): Promise<void> {
    let staging: GPUBuffer | null = null;
    let held = batch.length;
    const letGo = (): void => {
      for (; held > 0; held--) batch[held - 1].buffer.release();
    };
    try {
      this.#device.check();
      const { gpu } = this.#device;
      staging = this.#staging(bytes);
      const encoder = gpu.createCommandEncoder({ label: "read" });
      let at = 0;
      for (const { buffer, bytes: own } of batch) {
        encoder.copyBufferToBuffer(buffer.piece.slab.gpu, buffer.piece.offset, staging, at, own);
        at += own;
      }
      this.#device.guarded(
        batch.map((w) => w.buffer.outcome),
        () => gpu.queue.submit([encoder.finish()]),
      );
      // Whoever has the memory next comes later in the queue.
      letGo();
      const mapped = staging.mapAsync(mapForReading, 0, bytes).then(
        () => null,
        (error: unknown) => error,
      );
      // What went wrong before says more than what went wrong because of it.
      const failures = await Promise.all(batch.map(({ buffer }) => buffer.outcome?.check().then(noFailure, asFailure) ?? null));
      const failure = await mapped;
      if (failure !== null) await this.#explain(failure, failures);
      const mappedBytes = failure === null ? new Uint8Array(staging.getMappedRange(0, bytes)) : null;
      let from = 0;
      batch.forEach(({ buffer: { shape, dtype }, bytes: own, resolve, reject }, i) => {
        const { error } = failures[i] ?? {};
        if (error !== undefined || mappedBytes === null) reject(error ?? failure);
        else resolve({ shape, dtype, bytes: fromDevice(dtype, mappedBytes.subarray(from, from + bytesOf(shape, dtype))) });
        from += own;
      });
      if (failure === null) {
        staging.unmap();
        this.#keep(staging);
        staging = null;
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      letGo();
      staging?.destroy();
    }
  }

  /** @throws {BackendError} why memory could not be mapped, unless all reads of it have failures of their own */
  async #explain(cause: unknown, failures: readonly unknown[]): Promise<void> {
    if (failures.every((f) => f !== null)) return;
    // Mostly the device is lost; browsers tell the reads first, and the device some time later.
    await Promise.race([this.#device.gpu.lost, new Promise((resolve) => setTimeout(resolve, patience))]);
    this.#device.check();
    throw new BackendError("read", {
      message: "the GPU's memory could not be read",
      fix: "read again, in smaller pieces if memory is short; if it stays so, make another backend with `await wgpu()`",
      cause,
    });
  }

  #staging(bytes: number): GPUBuffer {
    const i = this.#kept.findIndex((b) => b.size >= bytes && b.size <= 4 * Math.max(bytes, leastStaging));
    if (i >= 0) {
      const [found] = this.#kept.splice(i, 1);
      this.#keptBytes -= found.size;
      return found;
    }
    const { maxBufferSize } = this.#device.gpu.limits;
    const size = Math.max(bytes, Math.min(2 ** Math.ceil(Math.log2(Math.max(bytes, leastStaging))), maxBufferSize));
    return this.#device.gpu.createBuffer({ label: "staging", size, usage: usage.mapRead | usage.copyTo });
  }
  #keep(staging: GPUBuffer): void {
    if (this.#keptBytes + staging.size > mostKept) return staging.destroy();
    this.#keptBytes += staging.size;
    this.#kept.push(staging);
  }
}

const noFailure = (): null => null;
const asFailure = (error: unknown): { readonly error: unknown } => ({ error });
