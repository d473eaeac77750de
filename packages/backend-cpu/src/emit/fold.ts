import { type Ex, reachable, type Reduction } from "@traceform/compiler";
import type { Code } from "../wasm/code.ts";
import type { Evaluator } from "./evaluator.ts";
import { lanes } from "./holder.ts";
import { isWide, vectorShape, wasmType } from "./scalar-ops.ts";

/** One fold of a stage while it is emitted: its accumulators in locals. */
export class Fold {
  readonly #r: Reduction;
  readonly #code: Code;
  readonly #ev: Evaluator;
  readonly #onLanes: boolean;
  #scalars: number[] = [];
  #groups = 1;
  #vectors: number[][] = [];
  readonly #uses: Map<Ex, number>;

  /** `onLanes`: each lane folds a row of its own. */
  constructor(r: Reduction, code: Code, ev: Evaluator, onLanes: boolean) {
    this.#r = r;
    this.#code = code;
    this.#ev = ev;
    this.#onLanes = onLanes;
    this.#uses = new Map();
    for (const x of reachable(r.combined)) for (const a of x.args) this.#uses.set(a, (this.#uses.get(a) ?? 0) + 1);
    for (const x of r.combined) this.#uses.set(x, (this.#uses.get(x) ?? 0) + 1);
  }

  /** The running value on all lanes, and its values at the present positions: of a scan whose own axis is the lanes. */
  #carry: number[] = [];
  #running: number[] = [];

