import {
  type Atom,
  type Aval,
  BackendError,
  type DType,
  DTypeError,
  type Eqn,
  hostStep,
  isComplex,
  type Jaxpr,
  physical,
  realDType,
  runsOnHost,
  type StandardDType,
  Var,
} from "@traceform/core";
import { importComplex } from "./complex.ts";
import { extendedParams } from "./extended.ts";
import { type Block, BlockBuilder, type TensorType, type Value } from "./graph.ts";
import { hostOperation } from "./host.ts";
import { linalgRules } from "./linalg/index.ts";
import { incompleteFunction, incompleteFunctions } from "./incomplete.ts";

/** The arrays that stand for one variable: real and imaginary plane of a complex one, otherwise one array. */
export type Parts = readonly Value[];

/** What a device holds of an aval: one dense array, or two planes of a complex one. Without 64-bit floats they are float32. */
export function partTypes(aval: Aval, float64: boolean): TensorType[] {
  const { shape, dtype } = physical(aval);
  const real = realDType(dtype) as StandardDType;
  const type: TensorType = { shape, dtype: real === "float64" && !float64 ? "float32" : real };
  return isComplex(dtype) ? [type, type] : [type];
}

/**
 * A jaxpr as a block: calls inlined, identities removed, equal operations merged, extended dtypes as their physical
 * arrays, complex values as two planes. Constvars become the leading parameters.
 *
 * @throws {BackendError} for effects and for primitives that no table knows
 */
export function importJaxpr(jaxpr: Jaxpr, float64: boolean): Block {
  const g = new BlockBuilder(float64);
  const args = [...jaxpr.constvars, ...jaxpr.invars].map((v) => partTypes(v.aval, float64).map((t) => g.param(t)));
  return g.finish(inline(g, jaxpr, args).flat());
}

/** Adds the equations of a jaxpr to a block; returns the parts of its results. */
function inline(g: BlockBuilder, jaxpr: Jaxpr, args: readonly Parts[]): Parts[] {
  const env = new Map<Var, Parts>();
  [...jaxpr.constvars, ...jaxpr.invars].forEach((v, i) => env.set(v, args[i]));
  const read = (a: Atom): Parts => {
    if (a instanceof Var) return env.get(a)!;
    const [type, imaginary] = partTypes(a.aval, g.float64);
    const re = g.literal(a.value, type.dtype);
    const scalar = imaginary === undefined ? [re] : [re, g.literal(0, type.dtype)];
    if (a.aval.ndim === 0) return scalar;
    return scalar.map((v) => g.add("broadcast_in_dim", [v], [type], { shape: type.shape, broadcastDimensions: [] })[0]);
  };
  for (const eqn of jaxpr.eqns) {
    g.origin = { primitive: eqn.primitive.name, source: eqn.source };
    const results = importEqn(g, eqn, eqn.invars.map(read));
    eqn.outvars.forEach((v, i) => {
      if (v !== null) env.set(v, results[i]);
    });
  }
  return jaxpr.outvars.map(read);
}

/** Calls, by the parameter that holds the jaxpr. */
const calls: Readonly<Record<string, string>> = {
  jit: "jaxpr",
  custom_jvp_call: "callJaxpr",
  custom_vjp_call: "callJaxpr",
  checkpoint: "jaxpr",
  remat: "jaxpr",
  core_call: "jaxpr",
  closed_call: "jaxpr",
};
/** Primitives that return their operands. */
const identities: ReadonlySet<string> = new Set([
  "stop_gradient",
  "name",
  "copy",
  "optimization_barrier",
  "pvary",
  "random_wrap",
  "random_unwrap",
  "sharding_constraint",
]);

/** Makes float64 of what gains from it in between; only backends without float64 have it as an equation. */
const widening = "widen";

/** @throws {DTypeError} for an equation that makes float64 of other things, on a target that has none */
function refuseFloat64({ primitive, invars, outvars }: Eqn): void {
  const isWide = ({ aval }: Atom): boolean => realDType(aval.dtype) === "float64";
  if (!outvars.some((v) => v !== null && isWide(v)) || invars.some((v) => v instanceof Var && isWide(v))) return;
  throw new DTypeError(primitive.name, {
    message: `${primitive.name} makes an array of float64, which the device does not have`,
    fix: "compute in float32, or run this part on the CPU backend",
  });
}

