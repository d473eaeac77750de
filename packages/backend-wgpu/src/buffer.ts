import { type Buffer, invariant, itemsize, type StandardDType } from "@traceform/core";
import type { WgpuDevice } from "./device.ts";
import type { Piece } from "./memory.ts";
import { joinOutcomes, type Outcome } from "./outcome.ts";

let nextId = 1;

/** An array in a piece of the device's memory. */
export class WgpuBuffer implements Buffer {
  readonly id: number = nextId++;
  readonly device: WgpuDevice;
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly byteLength: number;
  /** Whether what is to write it goes well. */
  outcome: Outcome | null = null;
  /** Resolves when what writes it has been submitted, where that waits for something; null when it has been. */
  submitted: Promise<void> | null = null;
  readonly piece: Piece;
  #references = 1;
  #given = false;

  /** `piece` is memory that another buffer gave away; new memory unless given. */
  constructor(device: WgpuDevice, shape: readonly number[], dtype: StandardDType, piece?: Piece) {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.byteLength = bytesOf(shape, dtype);
    this.piece = piece ?? device.memory.allocate(this.byteLength, `${dtype}[${shape.join(",")}]`);
    this.outcome = joinOutcomes([this.piece.slab.outcome]);
    device.live.set(this.id, this);
  }

  /** Whether whoever asks is the only one who has it. */
  get isUnshared(): boolean {
    return this.#references === 1;
  }
  /** Gives the memory to another buffer. What is left is a handle without contents. */
  give(): Piece {
    this.#given = true;
    return this.piece;
  }

  retain(): void {
    this.#references++;
  }
  release(): void {
    invariant(this.#references > 0, "a buffer was released more often than retained");
    if (--this.#references > 0) return;
    this.device.live.delete(this.id);
    if (!this.#given) this.device.memory.free(this.piece);
  }
}

/** Bytes of an array. */
export function bytesOf(shape: readonly number[], dtype: StandardDType): number {
  return shape.reduce((a, b) => a * b, itemsize(dtype));
}
