import type { Aval } from "./avals.ts";
import type { DType, StandardDType } from "./dtypes.ts";
import type { ClosedJaxpr } from "./closed.ts";

/**
 * An array on the host: little-endian bytes in row-major order, each element as its dtype stores it
 * (bool one byte, float16 and bfloat16 their bits, complex numbers interleaved).
 */
export interface HostArray {
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly bytes: Uint8Array;
}

/**
 * Memory of one device, holding one dense row-major array. Reference-counted by the library: whoever makes or
 * retains a buffer releases it once. An extended dtype is held as its physical dtype and shape.
 */
export interface Buffer {
  /** Names the buffer without keeping it alive: what finalizers hold. */
  readonly id: number;
  readonly device: Device;
  readonly shape: readonly number[];
  readonly dtype: StandardDType;
  readonly byteLength: number;
  retain(): void;
  release(): void;
}

export interface Device {
  readonly id: number;
  readonly kind: string;
  readonly backend: Backend;
  /** The process that the device belongs to; 0 unless there are several. */
  readonly processIndex?: number;
  /** Releases the reference of a handle that was collected. Unknown ids are ignored. */
  releaseById(id: number): void;
  /** Bytes in use and the number of live buffers. */
  memoryStats(): MemoryStats;
  toString(): string;
}

export interface MemoryStats {
  readonly bytesInUse: number;
  readonly liveBuffers: number;
  readonly bytesLimit: number;
  /** Bytes that the device's heap has taken from the system, in use or not; a heap of WebAssembly never shrinks. */
  readonly bytesReserved: number;
  /** Bytes moved out of the device's heap under pressure, so far. */
  readonly bytesSpilled: number;
}

/** What a backend can do, as data, so that callers can ask before they fail. */
export interface Capabilities {
  readonly dtypes: readonly StandardDType[];
  /** Whether values can be read without awaiting. */
  readonly syncReads: boolean;
  readonly collectives: boolean;
  /** Whether a buffer of one device can be used by all of them, as those of logical devices can. */
  readonly sharedMemory?: boolean;
  readonly maxBufferBytes: number;
  /** Primitives with a `lowerRule` that the backend computes itself, by name; all others are expanded for it. */
  readonly ownPrimitives?: ReadonlySet<string>;
}

export interface CompileOptions {
  /** Indices of arguments whose memory the results may take over. */
  readonly donate?: readonly number[];
  /** A name for messages and profiles: `jit(step)`, `add`. */
  readonly name?: string;
  /** The participating devices; one unless the program is sharded. */
  readonly devices?: readonly Device[];
}

/** A compiled program: a list of device segments and host steps. */
export interface Executable extends Disposable {
  /**
   * Runs on one device. Arguments are retained by the caller; each result carries one reference.
   * Results may be pending: a failure surfaces when they are read.
   */
  run(args: readonly Buffer[]): Buffer[];
  /**
   * Makes ahead what the first run would otherwise make and wait for, such as the pipelines of a GPU. Where it is missing there is
   * nothing to make.
   */
  prepare?(): Promise<void>;
  /** Runs on every participating device: one list of arguments, and of results, for each. */
  execute(args: readonly (readonly Buffer[])[]): Buffer[][];
  inspect(): ExecutableInfo;
}

export interface SegmentInfo {
  readonly kind: "device" | "host";
  /** One name for each kernel, in launch order, e.g. `reduce_sum.fused`. */
  readonly kernels: readonly string[];
}

export interface CostAnalysis {
  readonly flops: number;
  readonly bytesAccessed: number;
  readonly transcendentals: number;
  /** Peak bytes of intermediates. */
  readonly temporaryBytes: number;
}

export interface ExecutableInfo {
  /** Readable listing of the kernels after fusion. */
  readonly text: string;
  readonly segments: readonly SegmentInfo[];
  readonly cost: CostAnalysis;
}

/**
 * A backend compiles programs, not operations. Eager evaluation uses the same door with programs of one equation.
 * It is complete when it compiles every lax primitive: see `backendConformance` in `@traceform/testing`.
 */
export interface Backend extends Disposable {
  readonly name: string;
  readonly devices: readonly Device[];
  readonly capabilities: Capabilities;
  compile(program: ClosedJaxpr, options: CompileOptions): Executable;
  put(data: HostArray, device: Device): Buffer;
  read(buffer: Buffer): Promise<HostArray>;
  readSync?(buffer: Buffer): HostArray;
}

/** Shape and dtype in which a device holds an aval: extended dtypes become their physical arrays. */
export function physical(aval: Aval): { shape: readonly number[]; dtype: StandardDType } {
  const dtype: DType = aval.dtype;
  if (typeof dtype === "string") return { shape: aval.shape, dtype };
  return { shape: [...aval.shape, ...dtype.physicalShape], dtype: dtype.physicalDtype };
}
