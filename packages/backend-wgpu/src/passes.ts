import { activeRecorder, type Recorder, type Track } from "@traceform/core";
import { mapForReading, usage } from "./flags.ts";

/** The compute passes of one submit. */
export interface Passes {
  /** The pass in which the next dispatch goes. */
  of(name: string): GPUComputePassEncoder;
  /** Before the encoder is finished. */
  end(): void;
  /** After the submit. */
  submitted(): void;
}

/** One pass for all dispatches; while a trace is recorded one for each, since timestamps are those of passes. */
export function beginPasses(gpu: GPUDevice, encoder: GPUCommandEncoder, program: string, dispatches: number): Passes {
  const recorder = activeRecorder();
  if (recorder?.kernels !== true) return onePass(encoder, program);
  if (!gpu.features.has("timestamp-query")) return untimed(gpu, encoder, program, recorder);
  return new TimedPasses(gpu, encoder, program, recorder, dispatches);
}

function onePass(encoder: GPUCommandEncoder, label: string): Passes {
  const pass = encoder.beginComputePass({ label });
  return { of: () => pass, end: () => pass.end(), submitted: () => undefined };
}

const kernelTrack: Track = { process: "wgpu", thread: "kernels" };
const submitTrack: Track = { process: "wgpu", thread: "submits" };

/** What is known without timestamps: how long the GPU took for all of it, as the host sees it. */
function untimed(gpu: GPUDevice, encoder: GPUCommandEncoder, program: string, recorder: Recorder): Passes {
  return {
    ...onePass(encoder, program),
    submitted: () => {
      const begin = performance.now();
      const args = { note: "the device has no timestamp queries, so kernels have no times" };
      recorder.later(
        gpu.queue.onSubmittedWorkDone().then(() => recorder.add(submitTrack, program, begin, performance.now(), args)),
      );
    },
  };
}

/** So many timestamps are the most that WebGPU allows in one set; kernels beyond are not timed. */
const mostTimestamps = 4096;

class TimedPasses implements Passes {
  readonly #gpu: GPUDevice;
  readonly #encoder: GPUCommandEncoder;
  readonly #program: string;
  readonly #clock: Clock;
  readonly #recorder: Recorder;
  readonly #queries: GPUQuerySet;
  readonly #names: string[] = [];
  readonly #most: number;
  #pass: GPUComputePassEncoder | null = null;
  /** The last moment at which nothing has been submitted. */
  #before = 0;
  #times: GPUBuffer | null = null;
  #staging: GPUBuffer | null = null;

  constructor(gpu: GPUDevice, encoder: GPUCommandEncoder, program: string, recorder: Recorder, dispatches: number) {
    this.#gpu = gpu;
    this.#encoder = encoder;
    this.#program = program;
    this.#recorder = recorder;
    this.#clock = clockOf(recorder);
    this.#most = Math.min(dispatches, mostTimestamps / 2);
    this.#queries = gpu.createQuerySet({ type: "timestamp", count: 2 * this.#most });
  }

  of(name: string): GPUComputePassEncoder {
    const at = 2 * this.#names.length;
    if (this.#names.length === this.#most && this.#pass !== null) return this.#pass;
    this.#pass?.end();
    this.#names.push(name);
    const timestampWrites = { querySet: this.#queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
    return (this.#pass = this.#encoder.beginComputePass({ label: name, timestampWrites }));
  }

  end(): void {
    this.#pass?.end();
    const size = 16 * this.#names.length;
    this.#times = this.#gpu.createBuffer({ label: "times", size, usage: usage.queryResolve | usage.copyFrom });
    this.#staging = this.#gpu.createBuffer({ label: "times", size, usage: usage.mapRead | usage.copyTo });
    this.#encoder.resolveQuerySet(this.#queries, 0, 2 * this.#names.length, this.#times, 0);
    this.#encoder.copyBufferToBuffer(this.#times, 0, this.#staging, 0, size);
    this.#before = performance.now();
  }

  submitted(): void {
    this.#recorder.later(this.#read());
  }

  async #read(): Promise<void> {
    const staging = this.#staging!;
    try {
      await staging.mapAsync(mapForReading);
      const times = new BigUint64Array(staging.getMappedRange());
      this.#clock.add(
        this.#names.map((name, i) => ({ name, program: this.#program, begin: times[2 * i], end: times[2 * i + 1] })),
        this.#before,
      );
    } finally {
      staging.destroy();
      this.#times!.destroy();
      this.#queries.destroy();
    }
  }
}

interface TimedKernel {
  readonly name: string;
  readonly program: string;
  /** Nanoseconds of the GPU's clock. */
  readonly begin: bigint;
  readonly end: bigint;
}

/**
 * The GPU's clock beside the host's. Nothing runs before it was submitted: the submit after which the GPU began the soonest tells
 * how far the clocks are apart, and all kernels of the trace are shown by that.
 */
class Clock {
  readonly #kernels: TimedKernel[] = [];
  /** Milliseconds from the GPU's zero to the host's. */
  #offset = -Infinity;

  /** `before` is a time of the host at which they had not been submitted. */
  add(kernels: readonly TimedKernel[], before: number): void {
    this.#kernels.push(...kernels);
    this.#offset = Math.max(this.#offset, before - milliseconds(kernels[0].begin));
  }
  tell(recorder: Recorder): void {
    for (const { name, program, begin, end } of this.#kernels)
      recorder.add(kernelTrack, name, milliseconds(begin) + this.#offset, milliseconds(end) + this.#offset, { program });
  }
}

const milliseconds = (nanoseconds: bigint): number => Number(nanoseconds) / 1e6;

const clocks = new WeakMap<Recorder, Clock>();
function clockOf(recorder: Recorder): Clock {
  let clock = clocks.get(recorder);
  if (clock === undefined) {
    const made = (clock = new Clock());
    clocks.set(recorder, made);
    recorder.atEnd(() => made.tell(recorder));
  }
  return clock;
}
