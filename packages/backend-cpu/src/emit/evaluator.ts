import { invariant } from "@traceform/core";
import { type Axis, dependsOn, type Ex, type Index, type ScalarType, type Storage, storageBytes, strideAlong, type Term } from "@traceform/compiler";
import type { Code } from "../wasm/code.ts";
import type { ValueType } from "../wasm/encoder.ts";
import type { Opcode } from "../wasm/opcodes.ts";
import type { Helpers } from "./helpers.ts";
import { isComparison, isWide, scalarOpcode, vectorComparison, vectorOpcode, vectorShape, wasmType } from "./scalar-ops.ts";

/** Lanes of a register of 32-bit values; 64-bit values take two registers for them. */
export const lanes = 4;
/** The most groups of lanes that one iteration takes. */
const mostGroups = 4;

export const scalarLoads: Readonly<Record<Storage, Opcode>> = {
  bool: "i32.load8_u", i8: "i32.load8_s", u8: "i32.load8_u", i16: "i32.load16_s", u16: "i32.load16_u",
  i32: "i32.load", i64: "i64.load", f32: "f32.load", f64: "f64.load",
};
export const scalarStores: Readonly<Record<Storage, Opcode>> = {
  bool: "i32.store8", i8: "i32.store8", u8: "i32.store8", i16: "i32.store16", u16: "i32.store16",
  i32: "i32.store", i64: "i64.store", f32: "f32.store", f64: "f64.store",
};

/** A written element, as the evaluator needs it. */
export interface StoreTarget {
  readonly slot: number;
  readonly storage: Storage;
  readonly index: Index;
  readonly value: Ex;
  readonly guard: Ex | null;
}

interface Held {
  scalar: number;
  vector: number[];
}

/**
 * Emits expressions of one kernel. Values that are used again, or deeper in the loops, are held in locals; the rest
 * stays on WebAssembly's stack. In a vector loop an expression that depends on the loop's axis is emitted on lanes, and
 * any other is a scalar that is spread over the lanes where it meets one.
 */
export class Evaluator {
  readonly code: Code;
  readonly #helpers: Helpers;
  readonly #pointer: (slot: number) => number;
  readonly #axes = new Map<Axis, number>();
  readonly #held = new Map<Ex, Held>();
  /** The part of an address that is in a local, and the terms it covers. */
  readonly #addresses = new Map<Ex | StoreTarget, { readonly local: number; readonly terms: ReadonlySet<Term> }>();
  /** How often each node is used among the expressions being emitted. */
  #uses: ReadonlyMap<Ex, number> = new Map();
  /** The axis that is the lanes at the moment. */
  vectorAxis: Axis | null = null;
  /** Groups of lanes in one iteration: independent chains hide the latency of the instructions. */
  groups = 1;
  /** Nodes that are lanes for another reason: accumulators of a vector loop. */
  readonly #lanesOf = new Set<Ex>();
  readonly #trail: (() => void)[] = [];

  constructor(code: Code, helpers: Helpers, pointer: (slot: number) => number) {
    this.code = code;
    this.#helpers = helpers;
    this.#pointer = pointer;
  }

  bindAxis(axis: Axis, local: number): void {
    this.#axes.set(axis, local);
  }
  /** Says how often each node is used among the expressions emitted next; returns what held before. */
  setUses(uses: ReadonlyMap<Ex, number>): ReadonlyMap<Ex, number> {
    const before = this.#uses;
    this.#uses = uses;
    return before;
  }

