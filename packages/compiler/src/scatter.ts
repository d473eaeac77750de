import { addIndex, constIndex, flattenIndex, scaleIndex, unflattenIndex, valueIndex } from "./affine.ts";
import type { Axis, Ex, Index } from "./expr.ts";
import type { Node, Value } from "./graph.ts";
import { elementRules } from "./elementwise.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import type { RoutineKernel } from "./program.ts";
import { RoutineBuilder } from "./routinebuilder.ts";
import { bytesOf, type Scope } from "./scope.ts";
import { loadElement, roundToDType, scalarInfo, storedElement, widenElement } from "./scalars.ts";
import { sortShared } from "./sort-shared.ts";
import { both, clampIndex, readIndex } from "./views.ts";

interface ScatterNumbers {
  readonly updateWindowDims: readonly number[];
  readonly insertedWindowDims: readonly number[];
  readonly scatterDimsToOperandDims: readonly number[];
  readonly operandBatchingDims: readonly number[];
  readonly scatterIndicesBatchingDims: readonly number[];
}

/** Puts the operand into the memory of the result, where the update will happen; or finds that it is there already. */
function startFrom(scope: Scope, node: Node): void {
  const [x, ...rest] = node.ins;
  const [out] = node.outs;
  if (scope.overwrites(node)) {
    // What the update reads is computed before it changes anything.
    for (const v of rest) if (v.literal === null) scope.view(v);
    scope.place(out, scope.view(x));
    return;
  }
  const from = scope.located(x);
  const target = scope.target(out);
  if (from === undefined) scope.compute([x], [target]);
  else scope.copy(from, target, bytesOf(x));
}

/** scatter and its folding relatives: updates are applied one after the other, so the result does not depend on chance. */
export function lowerScatter(fold: string | null): (scope: Scope, node: Node) => void {
  return (scope, node) => {
    startFrom(scope, node);
    const [x, , updates] = node.ins;
    if (updates.size === 0) return;
    const { target } = scope.lowering;
    const axes = axesOf(node);
    if (target.block > 0 && axes.order.length > 0 && extent(updates, axes.order) > fewUpdates && !distinct(node, axes))
      return scatterSorted(scope, node, fold, axes);
    const k = scope.builder();
    const { e } = k;
    const slot = k.slot(scope.view(node.outs[0]), true);
    const made = k.axes(updates.shape);
    const { at, guard } = targetOf(k, node, made.position);
    const index = flattenIndex(at, x.shape);
    let value = k.read(updates, made.position, null);
    if (fold !== null) {
      const old = loadElement(e, x.dtype, slot, index, guard, true);
      value = elementRules[fold](e, [old, value], { dtypes: [x.dtype, x.dtype], out: x.dtype, params: {} });
    }
    const store = { slot, storage: scalarInfo(x.dtype).storage, index, value: storedElement(e, x.dtype, value), guard };
    const outer = (list: readonly number[]): Axis[] => list.map((i) => made.axes[i]);
    // Where there is an invocation for each position, what is independent comes first; else updates are walked as they lie.
    const nest =
      target.block === 0
        ? k.nest(node.op, made.axes, [storing([], [store])], true)
        : distinct(node, axes)
          ? k.nest(node.op, made.axes, [storing([], [store])])
          : k.nest(node.op, [...outer(axes.free), ...outer(axes.order)], [storing([], [store])], true, axes.free.length);
    scope.launch(nest, k.slots);
  };
}

/** Up to so many updates an invocation applies one after the other, rather than sorting them. */
const fewUpdates = 64;

/** The axes of the updates. */
interface UpdateAxes {
  /** Those along which all updates are of different elements: of batches, and of windows in which they go where they come from. */
  readonly free: readonly number[];
  /** Those along which elements may be the same: their updates are applied in order. */
  readonly order: readonly number[];
  /** The axes of the operand to which the free ones belong. */
  readonly operand: readonly number[];
}

function axesOf({ ins: [x, , updates], params }: Node): UpdateAxes {
  const d = params["dimensionNumbers"] as ScatterNumbers;
  const scattered = new Set(d.scatterDimsToOperandDims);
  const windowed = x.shape.map((_, i) => i).filter((i) => !d.insertedWindowDims.includes(i) && !d.operandBatchingDims.includes(i));
  const all = updates.shape.map((_, i) => i);
  const batch = all.filter((i) => !d.updateWindowDims.includes(i));
  const operandOf = new Map<number, number>();
  d.updateWindowDims.forEach((i, w) => {
    if (!scattered.has(windowed[w])) operandOf.set(i, windowed[w]);
  });
  d.scatterIndicesBatchingDims.forEach((b, j) => operandOf.set(batch[b], d.operandBatchingDims[j]));
  const free = all.filter((i) => operandOf.has(i));
  return { free, order: all.filter((i) => !operandOf.has(i)), operand: free.map((i) => operandOf.get(i)!) };
}

