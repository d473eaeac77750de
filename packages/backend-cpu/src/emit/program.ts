import { invariant } from "@traceform/core";
import {
  type BufferInfo,
  type Kernel,
  kernelKey,
  type Nest,
  type Part,
  type Program,
  type RoutineKernel,
  type Step,
  type View,
} from "@traceform/compiler";
import { Code } from "../wasm/code.ts";
import { type FunctionSlot, ModuleBuilder, type ValueType } from "../wasm/encoder.ts";
import { bundleTasks, chunking, emitBundle } from "./bundle.ts";
import { contractionPhases, type Phase } from "./contraction.ts";
import { blockParameters } from "./gemm-library.ts";
import { Helpers } from "./helpers.ts";
import { type Job, Jobs } from "./jobs.ts";
import { emitNest } from "./nest.ts";
import { emitRoutine } from "./routine.ts";
import { tableLayout } from "../table.ts";

export interface EmitOptions {
  readonly shared: boolean;
  /** The most threads that may run it, the calling one included. */
  readonly threads: number;
  readonly maximumPages: number;
  /** Whether relaxed SIMD is available. */
  readonly relaxed: boolean;
  /** What the compiler's target says: operations of one chunk. */
  readonly grain: number;
  /** Whether the module calls the import `mark` after each launch, copy and host step, with its number. */
  readonly marks?: boolean;
}

/** A module, and whether it has jobs for worker threads. */
export interface EmittedProgram {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly hasJobs: boolean;
  /** The names of what is marked, by number. */
  readonly marks: readonly string[];
}

/**
 * A program as one module. It exports `run(table, arena)`: the table holds the pointers of the arguments, then those of
 * the results, then those of the constants, as u32, and has room for the pointers that the import `host` is to work on; the arena is the memory of the temporaries. Kernels are functions of
 * their own, called on bounded chunks, so the engine can replace a baseline version between calls.
 */
