// What backends and libraries see of the profiler: see `profiler.ts`.

/** Where events are shown: a process and a thread of the trace, by name. */
export interface Track {
  readonly process: string;
  readonly thread: string;
}

/** What JavaScript does. */
export const hostTrack: Track = { process: "host", thread: "main" };

/** Values that are shown with an event. */
export type EventArgs = Readonly<Record<string, string | number | boolean>>;

/** Takes down what happens while a trace is recorded. Times are milliseconds of `performance.now()`. */
export interface Recorder {
  /** Whether programs on the host are to be recorded, beside what users annotate. */
  readonly programs: boolean;
  /** Whether kernels are to be timed, which may make programs slower. */
  readonly kernels: boolean;
  add(track: Track, name: string, begin: number, end: number, args?: EventArgs): void;
  /** Events that are known later only: the trace waits for them. */
  later(events: Promise<void>): void;
  /** Called when nothing is waited for any more: the last chance to add events. */
  atEnd(tell: () => void): void;
}

let active: Recorder | null = null;

/** Who records at this moment; null while nobody does. */
export function activeRecorder(): Recorder | null {
  return active;
}

/** @internal */
export function setRecorder(recorder: Recorder | null): void {
  active = recorder;
}