function extent({ shape }: Pick<Value, "shape">, axes: readonly number[]): number {
  return axes.reduce((n, i) => n * shape[i], 1);
}

/** Whether no element is updated twice: whoever calls has promised it, of windows that are single elements along what is scattered. */
function distinct({ ins: [, , updates], params }: Node, { order }: UpdateAxes): boolean {
  const { updateWindowDims } = params["dimensionNumbers"] as ScatterNumbers;
  const windows = order.filter((i) => updateWindowDims.includes(i));
  return order.length === 0 || (params["uniqueIndices"] === true && windows.every((i) => updates.shape[i] === 1));
}

/** Where in the operand the update at a position goes, and whether it goes anywhere. */
function targetOf(k: KernelBuilder, node: Node, position: readonly Index[]): { readonly at: Index[]; readonly guard: Ex | null } {
  const [x, indices, updates] = node.ins;
  const d = node.params["dimensionNumbers"] as ScatterNumbers;
  const { e } = k;
  const windowDims = new Set(d.updateWindowDims);
  const batch = position.filter((_, i) => !windowDims.has(i));
  const windowAxes = d.updateWindowDims.map((i) => ({ index: position[i], size: updates.shape[i] }));
  const at: Index[] = [];
  const sizes: number[] = [];
  let next = 0;
  for (let i = 0; i < x.shape.length; i++) {
    const dropped = d.insertedWindowDims.includes(i) || d.operandBatchingDims.includes(i);
    const w = dropped ? { index: constIndex(0), size: 1 } : windowAxes[next++];
    at.push(w.index);
    sizes.push(w.size);
  }
  d.operandBatchingDims.forEach((i, b) => {
    at[i] = batch[d.scatterIndicesBatchingDims[b]];
  });
  let guard: Ex | null = null;
  for (let j = 0; j < d.scatterDimsToOperandDims.length; j++) {
    const i = d.scatterDimsToOperandDims[j];
    const most = x.shape[i] - sizes[i];
    let start = readIndex(k, indices, [...batch, constIndex(j)]);
    if (most < 0) guard = e.constant("bool", 0);
    else if (node.params["mode"] === "clip") start = clampIndex(e, start, most);
    else guard = both(e, guard, e.compare("le_u", start, e.i32(most)));
    at[i] = addIndex(at[i], valueIndex(start));
  }
  return { at, guard };
}

/**
 * Updates that are sorted by where they go, and keep their order otherwise: then those of an element are neighbours, and whoever has the
 * first of them applies all. Sums are in the order in which updates lie, as if they were applied one after the other.
 */