  /** Begins a scan along the lanes, `groups` of them at the most. */
  startScan(groups: number): void {
    this.start(false, 1);
    const [x] = this.#r.init;
    this.#carry = this.#locals(isWide(x.type) ? 2 : 1);
    this.#running = this.#locals((isWide(x.type) ? 2 : 1) * groups);
    this.#spreadScalar();
  }
  #locals(n: number): number[] {
    return Array.from({ length: n }, () => this.#code.local("v128"));
  }
  #spreadScalar(): void {
    for (const local of this.#carry) {
      this.#code.get(this.#scalars[0]);
      this.#code.op(`${vectorShape[this.#r.init[0].type]}.splat`);
      this.#code.set(local);
    }
  }

  /**
   * Takes the next lanes into a scan: within a vector the folds of neighbours are combined over doubling distances (Hillis and
   * Steele 1986), then with what came before.
   */
  scanLanes(): void {
    const ev = this.#ev;
    const code = this.#code;
    const [value] = this.#r.values;
    const bytes = isWide(value.type) ? 8 : 4;
    const width = isWide(value.type) ? 2 : 1;
    const values = Array.from({ length: ev.registers(value.type) }, (_, r) => {
      ev.vector(value, r);
      const local = code.local("v128");
      code.set(local);
      return local;
    });
    const groups = ev.groups;
    ev.groups = 1;
    const spare = this.#locals(2);
    const last = Array.from({ length: 16 }, (_, i) => 16 - bytes + (i % bytes));
    for (let g = 0; g < groups; g++) {
      const own = values.slice(g * width, (g + 1) * width);
      for (const [i, x] of own.entries()) {
        for (let distance = bytes; distance < 16; distance *= 2) {
          const shifted = Array.from({ length: 16 }, (_, b) => (b < distance ? b : b - distance));
          this.#shuffle(x, x, shifted, spare[0]);
          this.#combine([spare[0]], [x], [spare[1]]);
          // The first lanes have no neighbour at that distance.
          this.#shuffle(
            x,
            spare[1],
            Array.from({ length: 16 }, (_, b) => (b < distance ? b : 16 + b)),
            x,
          );
        }
        if (i === 0) continue;
        this.#shuffle(own[i - 1], own[i - 1], last, spare[0]);
        this.#combine([spare[0]], [x], [x]);
      }
      this.#combine(this.#carry, own, this.#running.slice(g * width, (g + 1) * width));
      this.#shuffle(own[width - 1], own[width - 1], last, spare[0]);
      this.#combine([this.#carry[0]], [spare[0]], [this.#carry[0]]);
      for (const local of this.#carry.slice(1)) {
        code.get(this.#carry[0]);
        code.set(local);
      }
    }
    ev.groups = groups;
    for (const local of [...spare, ...values]) code.release("v128", local);
    ev.bindVector(this.#r.results[0], this.#running);
  }
  #shuffle(a: number, b: number, bytes: readonly number[], into: number): void {
    this.#code.get(a);
    this.#code.get(b);
    this.#code.shuffle(bytes);
    this.#code.set(into);
  }
  /** `into = combine(left, right)`, register by register. */
  #combine(left: readonly number[], right: readonly number[], into: readonly number[]): void {
    const ev = this.#ev;
    const [x] = this.#r.combined;
    const uses = ev.setUses(this.#uses);
    for (const [r, target] of into.entries()) {
      const mark = ev.mark();
      // A register at a time: whichever is asked for is this one.
      ev.bindVector(this.#r.left[0], [left[r], left[r]]);
      ev.bindVector(this.#r.right[0], [right[r], right[r]]);
      ev.vector(x, 0);
      this.#code.set(target);
      ev.undo(mark);
    }
    ev.setUses(uses);
  }
  /** Ends the lanes of a scan: what is left goes on from the running value, one by one. */
  endLanes(): void {
    const shape = vectorShape[this.#r.init[0].type];
    this.#code.get(this.#carry[0]);
    this.#code.lane(`${shape}.extract_lane`, 0);
    this.#code.set(this.#scalars[0]);
  }

  /** `spread`: the stage's own axis is the lanes, with `groups` of them. */
  start(spread: boolean, groups: number): void {
    this.#groups = groups;
    const code = this.#code;
    if (this.#onLanes || spread) {
      this.#vectors = this.#r.init.map((x) =>
        Array.from({ length: (isWide(x.type) ? 2 : 1) * (spread ? groups : this.#ev.groups) }, (_, r) => {
          this.#ev.vector(x, r);
          const local = code.local("v128");
          code.set(local);
          return local;
        }),
      );
    }
    if (!this.#onLanes) {
      this.#scalars = this.#r.init.map((x) => {
        this.#ev.scalar(x);
        const local = code.local(wasmType[x.type]);
        code.set(local);
        return local;
      });
    }
  }

  /** Folds the present values in. What was held for them stays: stores of the same iteration may need it. */
  step(onLanes: boolean): void {
    const ev = this.#ev;
    const code = this.#code;
    const { values } = this.#r;
    if (onLanes) {
      const rights = values.map((x) =>
        Array.from({ length: ev.registers(x.type) }, (_, r) => {
          ev.vector(x, r);
          const local = code.local("v128");
          code.set(local);
          return local;
        }),
      );
      this.#combineVectors(rights);
      for (const list of rights) for (const l of list) code.release("v128", l);
    } else {
      const rights = values.map((x) => {
        ev.scalar(x);
        const local = code.local(wasmType[x.type]);
        code.set(local);
        return local;
      });
      this.#combineScalars(rights);
      rights.forEach((l, i) => code.release(wasmType[values[i].type], l));
    }
  }

  #combineVectors(rights: readonly (readonly number[])[]): void {
    const { left, right, combined } = this.#r;
    const ev = this.#ev;
    const mark = ev.mark();
    const axis = ev.vectorAxis;
    left.forEach((x, i) => ev.bindVector(x, this.#vectors[i]));
    right.forEach((x, i) => ev.bindVector(x, rights[i]));
    const uses = ev.setUses(this.#uses);
    const order: number[] = [];
    for (const [i, x] of combined.entries()) {
      for (let r = 0; r < ev.registers(x.type); r++) {
        ev.vector(x, r);
        order.push(this.#vectors[i][r]);
      }
    }
    for (const local of order.reverse()) this.#code.set(local);
    ev.setUses(uses);
    ev.undo(mark);
    ev.vectorAxis = axis;
  }

  #combineScalars(rights: readonly number[]): void {
    const { left, right, combined } = this.#r;
    const ev = this.#ev;
    const mark = ev.mark();
    left.forEach((x, i) => ev.bindScalar(x, this.#scalars[i]));
    right.forEach((x, i) => ev.bindScalar(x, rights[i]));
    const uses = ev.setUses(this.#uses);
    for (const x of combined) ev.scalar(x);
    for (const local of [...this.#scalars].reverse()) this.#code.set(local);
    ev.setUses(uses);
    ev.undo(mark);
  }

  /**
   * Stores of neighbouring accumulators are where V8 starts to join pairs of vectors; a fold has none, so here are some that
   * never happen: tasks are not negative.
   */
  #seed(): void {
    const code = this.#code;
    const pairs = this.#vectors.filter((list) => list.length > 1);
    if (pairs.length === 0) return;
    code.get(0);
    code.i32(0);
    code.op("i32.lt_s");
    code.if(() =>
      pairs.flat().forEach((local, i) => {
        code.i32(0);
        code.get(local);
        code.memory("v128.store", 16 * i);
      }),
    );
  }

  /** Folds the lanes of the accumulators into one value. */
  finish(spread: boolean): void {
    if (!spread || this.#onLanes) return;
    const code = this.#code;
    this.#seed();
    for (let g = 1; g < this.#groups; g++) {
      this.#combineVectors(
        this.#vectors.map((list, i) => (isWide(this.#r.init[i].type) ? [list[2 * g], list[2 * g + 1]] : [list[g]])),
      );
    }
    for (let lane = 0; lane < lanes; lane++) {
      const rights = this.#r.init.map((x, i) => {
        const wide = isWide(x.type);
        code.get(this.#vectors[i][wide ? lane >> 1 : 0]);
        code.lane(`${vectorShape[x.type]}.extract_lane`, wide ? lane & 1 : lane);
        if (x.type === "bool") {
          code.i32(1);
          code.op("i32.and");
        }
        const local = code.local(wasmType[x.type]);
        code.set(local);
        return local;
      });
      this.#combineScalars(rights);
      rights.forEach((l, i) => code.release(wasmType[this.#r.init[i].type], l));
    }
  }

  /** Lets the results stand for the accumulators. */
  publish(onLanes: boolean): void {
    this.#r.results.forEach((x, i) => {
      if (onLanes) this.#ev.bindVector(x, this.#vectors[i]);
      else this.#ev.bindScalar(x, this.#scalars[i]);
    });
  }
}
