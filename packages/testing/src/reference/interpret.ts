import { type Atom, type Aval, type Eqn, hostStep, type Jaxpr, Literal, physical, runsOnHost, type Var } from "@traceform/core";
import { convolve, type ConvParams, dotGeneral } from "./contraction.ts";
import { elementwise, mapElements, threefry2x32 } from "./elementwise.ts";
import { fft, type FftParams } from "./fourier.ts";
import { gather, type GatherParams, scatter, type ScatterParams } from "./indexing.ts";
import { linalgRules } from "./linalg.ts";
import { argReduce, cumulative, operatorOf, reduce } from "./reduce.ts";
import { sort, topK } from "./sorting.ts";
import * as s from "./structural.ts";
import {
  convertElement,
  type Element,
  forEachIndex,
  fromHost,
  reader,
  type RefArray,
  sizeOf,
  toHost,
  toLogical,
  toPhysical,
} from "./values.ts";
import { forWindow, reduceWindow, selectAndGatherAdd, selectAndScatterAdd, type WindowParams } from "./windows.ts";

/** Evaluates a jaxpr one equation at a time. */
export function interpret(jaxpr: Jaxpr, args: readonly RefArray[]): RefArray[] {
  const env = new Map<Var, RefArray>();
  const read = (a: Atom): RefArray => (a instanceof Literal ? literal(a) : env.get(a)!);
  [...jaxpr.constvars, ...jaxpr.invars].forEach((v, i) => env.set(v, args[i]));
  for (const eqn of jaxpr.eqns) {
    const outs = evaluate(eqn, eqn.invars.map(read));
    eqn.outvars.forEach((v, i) => env.set(v, outs[i]));
  }
  return jaxpr.outvars.map(read);
}

function literal({ value, aval }: Literal): RefArray {
  const from = typeof value === "bigint" ? "int64" : typeof value === "boolean" ? "bool" : "float64";
  return {
    shape: [],
    dtype: aval.dtype,
    values: [convertElement(typeof value === "boolean" ? Number(value) : value, from, aval.dtype)],
  };
}

type Rule = (args: RefArray[], params: never, outs: readonly Aval[]) => RefArray | RefArray[];

const call: Rule = (args, p: { jaxpr: Jaxpr }) => interpret(p.jaxpr, args);
const callRule: Rule = (args, p: { callJaxpr: Jaxpr }) => interpret(p.callJaxpr, args);
const reduction =
  (name: string): Rule =>
  ([x], p: { axes: readonly number[] }, [out]) =>
    reduce(x, name, p.axes, out.shape, out.dtype);
const argReduction =
  (name: string): Rule =>
  ([x], p: { axes: readonly number[] }, [out]) =>
    argReduce(x, name, p.axes[0], out.shape, out.dtype);
const scan1d =
  (name: string): Rule =>
  ([x], p: { axis: number; reverse: boolean }) =>
    cumulative(x, name, p.axis, p.reverse);
const window =
  (name: string): Rule =>
  ([x], p: WindowParams, [out]) =>
    reduceWindow(x, operatorOf(name), p, out.shape);
const scattering =
  (name: string): Rule =>
  ([x, i, u], p: ScatterParams) =>
    scatter(name, x, i, u, p);

const scalar = (x: Element, like: RefArray): RefArray => ({ shape: [], dtype: like.dtype, values: [x] });

/** Reduces with a computation given as a jaxpr over two groups of scalars: accumulators, then elements. */
const generalReduce: Rule = (args, p: { dimensions: readonly number[]; jaxpr: Jaxpr }, outs) => {
  const n = args.length / 2;
  const xs = args.slice(0, n);
  const kept = xs[0].shape.map((_, d) => d).filter((d) => !p.dimensions.includes(d));
  const results = outs.map((o) => new Array<Element>(o.size));
  forEachIndex(outs[0].shape, (index, flat) => {
    let acc = args.slice(n);
    const source = xs[0].shape.map(() => 0);
    kept.forEach((d, i) => (source[d] = index[i]));
    forEachIndex(
      p.dimensions.map((d) => xs[0].shape[d]),
      (inner) => {
        p.dimensions.forEach((d, i) => (source[d] = inner[i]));
        acc = interpret(p.jaxpr, [...acc, ...xs.map((x) => scalar(reader(x)(source), x))]);
      },
    );
    acc.forEach((a, k) => (results[k][flat] = a.values[0]));
  });
  return outs.map((o, k) => ({ shape: o.shape, dtype: o.dtype, values: results[k] }));
};

