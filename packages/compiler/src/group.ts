import { axisIndex } from "./affine.ts";
import { type Axis, type Ex, type Index, indexKey, storageBytes } from "./expr.ts";
import type { Node, Value } from "./graph.ts";
import { KernelBuilder, type Locate } from "./kernels.ts";
import type { Reduction, Stage, Store, Target, View } from "./program.ts";
import { foldMonoid, monoids } from "./reduce.ts";
import { type RowArray, shareRowMemory } from "./rowmemory.ts";
import { roundToDType, scalarInfo } from "./scalars.ts";
import { inlineRule } from "./views.ts";

/** Beyond these a kernel would spill registers and pointers rather than save memory traffic. */
const mostStages = 8;
const mostSlots = 20;
const mostNodes = 700;
/** The largest array that one row may hold when there is nothing else to share the work by. */
const largestSingleRow = 1 << 14;

interface StageDraft {
  readonly axes: readonly Axis[];
  readonly position: readonly Index[];
  readonly reductions: Reduction[];
  readonly stores: { readonly value: Value; readonly view: View; readonly x: Ex }[];
}

/** A value that the group computes: a result of each row, or an array whose rows the stages share. */
interface Product {
  readonly value: Value;
  readonly stage: number;
  readonly x: Ex;
  /** Positions at which the value can be had without memory; null for results of rows. */
  readonly inner: readonly Index[] | null;
  readonly view: View;
  /** Whether a later stage reads it from memory. */
  loaded: boolean;
  /** Whether it is in memory before the kernel runs. */
  readonly adopted: boolean;
  /** The last stage that reads it from memory, and whether all do so at the place that they are working on. */
  lastRead: number;
  aligned: boolean;
}

class Mismatch extends Error {}

/**
 * Kernels in the making: values computed row by row in one nest. Elementwise values of one shape share their loops;
 * folds over the trailing axes join them; what reads a fold comes in a later stage of the same row. A softmax, a layer
 * norm, or the update of an optimizer become one kernel.
 */
export class KernelGroup {
  readonly #k: KernelBuilder;
  readonly #locate: Locate;
  readonly #foldsRows: boolean;
  /** All axes of the first value; the first `#rows` of them are the rows once that is decided. */
  readonly #axes: Axis[];
  readonly #position: Index[];
  readonly #shape: readonly number[];
  #rows: number | null = null;
  readonly #stages: StageDraft[] = [];
  readonly #products = new Map<Value, Product>();
  readonly #names: string[] = [];
  /** The stage that is being extended. */
  #current = 0;

  /** `foldsRows`: whether folds over trailing axes may join. */
  constructor(locate: Locate, shape: readonly number[], target: Target, foldsRows = true) {
    this.#locate = locate;
    this.#foldsRows = foldsRows;
    this.#k = new KernelBuilder((v) => (this.#products.has(v) ? undefined : locate(v)), target);
    this.#k.intercept = (v, position) => this.#produced(v, position);
    this.#shape = shape;
    const { axes, position } = this.#k.axes(shape);
    this.#axes = axes;
    this.#position = position;
  }

