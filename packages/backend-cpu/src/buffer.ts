import { type Buffer, type Device, dtypeName, formatShape, invariant, itemsize, type StandardDType } from "@traceform/core";
import type { Heap, Storage } from "./heap.ts";

let nextId = 1;

/** A handle on a storage. Only handles keep spilled storages alive. */
export class CpuBuffer implements Buffer {
  readonly id: number;
  readonly device: Device;
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly byteLength: number;
  readonly storage: Storage;
  readonly heap: Heap;

  /** A new buffer with one reference; its contents are whatever was there. `pinned` leaves one pin to the caller. */
  constructor(heap: Heap, device: Device, shape: readonly number[], dtype: StandardDType, byteLength: number, pinned: boolean) {
    this.id = nextId++;
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.byteLength = byteLength;
    this.heap = heap;
    this.storage = heap.create(this.id, device.id, byteLength, { shape, dtype }, pinned);
  }

  retain(): void {
    this.storage.refs++;
  }
  release(): void {
    const { storage } = this;
    invariant(storage.refs > 0, "a buffer was released more often than retained");
    if (--storage.refs === 0) this.heap.free(storage);
  }
}

/** Bytes of a dense array. */
export function byteLengthOf(shape: readonly number[], dtype: StandardDType): number {
  let n = itemsize(dtype);
  for (const d of shape) n *= d;
  return n;
}

/** An array's type as errors print it. */
export function describe(shape: readonly number[], dtype: StandardDType): string {
  return `${dtypeName(dtype)}${formatShape(shape)}`;
}
