import {
  type Backend,
  BackendError,
  type Buffer,
  type Capabilities,
  type ClosedJaxpr,
  type CompileOptions,
  type Device,
  DTypeError,
  type Executable,
  type HostArray,
  type StandardDType,
} from "@traceform/core";
import { lowerProgram, type Program, type Target } from "@traceform/compiler";
import { WgpuBuffer } from "./buffer.ts";
import type { TileTable } from "./emit/candidates.ts";
import type { Schedule } from "./emit/schedule.ts";
import { WgpuDevice } from "./device.ts";
import { WgpuExecutable } from "./executable.ts";
import { toDevice } from "./host.ts";
import { joinOutcomes, Outcome } from "./outcome.ts";
import { Pipelines } from "./pipelines.ts";
import { Tuning } from "./tuning.ts";

/** What arrays may be. */
const dtypes: readonly StandardDType[] = [
  "float32",
  "int32",
  "uint32",
  "bool",
  "float16",
  "bfloat16",
  "int8",
  "int16",
  "uint8",
  "uint16",
  "complex64",
];

/** Computations that gain from float64 do without. */
const ownPrimitives: ReadonlySet<string> = new Set(["widen"]);

/** Kernels are not cut into chunks here: a dispatch has as many invocations as its parallel axes say. */
const target: Target = { tile: null, float64: false, threads: 0, block: 1024, attentionColumns: 128, grain: 1 << 16 };
/** For adapters on which large kernels take long to compile. */
const tinyTarget: Target = { ...target, block: 64 };

/** @throws {DTypeError} for a dtype that the backend does not have, by name */
function refuseDType(what: string, dtype: StandardDType): void {
  if (dtypes.includes(dtype)) return;
  throw new DTypeError(what, {
    message: `the WebGPU backend has no ${dtype}; it has ${dtypes.join(", ")}`,
    fix: "convert the array, or use the CPU backend for it",
  });
}

export interface WebGpuBackendOptions {
  /** Whether the device is to be destroyed with the backend. */
  readonly owned: boolean;
  readonly maxMemoryBytes: number;
  readonly schedule: Omit<Schedule, "chosenTile">;
  /** Tiles that were found to be the fastest; what this process has measured unless given, nothing if null. */
  readonly tiles?: TileTable | null;
  /** Whether commands may carry immediates. */
  readonly immediates: boolean;
}

/** A backend on one GPU device. */
export class WebGpuBackend implements Backend {
  readonly name = "wgpu";
  readonly devices: readonly Device[];
  readonly capabilities: Capabilities;
  readonly #device: WgpuDevice;
  readonly #pipelines: Pipelines;
  /** Whether the device is to be destroyed with the backend that asked for it. */
  readonly #owned: boolean;
  readonly #schedule: Schedule;
  readonly #tuning: Tuning;

  constructor(gpu: GPUDevice, options: WebGpuBackendOptions) {
    const { owned, maxMemoryBytes, schedule, tiles, immediates } = options;
    this.#tuning = new Tuning(gpu, tiles);
    this.#schedule = { ...schedule, chosenTile: (productClass) => this.#tuning.chosen(productClass) };
    this.#device = new WgpuDevice(this, gpu, maxMemoryBytes);
    this.#pipelines = new Pipelines(gpu, immediates);
    this.#owned = owned;
    this.devices = [this.#device];
    const maxBufferBytes = this.#device.memory.mostBytes;
    this.capabilities = { dtypes, syncReads: false, collectives: true, sharedMemory: true, maxBufferBytes, ownPrimitives };
  }

  compile(program: ClosedJaxpr, options: CompileOptions): Executable {
    this.#device.check();
    const name = options.name ?? "program";
    const lowered = lowerProgram(program, name, this.#schedule.size === "tiny" ? tinyTarget : target, options.donate);
    this.#refuse(lowered);
    const captured = program.consts.map((c) => this.#constant(c));
    try {
      return new WgpuExecutable(lowered, this.#device, this.#pipelines, captured, this.#schedule, this.#tuning);
    } catch (error) {
      for (const buffer of captured) buffer.release();
      throw error;
    }
  }
  #refuse(program: Program): void {
    for (const { dtype } of [...program.arguments, ...program.results]) refuseDType(program.name, dtype);
  }
  #constant(value: ClosedJaxpr["consts"][number]): WgpuBuffer {
    const holder = value as unknown as { bufferOn?: (device: Device) => Buffer };
    const buffer = holder.bufferOn?.(this.#device);
    if (buffer === undefined) {
      throw new BackendError("compile", {
        message: "a constant of the program has no buffer",
        fix: "capture arrays of this library in the function, or pass the values as arguments",
      });
    }
    buffer.retain();
    return buffer as WgpuBuffer;
  }

  put({ shape, dtype, bytes }: HostArray): Buffer {
    refuseDType("put", dtype);
    this.#device.check();
    const buffer = new WgpuBuffer(this.#device, shape, dtype);
    const { slab, offset } = buffer.piece;
    this.#device.guarded([buffer.outcome], () => this.#device.gpu.queue.writeBuffer(slab.gpu, offset, toDevice(dtype, bytes)));
    return buffer;
  }

  /** A buffer of values that come later: programs that are submitted after it wait for them. */
  putLater(shape: readonly number[], dtype: StandardDType, data: Promise<HostArray>): Buffer {
    // Whoever reads the buffer hears of a failure, however early that was.
    data.catch(() => null);
    refuseDType("put", dtype);
    const device = this.#device;
    device.check();
    const buffer = new WgpuBuffer(device, shape, dtype);
    buffer.retain();
    const write = async (): Promise<void> => {
      try {
        const { bytes } = await data;
        device.check();
        const { slab, offset } = buffer.piece;
        device.guarded([buffer.outcome], () => device.gpu.queue.writeBuffer(slab.gpu, offset, toDevice(dtype, bytes)));
      } catch (error) {
        buffer.outcome = joinOutcomes([buffer.outcome, new Outcome(Promise.reject(error))]);
      }
      buffer.submitted = null;
      buffer.release();
    };
    buffer.submitted = Promise.resolve(device.queue.submit(write));
    return buffer;
  }

  /** @throws {BackendError} what went wrong in the programs that made the buffer, or with the device */
  async read(buffer: Buffer): Promise<HostArray> {
    this.#device.check();
    return this.#device.reads.read(buffer as WgpuBuffer);
  }

  [Symbol.dispose](): void {
    if (this.#owned) this.#device.gpu.destroy();
  }
}
