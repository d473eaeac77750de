import {
  type Backend,
  BackendError,
  type Buffer,
  type Capabilities,
  type ClosedJaxpr,
  type CompileOptions,
  type Device,
  type Executable,
  type HostArray,
  standardDTypes,
} from "@traceform/core";
import { lowerProgram, type Target } from "@traceform/compiler";
import { byteLengthOf, CpuBuffer } from "./buffer.ts";
import { CpuDevice } from "./device.ts";
import { emitProgram, usesContractions } from "./emit/program.ts";
import { CpuExecutable } from "./executable.ts";
import { relaxedSimdWorks } from "./features.ts";
import { type GemmLibrary, gemmLibrary } from "./gemm.ts";
import { Heap, spilledBytes } from "./heap.ts";
import { toDevice, toHost } from "./host.ts";

export interface CpuOptions {
  /** Logical devices; all share one memory. One by default. */
  readonly devices?: number;
  /** The most memory the backend's heap may take; 4 GiB by default. Arrays beyond it are kept outside until used. */
  readonly maxMemoryBytes?: number;
  /** Whether V8's 256-bit vectorisation may be switched on for matrix products, in Node. On by default. */
  readonly revectorize?: boolean;
  /** Whether fused multiply-add may be used where the engine has it. On by default. */
  readonly relaxedSimd?: boolean;
}

/**
 * A backend that compiles programs to WebAssembly with SIMD.
 *
 * @example
 * ```ts
 * setDefaultBackend(cpu());
 * ```
 */
export function cpu(options: CpuOptions = {}): Backend {
  return new CpuBackend(options);
}

class CpuBackend implements Backend {
  readonly name = "cpu";
  readonly devices: readonly CpuDevice[];
  readonly capabilities: Capabilities;
  readonly #heap: Heap;
  readonly #relaxed: boolean;
  readonly #revectorize: boolean;

  constructor(options: CpuOptions) {
    const heap = new Heap(options.maxMemoryBytes ?? 2 ** 32);
    this.#heap = heap;
    this.#relaxed = (options.relaxedSimd ?? true) && relaxedSimdWorks();
    this.#revectorize = options.revectorize ?? true;
    const tile = (): Target["tile"] => this.#gemm().tile;
    this.#target = {
      get tile(): Target["tile"] {
        return tile();
      },
      wideSums: true,
    };
    this.devices = Array.from({ length: options.devices ?? 1 }, (_, i) => new CpuDevice(i, this, heap));
    this.capabilities = { dtypes: standardDTypes, syncReads: true, collectives: false, maxBufferBytes: heap.limit };
  }

  compile(program: ClosedJaxpr, options: CompileOptions): Executable {
    const lowered = lowerProgram(program, options.name ?? "program", this.#target, options.donate);
    const bytes = emitProgram(lowered, { shared: false, maximumPages: this.#heap.maximumPages, relaxed: this.#relaxed });
    const module = new WebAssembly.Module(bytes);
    const imports: Record<string, WebAssembly.ImportValue> = { m: this.#heap.memory };
    if (usesContractions(lowered)) imports["block"] = this.#block();
    const instance = new WebAssembly.Instance(module, { e: imports });
    const device = (options.devices?.[0] as CpuDevice | undefined) ?? this.devices[0];
    const constants = program.consts.map((c) => this.#constant(c, device));
    return new CpuExecutable(
      lowered,
      this.#heap,
      device,
      instance.exports["run"] as (table: number, arena: number) => void,
      constants,
    );
  }

  /** The tile is asked for only by programs with products: choosing it takes some milliseconds. */
  readonly #target: Target;
  #library: GemmLibrary | null = null;
  #gemm(): GemmLibrary {
    return (this.#library ??= gemmLibrary({
      relaxed: this.#relaxed,
      revectorize: this.#revectorize,
      maximumPages: this.#heap.maximumPages,
    }));
  }
  #blockFunction: WebAssembly.ExportValue | null = null;
  #block(): WebAssembly.ExportValue {
    return (this.#blockFunction ??= new WebAssembly.Instance(this.#gemm().module, { e: { m: this.#heap.memory } }).exports[
      "block"
    ]);
  }

  #constant(value: ClosedJaxpr["consts"][number], device: Device): CpuBuffer {
    const holder = value as unknown as { bufferOn?: (device: Device) => Buffer };
    const buffer = holder.bufferOn?.(device);
    if (buffer === undefined) throw new BackendError("compile", { message: "a constant of the program has no buffer" });
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

  async read(buffer: Buffer): Promise<HostArray> {
    return (buffer as CpuBuffer).device.queue.submit(() => this.readSync(buffer));
  }

  [Symbol.dispose](): void {
    // The memory goes when nothing refers to it any more.
  }
}
