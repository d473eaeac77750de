import { type Buffer, invariant, type StandardDType } from "@traceform/core";
import type { WgpuDevice } from "./device.ts";
import type { Piece } from "./memory.ts";
import type { Outcome } from "./outcome.ts";

let nextId = 1;

/** An array in a piece of the device's memory; every element takes a word. */
export class WgpuBuffer implements Buffer {
  readonly id: number = nextId++;
  readonly device: WgpuDevice;
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly byteLength: number;
  /** Whether what is to write it goes well. */
  outcome: Outcome | null = null;
  readonly piece: Piece;
  #references = 1;

  constructor(device: WgpuDevice, shape: readonly number[], dtype: StandardDType) {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.byteLength = wordsOf(shape) * 4;
    this.piece = device.memory.allocate(this.byteLength, `${dtype}[${shape.join(",")}]`);
    device.live.set(this.id, this);
  }

  retain(): void {
    this.#references++;
  }
  release(): void {
    invariant(this.#references > 0, "a buffer was released more often than retained");
    if (--this.#references > 0) return;
    this.device.live.delete(this.id);
    this.device.memory.free(this.piece);
  }
}

/** Words of an array: one for each element. */
export function wordsOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
