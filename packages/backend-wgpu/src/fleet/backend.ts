import {
  type Backend,
  type Buffer,
  type Capabilities,
  type ClosedJaxpr,
  type CompileOptions,
  copyBlock,
  type Device,
  type Executable,
  type Fleet,
  type FleetPart,
  type HostArray,
  memoryBlocks,
  type Sharding,
  type Slice,
  type StandardDType,
  wholeSlices,
  zerosOnHost,
} from "@traceform/core";
import type { WebGpuBackend } from "../backend.ts";
import { FleetBuffer } from "./buffer.ts";
import { FleetDevice } from "./device.ts";
import { FleetExecutable } from "./executable.ts";

/**
 * Several devices of one backend: GPUs with memory of their own, or logical devices, which share that of their GPU. A program runs on one of them, and what it needs of others
 * comes there through the host; one that is laid out over several is a program for each of them, which `@traceform/pmap` makes.
 */
export class FleetBackend implements Backend, Fleet {
  readonly name = "wgpu";
  readonly devices: readonly FleetDevice[];
  readonly capabilities: Capabilities;
  readonly members: readonly WebGpuBackend[];
  readonly live: Map<number, FleetBuffer> = new Map();

  /** `each` is how many devices every GPU has. */
  constructor(members: readonly WebGpuBackend[], each: number) {
    this.members = members;
    this.devices = members.flatMap(({ devices: [gpu] }, member) =>
      Array.from({ length: each }, (_, i) => new FleetDevice(member * each + i, this, member, gpu)),
    );
    const maxBufferBytes = Math.min(...members.map((m) => m.capabilities.maxBufferBytes));
    this.capabilities = { ...members[0].capabilities, maxBufferBytes };
  }
  get fleet(): Fleet {
    return this;
  }

  compile(program: ClosedJaxpr, options: CompileOptions): Executable {
    return new FleetExecutable(this, program, options);
  }

  /** The first device of a member: where its buffers count as being. */
  deviceOf(member: number): FleetDevice {
    return this.devices.find((d) => d.memoryIndex === member)!;
  }

  put(data: HostArray, device: Device): Buffer {
    const member = (device as FleetDevice).memoryIndex;
    const buffer = this.members[member].put(data);
    return this.join(data.shape, data.dtype, [{ member, block: wholeSlices(data.shape), buffer }]);
  }
  read(buffer: Buffer): Promise<HostArray> {
    return (buffer as FleetBuffer).values();
  }

  layOut(data: HostArray | Buffer, sharding: Sharding): Buffer {
    const { shape, dtype } = data;
    const partOn = (member: number, block: readonly Slice[]): Buffer =>
      data instanceof FleetBuffer ? this.#take(data, member, block) : this.members[member].put(cut(data as HostArray, block));
    const parts: FleetPart[] = [];
    try {
      for (const [member, block] of memoryBlocks(shape, sharding)) parts.push({ member, block, buffer: partOn(member, block) });
    } catch (error) {
      for (const { buffer } of parts) buffer.release();
      throw error;
    }
    return this.join(shape, dtype, parts);
  }

  part(buffer: Buffer, member: number, block: readonly Slice[]): Buffer {
    const source = buffer as FleetBuffer;
    const part = this.#take(source, member, block);
    // Programs use what is whole again and again. What is laid out otherwise is an array of its own.
    if (part.shape.every((n, d) => n === source.shape[d])) source.keep(member, part);
    return part;
  }
  /** What a member has of an array as this block, or is to have. */
  #take(source: FleetBuffer, member: number, block: readonly Slice[]): Buffer {
    const full = fullBlock(source.shape, block);
    const shape = full.map((s) => s.stop - s.start);
    return source.partOf(member, full) ?? this.members[member].putLater(shape, source.dtype, source.values(full));
  }
  join(shape: readonly number[], dtype: StandardDType, parts: readonly FleetPart[]): FleetBuffer {
    const full = parts.map((p) => ({ ...p, block: fullBlock(shape, p.block) }));
    return new FleetBuffer(this.deviceOf(parts[0].member), shape, dtype, full);
  }

  [Symbol.dispose](): void {
    for (const member of this.members) member[Symbol.dispose]();
  }
}

/** A slice for every axis: those that an extended dtype adds are whole. */
function fullBlock(shape: readonly number[], block: readonly Slice[]): Slice[] {
  return wholeSlices(shape).map((s, d) => block[d] ?? s);
}

function cut(data: HostArray, block: readonly Slice[]): HostArray {
  const shape = block.map((s) => s.stop - s.start);
  const part = zerosOnHost(shape, data.dtype);
  copyBlock(data, block, part, wholeSlices(shape));
  return part;
}
