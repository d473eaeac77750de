import { type Ex, reachable, type Reduction } from "@traceform/compiler";
import type { Code } from "../wasm/code.ts";
import type { Evaluator } from "./evaluator.ts";
import { lanes } from "./holder.ts";
import { isWide, wasmType } from "./scalar-ops.ts";

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

  /** Folds the present values in. */
  step(onLanes: boolean): void {
    const ev = this.#ev;
    const code = this.#code;
    const { values } = this.#r;
    const mark = ev.mark();
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
    ev.undo(mark);
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
        const shape = x.type === "f32" ? "f32x4" : x.type === "f64" ? "f64x2" : x.type === "i64" ? "i64x2" : "i32x4";
        code.lane(`${shape}.extract_lane`, wide ? lane & 1 : lane);
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