const generalReduceWindow: Rule = (args, p: WindowParams & { jaxpr: Jaxpr }, outs) => {
  const n = args.length / 2;
  const xs = args.slice(0, n);
  const results = outs.map((o) => new Array<Element>(o.size));
  forEachIndex(outs[0].shape, (index, flat) => {
    let acc = args.slice(n);
    forWindow(xs[0], index, p, (source) => {
      acc = interpret(p.jaxpr, [...acc, ...xs.map((x) => scalar(reader(x)(source), x))]);
    });
    acc.forEach((a, k) => (results[k][flat] = a.values[0]));
  });
  return outs.map((o, k) => ({ shape: o.shape, dtype: o.dtype, values: results[k] }));
};

const cond: Rule = ([index, ...operands], p: { branches: readonly Jaxpr[] }) => {
  const i = Math.min(Math.max(Number(index.values[0]), 0), p.branches.length - 1);
  return interpret(p.branches[i], operands);
};

interface WhileParams {
  condNconsts: number;
  condJaxpr: Jaxpr;
  bodyNconsts: number;
  bodyJaxpr: Jaxpr;
}
const whileLoop: Rule = (args, p: WhileParams) => {
  const condConsts = args.slice(0, p.condNconsts);
  const bodyConsts = args.slice(p.condNconsts, p.condNconsts + p.bodyNconsts);
  let carry = args.slice(p.condNconsts + p.bodyNconsts);
  while (interpret(p.condJaxpr, [...condConsts, ...carry])[0].values[0]) carry = interpret(p.bodyJaxpr, [...bodyConsts, ...carry]);
  return carry;
};

interface ScanParams {
  jaxpr: Jaxpr;
  length: number;
  reverse: boolean;
  numConsts: number;
  numCarry: number;
}
const scan: Rule = (args, p: ScanParams, outs) => {
  const consts = args.slice(0, p.numConsts);
  let carry = args.slice(p.numConsts, p.numConsts + p.numCarry);
  const xs = args.slice(p.numConsts + p.numCarry);
  const ys = outs.slice(p.numCarry).map((o) => new Array<Element>(o.size));
  for (let step = 0; step < p.length; step++) {
    const i = p.reverse ? p.length - 1 - step : step;
    const slices = xs.map((x) => {
      const n = sizeOf(x.shape.slice(1));
      return { shape: x.shape.slice(1), dtype: x.dtype, values: x.values.slice(i * n, (i + 1) * n) };
    });
    const results = interpret(p.jaxpr, [...consts, ...carry, ...slices]);
    carry = results.slice(0, p.numCarry);
    results.slice(p.numCarry).forEach((y, k) => y.values.forEach((v, e) => (ys[k][i * y.values.length + e] = v)));
  }
  return [...carry, ...ys.map((values, k) => ({ shape: outs[p.numCarry + k].shape, dtype: outs[p.numCarry + k].dtype, values }))];
};

const threefry: Rule = (args, _p, outs) => {
  const pairs = mapElements(
    (...xs: never[]) => threefry2x32(...(xs as unknown as [number, number, number, number])),
    args,
    outs[0].shape,
    "uint32",
  );
  return [0, 1].map((k) => ({ ...pairs, values: pairs.values.map((v) => (v as readonly number[])[k]) }));
};

