import {
  type Aval,
  bind,
  type ClosedJaxpr,
  type CostAnalysis,
  defaultDevice,
  type Device,
  type ExecutableInfo,
  homeDevice,
  type Inputs,
  isTracer,
  Jaxpr,
  jitP,
  type NDArray,
  physical,
  printJaxpr,
  ShapeDtypeStruct,
  itemsize,
  TransformError,
  TreeError,
  type Treedef,
  treeUnflatten,
} from "@traceform/core";
import type { SplitArguments } from "./arguments.ts";
import { describeTree, type Shapes } from "./inspect.ts";
import type { AbstractLeaf } from "./leaves.ts";
import { leafPlaces } from "./places.ts";
import { type CompiledProgram, compileTraced, type TracedProgram } from "./program.ts";

/** What is known of one array among the arguments. */
export interface ArgInfo {
  readonly shape: readonly number[];
  readonly dtype: ShapeDtypeStruct["dtype"];
  readonly weakType: boolean;
  readonly donated: boolean;
}

/** How much memory one run needs, in bytes. */
export interface MemoryAnalysis {
  readonly argumentSizeInBytes: number;
  readonly outputSizeInBytes: number;
  /** The peak of intermediate values. */
  readonly tempSizeInBytes: number;
}

type Split = (args: readonly unknown[]) => SplitArguments;

/** A function traced for one signature. */
export class Traced<A extends readonly unknown[], R> {
  readonly #program: TracedProgram;
  readonly #signature: SplitArguments<AbstractLeaf>;
  readonly #split: Split;
  readonly #names: readonly (string | null)[];

