/**
 * Where the time goes: what JavaScript, programs and their kernels do is recorded between `startTrace` and `stopTrace`, and comes as
 * the JSON that chrome://tracing, Perfetto (https://ui.perfetto.dev) and the developer tools of browsers show.
 *
 * Kernels have times of their own: by the clock on the CPU, whose programs are compiled a second time for it, and by timestamp
 * queries on the GPU, where each kernel has a pass of its own meanwhile. So the sum of the kernels is what they take, and the time
 * between them is larger than without a trace. While nothing is recorded, nothing of this costs anything.
 */
import { ProfilerError } from "./errors.ts";
import { activeRecorder, type EventArgs, hostTrack, type Recorder, setRecorder, type Track } from "./recorder.ts";

/** How much is recorded. */
export interface ProfileOptions {
  /** 0: nothing of the host, 1: annotations only, 2: compilations and runs of programs too (the default). */
  readonly hostTracerLevel?: 0 | 1 | 2;
  /** 0: nothing of devices, 1: the times of kernels (the default). */
  readonly deviceTracerLevel?: 0 | 1;
}

/** An event of a trace: times are microseconds. Metadata (`M`) names processes and threads. */
export type TraceEvent =
  | {
      readonly ph: "X";
      readonly name: string;
      readonly cat: string;
      readonly ts: number;
      readonly dur: number;
      readonly pid: number;
      readonly tid: number;
      readonly args?: EventArgs;
    }
  | {
      readonly ph: "M";
      readonly name: "process_name" | "thread_name";
      readonly pid: number;
      readonly tid: number;
      readonly args: { readonly name: string };
    };

/** A trace in the format of Chrome: `JSON.stringify` makes the file. */
export interface Trace {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ns";
}

class Recording implements Recorder {
  readonly programs: boolean;
  readonly kernels: boolean;
  readonly annotations: boolean;
  readonly #begun: number = performance.now();
  readonly #events: TraceEvent[] = [];
  readonly #tracks = new Map<string, number>();
  readonly #waiting: Promise<void>[] = [];
  readonly #atEnd: (() => void)[] = [];

  constructor({ hostTracerLevel = 2, deviceTracerLevel = 1 }: ProfileOptions) {
    this.annotations = hostTracerLevel > 0;
    this.programs = hostTracerLevel > 1;
    this.kernels = deviceTracerLevel > 0;
  }

  add(track: Track, name: string, begin: number, end: number, args?: EventArgs): void {
    const pid = this.#number("process_name", track.process, 0);
    const tid = this.#number("thread_name", track.thread, pid);
    const [ts, dur] = [1000 * (begin - this.#begun), 1000 * (end - begin)];
    const cat = track === hostTrack ? "host" : "kernel";
    this.#events.push({ ph: "X", name, cat, ts, dur, pid, tid, ...(args === undefined ? {} : { args }) });
  }
  /** The number of a process, or of a thread of one, which is told when it is new. */
  #number(kind: "process_name" | "thread_name", name: string, parent: number): number {
    const key = `${parent} ${name}`;
    let id = this.#tracks.get(key);
    if (id === undefined) {
      this.#tracks.set(key, (id = this.#tracks.size + 1));
      this.#events.push({ ph: "M", name: kind, pid: parent || id, tid: parent === 0 ? 0 : id, args: { name } });
    }
    return id;
  }
  later(events: Promise<void>): void {
    this.#waiting.push(events);
  }
  atEnd(tell: () => void): void {
    this.#atEnd.push(tell);
  }

  async finish(): Promise<Trace> {
    await Promise.allSettled(this.#waiting);
    for (const tell of this.#atEnd) tell();
    const time = (e: TraceEvent): number => (e.ph === "M" ? -Infinity : e.ts);
    return { traceEvents: this.#events.sort((a, b) => time(a) - time(b) || 0), displayTimeUnit: "ns" };
  }
}

let recording: Recording | null = null;

/**
 * Begins to record.
 *
 * @throws {ProfilerError} when a trace is being recorded already
 */
export function startTrace(options: ProfileOptions = {}): void {
  if (recording !== null) {
    throw new ProfilerError("startTrace", {
      message: "a trace is being recorded already, and there can only be one at a time",
      fix: "await profiler.stopTrace() first",
    });
  }
  setRecorder((recording = new Recording(options)));
}

/**
 * Ends the recording. Resolves to the trace when everything that was begun meanwhile has told its times.
 *
 * @throws {ProfilerError} when nothing is recorded
 */
export async function stopTrace(): Promise<Trace> {
  const ended = recording;
  if (ended === null) {
    throw new ProfilerError("stopTrace", {
      message: "no trace is being recorded",
      fix: "call profiler.startTrace() before, or use profiler.trace(() => …)",
    });
  }
  recording = null;
  setRecorder(null);
  return ended.finish();
}

/**
 * Records what a function does, until what it returns has resolved. Await the results inside: programs on the GPU run on after
 * the call that began them.
 *
 * @example
 * ```ts
 * const { value, trace } = await profiler.trace(async () => (await step(params, batch).data())[0]);
 * writeFileSync("trace.json", JSON.stringify(trace)); // open it in https://ui.perfetto.dev
 * ```
 */
export async function trace<T>(
  f: () => T,
  options: ProfileOptions = {},
): Promise<{ readonly value: Awaited<T>; readonly trace: Trace }> {
  startTrace(options);
  let value: Awaited<T>;
  try {
    value = await f();
  } catch (error) {
    await stopTrace();
    throw error;
  }
  return { value, trace: await stopTrace() };
}

/**
 * Names what happens until the end of a block: `using _ = new TraceAnnotation("load the data")`. Values of `args` are shown with it.
 * Without a trace nothing is recorded.
 */
export class TraceAnnotation implements Disposable {
  readonly #name: string;
  readonly #args: EventArgs | undefined;
  readonly #recording: Recording | null = recording;
  readonly #begin: number;

  constructor(name: string, args?: EventArgs) {
    this.#name = name;
    this.#args = args;
    this.#begin = this.#recording === null ? 0 : performance.now();
  }
  [Symbol.dispose](): void {
    if (this.#recording?.annotations !== true || activeRecorder() !== this.#recording) return;
    this.#recording.add(hostTrack, this.#name, this.#begin, performance.now(), this.#args);
  }
}

/** A step of training: `using _ = new StepTraceAnnotation("train", { stepNum: i })`. */
export class StepTraceAnnotation extends TraceAnnotation {
  constructor(name: string, { stepNum, ...args }: EventArgs & { readonly stepNum: number }) {
    super(`${name} ${stepNum}`, { ...args, stepNum });
  }
}

/** The same function, each call of which is annotated with its name; an asynchronous one until it resolves. */
export function annotateFunction<A extends readonly unknown[], R>(
  f: (...args: A) => R,
  { name = f.name || "anonymous" }: { readonly name?: string } = {},
): (...args: A) => R {
  return (...args) => {
    const annotation = new TraceAnnotation(name);
    let result: R | undefined;
    try {
      return (result = f(...args));
    } finally {
      if (result instanceof Promise) {
        const end = (): void => annotation[Symbol.dispose]();
        result.then(end, end);
      } else annotation[Symbol.dispose]();
    }
  };
}