export function emitProgram(program: Program, options: EmitOptions): EmittedProgram {
  const module = new ModuleBuilder();
  const trouble = options.shared ? Jobs.imports(module) : null;
  // The inner loops of matrix products are in a module of their own.
  const block = usesContractions(program) ? module.import("block", new Array<"i32">(blockParameters).fill("i32"), []) : null;
  const host = program.hosts.length > 0 ? module.import("host", ["i32"], []) : null;
  const mark = options.marks === true ? module.import("mark", ["i32"], []) : null;
  const marks: string[] = [];
  const entry = module.declare(["i32", "i32"], [], "run");
  const jobs = trouble === null ? null : new Jobs(module, trouble, options.threads);
  const helpers = new Helpers(module, options.relaxed);
  const code = new Code(entry);
  const pointers = new Map<BufferInfo, number>();
  const loops = new Map<number, number>();
  const firsts = tableLayout(program);
  const address = (buffer: BufferInfo): void => {
    if (buffer.kind === "temporary") {
      code.get(1);
      code.i32(program.offsets.get(buffer.id)!);
      code.op("i32.add");
    } else {
      code.get(0);
      code.memory("i32.load", 4 * (firsts[buffer.kind] + buffer.position));
    }
  };
  // Loops exchange buffers by exchanging locals. The others have one as long as there are not too many.
  const exchanged = program.buffers.length > mostPointerLocals ? exchangedBuffers(program.steps) : null;
  for (const buffer of program.buffers) {
    if (buffer.kind === "temporary" && !program.offsets.has(buffer.id)) continue;
    if (exchanged !== null && !exchanged.has(buffer)) continue;
    const local = code.local("i32");
    pointers.set(buffer, local);
    address(buffer);
    code.set(local);
  }

  const pointer = (v: View): void => {
    const local = pointers.get(v.buffer);
    if (local === undefined) address(v.buffer);
    else code.get(local);
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
    emit(s);
    const name = mark === null ? null : markedName(s, program);
    if (name === null) return;
    code.i32(marks.push(name) - 1);
    code.call(mark!);
  };
  const emit = (s: Step): void => {
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
      case "host":
        [...s.reads, ...s.writes].forEach((v, i) => {
          code.get(0);
          pointer(v);
          code.memory("i32.store", 4 * (firsts.host + i));
        });
        code.i32(s.step);
        return code.call(host!);
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
    const shared = worthSharing(kernel, options.grain) && Jobs.accepts(args.length);
    const strides = args.map((v) => (v.buffer.threadBytes > 0 ? program.threadBytes : 0));
    if (kernel.kind === "bundle") {
      const slot = functionOf(kernelKey(kernel), new Array<"i32">(2 + args.length).fill("i32"), (f) =>
        emitBundle(kernel, f, partFunction),
      );
      return run({ slot, tasks: bundleTasks(kernel), chunk: 1, least: 1, strides, before: [] }, args, shared);
    }
    if (kernel.kind === "sort" || kernel.kind === "attention" || kernel.kind === "chain")
      return invariant(false, "the compiler was told that there are no such kernels") as never;
    if (kernel.kind !== "contraction") {
      const [tasks, chunk] = chunking(kernel);
      return run({ slot: kernelFunction(kernel, args.length), tasks, chunk, least: chunk, strides, before: [] }, args, shared);
    }
    const params = new Array<"i32">(2 + args.length).fill("i32");
    const key = kernelKey(kernel);
    const slotOf = ({ name, emit }: Pick<Phase, "name" | "emit">): FunctionSlot => functionOf(`${name} ${key}`, params, emit);
    for (const { tasks, chunk, least, before, ...phase } of contractionPhases(kernel, { block: block!, part: partFunction })) {
      const own = before.map((b) => ({ slot: slotOf(b), tasks: b.tasks }));
      run({ slot: slotOf(phase), tasks, chunk, least, strides, before: own }, args, shared);
    }
  };
  /** Runs the tasks of a function chunk by chunk, on all threads if they are `shared`. */
  const run = (job: Job, args: readonly View[], shared: boolean): void => {
    const { slot, tasks, chunk } = job;
    if (jobs !== null && shared && chunk < tasks) return jobs.launch(code, job, (i) => pointer(args[i]));
    const call = (what: FunctionSlot, begin: () => void, end: () => void): void => {
      begin();
      end();
      args.forEach(pointer);
      code.call(what);
    };
    const callAll = (all: Pick<Job, "slot" | "tasks">): void =>
      call(
        all.slot,
        () => code.i32(0),
        () => code.i32(all.tasks),
      );
    job.before.forEach(callAll);
    if (chunk >= tasks) return callAll(job);
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
        slot,
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
  /** A function; equal ones are written once: the layers of a model mostly differ in their pointers alone. */
  const functionOf = (key: string | null, params: readonly ValueType[], emit: (slot: FunctionSlot) => void): FunctionSlot => {
    const known = key === null ? undefined : written.get(key);
    if (known !== undefined) return known;
    const slot = module.declare(params, []);
    if (key !== null) written.set(key, slot);
    emit(slot);
    return slot;
  };
  const kernelFunction = (kernel: Nest | RoutineKernel, pointers: number): FunctionSlot => {
    const ranges = kernel.kind === "nest" ? kernel.ranges.length : 1;
    return functionOf(kernelKey(kernel), new Array<"i32">(2 * ranges + pointers).fill("i32"), (slot) => {
      if (kernel.kind === "nest") emitNest(kernel, slot, helpers);
      else emitRoutine(kernel.routine, slot, helpers);
    });
  };

  const partFunction = (part: Part): FunctionSlot => kernelFunction(part.nest, part.args.length);

  steps(program.steps);
  code.finish();
  jobs?.finish();
  const bytes = module.finish({ shared: options.shared, maximumPages: options.maximumPages });
  return { bytes, hasJobs: jobs !== null && jobs.count > 0, marks };
}

/** What a trace calls a step; null for those that are made of others. */
function markedName(s: Step, { hosts }: Program): string | null {
  if (s.kind === "launch") return s.kernel.name;
  if (s.kind === "copy") return "copy";
  return s.kind === "host" ? hosts[s.step].name : null;
}

/** The most pointers in locals: engines allow a function 50,000 locals of all kinds, and the loops of launches take some, too. */
const mostPointerLocals = 20_000;

/** The buffers that loops exchange. */
function exchangedBuffers(steps: readonly Step[]): Set<BufferInfo> {
  const found = new Set<BufferInfo>();
  const visit = (list: readonly Step[]): void => {
    for (const s of list) {
      if (s.kind === "branch") s.branches.forEach(visit);
      if (s.kind !== "loop") continue;
      for (const buffer of s.swaps.flat()) found.add(buffer);
      visit(s.condition);
      visit(s.body);
    }
  };
  visit(steps);
  return found;
}

/** How many operations of a matrix product take as long as a simple one elsewhere. */
export const contractionRate = 16;

/** Whether a kernel is enough work, some ten microseconds, to be shared by threads. */
function worthSharing(kernel: Kernel, grain: number): boolean {
  return kernel.flops >= 2 * grain * (kernel.kind === "contraction" ? contractionRate : 1);
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
