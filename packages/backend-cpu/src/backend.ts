import {
  type Backend,
  BackendError,
  type Buffer,
  type Capabilities,
  type ClosedJaxpr,
  type CompileOptions,
  type Device,
  DeviceQueue,
  type Executable,
  type HostArray,
  OutOfMemoryError,
  standardDTypes,
} from "@traceform/core";
import { lowerProgram, type Program, type Target, type Tile } from "@traceform/compiler";
import { byteLengthOf, CpuBuffer } from "./buffer.ts";
import { CpuDevice } from "./device.ts";
import { type CodeHost, ProgramCode } from "./code.ts";
import { CpuExecutable } from "./executable.ts";
import { relaxedSimdWorks } from "./features.ts";
import { canCompileWide, type GemmLibrary, gemmLibrary } from "./gemm.ts";
import { Heap, mostBytes, spilledBytes } from "./heap.ts";
import { toDevice, toHost } from "./host.ts";
import { labelText, largestTemporaries, memoryFix, readableBytes } from "./outofmemory.ts";
import { nextTask } from "./task.ts";
import { mostThreads } from "./threads/control.ts";
import { canShareMemory, hardwareThreads } from "./threads/host.ts";
import { WorkerPool } from "./threads/pool.ts";

export interface CpuOptions {
  /** Logical devices; all share one memory. One by default. */
  readonly devices?: number;
  /** The most memory the backend's heap may take; 4 GiB by default. Arrays beyond it are kept outside until used. */
  readonly maxMemoryBytes?: number;
  /** Whether programs may be compiled with V8's 256-bit vectors, in Node. On by default. */
  readonly revectorize?: boolean;
  /**
   * How many simple operations a program does before it is compiled again for speed, with those vectors; 2^26 by default, some
   * ten milliseconds. Nothing to wait for with 0.
   */
  readonly warmUp?: number;
  /**
   * How many threads share the work of one program, the calling one included; as many as the machine has by default. One
   * where memory cannot be shared, as on web pages that are not cross-origin isolated. Results do not depend on it.
   */
  readonly threads?: number;
  /**
   * How many simple operations one chunk of work has; 65,536 by default, some ten microseconds. Less spreads small programs
   * over threads, at more hand-offs. Kernels of fewer than two chunks run on the calling thread.
   */
  readonly grain?: number;
  /** Whether fused multiply-add may be used where the engine has it. On by default. */
  readonly relaxedSimd?: boolean;
}

/** A backend that says how many threads it has. */
export interface CpuBackend extends Backend {
  /**
   * Threads that share the work of programs at this moment, the calling one included. It is 1 until the first program with work
   * for several has started the others and they have come up, and stays 1 where memory cannot be shared or workers are forbidden.
   */
  readonly threads: number;
}

/**
 * A backend that compiles programs to WebAssembly with SIMD.
 *
 * @example
 * ```ts
 * setDefaultBackend(cpu());
 * ```
 */
export function cpu(options: CpuOptions = {}): CpuBackend {
  return new WebAssemblyBackend(options);
}

/** Loops count with 32 bits and a sign. */
const longestAxis = 2 ** 31 - 1;

/** Does a part of compiling, and says what limit of the engine a program was too large for. */
function explained<T>(name: string, { jaxpr }: ClosedJaxpr, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof WebAssembly.CompileError)) throw error;
    throw new BackendError(name, {
      message: `the program, of ${jaxpr.eqns.length} equations, ${jaxpr.invars.length} arguments and ${jaxpr.outvars.length} results, could not be compiled: ${error.message}`,
      fix: "if it is that large, write unrolled loops as scan or map, and stack lists of arrays into one array",
      cause: error,
    });
  }
}

class WebAssemblyBackend implements CpuBackend {
  readonly name = "cpu";
  readonly devices: readonly CpuDevice[];
  readonly capabilities: Capabilities;
  readonly #heap: Heap;
  /** Null when everything runs on the calling thread. */
  readonly #pool: WorkerPool | null;
  readonly #code: CodeHost;
  readonly #revectorize: boolean;

