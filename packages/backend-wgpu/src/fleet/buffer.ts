import {
  type Buffer,
  copyBlock,
  type FleetPart,
  type HostArray,
  invariant,
  itemsize,
  type Slice,
  type StandardDType,
  wholeSlices,
  zerosOnHost,
} from "@traceform/core";
import type { FleetDevice } from "./device.ts";

let nextId = 1;

/** An array in the memories of several GPUs: in one, cut into blocks, or with copies. */
export class FleetBuffer implements Buffer {
  readonly id: number = nextId++;
  /** Where it counts as being. */
  readonly device: FleetDevice;
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly byteLength: number;
  #parts: FleetPart[];
  #references = 1;
  /** Reads that are under way, by part. */
  readonly #reads = new Map<FleetPart, Promise<HostArray>>();

  /** Takes over the references of the parts, which cover the array together. */
  constructor(device: FleetDevice, shape: readonly number[], dtype: StandardDType, parts: readonly FleetPart[]) {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.byteLength = shape.reduce((a, b) => a * b, itemsize(dtype));
    this.#parts = [...parts];
    device.backend.live.set(this.id, this);
  }

  retain(): void {
    this.#references++;
  }
  release(): void {
    invariant(this.#references > 0, "a buffer was released more often than retained");
    if (--this.#references > 0) return;
    this.device.backend.live.delete(this.id);
    for (const { buffer } of this.#parts) buffer.release();
  }

  /** The member that has all of it; the one where it counts as being where none or several have. */
  get home(): number {
    return this.#parts.length === 1 ? this.#parts[0].member : this.device.memoryIndex;
  }

  /** What a member has as this block: one reference for the caller; null when it has nothing that is exactly this. */
  partOf(member: number, block: readonly Slice[]): Buffer | null {
    const found = this.#parts.find((p) => p.member === member && sameBlock(p.block, block));
    found?.buffer.retain();
    return found?.buffer ?? null;
  }
  /** Keeps a copy of all of it in another memory, for the next program there. */
  keep(member: number, buffer: Buffer): void {
    if (this.#parts.some((p) => p.buffer === buffer)) return;
    buffer.retain();
    this.#parts.push({ member, block: wholeSlices(this.shape), buffer });
  }
  /** Takes the whole out, for a program that may write over it, where nobody else wants it; null where somebody does. */
  giveWhole(member: number): Buffer | null {
    if (this.#references > 1 || this.#parts.length !== 1) return null;
    const [{ member: own, block, buffer }] = this.#parts;
    if (own !== member || !sameBlock(block, wholeSlices(this.shape))) return null;
    this.#parts = [];
    return buffer;
  }

  /** The values of a block, read of the parts that have them. What is being read is not read again. */
  async values(block: readonly Slice[] = wholeSlices(this.shape)): Promise<HostArray> {
    const parts = this.#sourcesOf(block);
    const read = await Promise.all(parts.map((p) => this.#read(p)));
    if (parts.length === 1 && sameBlock(parts[0].block, block)) return read[0];
    const result = zerosOnHost(
      block.map((s) => s.stop - s.start),
      this.dtype,
    );
    parts.forEach((p, i) => {
      const common = block.map((s, d) => ({ start: Math.max(s.start, p.block[d].start), stop: Math.min(s.stop, p.block[d].stop) }));
      const within = (outer: readonly Slice[]): Slice[] =>
        common.map((s, d) => ({ start: s.start - outer[d].start, stop: s.stop - outer[d].start }));
      copyBlock(read[i], within(p.block), result, within(block));
    });
    return result;
  }
  /** The parts that a block is in: one that has all of it if there is one, else one of each block that it touches. */
  #sourcesOf(block: readonly Slice[]): readonly FleetPart[] {
    const all = this.#parts.find((p) => block.every((s, d) => p.block[d].start <= s.start && s.stop <= p.block[d].stop));
    if (all !== undefined) return [all];
    const touching = this.#parts.filter((p) => block.every((s, d) => p.block[d].start < s.stop && s.start < p.block[d].stop));
    return touching.filter((p, i) => touching.findIndex((q) => sameBlock(q.block, p.block)) === i);
  }
  #read(part: FleetPart): Promise<HostArray> {
    let read = this.#reads.get(part);
    if (read === undefined) {
      const { buffer } = part;
      read = buffer.device.backend.read(buffer).finally(() => this.#reads.delete(part));
      this.#reads.set(part, read);
    }
    return read;
  }
}

function sameBlock(a: readonly Slice[], b: readonly Slice[]): boolean {
  return a.length === b.length && a.every((s, d) => s.start === b[d].start && s.stop === b[d].stop);
}
