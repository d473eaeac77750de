import { addIndex, divIndex, flattenIndex, modIndex, offsetIndex, scaleIndex } from "./affine.ts";
import type { Axis, Ex, Exprs, Index } from "./expr.ts";
import type { Node, Value } from "./graph.ts";
import { folding, type KernelBuilder, storing } from "./kernels.ts";
import type { Scope } from "./scope.ts";
import { beats, foldMonoid, monoids } from "./reduce.ts";
import { constantOf, limits, roundToDType } from "./scalars.ts";
import { both, inBounds } from "./views.ts";

/** How windows lie over an array: for each dimension its size, step, padding and holes. */
export interface Windows {
  readonly sizes: readonly number[];
  readonly strides: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
  readonly baseDilation: readonly number[];
  readonly windowDilation: readonly number[];
}

export function windowsOf(node: Node): Windows {
  const p = node.params as Record<string, readonly number[] | undefined>;
  const sizes = p["windowDimensions"]!;
  const ones = sizes.map(() => 1);
  return {
    sizes,
    strides: p["windowStrides"] ?? ones,
    padding: node.params["padding"] as readonly (readonly [number, number])[],
    baseDilation: p["baseDilation"] ?? ones,
    windowDilation: p["windowDilation"] ?? ones,
  };
}

/**
 * The element of the operand that a window meets at an offset, and the condition that there is one: not in the padding
 * and not in a hole.
 */
export function windowElement(
  e: Exprs,
  w: Windows,
  shape: readonly number[],
  window: readonly Index[],
  offset: readonly Index[],
): { at: Index[]; inside: Ex | null } {
  let inside: Ex | null = null;
  const at = shape.map((n, i) => {
    const p = offsetIndex(
      addIndex(scaleIndex(window[i], w.strides[i]), scaleIndex(offset[i], w.windowDilation[i])),
      -w.padding[i][0],
    );
    const q = divIndex(e, p, w.baseDilation[i]);
    inside = both(e, inside, inBounds(e, q, n));
    if (w.baseDilation[i] > 1) inside = both(e, inside, e.eq(e.fromIndex(modIndex(e, p, w.baseDilation[i])), e.i32(0)));
    return q;
  });
  return { at, inside };
}

interface WindowLoops {
  readonly outer: Axis[];
  readonly window: Index[];
  readonly inner: Axis[];
  readonly at: Index[];
  readonly inside: Ex | null;
}
function windowLoops(k: KernelBuilder, w: Windows, operand: Value, result: Value): WindowLoops {
  const { axes: outer, position: window } = k.axes(result.shape);
  const { axes: inner, position: offset } = k.axes(w.sizes);
  return { outer, window, inner, ...windowElement(k.e, w, operand.shape, window, offset) };
}

function guarded(k: KernelBuilder, inside: Ex | null, x: Ex, otherwise: Ex): Ex {
  return inside === null ? x : k.e.select(inside, x, otherwise);
}

/** reduce_window_sum, _max and _min. */
export function lowerReduceWindow(kind: string): (scope: Scope, node: Node) => void {
  return (scope, node) => {
    const [x] = node.ins;
    const [out] = node.outs;
    const k = scope.builder();
    const l = windowLoops(k, windowsOf(node), x, out);
    const neutral = constantOf(k.e, x.dtype, monoids[kind].init(x.dtype));
    const { fold, result } = foldMonoid(k, monoids[kind], x.dtype, guarded(k, l.inside, k.read(x, l.at, l.inside), neutral), 1);
    const store = k.store(out, scope.target(out), l.window, roundToDType(k.e, out.dtype, result));
    scope.launch(k.nest(`reduce_window_${kind}`, l.outer, [folding(l.inner, [fold]), storing([], [store])]), k.slots);
  };
}

/** `reduce_window` with any function of (accumulators, elements); padding is passed over. */
export function lowerGeneralReduceWindow(scope: Scope, node: Node): void {
  const n = node.outs.length;
  const operands = node.ins.slice(0, n);
  const k = scope.builder();
  const { e } = k;
  const l = windowLoops(k, windowsOf(node), operands[0], node.outs[0]);
  const init = node.ins.slice(n).map((v) => k.read(v, [], null));
  const values = operands.map((x, i) => guarded(k, l.inside, k.read(x, l.at, l.inside), init[i]));
  // Whether the element is one goes along as a last component: the function itself must not see padding.
  const present = guarded(k, l.inside, e.i32(1), e.i32(0));
  const step = (acc: readonly Ex[], x: readonly Ex[]): Ex[] => {
    const next = k.apply(node.blocks[0], [...acc.slice(0, n), ...x.slice(0, n)]);
    const counts = e.ne(x[n], e.i32(0));
    return [...next.map((y, i) => e.select(counts, y, acc[i])), acc[n]];
  };
  const fold = k.fold([...init, e.i32(0)], [...values, present], step, { reorder: false });
  const stores = node.outs.map((v, i) => k.store(v, scope.target(v), l.window, fold.results[i]));
  scope.launch(k.nest("reduce_window", l.outer, [folding(l.inner, [fold]), storing([], stores)]), k.slots);
}

