import { addIndex, axisIndex, constIndex, scaleIndex } from "./affine.ts";
import type { Axis, Ex, Exprs, Index } from "./expr.ts";
import type { Node } from "./graph.ts";
import { convertElement } from "./convert.ts";
import { elementRules } from "./elementwise.ts";
import { folding, type KernelBuilder, storing } from "./kernels.ts";
import type { Scope } from "./scope.ts";
import { elementFunction } from "./math/functions.ts";
import type { Reduction } from "./program.ts";
import { constantOf, limits, roundToDType, scalarInfo } from "./scalars.ts";
import type { DType } from "@traceform/core";

/** A fold by a binary operation: its neutral element and the function, on values of a dtype. */
export interface Monoid {
  readonly init: (dtype: DType) => number | bigint | boolean;
  readonly op: string;
}

/** The operations of reductions, windows and prefix scans. */
export const monoids: Readonly<Record<string, Monoid>> = {
  sum: { init: () => 0, op: "add" },
  prod: { init: () => 1, op: "mul" },
  max: { init: (d) => limits(d).min, op: "max" },
  min: { init: (d) => limits(d).max, op: "min" },
  and: { init: (d) => (d === "bool" ? true : -1), op: "and" },
  or: { init: () => 0, op: "or" },
  xor: { init: () => 0, op: "xor" },
};

/** Sums of more elements than this are folded in double precision where the target has it. */
const longSum = 2048;

/**
 * Folds `value`, of which there are `count` for each result, by a monoid. The result is of the computed type of the
 * dtype. Long sums of f32 lose digits unless they are summed in blocks or, as here, in f64.
 */
export function foldMonoid(
  k: KernelBuilder,
  monoid: Monoid,
  dtype: DType,
  value: Ex,
  count: number,
): { readonly fold: Reduction; readonly result: Ex } {
  const { e } = k;
  const rule = elementRules[monoid.op];
  const context = { dtypes: [dtype, dtype], out: dtype, params: {} };
  const float = scalarInfo(dtype).kind === "float";
  if (float && monoid.op === "add" && value.type === "f32" && count > longSum && k.target.float64) {
    const fold = k.fold([e.f64(0)], [e.op("promote", "f64", [value])], ([a], [b]) => [e.add(a, b)]);
    return { fold, result: e.op("demote", "f32", [fold.results[0]]) };
  }
  if (float && (monoid.op === "max" || monoid.op === "min")) return foldExtremum(k, monoid, dtype, value);
  const fold = k.fold(
    [constantOf(e, dtype, monoid.init(dtype))],
    [value],
    // Values of 16-bit floats stay in 32 bits while they are folded.
    ([a], [b]) => [
      float && monoid.op === "mul" ? e.mul(a, b) : float && monoid.op === "add" ? e.add(a, b) : rule(e, [a, b], context),
    ],
  );
  return { fold, result: fold.results[0] };
}

/**
 * The largest or smallest of floats: NaN if there is one, and of zeros the positive or the negative one. The instruction that sees to
 * both takes eight on x86-64, so a plain comparison folds the numbers, and what it overlooks is noted beside it: whether
 * there was NaN, and whether all signs were negative, or one was.
 */
function foldExtremum(
  k: KernelBuilder,
  { op, init }: Monoid,
  dtype: DType,
  value: Ex,
): { readonly fold: Reduction; readonly result: Ex } {
  const { e } = k;
  const largest = op === "max";
  const bits = value.type === "f64" ? "i64" : "i32";
  const fold = k.fold(
    [constantOf(e, dtype, init(dtype)), e.constant("bool", 0), e.constant(bits, largest ? -1 : 0)],
    [value, e.ne(value, value), e.bitcast(bits, value)],
    ([a, n, s], [b, m, t]) => [e.op(largest ? "pmax" : "pmin", a.type, [a, b]), e.or(n, m), largest ? e.and(s, t) : e.or(s, t)],
  );
  const [folded, hasNaN, signs] = fold.results;
  const zero = e.constant(value.type, 0);
  const signed = e.select(e.eq(folded, zero), e.op("copysign", value.type, [zero, e.bitcast(value.type, signs)]), folded);
  return { fold, result: e.select(hasNaN, e.constant(value.type, NaN), signed) };
}

/** Splits the axes of an operand into those of the result and those that are folded. */
export function splitAxes(
  k: KernelBuilder,
  shape: readonly number[],
  reduced: readonly number[],
): { kept: Axis[]; folded: Axis[]; position: Index[] } {
  const kept: Axis[] = [];
  const folded: Axis[] = [];
  const position = shape.map((n, i) => {
    const axis = k.e.axis(n);
    (reduced.includes(i) ? folded : kept).push(axis);
    return axisIndex(k.e, axis);
  });
  return { kept, folded, position };
}

/** reduce_sum and its like: float[..., n, ...] -> float[..., ...]. */
export function lowerReduce(kind: string): (scope: Scope, node: Node) => void {
  return (scope, node) => {
    const [x] = node.ins;
    const [out] = node.outs;
    if (scope.reduce(out, kind) || reduceByParts(scope, node, kind)) return;
    const k = scope.builder();
    const axes = node.params["axes"] as readonly number[];
    const { kept, folded, position } = splitAxes(k, x.shape, axes);
    const { fold, result: value } = foldMonoid(
      k,
      monoids[kind],
      x.dtype,
      k.read(x, position, null),
      x.size / Math.max(1, out.size),
    );
    const outPosition = position.filter((_, i) => !axes.includes(i));
    const result = roundToDType(k.e, out.dtype, value);
    const store = k.store(out, scope.target(out), outPosition, result);
    scope.launch(k.nest(`reduce_${kind}`, kept, [folding(folded, [fold]), storing([], [store])]), k.slots);
  };
}

