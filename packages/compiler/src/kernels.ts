import { invariant } from "@traceform/core";
import { axisIndex, flattenIndex } from "./affine.ts";
import { type Axis, type Ex, Exprs, type Index, indexKey } from "./expr.ts";
import type { Block, Value } from "./graph.ts";
import { elementRules } from "./elementwise.ts";
import { finishNest, finishPart } from "./nest.ts";
import type { Kernel, Nest, Reduction, Stage, Store, Target, View } from "./program.ts";
import { constantOf, loadElement, scalarInfo, storedElement } from "./scalars.ts";
import { inlineRule, type Reader } from "./views.ts";

/** Where the values are that a kernel may load. */
export type Locate = (value: Value) => View | undefined;

/** Builds one kernel: its pointer arguments and its expressions. */
export class KernelBuilder implements Reader {
  readonly e: Exprs;
  readonly slots: View[] = [];
  readonly #locate: Locate;
  readonly #memo = new Map<string, Ex>();
  /** Slots that the kernel writes and reads: their loads stay in order. */
  readonly #written = new Set<number>();
  /** Folds that a helper has built for the kernel. */
  readonly pending: Reduction[] = [];
  /** Values standing for parameters, inside functions that were inlined into the kernel. */
  readonly bound: Map<Value, Ex> = new Map();

  /** Asked first for every value: what a kernel computes itself need not be loaded. */
  intercept: ((value: Value, position: readonly Index[]) => Ex | null) | null = null;

  readonly target: Target;

  constructor(locate: Locate, target: Target) {
    this.#locate = locate;
    this.target = target;
    this.e = new Exprs(target.float64);
  }

  /** The pointer argument for a view; equal views share one. */
  slot(view: View, written = false): number {
    let i = this.slots.findIndex((v) => sameView(v, view));
    if (i < 0) i = this.slots.push(view) - 1;
    if (written) this.#written.add(i);
    return i;
  }

  axes(shape: readonly number[]): { axes: Axis[]; position: Index[] } {
    const axes = shape.map((n) => this.e.axis(n));
    return { axes, position: axes.map((a) => axisIndex(this.e, a)) };
  }

  read(value: Value, position: readonly Index[], guard: Ex | null): Ex {
    const { e } = this;
    if (value.literal !== null) return e.literal(constantOf(e, value.dtype, value.literal));
    const bound = this.bound.get(value);
    if (bound !== undefined) return bound;
    const own = this.intercept?.(value, position) ?? null;
    if (own !== null) return own;
    const view = this.#locate(value);
    if (view !== undefined) return this.load(value, view, position, guard);
    invariant(value.node !== null, "a parameter of a block has no place");
    const rule = inlineRule(value.node.op);
    invariant(rule !== undefined, `${value.node.op} must be computed before it is read`);
    let key = `${value.id}|${guard?.id ?? ""}`;
    for (const p of position) key += `|${indexKey(p)}`;
    let ex = this.#memo.get(key);
    if (ex === undefined) this.#memo.set(key, (ex = rule(this, value.node, value.out, position, guard)));
    return ex;
  }

  /** The element at a position of a dense array in memory. */
  load(value: Pick<Value, "shape" | "dtype">, view: View, position: readonly Index[], guard: Ex | null = null): Ex {
    const slot = this.slot(view);
    return loadElement(this.e, value.dtype, slot, flattenIndex(position, value.shape), guard, this.#written.has(slot));
  }

  /** A store of an element of a dense array of the value's shape and dtype. */
  store(value: Pick<Value, "shape" | "dtype">, view: View, position: readonly Index[], x: Ex, guard: Ex | null = null): Store {
    return {
      slot: this.slot(view),
      storage: scalarInfo(value.dtype).storage,
      index: flattenIndex(position, value.shape),
      value: storedElement(this.e, value.dtype, x),
      guard,
    };
  }

  /** A fold of one or several values by a function of (accumulators, elements). */
  fold(
    init: readonly Ex[],
    values: readonly Ex[],
    combine: (left: readonly Ex[], right: readonly Ex[]) => readonly Ex[],
    options: { readonly reorder?: boolean } = {},
  ): Reduction {
    const left = init.map((x) => this.e.param(x.type));
    const right = init.map((x) => this.e.param(x.type));
    return {
      init,
      values,
      left,
      right,
      combined: combine(left, right),
      results: init.map((x) => this.e.param(x.type)),
      reorder: options.reorder ?? true,
    };
  }

  /** Applies a scalar function, given as a block of elementwise operations. */
  apply(block: Block, args: readonly Ex[]): Ex[] {
    const env = new Map<Value, Ex>();
    block.params.forEach((p, i) => env.set(p, args[i]));
    const read = (v: Value): Ex => (v.literal !== null ? this.e.literal(constantOf(this.e, v.dtype, v.literal)) : env.get(v)!);
    for (const node of block.nodes) {
      const rule = elementRules[node.op];
      invariant(rule !== undefined, `${node.op} inside a scalar function`);
      const context = { dtypes: node.ins.map((v) => v.dtype), out: node.outs[0].dtype, params: node.params };
      env.set(node.outs[0], rule(this.e, node.ins.map(read), context));
    }
    return block.outs.map(read);
  }

  /** `serial`: iterations run in order; only those of the first `parallel` axes are independent of each other. */
  nest(name: string, outer: readonly Axis[], stages: readonly Stage[], serial = false, parallel = 0): Kernel {
    return finishNest({ name, e: this.e, outer, stages, slots: this.slots.length, serial, parallel }, this.target.grain);
  }
  /** A nest that another kernel calls on ranges of groups of its leading axes; null when the groups do not merge. */
  part(name: string, outer: readonly Axis[], stages: readonly Stage[], groups: readonly number[]): Nest | null {
    return finishPart({ name, e: this.e, outer, stages, slots: this.slots.length, serial: false, parallel: 0 }, groups);
  }
}

/** Whether two pointers are one. */
export function sameView(a: View, b: View): boolean {
  return (
    a.buffer === b.buffer &&
    a.offset === b.offset &&
    a.steps.length === b.steps.length &&
    a.steps.every((s, i) => s.loop === b.steps[i].loop && s.bytes === b.steps[i].bytes)
  );
}

/** A stage that only stores. */
export function storing(axes: readonly Axis[], stores: readonly Store[]): Stage {
  return { axes, reductions: [], stores, scan: false };
}
/** A stage that only folds. */
export function folding(axes: readonly Axis[], reductions: readonly Reduction[]): Stage {
  return { axes, reductions, stores: [], scan: false };
}