function scatterSorted(scope: Scope, node: Node, fold: string | null, { free, order, operand }: UpdateAxes): void {
  const [x, , updates] = node.ins;
  const { lowering } = scope;
  const { dtype } = x;
  const { updateWindowDims } = node.params["dimensionNumbers"] as ScatterNumbers;
  // Indices, and so the order, do not depend on the free axes of windows.
  const batches = free.filter((i) => !updateWindowDims.includes(i));
  const windows = free.filter((i) => updateWindowDims.includes(i));
  const shapeOf = (axes: readonly number[]): number[] => axes.map((i) => updates.shape[i]);
  const [rows, n, width] = [batches, order, windows].map((axes) => extent(updates, axes));
  const places = x.shape.map((_, i) => i).filter((i) => !operand.includes(i));
  const placeShape = places.map((i) => x.shape[i]);
  const outside = placeShape.reduce((a, b) => a * b, 1);

  const keys = lowering.temporary(rows * n * 4);
  const k = scope.builder();
  const made = k.axes(shapeOf([...batches, ...order]));
  const position = updates.shape.map((_, i) => made.position[[...batches, ...order].indexOf(i)] ?? constIndex(0));
  const { at, guard } = targetOf(k, node, position);
  const place = k.e.fromIndex(
    flattenIndex(
      places.map((i) => at[i]),
      placeShape,
    ),
  );
  const value = guard === null ? place : k.e.select(guard, place, k.e.i32(outside));
  const index = flattenIndex(made.position, shapeOf([...batches, ...order]));
  const write = { slot: k.slot(keys), storage: "i32", index, value, guard: null } as const;
  scope.launch(k.nest(`${node.op}.keys`, made.axes, [storing([], [write])]), k.slots);

  const bits = Math.ceil(Math.log2(outside + 1));
  const sorted = sortShared(scope, { rows, n, bits, payload: "places", zeros: false }, keys, null);
  const pointers = [scope.view(node.outs[0]), sorted.keys, sorted.payload, scope.view(updates)];
  const { storage } = scalarInfo(dtype);
  const key = `${node.op} ${String(dtype)} ${JSON.stringify([x.shape, updates.shape, free, order, operand])}`;
  const apply = (r: RoutineBuilder, task: Ex): void => {
    const { e } = r;
    const shape = [...shapeOf(batches), n, ...shapeOf(windows)];
    const parts = unflattenIndex(e, valueIndex(task), shape);
    const [batch, j, window] = [parts.slice(0, batches.length), parts[batches.length], parts.slice(batches.length + 1)];
    const row = flattenIndex(batch, shapeOf(batches));
    const first = r.let(e.fromIndex(addIndex(scaleIndex(row, n), j)));
    const end = r.let(e.fromIndex(scaleIndex(addIndex(row, constIndex(1)), n)));
    const own = r.load(1, "i32", first);
    const before = r.load(1, "i32", e.select(e.gt(e.fromIndex(j), e.i32(0)), r.sub(first, 1), first));
    const leads = e.or(e.eq(e.fromIndex(j), e.i32(0)), e.ne(before, own));
    r.if(e.and(leads, e.compare("lt_u", own, e.i32(outside))), () => {
      const freely = [...batch, ...window];
      const found = unflattenIndex(e, valueIndex(own), placeShape);
      const to = x.shape.map((_, i) =>
        operand.includes(i) ? freely[axisOrder.indexOf(operand.indexOf(i))] : found[places.indexOf(i)],
      );
      const target = r.let(e.fromIndex(flattenIndex(to, x.shape)));
      const sum = r.let(widenElement(e, dtype, r.load(0, storage, target)));
      const next = r.let(first);
      const going = r.let(e.i32(1));
      r.while(
        () => e.ne(going, e.i32(0)),
        () => {
          const point = unflattenIndex(e, valueIndex(r.load(2, "i32", next)), shapeOf(order));
          const source = updates.shape.map((_, i) =>
            order.includes(i) ? point[order.indexOf(i)] : freely[axisOrder.indexOf(free.indexOf(i))],
          );
          const update = widenElement(e, dtype, r.load(3, storage, e.fromIndex(flattenIndex(source, updates.shape))));
          const context = { dtypes: [dtype, dtype], out: dtype, params: {} };
          r.set(sum, fold === null ? update : roundToDType(e, dtype, elementRules[fold](e, [sum, update], context)));
          r.set(next, r.add(next, 1));
          r.set(going, e.i32(0));
          r.if(e.lt(next, end), () => {
            const other = r.load(1, "i32", next);
            r.if(e.eq(other, own), () => r.set(going, e.i32(1)));
          });
        },
      );
      r.store(0, storage, target, storedElement(e, dtype, sum));
    });
  };
  /** The free axes as tasks have them: batches, then windows. */
  const axisOrder = [...batches, ...windows].map((i) => free.indexOf(i));
  const routine = RoutineBuilder.tasks(key, rows * n * width, 64, apply, lowering.target.float64);
  const kernel: RoutineKernel = { kind: "routine", name: `${node.op}.apply`, routine, slots: 4, flops: updates.size };
  scope.launch(kernel, pointers);
}

/** dynamic_update_slice: the start is clamped so that the update fits. */
export function lowerDynamicUpdateSlice(scope: Scope, node: Node): void {
  const [x, update, ...starts] = node.ins;
  const [out] = node.outs;
  startFrom(scope, node);
  if (update.size === 0) return;
  const k = scope.builder();
  const { e } = k;
  const { axes, position } = k.axes(update.shape);
  const at = position.map((p, i) => {
    if (update.shape[i] === x.shape[i]) return p;
    return addIndex(p, valueIndex(clampIndex(e, readIndex(k, starts[i], []), x.shape[i] - update.shape[i])));
  });
  const view = scope.view(out);
  const value = k.read(update, position, null);
  const store = k.store(out, view, at, value);
  scope.launch(k.nest(node.op, axes, [storing([], [store])]), k.slots);
}

/** concatenate of many: one kernel for each operand, into its part of the result. */
export function lowerConcatenate(scope: Scope, node: Node): void {
  const [out] = node.outs;
  const dim = Number(node.params["dimension"]);
  const target = scope.target(out);
  let start = 0;
  for (const x of node.ins) {
    const k = scope.builder();
    const { axes, position } = k.axes(x.shape);
    const value = k.read(x, position, null);
    const at = position.map((p, i) => (i === dim ? { c: p.c + start, terms: p.terms } : p));
    scope.launch(k.nest(node.op, axes, [storing([], [k.store(out, target, at, value)])]), k.slots);
    start += x.shape[dim];
  }
}
