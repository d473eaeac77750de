import { type BufferInfo, type Kernel, kernelKey, type Program, type Step, type View } from "@traceform/compiler";
import { Code } from "../wasm/code.ts";
import { type FunctionSlot, ModuleBuilder } from "../wasm/encoder.ts";
import { contractionTasks, emitContraction } from "./contraction.ts";
import { blockParameters } from "./gemm-library.ts";
import { Helpers } from "./helpers.ts";
import { emitNest } from "./nest.ts";
import { emitRoutine } from "./routine.ts";

export interface EmitOptions {
  readonly shared: boolean;
  readonly maximumPages: number;
  /** Whether relaxed SIMD is available. */
  readonly relaxed: boolean;
}

/**
 * A program as one module. It exports `run(table, arena)`: the table holds the pointers of the arguments, then those of
 * the results, as u32; the arena is the memory of the temporaries. Kernels are functions of their own, called on
 * bounded chunks, so the engine can replace a baseline version between calls.
 */
export function emitProgram(program: Program, options: EmitOptions): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  // The inner loops of matrix products are in a module of their own.
  const block = usesContractions(program) ? module.import("block", new Array<"i32">(blockParameters).fill("i32"), []) : null;
  const run = module.declare(["i32", "i32"], [], "run");
  const helpers = new Helpers(module, options.relaxed);
  const code = new Code(run);
  const pointers = new Map<BufferInfo, number>();
  const loops = new Map<number, number>();
  const results = program.arguments.length;
  for (const buffer of program.buffers) {
    if (buffer.kind === "temporary" && !program.offsets.has(buffer.id)) continue;
    const local = code.local("i32");
    pointers.set(buffer, local);
    if (buffer.kind === "temporary") {
      code.get(1);
      code.i32(program.offsets.get(buffer.id)!);
      code.op("i32.add");
    } else {
      code.get(0);
      code.memory("i32.load", 4 * (buffer.kind === "argument" ? buffer.position : results + buffer.position));
    }
    code.set(local);
  }

  const pointer = (v: View): void => {
    code.get(pointers.get(v.buffer)!);
    if (v.offset !== 0) {
      code.i32(v.offset);
      code.op("i32.add");
    }
    for (const s of v.steps) {
      code.get(loops.get(s.loop)!);
      code.i32(s.bytes);
      code.op("i32.mul");
      code.op("i32.add");
    }
  };
  const donated = (from: View, to: View): boolean =>
    from.buffer.kind === "argument" &&
    to.buffer.kind === "result" &&
    program.donations.some((d) => d.argument === from.buffer.position && d.result === to.buffer.position);
  const steps = (list: readonly Step[]): void => list.forEach(step);
  const step = (s: Step): void => {
    switch (s.kind) {
      case "launch":
        return launch(s.kernel, s.args);
      case "copy": {
        const copy = (): void => {
          pointer(s.to);
          pointer(s.from);
          code.i32(s.bytes);
          code.memoryCopy();
        };
        if (!donated(s.from, s.to)) return copy();
        // The result may have the argument's memory already.
        pointer(s.to);
        pointer(s.from);
        code.op("i32.ne");
        return code.if(copy);
      }
      case "branch": {
        const index = code.local("i32");
        pointer(s.index);
        code.memory("i32.load");
        code.set(index);
        // Out of range picks the nearest branch.
        const pick = (i: number): void => {
          if (i === s.branches.length - 1) return steps(s.branches[i]);
          code.get(index);
          code.i32(i);
          code.op("i32.le_s");
          code.if(
            () => steps(s.branches[i]),
            () => pick(i + 1),
          );
        };
        pick(0);
        return;
      }
      case "loop":
        return loop(s);
    }
  };
  const loop = (s: Extract<Step, { kind: "loop" }>): void => {
    if (s.trips === 0) return;
    const i = code.local("i32");
    loops.set(s.loop, i);
    code.i32(0);
    code.set(i);
    code.block((exit) =>
      code.loop((again) => {
        if (s.predicate !== null) {
          steps(s.condition);
          pointer(s.predicate);
          code.memory("i32.load8_u");
          code.op("i32.eqz");
          code.if(() => exit());
        }
        steps(s.body);
        for (const [a, b] of s.swaps) {
          const [x, y] = [pointers.get(a), pointers.get(b)];
          if (x === undefined || y === undefined) continue;
          code.get(x);
          code.get(y);
          code.set(x);
          code.set(y);
        }
        code.get(i);
        code.i32(1);
        code.op("i32.add");
        code.tee(i);
        if (s.trips === null) code.op("drop");
        code.i32(s.trips ?? 1);
        if (s.trips !== null) code.op("i32.lt_s");
        again();
      }),
    );
  };

  const launch = (kernel: Kernel, args: readonly View[]): void => {
    const slot = kernelFunction(kernel, args.length);
    const call = (begin: () => void, end: () => void): void => {
      begin();
      end();
      args.forEach(pointer);
      code.call(slot);
    };
    const [tasks, chunk] = chunking(kernel);
    if (chunk >= tasks)
      return call(
        () => code.i32(0),
        () => code.i32(tasks),
      );
    const i = code.local("i32");
    const next = code.local("i32");
    code.i32(0);
    code.set(i);
    code.loop((again) => {
      code.get(i);
      code.i32(chunk);
      code.op("i32.add");
      code.set(next);
      call(
        () => code.get(i),
        () => {
          code.get(next);
          code.i32(tasks);
          code.get(next);
          code.i32(tasks);
          code.op("i32.lt_s");
          code.op("select");
        },
      );
      code.get(next);
      code.tee(i);
      code.i32(tasks);
      code.op("i32.lt_s");
      again();
    });
    code.release("i32", i);
    code.release("i32", next);
  };
  const written = new Map<string, FunctionSlot>();
  const kernelFunction = (kernel: Kernel, pointersCount: number): FunctionSlot => {
    // Equal kernels are one function: the layers of a model mostly differ in their pointers alone.
    const key = kernelKey(kernel);
    const known = key === null ? undefined : written.get(key);
    if (known !== undefined) return known;
    const params = ["i32", "i32", ...new Array<"i32">(pointersCount).fill("i32")] as const;
    const slot = module.declare(params, []);
    if (key !== null) written.set(key, slot);
    if (kernel.kind === "nest") emitNest(kernel, slot, helpers);
    else if (kernel.kind === "routine") emitRoutine(kernel.routine, slot, helpers);
    else emitContraction(kernel, slot, block!);
    return slot;
  };

  steps(program.steps);
  code.finish();
  return module.finish({ shared: options.shared, maximumPages: options.maximumPages });
}

/** The number of independent tasks of a kernel, and how many one call takes. */
function chunking(kernel: Kernel): readonly [number, number] {
  if (kernel.kind === "nest") return kernel.chunkAxis < 0 ? [1, 1] : [kernel.outer[kernel.chunkAxis].extent, kernel.chunk];
  if (kernel.kind === "routine") return [kernel.routine.tasks, kernel.routine.chunk];
  return [contractionTasks(kernel), 1];
}

/** Whether the program's module imports the matrix product library. */
export function usesContractions(program: Program): boolean {
  const found = (steps: readonly Step[]): boolean =>
    steps.some((s) => {
      if (s.kind === "launch") return s.kernel.kind === "contraction";
      if (s.kind === "branch") return s.branches.some(found);
      return s.kind === "loop" && (found(s.condition) || found(s.body));
    });
  return found(program.steps);
}
