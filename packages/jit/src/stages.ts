import {
  bind,
  checksFloats,
  compileProgram,
  type CostAnalysis,
  defaultDevice,
  type Device,
  type ExecutableInfo,
  type Inputs,
  type Jaxpr,
  jitP,
  type JitParams,
  type NDArray,
  printJaxpr,
  runCompiled,
  runFloatChecked,
  TransformError,
  type Treedef,
  treeUnflatten,
} from "@traceform/core";

/** A function traced for one signature, not yet compiled. */
export class Lowered<A extends readonly unknown[], R> {
  readonly #params: JitParams;
  readonly #consts: readonly NDArray[];
  readonly #outTree: Treedef;
  readonly #flatten: (...args: Inputs<A>) => readonly NDArray[];

  constructor(
    params: JitParams,
    consts: readonly NDArray[],
    outTree: Treedef,
    flatten: (...args: Inputs<A>) => readonly NDArray[],
  ) {
    this.#params = params;
    this.#consts = consts;
    this.#outTree = outTree;
    this.#flatten = flatten;
  }
  /** The traced program; constants that the function captured are its first arguments. */
  get jaxpr(): Jaxpr {
    return this.#params.jaxpr;
  }
  asText(): string {
    return printJaxpr(this.jaxpr);
  }
  /** Compiles for a device; by default the default one. */
  compile(device: Device = defaultDevice()): CompiledFunction<A, R> {
    const { jaxpr, donated, name } = this.#params;
    const donate = donated.flatMap((d, i) => (d ? [i] : []));
    const executable = compileProgram(device.backend, jaxpr, { name, donate });
    const call = (...args: Inputs<A>): R => {
      const operands = [...this.#consts, ...this.#flatten(...args)];
      const wrong = operands.findIndex(
        (x, i) => x.aval.dtype !== jaxpr.invars[i]?.aval.dtype || x.shape.join() !== jaxpr.invars[i].aval.shape.join(),
      );
      if (wrong >= 0 || operands.length !== jaxpr.invars.length) {
        throw new TransformError(name, {
          message: `compiled for (${jaxpr.inAvals.join(", ")}), called with (${operands.map((x) => x.aval).join(", ")})`,
          fix: "call it with the shapes and dtypes it was lowered for, or call the jitted function, which compiles anew",
        });
      }
      const outs = checksFloats()
        ? runFloatChecked(jaxpr, jaxpr.outAvals, name, operands, device)
        : runCompiled({ executable, outAvals: jaxpr.outAvals }, operands, device, donated.includes(true) ? donated : undefined);
      return treeUnflatten(this.#outTree, outs) as R;
    };
    const info = (): ExecutableInfo => executable.inspect();
    return Object.assign(call, {
      asText: (): string => info().text,
      inspect: info,
      costAnalysis: (): CostAnalysis => info().cost,
    });
  }
  /** Applies the traced function under whatever transformation is active. */
  apply(...args: Inputs<A>): R {
    return treeUnflatten(this.#outTree, bind(jitP, [...this.#consts, ...this.#flatten(...args)], this.#params)) as R;
  }
}

/** A program compiled ahead of time. It runs for the signature it was lowered for and no other. */
export interface CompiledFunction<A extends readonly unknown[], R> {
  (...args: Inputs<A>): R;
  /** The kernels after fusion. */
  asText(): string;
  inspect(): ExecutableInfo;
  costAnalysis(): CostAnalysis;
}
