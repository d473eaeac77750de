import type { Aval } from "./avals.ts";
import { defaultDevice } from "./backends.ts";
import type { ConcreteArray } from "./concrete.ts";
import type { Backend, Device } from "./device.ts";
import { runOnHost, runsOnHost } from "./hoststep.ts";
import { type Eqn, Jaxpr, Var } from "./jaxpr.ts";
import { jitP, type JitParams } from "./jit.ts";
import { checkFloats, checksFloats, Replay, runChecked, runWatched } from "./floating.ts";
import type { NDArray } from "./ndarray.ts";
import type { Params, Primitive } from "./primitive.ts";
import { cachesOf, type Compiled, lazily } from "./programs.ts";
import { homeDevice, homeOf, runProgram } from "./propagation.ts";
import { currentSource } from "./source.ts";
import { abstractEval } from "./staging.ts";
import { paramsKey } from "./structure.ts";
import { Trace } from "./trace.ts";

/**
 * Where to run on these arguments: on the device of the first that is on one, else of the first captured array, else on the
 * default device. Scalar constants do not decide: they are shared by all who use the value, so where they are is chance.
 */
export function deviceFor(args: readonly NDArray[], captured: readonly NDArray[] = []): Device {
  return placeOf(args) ?? placeOf(captured) ?? defaultDevice();
}

function placeOf(args: readonly NDArray[]): Device | null {
  for (let i = 0; i < args.length; i++) {
    const { device, scalarValue } = args[i] as ConcreteArray;
    if (device != null && scalarValue === undefined) return device;
  }
  return null;
}

/** The bottom of the stack: compiles and runs each primitive at once. */
export class EvalTrace extends Trace {
  process(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
    if (checksFloats()) return processChecked(primitive, args, params);
    return evaluate(primitive, args, params);
  }
}

function evaluate(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
  const isJit = (primitive as unknown) === jitP;
  const home = isJit ? homeDevice((params as unknown as JitParams).jaxpr) : homeOf(primitive, params);
  const device = home ?? deviceFor(args);
  const { eager } = cachesOf(device.backend);
  let key = `${primitive.id}|${paramsKey(params)}`;
  for (let i = 0; i < args.length; i++) key += `|${args[i].aval.id}`;
  let compiled = eager.get(key);
  if (compiled === undefined) {
    const host = runsOnHost(primitive);
    // Where operands can be read only later, the step is a program, in its turn.
    if (host && device.backend.readSync !== undefined) return runHost(primitive, args, params);
    compiled = compileEqn(
      device.backend,
      primitive,
      args.map((x) => x.aval),
      params,
    );
    // Host steps are not cached: each is a call of its function.
    if (!host) eager.set(key, compiled);
  }
  const donated = isJit ? (params as unknown as JitParams).donated : undefined;
  return runProgram(compiled, args, device, primitive.name, donated?.includes(true) ? donated : undefined);
}

const replay: Replay = /* @__PURE__ */ new Replay(evaluate);

/** One operation under `debugNans` or `debugInfs`. */
function processChecked(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
  if ((primitive as unknown) === jitP) {
    const { jaxpr, name } = params as unknown as JitParams;
    return runFloatChecked(jaxpr, jaxpr.outAvals, name, args, homeDevice(jaxpr) ?? deviceFor(args));
  }
  const device = deviceFor(args);
  if (device.backend.readSync === undefined && !runsOnHost(primitive)) {
    const inAvals = args.map((x) => x.aval);
    const jaxpr = jaxprOf(primitive, inAvals, params, currentSource());
    return runWatched(jaxpr, jaxpr.outAvals, primitive.name, args, device);
  }
  const outs = evaluate(primitive, args, params);
  findFloats(primitive.name, outs, () => replay.operation(primitive, args, params));
  return outs;
}

/** Throws for bad values among results; `search` may throw an error that says more. */
function findFloats(name: string, outs: readonly NDArray[], search: () => void): void {
  try {
    checkFloats(name, outs);
  } catch (error) {
    // What runs over processes runs in all of them, and others may have no bad value.
    if (outs.every((x) => x.isFullyAddressable)) search();
    throw error;
  }
}

/** Runs a jitted program under `debugNans` or `debugInfs`. @throws {FloatingPointError} naming the equation at fault */
export function runFloatChecked(
  jaxpr: Jaxpr,
  outAvals: readonly Aval[],
  name: string,
  args: readonly NDArray[],
  device: Device,
): NDArray[] {
  return runChecked(jaxpr, outAvals, name, args, device, replay);
}

function runHost(primitive: Primitive<never>, args: readonly NDArray[], params: Params): NDArray[] {
  const inAvals = args.map((x) => x.aval);
  return runOnHost(primitive, args, params, abstractEval(primitive, inAvals, params).avals);
}

function compileEqn(backend: Backend, primitive: Primitive<never>, inAvals: readonly Aval[], params: Params): Compiled {
  if ((primitive as unknown) === jitP) {
    const { jaxpr, donated, name } = params as unknown as JitParams;
    const donate = donated.flatMap((d, i) => (d ? [i] : []));
    return lazily(backend, jaxpr, abstractEval(primitive, inAvals, params).avals, { name, donate });
  }
  const jaxpr = jaxprOf(primitive, inAvals, params, null);
  // The description of the operands is part of the program's structure, so avals need no place in the key.
  return lazily(backend, jaxpr, jaxpr.outAvals, { name: primitive.name });
}
/** A jaxpr of one equation. */
function jaxprOf(primitive: Primitive<never>, inAvals: readonly Aval[], params: Params, source: Eqn["source"]): Jaxpr {
  const { avals, effects } = abstractEval(primitive, inAvals, params);
  const invars = inAvals.map((aval) => new Var(aval));
  const outvars = avals.map((aval) => new Var(aval));
  const eqn: Eqn = { primitive, invars, outvars, params, effects: new Set(effects ?? []), source };
  return new Jaxpr([], invars, [eqn], outvars);
}
