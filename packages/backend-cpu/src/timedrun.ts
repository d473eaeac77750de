import type { Recorder, Track } from "@traceform/core";

const track: Track = { process: "cpu", thread: "kernels" };

/** A program that tells the time after each of its steps. */
export class TimedRun {
  readonly #names: readonly string[];
  /** Whether its code is the better one, with vectors of 256 bits. */
  readonly wide: boolean;
  run!: (table: number, arena: number) => void;
  #recorder: Recorder | null = null;
  #program = "";
  #last = 0;

  constructor(names: readonly string[], wide: boolean) {
    this.#names = names;
    this.wide = wide;
  }

  /** The program, which is about to run. */
  begin(recorder: Recorder, program: string): (table: number, arena: number) => void {
    this.#recorder = recorder;
    this.#program = program;
    this.#last = performance.now();
    return this.run;
  }

  /** The import `mark`. */
  readonly mark = (step: number): void => {
    const now = performance.now();
    this.#recorder!.add(track, this.#names[step], this.#last, now, { program: this.#program });
    this.#last = performance.now();
  };
}
