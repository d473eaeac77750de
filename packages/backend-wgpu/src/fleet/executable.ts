import type { Buffer, ClosedJaxpr, CompileOptions, Device, Executable, ExecutableInfo } from "@traceform/core";
import { wholeSlices } from "@traceform/core";
import type { FleetBackend } from "./backend.ts";
import type { FleetBuffer } from "./buffer.ts";

/** A program for one GPU of a fleet, whichever it is: compiled for those on which it runs. */
export class FleetExecutable implements Executable {
  readonly #backend: FleetBackend;
  readonly #program: ClosedJaxpr;
  readonly #options: CompileOptions;
  readonly #compiled = new Map<number, Executable>();

  constructor(backend: FleetBackend, program: ClosedJaxpr, options: CompileOptions) {
    this.#backend = backend;
    this.#program = program;
    this.#options = options;
  }

  #on(member: number): Executable {
    let compiled = this.#compiled.get(member);
    if (compiled === undefined) {
      compiled = this.#backend.members[member].compile(this.#program, this.#options);
      this.#compiled.set(member, compiled);
    }
    return compiled;
  }
  /** For what is asked of the program before it has run anywhere. */
  get #any(): Executable {
    return this.#on(this.#compiled.keys().next().value ?? 0);
  }

  run(args: readonly Buffer[], device?: Device): Buffer[] {
    const inputs = args as readonly FleetBuffer[];
    const member = device?.memoryIndex ?? inputs[0]?.home ?? 0;
    const executable = this.#on(member);
    const donated = this.#options.donate ?? [];
    const own: Buffer[] = [];
    try {
      inputs.forEach((x, i) => {
        const given = donated.includes(i) && inputs.indexOf(x) === inputs.lastIndexOf(x) ? x.giveWhole(member) : null;
        own.push(given ?? this.#backend.part(x, member, wholeSlices(x.shape)));
      });
      return executable.run(own).map((buffer) => {
        const { shape, dtype } = buffer;
        return this.#backend.join(shape, dtype, [{ member, block: wholeSlices(shape), buffer }]);
      });
    } finally {
      for (const buffer of own) buffer.release();
    }
  }
  execute(args: readonly (readonly Buffer[])[]): Buffer[][] {
    return args.map((list) => this.run(list));
  }
  async prepare(): Promise<void> {
    await this.#any.prepare?.();
  }
  inspect(): ExecutableInfo {
    return this.#any.inspect();
  }
  [Symbol.dispose](): void {
    for (const compiled of this.#compiled.values()) compiled[Symbol.dispose]();
  }
}