/** For each window, picks an element of the operand and folds (its value, another value) by it. */
function selectFold(k: KernelBuilder, node: Node, operand: Value, l: WindowLoops, payload: Ex, none: Ex): Ex[] {
  const { e } = k;
  const largest = node.params["selectPrim"] !== "le";
  const order = e.fromIndex(flattenIndex(l.at, operand.shape));
  const worst = constantOf(e, operand.dtype, largest ? limits(operand.dtype).min : limits(operand.dtype).max);
  const value = guarded(k, l.inside, k.read(operand, l.at, l.inside), worst);
  const last = e.i32(0x7fffffff);
  const fold = k.fold(
    [worst, last, none],
    [value, guarded(k, l.inside, order, last), guarded(k, l.inside, payload, none)],
    ([a, ia, pa], [b, ib, pb]) => {
      const take = beats(e, operand.dtype, largest, a, b, ia, ib);
      return [e.select(take, b, a), e.select(take, ib, ia), e.select(take, pb, pa)];
    },
  );
  k.pending.push(fold);
  return [...fold.results];
}

/** For each window, the tangent at the position that the operand's extremum has. */
export function lowerSelectAndGatherAdd(scope: Scope, node: Node): void {
  const [tangents, operand] = node.ins;
  const [out] = node.outs;
  const k = scope.builder();
  const l = windowLoops(k, windowsOf(node), operand, out);
  const payload = k.read(tangents, l.at, l.inside);
  const picked = selectFold(k, node, operand, l, payload, k.e.constant(payload.type, 0))[2];
  const store = k.store(out, scope.target(out), l.window, picked);
  scope.launch(k.nest(node.op, l.outer, [folding(l.inner, k.pending), storing([], [store])]), k.slots);
}

/**
 * Adds each window's source value to the position of the operand's extremum in it. Two kernels: the position picked by
 * every window, then for every position the sum over the windows that picked it; so the order of summation is fixed.
 */
export function lowerSelectAndScatterAdd(scope: Scope, node: Node): void {
  const [source, operand] = node.ins;
  const [out] = node.outs;
  const w = windowsOf(node);
  const chosen = scope.lowering.temporary(source.size * 4);
  const positions = { shape: source.shape, dtype: "int32" } as const;
  {
    const k = scope.builder();
    const l = windowLoops(k, w, operand, source);
    const order = selectFold(k, node, operand, l, k.e.i32(0), k.e.i32(0))[1];
    const store = k.store(positions, chosen, l.window, order);
    scope.launch(k.nest(`${node.op}.select`, l.outer, [folding(l.inner, k.pending), storing([], [store])]), k.slots);
  }
  const k = scope.builder();
  const { e } = k;
  const { axes: outer, position } = k.axes(operand.shape);
  const { axes: inner, position: offset } = k.axes(w.sizes);
  // The windows over a position p are those at (p + low - offset) / stride.
  let inside: Ex | null = null;
  const window = position.map((p, i) => {
    const shifted = offsetIndex(addIndex(p, scaleIndex(offset[i], -w.windowDilation[i])), w.padding[i][0]);
    const q = divIndex(e, shifted, w.strides[i]);
    inside = both(e, inside, inBounds(e, q, source.shape[i]));
    if (w.strides[i] > 1) inside = both(e, inside, e.eq(e.fromIndex(modIndex(e, shifted, w.strides[i])), e.i32(0)));
    return q;
  });
  const pick = e.load(k.slot(chosen), "i32", flattenIndex(window, source.shape), inside);
  const here = e.eq(pick, e.fromIndex(flattenIndex(position, operand.shape)));
  const value = k.read(source, window, inside);
  const zero = constantOf(e, source.dtype, 0);
  const { fold } = foldMonoid(k, monoids["sum"], source.dtype, guarded(k, both(e, inside, here), value, zero), 1);
  const store = k.store(out, scope.target(out), position, fold.results[0]);
  scope.launch(k.nest(node.op, outer, [folding(inner, [fold]), storing([], [store])]), k.slots);
}
