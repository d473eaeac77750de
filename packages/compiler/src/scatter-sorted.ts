import { constIndex, flattenIndex, scaleIndex, unflattenIndex, valueIndex } from "./affine.ts";
import { elementRules } from "./elementwise.ts";
import { type Ex, type Index, storageBytes } from "./expr.ts";
import type { Node } from "./graph.ts";
import { storing } from "./kernels.ts";
import type { RoutineKernel, View } from "./program.ts";
import { RoutineBuilder, type Whole } from "./routinebuilder.ts";
import { roundToDType, scalarInfo, storedElement, widenElement } from "./scalars.ts";
import { extent, type ScatterNumbers, targetOf, type UpdateAxes } from "./scatter-updates.ts";
import type { Scope } from "./scope.ts";
import { sortShared } from "./sort-shared.ts";

/** Slots of the routines: the result, sorted keys, the places of their updates, the updates, sums that blocks begin with. */
const [result, keySlot, placeSlot, updateSlot, partialSlot] = [0, 1, 2, 3, 4];

/**
 * Updates that are sorted by where they go, and keep their order otherwise: then those of an element are neighbours, and whoever has the
 * first of them applies all, in the order in which they lie. Of elements with very many updates those of a block are summed by
 * themselves, and then the sums of blocks in their order: that is another order than one after the other, but always the same.
 */
export function scatterSorted(scope: Scope, node: Node, fold: string | null, axes: UpdateAxes): void {
  const [x, , updates] = node.ins;
  const { lowering } = scope;
  const { block, float64 } = lowering.target;
  const u = new SortedUpdates(node, fold, axes);
  const { rows, n, width, outside } = u;
  const keys = lowering.temporary(rows * n * 4);
  writeKeys(scope, node, u, keys);
  const bits = Math.ceil(Math.log2(outside + 1));
  const sorted = sortShared(scope, { rows, n, bits, payload: "places", zeros: false }, keys, null);
  const blocks = Math.ceil(n / block);
  const partials = lowering.temporary(rows * blocks * width * storageBytes[scalarInfo(x.dtype).storage]);
  const pointers = [scope.view(node.outs[0]), sorted.keys, sorted.payload, scope.view(updates), partials];
  const launch = (step: string, tasks: number, body: (r: RoutineBuilder, task: Ex) => void): void => {
    const key = `${node.op} ${step} ${block} ${String(x.dtype)} ${JSON.stringify([x.shape, updates.shape, axes])}`;
    const routine = RoutineBuilder.tasks(key, tasks, 64, body, float64);
    const name = `${node.op}.${step}`;
    scope.launch({ kind: "routine", name, routine, slots: pointers.length, flops: updates.size } satisfies RoutineKernel, pointers);
  };
  launch("apply", rows * n * width, (r, task) => apply(r, task, u, block));
  if (blocks > 1) launch("join", rows * blocks * width, (r, task) => join(r, task, u, block));
}

/** What the routines know of the updates. */
class SortedUpdates {
  readonly #node: Node;
  readonly #fold: string | null;
  readonly axes: UpdateAxes;
  /** The free axes: indices, and so the order, depend on those of batches, and not on those of windows. */
  readonly batches: readonly number[];
  readonly windows: readonly number[];
  /** Batches, updates that are in order, and elements of a window. */
  readonly rows: number;
  readonly n: number;
  readonly width: number;
  /** The axes of the operand along which updates are scattered, and the key of those that go nowhere. */
  readonly places: readonly number[];
  readonly outside: number;

  constructor(node: Node, fold: string | null, axes: UpdateAxes) {
    const [x, , updates] = node.ins;
    const { updateWindowDims } = node.params["dimensionNumbers"] as ScatterNumbers;
    this.#node = node;
    this.#fold = fold;
    this.axes = axes;
    this.batches = axes.free.filter((i) => !updateWindowDims.includes(i));
    this.windows = axes.free.filter((i) => updateWindowDims.includes(i));
    [this.rows, this.n, this.width] = [this.batches, axes.order, this.windows].map((list) => extent(updates, list));
    this.places = x.shape.map((_, i) => i).filter((i) => !axes.operand.includes(i));
    this.outside = this.placeShape.reduce((a, b) => a * b, 1);
  }