const rules: Record<string, Rule> = {
  jit: call,
  checkpoint: call,
  custom_jvp_call: callRule,
  custom_vjp_call: callRule,
  cond,
  while: whileLoop,
  scan,
  optimization_barrier: (args) => args,
  threefry2x32: threefry,
  random_wrap: ([x], _p, [out]) => toLogical(x, out.shape, out.dtype),
  random_unwrap: ([x]) => toPhysical(x),
  broadcast_in_dim: ([x], p: { shape: number[]; broadcastDimensions: number[] }) =>
    s.broadcastInDim(x, p.shape, p.broadcastDimensions),
  reshape: ([x], _p, [out]) => s.reshape(x, out.shape),
  squeeze: ([x], _p, [out]) => s.reshape(x, out.shape),
  expand_dims: ([x], _p, [out]) => s.reshape(x, out.shape),
  transpose: ([x], p: { permutation: number[] }) => s.transpose(x, p.permutation),
  rev: ([x], p: { dimensions: number[] }) => s.rev(x, p.dimensions),
  pad: ([x, value], p: { paddingConfig: [number, number, number][] }, [out]) =>
    s.pad(x, value.values[0], p.paddingConfig, out.shape),
  slice: ([x], p: { startIndices: number[]; strides: number[] | null }, [out]) => s.slice(x, p.startIndices, out.shape, p.strides),
  dynamic_slice: ([x, ...starts], p: { sliceSizes: number[] }) =>
    s.slice(x, s.clampStarts(starts, x.shape, p.sliceSizes), p.sliceSizes, null),
  dynamic_update_slice: ([x, u, ...starts]) => s.dynamicUpdateSlice(x, u, s.clampStarts(starts, x.shape, u.shape)),
  concatenate: (xs, p: { dimension: number }, [out]) => s.concatenate(xs, p.dimension, out.shape),
  iota: (_args, p: { dimension: number }, [out]) => s.iota(out.shape, out.dtype, p.dimension),
  gather: ([x, i], p: GatherParams, [out]) => gather(x, i, p, out.shape),
  dot_general: ([a, b], p: { dimensionNumbers: never }, [out]) => dotGeneral(a, b, p.dimensionNumbers, out.shape, out.dtype),
  conv_general_dilated: ([a, b], p: ConvParams, [out]) => convolve(a, b, p, out.shape, out.dtype),
  fft: ([x], p: FftParams, [out]) => fft(x, p, out),
  sort: (xs, p: { dimension: number; numKeys: number }) => sort(xs, p.dimension, p.numKeys),
  top_k: ([x], p: { k: number; axis?: number }, [out]) => topK(x, p.k, p.axis ?? x.shape.length - 1, out.shape),
  reduce: generalReduce,
  reduce_window: generalReduceWindow,
  select_and_scatter_add: ([source, operand], p: WindowParams & { selectPrim: string }) =>
    selectAndScatterAdd(source, operand, p.selectPrim, p),
  select_and_gather_add: ([tangents, operand], p: WindowParams & { selectPrim: string }, [out]) =>
    selectAndGatherAdd(tangents, operand, p.selectPrim, p, out.shape),
  ...linalgRules,
};
for (const name of ["sum", "prod", "max", "min", "and", "or", "xor"]) rules[`reduce_${name}`] = reduction(`reduce_${name}`);
for (const name of ["sum", "prod", "max", "min", "logsumexp"]) rules[`cum${name}`] = scan1d(`cum${name}`);
for (const name of ["sum", "max", "min"]) rules[`reduce_window_${name}`] = window(`reduce_window_${name}`);
for (const name of ["argmax", "argmin"]) rules[name] = argReduction(name);
for (const name of ["scatter", "scatter-add", "scatter-mul", "scatter-min", "scatter-max"]) rules[name] = scattering(name);

/** The names of the primitives that have a rule of their own here; elementwise ones come on top. */
export const referenceRules: readonly string[] = Object.keys(rules);

function evaluate(eqn: Eqn, args: RefArray[]): RefArray[] {
  const { name } = eqn.primitive;
  const outs = eqn.outvars.map((v) => v.aval);
  if (runsOnHost(eqn.primitive)) return callOut(eqn, args);
  const rule = rules[name];
  if (rule !== undefined) {
    const result = rule(args, eqn.params as never, outs);
    return Array.isArray(result) ? result : [result];
  }
  const result = elementwise(name, args, eqn.params as Record<string, unknown>, outs[0].shape, outs[0].dtype);
  if (result === null) throw new Error(`the reference backend has no rule for ${name}`);
  return [result];
}

/** A host step works on host arrays, as it does for every backend. */
function callOut({ primitive, params, invars, outvars }: Eqn, args: readonly RefArray[]): RefArray[] {
  const avals = (list: readonly Atom[]): Aval[] => list.map((v) => v.aval);
  const step = hostStep(primitive, params, avals(invars), avals(outvars));
  return step.run(args.map((x) => toHost(asHeld(x)))).map((x, i) => asOperand(fromHost(x), outvars[i].aval));
}

/** A buffer's values as an operand of the given aval, and back: extended dtypes are held physically. */
export function asOperand(held: RefArray, aval: Aval): RefArray {
  return toLogical({ ...held, shape: physical(aval).shape }, aval.shape, aval.dtype);
}
export function asHeld(x: RefArray): RefArray {
  return toPhysical(x);
}