  /** @internal Use `jit(f).trace(…)`. */
  constructor(program: TracedProgram, signature: SplitArguments<AbstractLeaf>, split: Split, names: readonly (string | null)[]) {
    this.#program = program;
    this.#signature = signature;
    this.#split = split;
    this.#names = names;
  }
  /** The traced program; arrays that the function captured are its first arguments. */
  get jaxpr(): Jaxpr {
    return this.#program.params.jaxpr;
  }
  /** The program with the arrays that the function captured. */
  get closedJaxpr(): ClosedJaxpr {
    const { constvars, invars, eqns, outvars, effects } = this.jaxpr;
    const n = this.#program.consts.length;
    const jaxpr = new Jaxpr([...constvars, ...invars.slice(0, n)], invars.slice(n), eqns, outvars, effects);
    return { jaxpr, consts: this.#program.consts };
  }
  get funName(): string {
    return this.#program.params.name;
  }
  /** The arguments that are traced, with a description in place of every array. */
  get argsInfo(): unknown {
    const { leaves, donated, treedef } = this.#signature;
    return treeUnflatten(
      treedef,
      leaves.map(({ aval }, i): ArgInfo => {
        const { shape, dtype, weakType } = aval;
        return { shape, dtype, weakType, donated: donated[i] };
      }),
    );
  }
  /** Shapes and dtypes of the results. */
  get outInfo(): Shapes<R> {
    return describeTree(this.#program.outTree, this.#program.outAvals) as Shapes<R>;
  }
  get inTree(): Treedef {
    return this.#signature.treedef;
  }
  get outTree(): Treedef {
    return this.#program.outTree;
  }
  /** Applies the traced function under whatever transformation is active. */
  apply(...args: Inputs<A>): R {
    const { consts, params, outTree } = this.#program;
    return treeUnflatten(outTree, bind(jitP, [...consts, ...this.#operands(args)], params)) as R;
  }
  lower(): Lowered<A, R> {
    return new Lowered<A, R>(this, this.#program, (args) => this.#operands(args));
  }

  /** The arrays of a call, if they have the types that were traced. */
  #operands(args: readonly unknown[]): readonly NDArray[] {
    const fn = this.funName;
    const { leaves, treedef, staticKey, statics, positions } = this.#signature;
    const given = this.#split(args);
    const fix = "call it with arguments of the types it was lowered for, or call the jitted function, which compiles anew";
    if (given.treedef !== treedef) {
      throw new TreeError(fn, { message: `compiled for the arguments ${treedef}, called with ${given.treedef}`, fix });
    }
    if (given.staticKey !== staticKey) {
      const i = statics.findIndex((s, k) => s.value !== given.statics[k]?.value);
      throw new TransformError(fn, {
        message: `the static ${statics[i]?.label ?? "arguments"} differs from the one it was compiled for`,
        operands: { compiled: statics[i]?.value, called: given.statics[i]?.value },
        fix,
      });
    }
    const lines: string[] = [];
    const places = treedef.children.flatMap((child, k) =>
      leafPlaces(child, this.#names[positions[k]] ?? `argument ${positions[k]}`),
    );
    given.leaves.forEach((x, i) => {
      const { aval } = leaves[i];
      if (!sameType(x.aval, aval)) lines.push(`    ${places[i]} compiled with ${aval} and called with ${x.aval}`);
    });
    if (lines.length > 0) {
      throw new TransformError(fn, {
        message: `the types of the arguments differ from those it was compiled for:\n${lines.join("\n")}`,
        fix,
      });
    }
    return given.leaves;
  }
}

/** Weak types do not matter to a program that is compiled. */
function sameType(a: Aval, b: Aval): boolean {
  return a === b || (a.dtype === b.dtype && a.shape.join() === b.shape.join());
}

/** A function traced for one signature and ready to be compiled. */
export class Lowered<A extends readonly unknown[], R> {
  readonly #traced: Traced<A, R>;
  readonly #program: TracedProgram;
  readonly #operands: (args: readonly unknown[]) => readonly NDArray[];

  /** @internal Use `jit(f).lower(…)`. */
  constructor(traced: Traced<A, R>, program: TracedProgram, operands: (args: readonly unknown[]) => readonly NDArray[]) {
    this.#traced = traced;
    this.#program = program;
    this.#operands = operands;
  }
  get jaxpr(): Jaxpr {
    return this.#traced.jaxpr;
  }
  get argsInfo(): unknown {
    return this.#traced.argsInfo;
  }
  get outInfo(): Shapes<R> {
    return this.#traced.outInfo;
  }
  get inTree(): Treedef {
    return this.#traced.inTree;
  }
  get outTree(): Treedef {
    return this.#traced.outTree;
  }
  /** The jaxpr, as it is printed. */
  asText(): string {
    return printJaxpr(this.jaxpr);
  }
  #home(): Device {
    return homeDevice(this.jaxpr) ?? defaultDevice();
  }
  /** The operations that the program needs; compiles it. */
  costAnalysis(): CostAnalysis {
    return this.compileSync().costAnalysis();
  }
  /** Compiles for a device; by default that of the mesh it mentions, or the default one. Awaits what the backend prepares. */
  async compile(device: Device = this.#home()): Promise<CompiledFunction<A, R>> {
    const program = compileTraced(this.#program, device);
    await program.prepare();
    return this.#function(program);
  }
  /** `compile` without awaiting: what the backend makes ahead in `compile`, the first call makes. */
  compileSync(device: Device = this.#home()): CompiledFunction<A, R> {
    return this.#function(compileTraced(this.#program, device));
  }
  #function(program: CompiledProgram): CompiledFunction<A, R> {
    const { consts, outTree, params } = this.#program;
    const call = (...args: Inputs<A>): R => {
      const given = this.#operands(args);
      if (given.some(isTracer)) {
        throw new TransformError(params.name, {
          message:
            "transformations cannot be applied to a function that is compiled for one signature, but it was called with a tracer",
          fix: "transform the jitted function, or apply what was traced: jit(f).trace(x).apply(x)",
        });
      }
      const outs = program.run(consts.length === 0 ? given : [...consts, ...given]);
      return treeUnflatten(outTree, outs) as R;
    };
    const { argsInfo, outInfo, inTree } = this;
    return Object.assign(call, { argsInfo, outInfo, inTree, outTree, ...analyses(program) });
  }
  /** Applies the traced function under whatever transformation is active. */
  apply(...args: Inputs<A>): R {
    return this.#traced.apply(...args);
  }
}

function bytesOf(avals: readonly Aval[]): number {
  return avals.reduce((n, a) => {
    const { shape, dtype } = physical(a);
    return n + shape.reduce((x, y) => x * y, 1) * itemsize(dtype);
  }, 0);
}

function analyses(
  program: CompiledProgram,
): Pick<CompiledFunction<never, never>, "asText" | "inspect" | "costAnalysis" | "memoryAnalysis"> {
  const inspect = (): ExecutableInfo => program.inspect();
  return {
    inspect,
    asText: () => inspect().text,
    costAnalysis: () => inspect().cost,
    memoryAnalysis: () => ({
      argumentSizeInBytes: bytesOf(program.jaxpr.inAvals),
      outputSizeInBytes: bytesOf(program.jaxpr.outAvals),
      tempSizeInBytes: inspect().cost.temporaryBytes,
    }),
  };
}

/** A program compiled ahead of time. It runs for the signature it was lowered for and no other. */
export interface CompiledFunction<A extends readonly unknown[], R> {
  /** @throws {TransformError} for arguments of other types, and for tracers; @throws {TreeError} for another structure */
  (...args: Inputs<A>): R;
  readonly argsInfo: unknown;
  readonly outInfo: Shapes<R>;
  readonly inTree: Treedef;
  readonly outTree: Treedef;
  /** The kernels after fusion. */
  asText(): string;
  inspect(): ExecutableInfo;
  costAnalysis(): CostAnalysis;
  memoryAnalysis(): MemoryAnalysis;
}
