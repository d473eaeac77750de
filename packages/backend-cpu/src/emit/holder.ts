import { dependsOn, type Axis, type Ex, type Index, type ScalarType, type Storage } from "@traceform/compiler";
import type { Code } from "../wasm/code.ts";
import type { ValueType } from "../wasm/encoder.ts";
import type { Helpers } from "./helpers.ts";
import { isWide, wasmType } from "./scalar-ops.ts";

/** Lanes of a register of 32-bit values; 64-bit values take two registers for them. */
export const lanes = 4;
/** The most groups of lanes that one iteration takes. */
const mostGroups = 4;

/** A written element, as the evaluator needs it. */
export interface StoreTarget {
  readonly slot: number;
  readonly storage: Storage;
  readonly index: Index;
  readonly value: Ex;
  readonly guard: Ex | null;
}

interface HeldAddress {
  readonly local: number;
  readonly atoms: ReadonlySet<Ex>;
}
interface Held {
  scalar: number;
  vector: number[];
}

/**
 * Which values of a kernel are in locals at the moment, and in which form. Values that are used again, or deeper in the
 * loops, are held; what was held since a mark can be forgotten.
 */
export abstract class Holder {
  readonly code: Code;
  protected readonly helpers: Helpers;
  protected readonly pointer: (slot: number) => number;
  protected readonly axes: Map<Axis, number> = new Map<Axis, number>();
  protected readonly held: Map<Ex, Held> = new Map<Ex, Held>();
  /** By the key of an access: the part of its address that is in a local, and the atoms of the terms that it covers. */
  protected readonly addresses: Map<string, HeldAddress> = new Map<string, HeldAddress>();
  /** How often each node is used among the expressions being emitted. */
  protected uses: ReadonlyMap<Ex, number> = new Map();
  /** The axis that is the lanes at the moment. */
  vectorAxis: Axis | null = null;
  /** Groups of lanes in one iteration: independent chains hide the latency of the instructions. */
  groups = 1;
  /** Nodes that are lanes for another reason: accumulators of a vector loop. */
  protected readonly lanesOf: Set<Ex> = new Set<Ex>();
  protected readonly trail: (() => void)[] = [];

  constructor(code: Code, helpers: Helpers, pointer: (slot: number) => number) {
    this.code = code;
    this.helpers = helpers;
    this.pointer = pointer;
  }

  bindAxis(axis: Axis, local: number): void {
    this.axes.set(axis, local);
  }
  /** Says how often each node is used among the expressions emitted next; returns what held before. */
  setUses(uses: ReadonlyMap<Ex, number>): ReadonlyMap<Ex, number> {
    const before = this.uses;
    this.uses = uses;
    return before;
  }

  /** Marks the present state; `undo` forgets what was held since. */
  mark(): number {
    return this.trail.length;
  }
  undo(mark: number): void {
    while (this.trail.length > mark) this.trail.pop()!();
  }

  /** Lets a parameter stand for locals. */
  bindScalar(x: Ex, local: number): void {
    const before = this.held.get(x);
    this.held.set(x, { scalar: local, vector: [] });
    this.restore(x, before);
  }
  bindVector(x: Ex, locals: readonly number[]): void {
    const before = this.held.get(x);
    this.held.set(x, { scalar: -1, vector: [...locals] });
    this.lanesOf.add(x);
    this.laneMemo = new WeakMap();
    this.trail.push(() => {
      this.lanesOf.delete(x);
      this.laneMemo = new WeakMap();
    });
    this.restore(x, before);
  }
  protected restore(x: Ex, before: Held | undefined): void {
    this.trail.push(() => {
      if (before === undefined) this.held.delete(x);
      else this.held.set(x, before);
    });
  }

  /** Whether the node is emitted on lanes. */
  varies(x: Ex): boolean {
    if (this.lanesOf.size > 0 && this.dependsOnLanes(x)) return true;
    return this.vectorAxis !== null && dependsOn(x, this.vectorAxis);
  }
  protected laneMemo: WeakMap<Ex, boolean> = new WeakMap<Ex, boolean>();
  protected dependsOnLanes(x: Ex): boolean {
    if (this.lanesOf.has(x)) return true;
    let known = this.laneMemo.get(x);
    if (known === undefined) {
      known = x.args.some((a) => this.dependsOnLanes(a)) || (x.index?.terms.some((t) => this.dependsOnLanes(t.atom)) ?? false);
      this.laneMemo.set(x, known);
    }
    return known;
  }

  /** Computes a value now and keeps it, in the form in which it will be used. */
  hold(x: Ex, spread: boolean): void {
    if (x.op === "const") {
      if (spread) this.holdSpread(x);
      return;
    }
    if (this.varies(x)) {
      for (let r = 0; r < this.registers(x.type); r++) this.holdVector(x, r);
      return;
    }
    this.holdScalar(x);
    if (spread) this.holdSpread(x);
  }
  /** How many registers a value on lanes takes at the moment. */
  registers(type: ScalarType): number {
    return isWide(type) ? 2 * this.groups : this.groups;
  }
  protected entry(x: Ex): Held {
    let held = this.held.get(x);
    if (held === undefined) {
      held = { scalar: -1, vector: [] };
      this.held.set(x, held);
      this.trail.push(() => this.held.delete(x));
    }
    return held;
  }
  protected own(type: ValueType): number {
    const local = this.code.local(type);
    this.trail.push(() => this.code.release(type, local));
    return local;
  }
  protected holdScalar(x: Ex): number {
    const held = this.entry(x);
    if (held.scalar < 0) {
      this.computeScalar(x);
      held.scalar = this.own(wasmType[x.type]);
      this.code.set(held.scalar);
    }
    return held.scalar;
  }
  protected holdSpread(x: Ex): void {
    const held = this.entry(x);
    if (held.vector.length > 0) return;
    if (x.op === "const") this.vectorConstant(x);
    else {
      this.scalar(x);
      this.spread(x.type);
    }
    const local = this.own("v128");
    this.code.set(local);
    held.vector = new Array<number>(2 * mostGroups).fill(local);
  }
  protected holdVector(x: Ex, r: number): number {
    const held = this.entry(x);
    if (held.vector[r] === undefined) {
      this.computeVector(x, r);
      held.vector[r] = this.own("v128");
      this.code.set(held.vector[r]);
    }
    return held.vector[r];
  }

  /** Pushes a scalar. */
  abstract scalar(x: Ex): void;
  protected abstract computeScalar(x: Ex): void;
  protected abstract computeVector(x: Ex, r: number): void;
  protected abstract vectorConstant(x: Ex): void;
  /** Spreads the scalar on the stack over the lanes of a vector. */
  protected abstract spread(type: ScalarType): void;
}