function importEqn(g: BlockBuilder, eqn: Eqn, ins: readonly Parts[]): readonly Parts[] {
  const { name } = eqn.primitive;
  const { params } = eqn;
  const called = calls[name];
  if (called !== undefined) {
    const call = (): readonly Parts[] => inline(g, params[called] as Jaxpr, ins);
    // What a checkpoint computes again must not be merged with what was computed before: that would keep it until then.
    return params["preventCse"] === true ? g.apart(call) : call();
  }
  if (name in controlBlocks) return importControl(g, eqn, ins);
  if (runsOnHost(eqn.primitive)) return importHost(g, eqn, ins);
  if (eqn.effects.size > 0) {
    throw new BackendError(name, {
      message: `the effect ${[...eqn.effects].map((e) => e.name).join(", ")} cannot run inside a compiled program`,
      fix: "give the primitive a rule under hostRule, so that programs call out to JavaScript for it",
    });
  }
  if (identities.has(name)) return ins;
  if (name === widening) return ins;
  if (!g.float64) refuseFloat64(eqn);
  if (name in linalgRules) return importPlanes(g, eqn, ins);
  const complex = ins.some((p) => p.length > 1) || eqn.outvars.some((v) => v !== null && isComplex(v.aval.dtype));
  if (complex) return importComplex(g, eqn, ins);
  return importPlain(
    g,
    eqn,
    ins.map((p) => p[0]),
  );
}

function importPlain(g: BlockBuilder, eqn: Eqn, ins: readonly Value[]): readonly Parts[] {
  const outs = eqn.outvars.map((v) => partTypes(v.aval, g.float64)[0]);
  const name = eqn.primitive.name;
  const extended = [...eqn.invars, ...eqn.outvars].find((v) => typeof v.aval.dtype !== "string");
  if (extended !== undefined) {
    const dtype = extended.aval.dtype as Exclude<DType, StandardDType>;
    const fixed = extendedParams(g, eqn, ins, dtype);
    return g.add(name, fixed.ins, outs, fixed.params).map((v) => [v]);
  }
  if (incompleteFunctions.has(name)) return [[incompleteFunction(g, name, ins, outs[0])]];
  if (name === "reduce")
    return g
      .add(name, ins, outs, { dimensions: eqn.params["dimensions"] }, [importJaxpr(eqn.params["jaxpr"] as Jaxpr, g.float64)])
      .map((v) => [v]);
  if (name === "reduce_window") {
    const { jaxpr, ...rest } = eqn.params;
    return g.add(name, ins, outs, rest, [importJaxpr(jaxpr as Jaxpr, g.float64)]).map((v) => [v]);
  }
  return g.add(name, ins, outs, eqn.params).map((v) => [v]);
}

/** An equation that runs on the host: a pure one may be left out when nothing needs its results. */
function importHost(g: BlockBuilder, eqn: Eqn, ins: readonly Parts[]): readonly Parts[] {
  const avals = (list: readonly Atom[]): Aval[] => list.map((v) => v.aval);
  const host = hostStep(eqn.primitive, eqn.params, avals(eqn.invars), avals(eqn.outvars));
  const outs = eqn.outvars.map((v) => partTypes(v.aval, g.float64));
  const values = g.add(hostOperation, ins.flat(), outs.flat(), { host }, [], eqn.effects.size > 0);
  let next = 0;
  return outs.map((types) => types.map(() => values[next++]));
}

/** An operation that takes and returns the planes of complex values as they are, one value after the other. */
function importPlanes(g: BlockBuilder, eqn: Eqn, ins: readonly Parts[]): readonly Parts[] {
  const outs = eqn.outvars.map((v) => partTypes(v.aval, g.float64));
  const values = g.add(eqn.primitive.name, ins.flat(), outs.flat(), eqn.params);
  let next = 0;
  return outs.map((types) => types.map(() => values[next++]));
}

/** Control flow: the jaxprs among the parameters, and the counts of operands that complex values multiply. */
const controlBlocks: Readonly<Record<string, (params: Readonly<Record<string, unknown>>) => readonly Jaxpr[]>> = {
  cond: (p) => p["branches"] as readonly Jaxpr[],
  while: (p) => [p["condJaxpr"] as Jaxpr, p["bodyJaxpr"] as Jaxpr],
  scan: (p) => [p["jaxpr"] as Jaxpr],
};
const controlCounts: readonly string[] = ["numConsts", "numCarry", "condNconsts", "bodyNconsts"];

function importControl(g: BlockBuilder, eqn: Eqn, ins: readonly Parts[]): readonly Parts[] {
  const { name } = eqn.primitive;
  const flatCount = (from: number, n: number): number => ins.slice(from, from + n).flat().length;
  const params: Record<string, unknown> = { length: eqn.params["length"], reverse: eqn.params["reverse"] };
  let at = name === "cond" ? 1 : 0;
  const order = name === "while" ? ["condNconsts", "bodyNconsts"] : name === "scan" ? ["numConsts", "numCarry"] : [];
  for (const key of order.filter((k) => controlCounts.includes(k))) {
    const n = Number(eqn.params[key]);
    params[key] = flatCount(at, n);
    at += n;
  }
  const outs = eqn.outvars.map((v) => partTypes(v.aval, g.float64));
  const values = g.add(
    name,
    ins.flat(),
    outs.flat(),
    params,
    controlBlocks[name](eqn.params).map((j) => importJaxpr(j, g.float64)),
  );
  let next = 0;
  return outs.map((types) => types.map(() => values[next++]));
}