  constructor(options: CpuOptions) {
    const wanted = Math.min(mostThreads, options.threads ?? hardwareThreads());
    const shared = wanted > 1 && canShareMemory();
    const threads = shared ? wanted : 1;
    const grain = options.grain ?? 1 << 16;
    const heap = new Heap(options.maxMemoryBytes ?? 2 ** 32, shared);
    this.#heap = heap;
    this.#pool = shared ? new WorkerPool(heap.memory, threads - 1, 1024 * grain) : null;
    this.#revectorize = (options.revectorize ?? true) && canCompileWide();
    this.#code = {
      memory: heap.memory,
      heap,
      pool: this.#pool,
      library: () => this.#gemm(),
      shared,
      threads,
      maximumPages: heap.maximumPages,
      relaxed: (options.relaxedSimd ?? true) && relaxedSimdWorks(),
      grain,
      warmUp: this.#revectorize ? (options.warmUp ?? 2 ** 26) : Infinity,
    };
    const tile = (): Tile => this.#gemm().tile;
    this.#target = {
      get tile(): Tile {
        return tile();
      },
      float64: true,
      threads,
      block: 0,
      attentionColumns: 0,
      grain: this.#code.grain,
    };
    const queue = new DeviceQueue();
    this.devices = Array.from({ length: options.devices ?? 1 }, (_, i) => new CpuDevice(i, this, heap, queue));
    this.capabilities = {
      dtypes: standardDTypes,
      syncReads: true,
      collectives: true,
      sharedMemory: true,
      maxBufferBytes: heap.limit,
    };
  }

  get threads(): number {
    return 1 + (this.#pool?.ready ?? 0);
  }

  compile(program: ClosedJaxpr, options: CompileOptions): Executable {
    const name = options.name ?? "program";
    const lowered = explained(name, program, () => lowerProgram(program, name, this.#target, options.donate));
    this.#refuseTooLarge(lowered);
    const code = explained(name, program, () => new ProgramCode(lowered, this.#code));
    const device = (options.devices?.[0] as CpuDevice | undefined) ?? this.devices[0];
    const constants = program.consts.map((c) => this.#constant(c, device));
    return new CpuExecutable(lowered, this.#heap, device, code, constants);
  }

  /** What can never run is not compiled: code cannot address it. */
  #refuseTooLarge(program: Program): void {
    const { capacity, limit } = this.#heap;
    const arrays = [...program.arguments, ...program.results];
    const long = arrays.find((a) => a.shape.some((n) => n > longestAxis) && a.bytes > 0);
    if (long !== undefined) {
      throw new BackendError(program.name, {
        message: `${labelText(long)} has an axis longer than ${longestAxis}, to which loops can count`,
        fix: "reshape it to several axes",
      });
    }
    const array = arrays.find((a) => a.bytes > capacity);
    if (array !== undefined) {
      throw new OutOfMemoryError(program.name, {
        message: `${labelText(array)} has ${readableBytes(array.bytes)}, more than the heap of ${readableBytes(limit)}`,
        fix: "split it, or use it only inside one jitted function, which need not store what one kernel makes and takes",
      });
    }
    if (program.arenaBytes > capacity) {
      throw new OutOfMemoryError(program.name, {
        message: `the program needs ${readableBytes(program.arenaBytes)} for temporaries at once, more than the heap of ${readableBytes(limit)}`,
        operands: { "largest temporaries": largestTemporaries(program) },
        fix: memoryFix({ disposing: false, growing: limit < mostBytes }),
      });
    }
  }

  /** The tile is asked for only by programs with products: choosing it takes some milliseconds. */
  readonly #target: Target;
  #library: GemmLibrary | null = null;
  #gemm(): GemmLibrary {
    return (this.#library ??= gemmLibrary({
      ...this.#code,
      revectorize: this.#revectorize,
    }));
  }
  #constant(value: ClosedJaxpr["consts"][number], device: Device): CpuBuffer {
    const holder = value as unknown as { bufferOn?: (device: Device) => Buffer };
    const buffer = holder.bufferOn?.(device);
    if (buffer === undefined)
      throw new BackendError("compile", {
        message: "a constant of the program has no buffer",
        fix: "put the array on the device with devicePut before it is captured",
      });
    buffer.retain();
    return buffer as CpuBuffer;
  }

  put(data: HostArray, device: Device): Buffer {
    const buffer = new CpuBuffer(
      this.#heap,
      device as CpuDevice,
      data.shape,
      data.dtype,
      byteLengthOf(data.shape, data.dtype),
      true,
    );
    const { pointer, bytes } = buffer.storage;
    toDevice(data, this.#heap.u8.subarray(pointer, pointer + bytes));
    this.#heap.unpin(buffer.storage);
    return buffer;
  }

  readSync(buffer: Buffer): HostArray {
    const { device, failure, isPending, storage, shape, dtype } = buffer as CpuBuffer;
    if (isPending) {
      throw new BackendError("read", {
        message: `a program that waits in the queue of ${device} has yet to write this buffer`,
        fix: "await the read",
      });
    }
    if (failure !== null) throw failure;
    const source =
      storage.pointer >= 0
        ? this.#heap.u8.subarray(storage.pointer, storage.pointer + storage.bytes)
        : new Uint8Array(spilledBytes(storage));
    return { shape, dtype, bytes: toHost(source, dtype) };
  }

  /** Yields a task now and then: a loop that only awaits reads would leave finalizers none, and the heap would grow to its limit. */
  async read(buffer: Buffer): Promise<HostArray> {
    const data = await (buffer as CpuBuffer).device.queue.submit(() => this.readSync(buffer));
    if (this.#heap.accountIsHigh()) await nextTask();
    return data;
  }

  [Symbol.dispose](): void {
    // The memory goes when nothing refers to it any more.
    this.#pool?.terminate();
  }
}
