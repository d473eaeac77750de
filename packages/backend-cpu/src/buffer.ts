import { type Buffer, invariant, itemsize, type StandardDType } from "@traceform/core";
import type { CpuDevice } from "./device.ts";
import type { Heap, Storage } from "./heap.ts";

let nextId = 1;

/** A handle on a storage. Only handles keep spilled storages alive. */
export class CpuBuffer implements Buffer {
  readonly id: number;
  readonly device: CpuDevice;
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly byteLength: number;
  readonly storage: Storage;
  readonly heap: Heap;
  /** Whether a program in the device's queue has yet to write it; then, what went wrong there. */
  isPending = false;
  failure: unknown = null;

  /**
   * A new buffer with one reference; its contents are whatever was there. `pinned` leaves one pin to the caller. With
   * `from`, a pinned buffer in the memory of another one, whose only reference must be the donor's.
   */
  constructor(
    heap: Heap,
    device: CpuDevice,
    shape: readonly number[],
    dtype: StandardDType,
    byteLength: number,
    pinned: boolean,
    from?: Storage,
  ) {
    this.id = nextId++;
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.byteLength = byteLength;
    this.heap = heap;
    const label = { shape, dtype };
    this.storage =
      from === undefined
        ? heap.create(this.id, device.id, byteLength, label, pinned)
        : heap.takeOver(from, this.id, device.id, label);
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