  get placeShape(): readonly number[] {
    return this.places.map((i) => this.#node.ins[0].shape[i]);
  }
  shapeOf(axes: readonly number[]): number[] {
    return axes.map((i) => this.#node.ins[2].shape[i]);
  }

  /** A task: a batch, a number below `count`, and an element of the window. */
  task(r: RoutineBuilder, task: Ex, count: number): { readonly free: readonly Index[]; readonly row: Index; readonly j: Index } {
    const { batches, windows } = this;
    const at = unflattenIndex(r.e, valueIndex(task), [...this.shapeOf(batches), count, ...this.shapeOf(windows)]);
    const batch = at.slice(0, batches.length);
    const free = [...batch, ...at.slice(batches.length + 1)];
    return { free, row: flattenIndex(batch, this.shapeOf(batches)), j: at[batches.length] };
  }
  /** The position of a free axis, by its place among those. */
  #freeAt(free: readonly Index[], axis: number): Index {
    return free[[...this.batches, ...this.windows].indexOf(axis)];
  }

  key(r: RoutineBuilder, at: Whole): Ex {
    return r.load(keySlot, "i32", at);
  }
  isInside(r: RoutineBuilder, key: Ex): Ex {
    return r.e.compare("lt_u", key, r.e.i32(this.outside));
  }
  /** Where the element of a key is in the result. */
  target(r: RoutineBuilder, key: Ex, free: readonly Index[]): Ex {
    const { e } = r;
    const [x] = this.#node.ins;
    const { free: axes, operand } = this.axes;
    const found = unflattenIndex(e, valueIndex(key), this.placeShape);
    const to = x.shape.map((_, i) =>
      operand.includes(i) ? this.#freeAt(free, axes[operand.indexOf(i)]) : found[this.places.indexOf(i)],
    );
    return r.let(e.fromIndex(flattenIndex(to, x.shape)));
  }
  load(r: RoutineBuilder, slot: number, at: Whole): Ex {
    const { dtype } = this.#node.ins[0];
    return widenElement(r.e, dtype, r.load(slot, scalarInfo(dtype).storage, at));
  }
  store(r: RoutineBuilder, slot: number, at: Whole, value: Ex): void {
    const { dtype } = this.#node.ins[0];
    r.store(slot, scalarInfo(dtype).storage, at, storedElement(r.e, dtype, value));
  }
  /** The update at a place of the sorted order. */
  update(r: RoutineBuilder, at: Ex, free: readonly Index[]): Ex {
    const { e } = r;
    const [, , updates] = this.#node.ins;
    const { order } = this.axes;
    const point = unflattenIndex(e, valueIndex(r.load(placeSlot, "i32", at)), this.shapeOf(order));
    const source = updates.shape.map((_, i) => (order.includes(i) ? point[order.indexOf(i)] : this.#freeAt(free, i)));
    return this.load(r, updateSlot, e.fromIndex(flattenIndex(source, updates.shape)));
  }
  combine(r: RoutineBuilder, old: Ex, value: Ex): Ex {
    const { dtype } = this.#node.ins[0];
    if (this.#fold === null) return value;
    const context = { dtypes: [dtype, dtype], out: dtype, params: {} };
    return roundToDType(r.e, dtype, elementRules[this.#fold](r.e, [old, value], context));
  }
}

/** The keys of updates: where they go along the axes that are scattered. */
function writeKeys(scope: Scope, node: Node, u: SortedUpdates, keys: View): void {
  const [, , updates] = node.ins;
  const k = scope.builder();
  const axes = [...u.batches, ...u.axes.order];
  const made = k.axes(u.shapeOf(axes));
  const position = updates.shape.map((_, i) => made.position[axes.indexOf(i)] ?? constIndex(0));
  const { at, guard } = targetOf(k, node, position);
  const along = u.places.map((i) => at[i]);
  const place = k.e.fromIndex(flattenIndex(along, u.placeShape));
  const value = guard === null ? place : k.e.select(guard, place, k.e.i32(u.outside));
  const index = flattenIndex(made.position, u.shapeOf(axes));
  const write = { slot: k.slot(keys), storage: "i32", index, value, guard: null } as const;
  scope.launch(k.nest(`${node.op}.keys`, made.axes, [storing([], [write])]), k.slots);
}

/** Runs the body for the places from `from` on that have a key, as far as `end`. */
function whileKey(r: RoutineBuilder, from: Ex, end: Ex, holds: (at: Ex) => Ex, body: (at: Ex) => void, step: Whole = 1): void {
  const { e } = r;
  const at = r.let(from);
  const going = r.variable("i32");
  r.while(
    () => {
      r.set(going, e.i32(0));
      r.if(e.lt(at, end), () => r.if(holds(at), () => r.set(going, e.i32(1))));
      return e.ne(going, e.i32(0));
    },
    () => {
      body(at);
      r.set(at, r.add(at, step));
    },
  );
}

/** Whoever has the first update of an element applies those of its block; whoever has the first of a block sums what goes on from the block before. */
function apply(r: RoutineBuilder, task: Ex, u: SortedUpdates, block: number): void {
  const { e } = r;
  const { free, row, j } = u.task(r, task, u.n);
  const place = r.let(e.fromIndex(j));
  const begin = r.let(e.fromIndex(scaleIndex(row, u.n)));
  const first = r.let(r.add(begin, place));
  const own = u.key(r, first);
  const isFirst = e.eq(place, e.i32(0));
  const before = u.key(r, e.select(isFirst, first, r.sub(first, 1)));
  const leads = r.let(e.or(isFirst, e.ne(before, own)));
  const number = r.let(e.op("div_u", "i32", [place, e.i32(block)]));
  const goesOn = e.eq(r.mul(number, block), place);
  r.if(e.and(e.or(leads, goesOn), u.isInside(r, own)), () => {
    const end = r.let(r.add(begin, r.smaller(r.mul(r.add(number, 1), block), u.n)));
    const sum = r.let(u.update(r, first, free));
    const target = u.target(r, own, free);
    r.if(leads, () => r.set(sum, u.combine(r, u.load(r, result, target), sum)));
    whileKey(
      r,
      r.add(first, 1),
      end,
      (at) => e.eq(u.key(r, at), own),
      (at) => r.set(sum, u.combine(r, sum, u.update(r, at, free))),
    );
    r.if(
      leads,
      () => u.store(r, result, target, sum),
      () => u.store(r, partialSlot, partialAt(r, u, { row, number, task }, Math.ceil(u.n / block)), sum),
    );
  });
}

/** Whoever has the block in which an element of several blocks begins adds the sums of the others. */
function join(r: RoutineBuilder, task: Ex, u: SortedUpdates, block: number): void {
  const { e } = r;
  const blocks = Math.ceil(u.n / block);
  const { free, row, j } = u.task(r, task, blocks);
  const number = r.let(e.fromIndex(j));
  const begin = r.let(e.fromIndex(scaleIndex(row, u.n)));
  const keyOf = (b: Whole, offset: number): Ex => u.key(r, r.add(begin, r.add(r.mul(b, block), offset)));
  r.if(e.lt(number, e.i32(blocks - 1)), () => {
    const own = keyOf(r.add(number, 1), 0);
    const last = keyOf(r.add(number, 1), -1);
    const isFirst = e.eq(number, e.i32(0));
    const before = u.key(r, e.select(isFirst, begin, r.sub(r.add(begin, r.mul(number, block)), 1)));
    const beganBefore = e.and(e.not(isFirst), e.eq(before, own));
    r.if(e.and(e.and(e.eq(last, own), e.not(beganBefore)), u.isInside(r, own)), () => {
      const target = u.target(r, own, free);
      const sum = r.let(u.load(r, result, target));
      whileKey(
        r,
        r.add(number, 1),
        e.i32(blocks),
        (b) => e.eq(keyOf(b, 0), own),
        (b) => r.set(sum, u.combine(r, sum, u.load(r, partialSlot, partialAt(r, u, { row, number: b, task }, blocks)))),
      );
      u.store(r, result, target, sum);
    });
  });
}

/** Where the sum that a block begins with is. */
function partialAt(
  r: RoutineBuilder,
  { width }: SortedUpdates,
  { row, number, task }: { readonly row: Index; readonly number: Ex; readonly task: Ex },
  blocks: number,
): Ex {
  const window = r.e.op("rem_u", "i32", [task, r.e.i32(width)]);
  return r.add(r.mul(r.add(r.e.fromIndex(scaleIndex(row, blocks)), number), width), window);
}