  /**
   * Takes in a value that somebody else stores before this kernel runs: `x` is its element at a position. What reads it may
   * join.
   */
  adopt(value: Value, view: View, x: (k: KernelBuilder, position: readonly Index[]) => Ex): void {
    const stage: StageDraft = { axes: [], position: [], reductions: [], stores: [] };
    this.#stages.push(stage);
    const kept = x(this.#k, this.#position);
    this.#products.set(value, { ...product(value, 0, kept, [], view), loaded: true, adopted: true });
  }
  /** Adds a store of an adopted value, which is then like one that the kernel has computed. */
  storeAdopted(value: Value): void {
    const p = this.#products.get(value)!;
    this.#stages[0].stores.push({ value, view: p.view, x: p.x });
    p.loaded = false;
    this.#names.push("store");
  }

  has(value: Value): boolean {
    return this.#products.has(value);
  }
  /** Whether values of a shape can share its loops, as far as that shows without trying. */
  suits(shape: readonly number[]): boolean {
    return this.#rows === null ? sameShape(shape, this.#shape) : startsWith(shape, this.#shape, this.#rows);
  }
  get values(): Iterable<Value> {
    return this.#products.keys();
  }

  /** Adds an elementwise value. False when it does not fit: then nothing has changed. */
  add(value: Value, place: () => View): boolean {
    const { shape } = value;
    if (this.#full()) return false;
    if (this.#rows === null) {
      if (!sameShape(shape, this.#shape)) return false;
    } else if (!startsWith(shape, this.#shape, this.#rows)) return false;
    return this.#attempt(value, shape, (stage, at) => {
      const x = this.#k.read(value, at, null);
      const view = place();
      stage.stores.push({ value, view, x });
      // 16-bit floats round when they are stored, and must look the same to readers of the same kernel.
      const kept = roundToDType(this.#k.e, value.dtype, x);
      this.#products.set(value, product(value, this.#current, kept, stage.position, view));
    });
  }

  /** Adds a fold over all axes after the rows. */
  addReduction(value: Value, kind: string, place: () => View): boolean {
    const [operand] = value.node!.ins;
    const rows = value.shape.length;
    const reduced = value.node!.params["axes"] as readonly number[];
    if (
      !this.#foldsRows ||
      this.#full() ||
      reduced.length === 0 ||
      !reduced.every((a) => a >= rows) ||
      reduced.length !== operand.shape.length - rows
    )
      return false;
    if (rows === 0 && operand.size > largestSingleRow) return false;
    if (this.#rows === null) {
      if (!startsWith(this.#shape, operand.shape, rows) || (this.#products.size > 0 && !sameShape(this.#shape, operand.shape)))
        return false;
      if (rows === 0 && this.#products.size > 0 && this.#shape.reduce((a, b) => a * b, 1) > largestSingleRow) return false;
    } else if (rows !== this.#rows || !startsWith(operand.shape, this.#shape, rows)) return false;
    const before = this.#rows;
    this.#rows = rows;
    const fits = this.#attempt(value, operand.shape, (stage, at) => {
      const x = this.#k.read(operand, at, null);
      const { fold, result: folded } = foldMonoid(this.#k, monoids[kind], operand.dtype, x, operand.size / Math.max(1, value.size));
      stage.reductions.push(fold);
      const view = place();
      const result = roundToDType(this.#k.e, value.dtype, folded);
      this.#products.set(value, product(value, this.#current, result, null, view));
    });
    if (!fits) this.#rows = before;
    return fits;
  }

  #full(): boolean {
    return this.#stages.length >= mostStages || this.#k.slots.length >= mostSlots || this.#k.e.size > mostNodes;
  }

  /** Builds a value in the last stage where it may stand, or in a new one. */
  #attempt(value: Value, shape: readonly number[], build: (stage: StageDraft, at: readonly Index[]) => void): boolean {
    const before = {
      stages: [...this.#stages],
      products: [...this.#products.values()].map((p) => ({ ...p })),
      firstSplit: this.#firstSplit,
    };
    const rows = this.#rows;
    const innerShape = rows === null ? [] : shape.slice(rows);
    const needs = this.#needs(value);
    const last = this.#stages[this.#stages.length - 1];
    const split = rows === null ? [] : this.#innerAxes(innerShape);
    let stage = last;
    if (rows !== null && this.#stages.length === 1 && last.axes.length === 0 && last.reductions.length === 0 && this.#firstSplit) {
      // Until now the rows were not known: the first stage ran over all axes.
      this.#firstSplit = false;
      const whole: StageDraft = { ...last, axes: this.#axes.slice(rows), position: this.#position.slice(rows) };
      this.#stages[0] = stage = whole;
      for (const p of this.#products.values()) this.#products.set(p.value, { ...p, inner: whole.position });
    }
    const index = this.#stages.length - 1;
    if (stage === undefined || needs > index || !sameExtents(stage.axes, rows === null ? [] : innerShape)) {
      const made: StageDraft = { axes: split.map((s) => s.axis), position: split.map((s) => s.index), reductions: [], stores: [] };
      stage = made;
      this.#stages.push(made);
    }
    if (rows !== null) this.#firstSplit = false;
    this.#current = this.#stages.length - 1;
    const at = [...(rows === null ? this.#position : this.#position.slice(0, rows)), ...stage.position];
    try {
      build(stage, at);
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
      this.#stages.splice(0, this.#stages.length, ...before.stages);
      for (const p of before.products) this.#products.set(p.value, p);
      this.#firstSplit = before.firstSplit;
      return false;
    }
    if (value.node !== null && !this.#names.includes(value.node.op)) this.#names.push(value.node.op);
    return true;
  }
  #firstSplit = true;

  #innerAxes(shape: readonly number[]): { axis: Axis; index: Index }[] {
    return shape.map((n) => {
      const axis = this.#k.e.axis(n);
      return { axis, index: axisIndex(this.#k.e, axis) };
    });
  }

  /** The first stage in which everything that the value reads of this group is known. */
  #needs(value: Value): number {
    let stage = 0;
    const seen = new Set<Value>();
    const walk = (v: Value): void => {
      if (seen.has(v)) return;
      seen.add(v);
      const p = this.#products.get(v);
      if (p !== undefined) stage = Math.max(stage, p.inner === null ? p.stage + 1 : p.stage);
      else if (v.node !== null && this.#locate(v) === undefined && (v === value || inlineRule(v.node.op) !== undefined))
        v.node.ins.forEach(walk);
    };
    walk(value);
    return stage;
  }

  /** A value of this group as others of it read it. */
  #produced(value: Value, position: readonly Index[]): Ex | null {
    const p = this.#products.get(value);
    if (p === undefined) return null;
    const rows = this.#rows ?? this.#position.length;
    if (!sameIndices(position.slice(0, rows), this.#position.slice(0, rows))) throw new Mismatch();
    if (p.inner === null) return p.x;
    const inner = position.slice(rows);
    if (p.stage === this.#current) {
      if (!sameIndices(inner, p.inner)) throw new Mismatch();
      if (p.adopted) p.lastRead = this.#current;
      return p.x;
    }
    if (p.inner.length === 0) return p.x;
    // A later pass over the same row: it is still in the cache.
    p.loaded = true;
    p.lastRead = this.#current;
    p.aligned &&= sameIndices(inner, this.#stages[this.#current].position);
    return this.#k.load(value, p.view, position);
  }

  /** The kernel as it stands. `inside` tells whether a value is read by nothing but this group. */
  draft(inside: (value: Value) => boolean): GroupDraft {
    const k = this.#k;
    const rows = this.#rows ?? this.#axes.length;
    const rowPosition = this.#position.slice(0, rows);
    const stages: Stage[] = [];
    const results: Store[] = [];
    this.#stages.forEach((draft) => {
      const stores: Store[] = [];
      for (const s of draft.stores) {
        const p = this.#products.get(s.value)!;
        if (!p.loaded && inside(s.value)) continue;
        stores.push(k.store(s.value, s.view, [...rowPosition, ...draft.position], s.x));
      }
      if (draft.reductions.length + stores.length > 0)
        stages.push({ axes: draft.axes, reductions: draft.reductions, stores, scan: false });
    });
    for (const p of this.#products.values()) {
      if (p.inner === null && !inside(p.value)) results.push(k.store(p.value, p.view, rowPosition, p.x));
    }
    if (results.length > 0) stages.push({ axes: [], reductions: [], stores: results, scan: false });
    const name = this.#names.slice(-4).reverse().join(".");
    const shared = shareRowMemory(this.#rowArrays(inside));
    k.slots.forEach((view, i) => (k.slots[i] = shared.get(view) ?? view));
    return { builder: k, name, axes: this.#axes.slice(0, rows), rows: this.#rows, stages, shared };
  }

  /** The arrays of the group's shape that it writes, or finds written. */
  #rowArrays(inside: (value: Value) => boolean): RowArray[] {
    const arrays: RowArray[] = [];
    for (const p of this.#products.values()) {
      const own = inside(p.value);
      if (p.inner === null || !sameShape(p.value.shape, this.#shape) || (own && !p.loaded)) continue;
      const stores = this.#stages[p.stage].stores.filter((s) => this.#products.get(s.value)!.loaded || !inside(s.value));
      const written = p.adopted && !stores.some((s) => s.value === p.value) ? -1 : p.stage;
      arrays.push({
        view: p.view,
        bytes: storageBytes[scalarInfo(p.value.dtype).storage],
        written,
        lastRead: own ? p.lastRead : Infinity,
        aligned: p.aligned,
        storedLast: stores.at(-1)?.value === p.value,
      });
    }
    return arrays;
  }
}

function product(value: Value, stage: number, x: Ex, inner: Product["inner"], view: View): Product {
  return { value, stage, x, inner, view, loaded: false, adopted: false, lastRead: stage, aligned: true };
}

/** The loops and stages of a group. */
export interface GroupDraft {
  readonly builder: KernelBuilder;
  readonly name: string;
  readonly axes: readonly Axis[];
  /** How many axes are rows; null when every element is by itself. */
  readonly rows: number | null;
  readonly stages: readonly Stage[];
  /** Where else arrays are than they were to be. */
  readonly shared: ReadonlyMap<View, View>;
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}
function startsWith(shape: readonly number[], prefix: readonly number[], n: number): boolean {
  if (shape.length < n || prefix.length < n) return false;
  for (let i = 0; i < n; i++) if (shape[i] !== prefix[i]) return false;
  return true;
}
function sameExtents(axes: readonly Axis[], shape: readonly number[]): boolean {
  return axes.length === shape.length && axes.every((a, i) => a.extent === shape[i]);
}
function sameIndices(a: readonly Index[], b: readonly Index[]): boolean {
  return a.length === b.length && a.every((x, i) => indexKey(x) === indexKey(b[i]));
}

/**
 * Whether nothing outside `group` reads a value: every kernel at the end of the ways through inlined readers belongs to
 * the group.
 */
export function readOnlyBy(
  value: Value,
  group: ReadonlySet<Value>,
  readers: ReadonlyMap<Value, readonly Node[]>,
  materialised: ReadonlySet<Value>,
): boolean {
  const seen = new Set<Value>();
  const walk = (v: Value): boolean => {
    for (const reader of readers.get(v) ?? []) {
      // What has no results, a host step, reads it from memory.
      if (reader.outs.length === 0) return false;
      for (const out of reader.outs) {
        if (seen.has(out)) continue;
        seen.add(out);
        if (group.has(out)) continue;
        if (materialised.has(out) || inlineRule(reader.op) === undefined || !walk(out)) return false;
      }
    }
    return true;
  };
  return walk(value);
}