/** Arrays beyond this are folded to one value in parts, which are bounded work and can run at the same time. */
const partedSize = 1 << 18;

/** A fold of a large array to a scalar, as folds of equal parts along its first axis and a fold of their results. */
function reduceByParts(scope: Scope, node: Node, kind: string): boolean {
  const [x] = node.ins;
  const [out] = node.outs;
  const parts = [64, 48, 40, 32, 24, 20, 16, 12, 10, 8].find((n) => (x.shape[0] ?? 1) % n === 0);
  if (out.size !== 1 || x.size < partedSize || parts === undefined) return false;
  // Parts of 16-bit floats are not rounded in between.
  const dtype = scalarInfo(out.dtype).type === "f32" ? "float32" : out.dtype;
  const partial = { shape: [parts], dtype };
  const view = scope.lowering.temporary(parts * 8);
  {
    const k = scope.builder();
    const part = k.e.axis(parts);
    const { axes, position } = k.axes([x.shape[0] / parts, ...x.shape.slice(1)]);
    const at = [addIndex(scaleIndex(axisIndex(k.e, part), x.shape[0] / parts), position[0]), ...position.slice(1)];
    const { fold, result } = foldMonoid(k, monoids[kind], x.dtype, k.read(x, at, null), x.size / parts);
    const store = k.store(partial, view, [axisIndex(k.e, part)], roundToDType(k.e, dtype, result));
    scope.launch(k.nest(`reduce_${kind}`, [part], [folding(axes, [fold]), storing([], [store])]), k.slots);
  }
  const k = scope.builder();
  const { axes, position } = k.axes([parts]);
  const { fold, result } = foldMonoid(k, monoids[kind], dtype, k.load(partial, view, position), parts);
  const store = k.store(
    out,
    scope.target(out),
    out.shape.map(() => constIndex(0)),
    roundToDType(k.e, out.dtype, result),
  );
  scope.launch(k.nest(`reduce_${kind}.parts`, [], [folding(axes, [fold]), storing([], [store])]), k.slots);
  return true;
}

/** Whether `b` beats `a` as an extremum: NaN beats everything, and of equals the first position wins. */
export function beats(e: Exprs, dtype: DType, largest: boolean, a: Ex, b: Ex, ia: Ex, ib: Ex): Ex {
  const { kind } = scalarInfo(dtype);
  const less = (x: Ex, y: Ex): Ex => elementRules["lt"](e, [x, y], { dtypes: [dtype, dtype], out: "bool", params: {} });
  let better = largest ? less(a, b) : less(b, a);
  let equal = e.eq(a, b);
  if (kind === "float") {
    const nanA = e.ne(a, a);
    const nanB = e.ne(b, b);
    better = e.or(better, e.and(nanB, e.eq(a, a)));
    equal = e.or(equal, e.and(nanA, nanB));
  }
  return e.or(better, e.and(equal, e.lt(ib, ia)));
}

/** argmax and argmin along one axis; the index of the first NaN where there is one. */
export function lowerArgReduce(largest: boolean): (scope: Scope, node: Node) => void {
  return (scope, node) => {
    const [x] = node.ins;
    const [out] = node.outs;
    const k = scope.builder();
    const { e } = k;
    const axes = node.params["axes"] as readonly number[];
    const { kept, folded, position } = splitAxes(k, x.shape, axes);
    const value = k.read(x, position, null);
    const at = e.fromIndex(position[axes[0]]);
    const worst = constantOf(e, x.dtype, largest ? limits(x.dtype).min : limits(x.dtype).max);
    const fold = k.fold([worst, e.i32(0x7fffffff)], [value, at], ([a, ia], [b, ib]) => {
      const take = beats(e, x.dtype, largest, a, b, ia, ib);
      return [e.select(take, b, a), e.select(take, ib, ia)];
    });
    const outPosition = position.filter((_, i) => !axes.includes(i));
    const result = convertElement(e, fold.results[1], "int32", out.dtype);
    const store = k.store(out, scope.target(out), outPosition, result);
    scope.launch(k.nest(node.op, kept, [folding(folded, [fold]), storing([], [store])]), k.slots);
  };
}

/** `reduce` with any function of (accumulators, elements); folded in order. */
export function lowerGeneralReduce(scope: Scope, node: Node): void {
  const n = node.outs.length;
  const operands = node.ins.slice(0, n);
  const inits = node.ins.slice(n);
  const k = scope.builder();
  const axes = node.params["dimensions"] as readonly number[];
  const { kept, folded, position } = splitAxes(k, operands[0].shape, axes);
  const values = operands.map((x) => k.read(x, position, null));
  const init = inits.map((x) => k.read(x, [], null));
  const fold = k.fold(init, values, (a, b) => k.apply(node.blocks[0], [...a, ...b]), { reorder: false });
  const outPosition = position.filter((_, i) => !axes.includes(i));
  const stores = node.outs.map((v, i) => k.store(v, scope.target(v), outPosition, fold.results[i]));
  scope.launch(k.nest("reduce", kept, [folding(folded, [fold]), storing([], stores)]), k.slots);
}

/** log(exp(a) + exp(b)). */
export function logAddExp(e: Exprs, a: Ex, b: Ex): Ex {
  const top = e.op("max", a.type, [a, b]);
  const gap = e.neg(e.unary("abs", e.sub(a, b)));
  const y = e.add(top, elementFunction(e, "log1p", elementFunction(e, "exp", gap)));
  // Equal infinities have no difference.
  const infinite = e.and(e.eq(a, b), e.eq(e.unary("abs", a), e.constant(a.type, Infinity)));
  return e.select(infinite, a, y);
}