  /** Marks the present state; `undo` forgets what was held since. */
  mark(): number {
    return this.#trail.length;
  }
  undo(mark: number): void {
    while (this.#trail.length > mark) this.#trail.pop()!();
  }

  /** Lets a parameter stand for locals. */
  bindScalar(x: Ex, local: number): void {
    const before = this.#held.get(x);
    this.#held.set(x, { scalar: local, vector: [] });
    this.#restore(x, before);
  }
  bindVector(x: Ex, locals: readonly number[]): void {
    const before = this.#held.get(x);
    this.#held.set(x, { scalar: -1, vector: [...locals] });
    this.#lanesOf.add(x);
    this.#laneMemo = new WeakMap();
    this.#trail.push(() => {
      this.#lanesOf.delete(x);
      this.#laneMemo = new WeakMap();
    });
    this.#restore(x, before);
  }
  #restore(x: Ex, before: Held | undefined): void {
    this.#trail.push(() => {
      if (before === undefined) this.#held.delete(x);
      else this.#held.set(x, before);
    });
  }

  /** Whether the node is emitted on lanes. */
  varies(x: Ex): boolean {
    if (this.#lanesOf.size > 0 && this.#dependsOnLanes(x)) return true;
    return this.vectorAxis !== null && dependsOn(x, this.vectorAxis);
  }
  #laneMemo = new WeakMap<Ex, boolean>();
  #dependsOnLanes(x: Ex): boolean {
    if (this.#lanesOf.has(x)) return true;
    let known = this.#laneMemo.get(x);
    if (known === undefined) {
      known = x.args.some((a) => this.#dependsOnLanes(a)) || (x.index?.terms.some((t) => this.#dependsOnLanes(t.atom)) ?? false);
      this.#laneMemo.set(x, known);
    }
    return known;
  }

  /** Computes a value now and keeps it, in the form in which it will be used. */
  hold(x: Ex, spread: boolean): void {
    if (x.op === "const") {
      if (spread) this.#holdSpread(x);
      return;
    }
    if (this.varies(x)) {
      for (let r = 0; r < this.registers(x.type); r++) this.#holdVector(x, r);
      return;
    }
    this.#holdScalar(x);
    if (spread) this.#holdSpread(x);
  }
  /** How many registers a value on lanes takes at the moment. */
  registers(type: ScalarType): number {
    return isWide(type) ? 2 * this.groups : this.groups;
  }
  #entry(x: Ex): Held {
    let held = this.#held.get(x);
    if (held === undefined) {
      held = { scalar: -1, vector: [] };
      this.#held.set(x, held);
      this.#trail.push(() => this.#held.delete(x));
    }
    return held;
  }
  #own(type: ValueType): number {
    const local = this.code.local(type);
    this.#trail.push(() => this.code.release(type, local));
    return local;
  }
  #holdScalar(x: Ex): number {
    const held = this.#entry(x);
    if (held.scalar < 0) {
      this.#computeScalar(x);
      held.scalar = this.#own(wasmType[x.type]);
      this.code.set(held.scalar);
    }
    return held.scalar;
  }
  #holdSpread(x: Ex): void {
    const held = this.#entry(x);
    if (held.vector.length > 0) return;
    if (x.op === "const") this.#vectorConstant(x);
    else {
      this.scalar(x);
      this.#spread(x.type);
    }
    const local = this.#own("v128");
    this.code.set(local);
    held.vector = new Array<number>(2 * mostGroups).fill(local);
  }
  #holdVector(x: Ex, r: number): number {
    const held = this.#entry(x);
    if (held.vector[r] === undefined) {
      this.#computeVector(x, r);
      held.vector[r] = this.#own("v128");
      this.code.set(held.vector[r]);
    }
    return held.vector[r];
  }

  /** Pushes a scalar. */
  scalar(x: Ex): void {
    const held = this.#held.get(x);
    if (held !== undefined && held.scalar >= 0) {
      this.code.get(held.scalar);
      return;
    }
    if (x.op !== "const" && x.op !== "axis" && (this.#uses.get(x) ?? 0) > 1) {
      this.code.get(this.#holdScalar(x));
      return;
    }
    this.#computeScalar(x);
  }

  #constant(x: Ex): void {
    switch (x.type) {
      case "i64":
        return this.code.i64(BigInt(x.value));
      case "f32":
        return this.code.f32(Number(x.value));
      case "f64":
        return this.code.f64(Number(x.value));
      default:
        return this.code.i32(Number(x.value));
    }
  }

  #computeScalar(x: Ex): void {
    const { code } = this;
    switch (x.op) {
      case "const":
        return this.#constant(x);
      case "axis":
        return code.get(this.#axes.get(x.axis!)!);
      case "param":
        throw new Error(`Traceform invariant broken: unbound parameter ${x.id} of type ${x.type}`);
      case "index":
        return this.#pushIndex(x.index!, 1);
      case "idiv":
      case "imod":
        return this.#indexDivision(x);
      case "load":
        this.#guardedAddress(x);
        return code.memory(scalarLoads[x.storage!]);
      case "select":
        this.scalar(x.args[1]);
        this.scalar(x.args[2]);
        this.scalar(x.args[0]);
        return code.op("select");
      case "fma":
        if (!this.#helpers.relaxed) return this.#multiplyAdd(x);
        return this.#onOneLane(x, `${vectorShape[x.type] as "f32x4"}.relaxed_madd`);
      case "pmin":
      case "pmax":
        return this.#onOneLane(x, `${vectorShape[x.type] as "f32x4"}.${x.op}`);
      case "fmod":
        for (const a of x.args) this.scalar(a);
        return code.call(this.#helpers.function(x.op));
      case "rem_pio2":
      case "quo_pio2":
        this.#holdScalar(x.args[0]);
        return this.#reduceLarge(x.op, () => this.scalar(x.args[0]));
      default: {
        for (const a of x.args) this.scalar(a);
        const opcode = scalarOpcode(x);
        invariant(opcode !== undefined, `no instruction for ${x.op} of ${x.type}`);
        if (opcode !== null) code.op(opcode);
      }
    }
  }

  #multiplyAdd(x: Ex): void {
    const type = x.type as "f32";
    this.scalar(x.args[0]);
    this.scalar(x.args[1]);
    this.code.op(`${type}.mul`);
    this.scalar(x.args[2]);
    this.code.op(`${type}.add`);
  }

  /** A vector instruction on one lane: the same rounding at every position of an array. */
  #onOneLane(x: Ex, opcode: Opcode): void {
    const shape = x.type === "f32" ? "f32x4" : "f64x2";
    for (const a of x.args) {
      this.scalar(a);
      this.code.op(`${shape}.splat`);
    }
    this.code.op(opcode);
    this.code.lane(`${shape}.extract_lane`, 0);
  }

  /** The exact reduction by pi/2 of an f64 beyond 10^6; zero for all others, which do not use it. */
  #reduceLarge(name: "rem_pio2" | "quo_pio2", operand: () => void): void {
    const { code } = this;
    const y = code.local("f64");
    code.f64(0);
    code.set(y);
    operand();
    code.op("f64.abs");
    code.f64(1e6);
    code.op("f64.gt");
    code.if(() => {
      operand();
      code.call(this.#helpers.function(name));
      code.set(y);
    });
    code.get(y);
    code.release("f64", y);
  }

  /** Floor division and remainder of an index by a positive constant. */
  #indexDivision(x: Ex): void {
    const { code } = this;
    const n = Number(x.value);
    this.#pushIndex(x.index!, 1);
    if ((n & (n - 1)) === 0) {
      code.i32(x.op === "idiv" ? Math.log2(n) : n - 1);
      return code.op(x.op === "idiv" ? "i32.shr_s" : "i32.and");
    }
    const v = code.local("i32");
    code.set(v);
    // Rounds towards minus infinity: (v >= 0 ? v : v - n + 1) / n.
    code.get(v);
    code.get(v);
    code.i32(n - 1);
    code.op("i32.sub");
    code.get(v);
    code.i32(0);
    code.op("i32.ge_s");
    code.op("select");
    code.i32(n);
    code.op("i32.div_s");
    if (x.op === "imod") {
      code.i32(n);
      code.op("i32.mul");
      const q = code.local("i32");
      code.set(q);
      code.get(v);
      code.get(q);
      code.op("i32.sub");
      code.release("i32", q);
    }
    code.release("i32", v);
  }

  /** Pushes `scale * index`. */
  #pushIndex(index: Index, scale: number): void {
    this.#pushTerms(index.terms, scale, index.c * scale);
  }
  #pushTerms(terms: Index["terms"], scale: number, constant: number): void {
    const { code } = this;
    let first = true;
    for (const t of terms) {
      this.scalar(t.atom);
      const k = t.coef * scale;
      if (k !== 1) {
        if (k > 0 && (k & (k - 1)) === 0) {
          code.i32(Math.log2(k));
          code.op("i32.shl");
        } else {
          code.i32(k);
          code.op("i32.mul");
        }
      }
      if (!first) code.op("i32.add");
      first = false;
    }
    if (first || constant !== 0) {
      code.i32(constant);
      if (!first) code.op("i32.add");
    }
  }

  /** Holds the part of an address that does not change in the loops inside: what was held before, plus `terms`. */
  holdAddress(of: Ex | StoreTarget, terms: Index["terms"]): void {
    const { code } = this;
    const bytes = storageBytes[of.storage!];
    const before = this.#addresses.get(of);
    // Stages may share an access: what one of them holds already is not added again.
    if (before !== undefined) terms = terms.filter((t) => !before.terms.has(t));
    if (before !== undefined && terms.length === 0) return;
    code.get(before?.local ?? this.#pointer(of.slot));
    this.#pushTerms(terms, bytes, before === undefined ? of.index!.c * bytes : 0);
    code.op("i32.add");
    const local = this.#own("i32");
    code.set(local);
    this.#addresses.set(of, { local, terms: new Set([...(before?.terms ?? []), ...terms]) });
    this.#trail.push(() => {
      if (before === undefined) this.#addresses.delete(of);
      else this.#addresses.set(of, before);
    });
  }

  /** Pushes an address. */
  #address(of: Ex | StoreTarget): void {
    const { code } = this;
    const bytes = storageBytes[of.storage!];
    const base = this.#addresses.get(of);
    code.get(base?.local ?? this.#pointer(of.slot));
    const rest = base === undefined ? of.index!.terms : of.index!.terms.filter((t) => !base.terms.has(t));
    const constant = base === undefined ? of.index!.c * bytes : 0;
    if (rest.length === 0 && constant === 0) return;
    this.#pushTerms(rest, bytes, constant);
    code.op("i32.add");
  }

  #guardedAddress(x: Ex): void {
    this.#address(x);
    if (x.args.length > 0) {
      this.code.get(this.#pointer(x.slot));
      this.scalar(x.args[0]);
      this.code.op("select");
    }
  }

  storeScalar(s: StoreTarget): void {
    const write = (): void => {
      this.#address(s);
      this.scalar(s.value);
      this.code.memory(scalarStores[s.storage]);
    };
    if (s.guard === null) return write();
    // The value is computed before the branch: what it holds in locals may be used after it.
    this.hold(s.value, false);
    this.scalar(s.guard);
    this.#when(write);
  }

  /** Runs `then` if the i32 on the stack is set. What it holds in locals is not known afterwards. */
  #when(then: () => void): void {
    this.code.if(() => {
      const mark = this.mark();
      then();
      this.undo(mark);
    });
  }

  // Vectors.

  #spread(type: ScalarType): void {
    if (type === "bool") {
      this.code.i32(0);
      this.code.op("i32.ne");
      const b = this.code.local("i32");
      this.code.set(b);
      this.code.i32(0);
      this.code.get(b);
      this.code.op("i32.sub");
      this.code.release("i32", b);
    }
    this.code.op(`${vectorShape[type]}.splat`);
  }

  /** Pushes register `r` of a vector. */
  vector(x: Ex, r: number): void {
    const { code } = this;
    const held = this.#held.get(x);
    if (held !== undefined && held.vector[r] !== undefined) return code.get(held.vector[r]);
    if (!this.varies(x)) {
      if (x.op === "const") return this.#vectorConstant(x);
      this.scalar(x);
      return this.#spread(x.type);
    }
    if ((this.#uses.get(x) ?? 0) > 1) return code.get(this.#holdVector(x, r));
    this.#computeVector(x, r);
  }

  #vectorConstant(x: Ex): void {
    const view = new DataView(new ArrayBuffer(16));
    for (let i = 0; i < 16; i += isWide(x.type) ? 8 : 4) {
      if (x.type === "i64") view.setBigInt64(i, BigInt(x.value), true);
      else if (x.type === "f64") view.setFloat64(i, Number(x.value), true);
      else if (x.type === "f32") view.setFloat32(i, Number(x.value), true);
      else view.setInt32(i, x.type === "bool" ? -Number(x.value) : Number(x.value), true);
    }
    this.code.v128(new Uint8Array(view.buffer));
  }

  #computeVector(x: Ex, r: number): void {
    const { code } = this;
    switch (x.op) {
      case "axis":
        return this.#laneNumbers(x, r);
      case "index":
        return this.#vectorIndex(x.index!, r);
      case "load":
        return this.#vectorLoad(x, r);
      case "select":
        return this.#vectorSelect(x, r);
      case "fma":
        if (!this.#helpers.relaxed) {
          this.vector(x.args[0], r);
          this.vector(x.args[1], r);
          code.op(`${vectorShape[x.type] as "f32x4"}.mul`);
          this.vector(x.args[2], r);
          return code.op(`${vectorShape[x.type] as "f32x4"}.add`);
        }
        for (const a of x.args) this.vector(a, r);
        return code.op(`${vectorShape[x.type] as "f32x4"}.relaxed_madd`);
      case "copysign":
        this.vector(x.args[0], r);
        this.vector(x.args[1], r);
        this.#magnitudeMask(x.type);
        return code.op("v128.bitselect");
      case "shl":
      case "shr_s":
      case "shr_u":
        if (this.varies(x.args[1])) return this.#byLane(x, r);
        this.vector(x.args[0], r);
        this.scalar(x.args[1]);
        if (x.type === "i64") code.op("i32.wrap_i64");
        return code.op(`${vectorShape[x.type] as "i32x4"}.${x.op}`);
      case "rem_pio2":
      case "quo_pio2":
        return this.#reduceLargeLanes(x, r);
      case "bitcast":
        return this.vector(x.args[0], r);
      case "from_bool":
        return this.#fromMask(x, r);
    }
    if (isComparison(x.op)) return this.#vectorCompare(x, r);
    if (this.#vectorConvert(x, r)) return;
    const opcode = vectorOpcode(x);
    if (opcode === undefined) return this.#byLane(x, r);
    for (const a of x.args) this.vector(a, r);
    code.op(opcode);
  }

  #laneNumbers(x: Ex, r: number): void {
    this.code.get(this.#axes.get(x.axis!)!);
    this.code.op("i32x4.splat");
    this.code.v128(Array.from({ length: 16 }, (_, i) => (i % 4 === 0 ? r * lanes + i / 4 : 0)));
    this.code.op("i32x4.add");
  }

  #vectorIndex(index: Index, r: number): void {
    const { code } = this;
    const fixed = index.terms.filter((t) => !this.varies(t.atom));
    this.#pushTerms(fixed, 1, index.c);
    code.op("i32x4.splat");
    for (const t of index.terms) {
      if (!this.varies(t.atom)) continue;
      this.vector(t.atom, r);
      if (t.coef !== 1) {
        code.i32(t.coef);
        code.op("i32x4.splat");
        code.op("i32x4.mul");
      }
      code.op("i32x4.add");
    }
  }

  #magnitudeMask(type: ScalarType): void {
    const bytes = isWide(type) ? [255, 255, 255, 255, 255, 255, 255, 127] : [255, 255, 255, 127];
    this.code.v128(Array.from({ length: 16 }, (_, i) => bytes[i % bytes.length]));
  }

  /** A mask for register `r`: of four lanes, or the half of one for two wide lanes. */
  #mask(x: Ex, wide: boolean, r: number): void {
    if (!wide) return this.vector(x, r);
    this.#narrow(x, r >> 1);
    this.code.op((r & 1) === 0 ? "i64x2.extend_low_i32x4_s" : "i64x2.extend_high_i32x4_s");
  }
  /** Pushes a register of which two wide ones are made: held, so that it is computed once. */
  #narrow(x: Ex, r: number): void {
    if (this.varies(x)) this.code.get(this.#heldVector(x, r));
    else this.vector(x, r);
  }
  #vectorSelect(x: Ex, r: number): void {
    const [c, a, b] = x.args;
    this.vector(a, r);
    this.vector(b, r);
    this.#mask(c, isWide(x.type), r);
    this.code.op("v128.bitselect");
  }
  #fromMask(x: Ex, r: number): void {
    const wide = isWide(x.type);
    this.#mask(x.args[0], wide, r);
    this.code.v128(Array.from({ length: 16 }, (_, i) => (i % (wide ? 8 : 4) === 0 ? 1 : 0)));
    this.code.op("v128.and");
  }

  #vectorCompare(x: Ex, r: number): void {
    const opcode = vectorComparison(x);
    if (opcode === undefined) return this.#byLane(x, r);
    const wide = isWide(x.args[0].type);
    for (let h = 0; h < (wide ? 2 : 1); h++) {
      for (const a of x.args) this.vector(a, wide ? 2 * r + h : r);
      this.code.op(opcode);
    }
    if (wide) this.code.shuffle(evenWords);
  }

  /** Conversions between lanes of 32 and 64 bits, and within them. */
  #vectorConvert(x: Ex, r: number): boolean {
    const { code } = this;
    const [a] = x.args;
    const from = a?.type;
    const high = (): void => {
      if ((r & 1) === 0 || !this.varies(a)) return this.#narrow(a, r >> 1);
      // A shuffle takes two operands.
      const local = this.#heldVector(a, r >> 1);
      code.get(local);
      code.get(local);
      code.shuffle(upperHalf);
    };
    const joined = (opcode: Opcode): void => {
      for (let h = 0; h < 2; h++) {
        this.vector(a, 2 * r + h);
        code.op(opcode);
      }
      code.shuffle(lowHalves);
    };
    switch (x.op) {
      case "promote":
        high();
        code.op("f64x2.promote_low_f32x4");
        return true;
      case "demote":
        joined("f32x4.demote_f64x2_zero");
        return true;
      case "wrap":
        this.vector(a, 2 * r);
        this.vector(a, 2 * r + 1);
        code.shuffle(evenWords);
        return true;
      case "extend_s":
      case "extend_u":
        this.#narrow(a, r >> 1);
        code.op(`i64x2.extend_${(r & 1) === 0 ? "low" : "high"}_i32x4_${x.op.slice(-1) as "s"}`);
        return true;
      case "from_s":
      case "from_u":
        if (from !== "i32") return false;
        if (x.type === "f32") {
          this.vector(a, r);
          code.op(`f32x4.convert_i32x4_${x.op.slice(-1) as "s"}`);
        } else {
          high();
          code.op(`f64x2.convert_low_i32x4_${x.op.slice(-1) as "s"}`);
        }
        return true;
      case "trunc_s":
      case "trunc_u":
        if (x.type !== "i32") return false;
        if (from === "f32") {
          this.vector(a, r);
          code.op(`i32x4.trunc_sat_f32x4_${x.op.slice(-1) as "s"}`);
        } else joined(`i32x4.trunc_sat_f64x2_${x.op.slice(-1) as "s"}_zero`);
        return true;
      default:
        return false;
    }
  }

  /** Pushes one lane of a value as a scalar; the value is held. */
  #lane(x: Ex, lane: number): void {
    if (!this.varies(x)) return this.scalar(x);
    const { code } = this;
    const wide = isWide(x.type);
    code.get(this.#heldVector(x, wide ? lane >> 1 : lane >> 2));
    code.lane(`${vectorShape[x.type]}.extract_lane`, wide ? lane & 1 : lane & 3);
    if (x.type === "bool") {
      code.i32(1);
      code.op("i32.and");
    }
  }
  #heldVector(x: Ex, r: number): number {
    const held = this.#held.get(x);
    return held?.vector[r] ?? this.#holdVector(x, r);
  }

  /** Holds the registers of one group of lanes. */
  #holdGroup(x: Ex, group: number): void {
    if (!isWide(x.type)) this.#heldVector(x, group);
    else for (let h = 0; h < 2; h++) this.#heldVector(x, 2 * group + h);
  }

  /** An operation without a vector instruction: lane by lane. */
  #byLane(x: Ex, r: number): void {
    const { code } = this;
    const wide = isWide(x.type);
    const shape = vectorShape[x.type];
    // Operands first, since holding them emits code.
    for (const a of x.args) {
      if (this.varies(a)) this.#holdGroup(a, wide ? r >> 1 : r);
      else if (a.op !== "const") this.#holdScalar(a);
    }
    code.v128(new Uint8Array(16));
    const first = wide ? r * 2 : r * 4;
    for (let i = 0; i < (wide ? 2 : 4); i++) {
      if (x.op === "idiv" || x.op === "imod") this.#divideLane(x, first + i);
      else {
        for (const a of x.args) this.#lane(a, first + i);
        if (x.op === "fmod") code.call(this.#helpers.function(x.op));
        else {
          const opcode = scalarOpcode(x);
          invariant(opcode !== undefined, `no instruction for lanes of ${x.op}`);
          if (opcode !== null) code.op(opcode);
        }
      }
      if (x.type === "bool") {
        const b = code.local("i32");
        code.set(b);
        code.i32(0);
        code.get(b);
        code.op("i32.sub");
        code.release("i32", b);
      }
      code.lane(`${shape}.replace_lane`, i);
    }
  }

  /** Large operands are rare: one test for the register decides whether its lanes are looked at. */
  #reduceLargeLanes(x: Ex, r: number): void {
    const { code } = this;
    const operand = this.#heldVector(x.args[0], r);
    const y = code.local("v128");
    code.v128(new Uint8Array(16));
    code.set(y);
    code.get(operand);
    code.op("f64x2.abs");
    this.#vectorConstant(largeAngle);
    code.op("f64x2.gt");
    code.op("v128.any_true");
    code.if(() => {
      for (let lane = 0; lane < 2; lane++) {
        code.get(y);
        this.#reduceLarge(x.op as "rem_pio2", () => {
          code.get(operand);
          code.lane("f64x2.extract_lane", lane);
        });
        code.lane("f64x2.replace_lane", lane);
        code.set(y);
      }
    });
    code.get(y);
    code.release("v128", y);
  }

  /** Index division on one lane: the index is affine in the lane's number and in values on lanes. */
  #divideLane(x: Ex, lane: number): void {
    const { code } = this;
    const n = Number(x.value);
    this.#laneIndex(x.index!, lane, 1);
    const v = code.local("i32");
    code.set(v);
    code.get(v);
    code.get(v);
    code.i32(n - 1);
    code.op("i32.sub");
    code.get(v);
    code.i32(0);
    code.op("i32.ge_s");
    code.op("select");
    code.i32(n);
    code.op("i32.div_s");
    if (x.op === "imod") {
      code.i32(-n);
      code.op("i32.mul");
      code.get(v);
      code.op("i32.add");
    }
    code.release("i32", v);
  }

  /** Pushes `scale * index` for one lane. */
  #laneIndex(index: Index, lane: number, scale: number): void {
    const { code } = this;
    code.i32(index.c * scale);
    for (const t of index.terms) {
      if (t.atom.axis !== null && t.atom.axis === this.vectorAxis) {
        this.scalar(t.atom);
        code.i32(lane);
        code.op("i32.add");
      } else this.#lane(t.atom, lane);
      code.i32(t.coef * scale);
      code.op("i32.mul");
      code.op("i32.add");
    }
  }

  /** The step of an access from lane to lane, or null when lanes must be addressed one by one. */
  #laneStride(index: Index, guard: Ex | null): number | null {
    if (guard !== null && this.varies(guard)) return null;
    if (this.vectorAxis === null) return index.terms.some((t) => this.varies(t.atom)) ? null : 0;
    for (const t of index.terms) if (t.atom.axis === null && this.varies(t.atom)) return null;
    return strideAlong(index, this.vectorAxis);
  }

  #vectorLoad(x: Ex, r: number): void {
    const guard = x.args[0] ?? null;
    if (this.#laneStride(x.index!, null) !== 1) return this.#gatherLanes(x, r);
    if (guard !== null && this.varies(guard)) return this.#partlyGuarded(x, r, guard);
    this.#guardedAddress(x);
    this.#contiguous(x, r);
  }

  /** A guard that differs between lanes mostly does not, so whole vectors are tried first. */
  #partlyGuarded(x: Ex, r: number, guard: Ex): void {
    const { code } = this;
    const y = code.local("v128");
    code.get(this.#heldVector(guard, isWide(x.type) ? r >> 1 : r));
    code.op("i32x4.all_true");
    code.if(
      () => {
        const mark = this.mark();
        this.#address(x);
        this.#contiguous(x, r);
        code.set(y);
        this.undo(mark);
      },
      () => {
        const mark = this.mark();
        this.#gatherLanes(x, r);
        code.set(y);
        this.undo(mark);
      },
    );
    code.get(y);
    code.release("v128", y);
  }

  /** Loads register `r` from the address on the stack. */
  #contiguous(x: Ex, r: number): void {
    const { code } = this;
    switch (x.storage!) {
      case "f32":
      case "i32":
        return code.memory("v128.load", r * 16);
      case "f64":
      case "i64":
        return code.memory("v128.load", r * 16);
      case "u16":
        return code.memory("v128.load16x4_u", r * 8);
      case "i16":
        return code.memory("v128.load16x4_s", r * 8);
      default: {
        const signed = x.storage === "i8";
        code.memory("v128.load32_zero", r * 4);
        code.op(signed ? "i16x8.extend_low_i8x16_s" : "i16x8.extend_low_i8x16_u");
        code.op(signed ? "i32x4.extend_low_i16x8_s" : "i32x4.extend_low_i16x8_u");
        if (x.storage === "bool") code.op("i32x4.neg");
      }
    }
  }

  #gatherLanes(x: Ex, r: number): void {
    const { code } = this;
    const wide = isWide(x.type);
    const bytes = storageBytes[x.storage!];
    const guard = x.args[0] ?? null;
    for (const t of x.index!.terms) if (t.atom.axis !== this.vectorAxis && this.varies(t.atom)) this.#heldVector(t.atom, wide ? r >> 1 : r);
    if (guard !== null && this.varies(guard)) this.#heldVector(guard, wide ? r >> 1 : r);
    code.v128(new Uint8Array(16));
    const held = code.local("v128");
    code.set(held);
    const first = wide ? r * 2 : r * 4;
    for (let i = 0; i < (wide ? 2 : 4); i++) {
      const simple = bytes >= 4;
      if (!simple) code.get(held);
      code.get(this.#pointer(x.slot));
      this.#laneIndex(x.index!, first + i, bytes);
      code.op("i32.add");
      if (guard !== null) {
        code.get(this.#pointer(x.slot));
        this.#lane(guard, first + i);
        code.op("select");
      }
      if (simple) {
        code.get(held);
        code.memoryLane(wide ? "v128.load64_lane" : "v128.load32_lane", i);
      } else {
        code.memory(scalarLoads[x.storage!]);
        code.lane("i32x4.replace_lane", i);
      }
      code.set(held);
    }
    code.get(held);
    if (x.storage === "bool") code.op("i32x4.neg");
    code.release("v128", held);
  }

  storeVector(s: StoreTarget): void {
    const { code } = this;
    const stride = this.#laneStride(s.index, s.guard);
    // All registers first: the stores of neighbours then stand side by side, and may overwrite what was read.
    if (this.varies(s.value)) for (let r = 0; r < this.registers(s.value.type); r++) this.#heldVector(s.value, r);
    if (stride !== 1) return this.#scatterLanes(s);
    const write = (): void => {
      for (let r = 0; r < this.registers(s.value.type); r++) {
        if (storageBytes[s.storage] < 4) {
          this.#storeNarrow(s, r);
          continue;
        }
        this.#address(s);
        this.vector(s.value, r);
        code.memory("v128.store", r * 16);
      }
    };
    if (s.guard === null) return write();
    this.scalar(s.guard);
    this.#when(write);
  }

  /** Stores four values of one or two bytes. */
  #storeNarrow(s: StoreTarget, r: number): void {
    const { code } = this;
    const bytes = storageBytes[s.storage];
    const v = code.local("v128");
    this.vector(s.value, r);
    code.v128(Array.from({ length: 16 }, (_, i) => (i % 4 < bytes ? (s.storage === "bool" ? (i % 4 === 0 ? 1 : 0) : 255) : 0)));
    code.op("v128.and");
    code.set(v);
    this.#address(s);
    code.get(v);
    code.get(v);
    code.op("i16x8.narrow_i32x4_u");
    if (bytes === 1) {
      code.set(v);
      code.get(v);
      code.get(v);
      code.op("i8x16.narrow_i16x8_u");
    }
    code.memoryLane(bytes === 1 ? "v128.store32_lane" : "v128.store64_lane", 0, r * 4 * bytes);
    code.release("v128", v);
  }

  #scatterLanes(s: StoreTarget): void {
    const { code } = this;
    const bytes = storageBytes[s.storage];
    for (const t of s.index.terms) if (t.atom.axis !== this.vectorAxis && this.varies(t.atom)) for (let g = 0; g < this.groups; g++) this.#heldVector(t.atom, g);
    if (s.guard !== null && this.varies(s.guard)) for (let g = 0; g < this.groups; g++) this.#heldVector(s.guard, g);
    if (!this.varies(s.value) && s.value.op !== "const") this.#holdScalar(s.value);
    for (let i = 0; i < lanes * this.groups; i++) {
      const write = (): void => {
        code.get(this.#pointer(s.slot));
        this.#laneIndex(s.index, i, bytes);
        code.op("i32.add");
        this.#lane(s.value, i);
        code.memory(scalarStores[s.storage]);
      };
      if (s.guard === null) write();
      else {
        this.#lane(s.guard, i);
        this.#when(write);
      }
    }
  }
}

/** Beyond it, reducing by pi/2 needs more digits than two parts have. */
const largeAngle: Ex = { id: -1, op: "const", type: "f64", args: [], value: 1e6, index: null, axis: null, slot: -1, storage: null, pinned: false };

/** Words 0 and 2 of two vectors: the low halves of four wide lanes. */
const evenWords: readonly number[] = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27];
const upperHalf: readonly number[] = [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15];
const lowHalves: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
