import type { Aval } from "./avals.ts";
import type { DType, StandardDType } from "./dtypes.ts";
import type { ClosedJaxpr } from "./closed.ts";
import type { Sharding, Slice } from "./sharding.ts";

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
  /** Which of the memories of its backend the device works on, where there are several: see `Fleet`. */
  readonly memoryIndex?: number;
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
  /**
   * Whether a buffer of one device can be used by all of them: because they are logical devices of one memory, or because the backend
   * takes the contents where they are used.
   */
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
   * Runs on one device: on which, a backend with several memories is told. Arguments are retained by the caller; each result carries
   * one reference. Results may be pending: a failure surfaces when they are read. Host steps at which members of a fleet meet take
   * their `seat`.
   */
  run(args: readonly Buffer[], device?: Device, seat?: Seat): Buffer[];
  /**
   * Makes ahead what the first run would otherwise make and wait for, such as the pipelines of a GPU. Where it is missing there is
   * nothing to make.
   */
  prepare?(): Promise<void>;
  /** Runs on every participating device: one list of arguments, and of results, for each. */
  execute(args: readonly (readonly Buffer[])[]): Buffer[][];
  inspect(): ExecutableInfo;
}

/** The place of one member of a fleet in a run of a program by several of them. */
export interface Seat {
  /** Which of the members that run the program this is. */
  readonly index: number;
  /**
   * What all members of a group give, in the order of the group, when all have come.
   * @throws {BackendError} when one of them comes to another step, or its program ends without coming
   */
  meet(what: string, group: readonly number[], own: HostArray): Promise<readonly HostArray[]>;
  /** Says that the program of this member has ended, and what went wrong unless it went well: nobody waits for it any more. */
  leave(failure?: unknown): void;
}

/** What a backend offers whose devices have several memories, as several GPUs do. Its buffers are in one or several of them. */
export interface Fleet {
  /** A backend for each memory; their buffers are parts of those of the fleet. */
  readonly members: readonly Backend[];
  /**
   * What one member has of an array, by a slice for each axis (axes after the last are whole): a buffer of the member, which gets the
   * values first where they are elsewhere. One reference for the caller.
   */
  part(buffer: Buffer, member: number, block: readonly Slice[]): Buffer;
  /** An array of parts, whose references it takes over. */
  join(shape: readonly number[], dtype: StandardDType, parts: readonly FleetPart[]): Buffer;
}

/** What one member of a fleet has of an array. */
export interface FleetPart {
  readonly member: number;
  readonly block: readonly Slice[];
  readonly buffer: Buffer;
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
  /** What a backend with several memories has beside this. */
  readonly fleet?: Fleet;
  /** An array laid out over memories of the backend, of values that are on the host or in another of its buffers. */
  layOut?(data: HostArray | Buffer, sharding: Sharding): Buffer;
}

/** Shape and dtype in which a device holds an aval: extended dtypes become their physical arrays. */
export function physical(aval: Aval): { shape: readonly number[]; dtype: StandardDType } {
  const dtype: DType = aval.dtype;
  if (typeof dtype === "string") return { shape: aval.shape, dtype };
  return { shape: [...aval.shape, ...dtype.physicalShape], dtype: dtype.physicalDtype };
}
