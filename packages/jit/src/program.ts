import {
  type Aval,
  checksFloats,
  type Compiled,
  dceJaxpr,
  type Device,
  type Jaxpr,
  laysOutOverMemories,
  lazily,
  type JitParams,
  type NDArray,
  runFloatChecked,
  runProgram,
  type Treedef,
} from "@traceform/core";

/** What tracing one signature of a function gave. */
export interface TracedProgram {
  readonly params: JitParams;
  readonly consts: readonly NDArray[];
  readonly outTree: Treedef;
  readonly outAvals: readonly Aval[];
}

/** A traced program, compiled for a device. */
export interface CompiledProgram {
  readonly device: Device;
  /** What was compiled: without the arguments that nothing reads. */
  readonly jaxpr: Jaxpr;
  run(operands: readonly NDArray[]): NDArray[];
  /** Awaits what the backend makes ahead of the first run. */
  prepare(): Promise<void>;
  inspect(): ReturnType<Compiled["executable"]["inspect"]>;
}

/** Compiles for a device. Arguments that nothing reads are not arguments of the program, unless they are kept or donated. */
export function compileTraced({ params, outAvals }: TracedProgram, device: Device): CompiledProgram {
  const { name, donated, keepUnused } = params;
  const all = params.jaxpr.invars.map(() => true);
  const { jaxpr, usedInputs } = keepUnused
    ? { jaxpr: params.jaxpr, usedInputs: all }
    : dceJaxpr(
        params.jaxpr,
        params.jaxpr.outvars.map(() => true),
        donated,
      );
  const drops = usedInputs.includes(false);
  const flags = drops ? donated.filter((_, i) => usedInputs[i]) : donated;
  const donate = flags.flatMap((d, i) => (d ? [i] : []));
  const compiled = lazily(device.backend, jaxpr, outAvals, { name, donate });
  // Over several memories it runs in blocks, on arguments that tell which: nothing is made before.
  const whole = !laysOutOverMemories(jaxpr);
  if (whole) void compiled.executable;
  const ended = flags.includes(true) ? flags : undefined;
  return {
    device,
    jaxpr,
    run: (operands) => {
      if (checksFloats()) return runFloatChecked(params.jaxpr, outAvals, `jit(${name})`, operands, device);
      const used = drops ? operands.filter((_, i) => usedInputs[i]) : operands;
      return runProgram(compiled, used, device, name, ended);
    },
    prepare: async () => (whole ? compiled.executable.prepare?.() : undefined),
    inspect: () => compiled.executable.inspect(),
  };
}
