import { invariant } from "@traceform/core";
import { type Ex, type Index, type Storage, storageBytes } from "@traceform/compiler";
import type { Opcode } from "../wasm/opcodes.ts";
import type { Reduction } from "./helpers.ts";
import { Holder, type StoreTarget } from "./holder.ts";
import { scalarOpcode, vectorShape } from "./scalar-ops.ts";

export const scalarLoads: Readonly<Record<Storage, Opcode>> = {
  bool: "i32.load8_u",
  i8: "i32.load8_s",
  u8: "i32.load8_u",
  i16: "i32.load16_s",
  u16: "i32.load16_u",
  i32: "i32.load",
  i64: "i64.load",
  f32: "f32.load",
  f64: "f64.load",
};
export const scalarStores: Readonly<Record<Storage, Opcode>> = {
  bool: "i32.store8",
  i8: "i32.store8",
  u8: "i32.store8",
  i16: "i32.store16",
  u16: "i32.store16",
  i32: "i32.store",
  i64: "i64.store",
  f32: "f32.store",
  f64: "f64.store",
};

interface Access {
  readonly key: string;
  readonly base: number;
  readonly offset: number;
}

/** Emits expressions as scalars, on WebAssembly's stack where they are not held. */
export abstract class ScalarEvaluator extends Holder {
  /** Pushes a scalar. */
  scalar(x: Ex): void {
    const held = this.held.get(x);
    if (held !== undefined && held.scalar >= 0) {
      this.code.get(held.scalar);
      return;
    }
    if (x.op !== "const" && x.op !== "axis" && (this.uses.get(x) ?? 0) > 1) {
      this.code.get(this.holdScalar(x));
      return;
    }
    this.computeScalar(x);
  }

  protected constant(x: Ex): void {
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

  protected computeScalar(x: Ex): void {
    const { code } = this;
    switch (x.op) {
      case "const":
        return this.constant(x);
      case "axis":
        return code.get(this.axes.get(x.axis!)!);
      case "param":
        throw new Error(`Traceform invariant broken: unbound parameter ${x.id} of type ${x.type}`);
      case "index":
        return this.pushIndex(x.index!, 1);
      case "idiv":
      case "imod":
        return this.indexDivision(x);
      case "load":
        this.guardedAddress(x);
        return code.memory(scalarLoads[x.storage!], this.access(x).offset);
      case "select":
        this.scalar(x.args[1]);
        this.scalar(x.args[2]);
        this.scalar(x.args[0]);
        return code.op("select");
      case "fma":
        if (!this.helpers.relaxed) return this.multiplyAdd(x);
        return this.onOneLane(x, `${vectorShape[x.type] as "f32x4"}.relaxed_madd`);
      case "pmin":
      case "pmax":
        return this.onOneLane(x, `${vectorShape[x.type] as "f32x4"}.${x.op}`);
      case "fmod":
        for (const a of x.args) this.scalar(a);
        return code.call(this.helpers.function(x.op));
      case "rem_pio2":
      case "tail_pio2":
      case "quo_pio2":
        this.holdScalar(x.args[0]);
        return this.reduceLarge(x.op, () => this.scalar(x.args[0]));
      default: {
        for (const a of x.args) this.scalar(a);
        const opcode = scalarOpcode(x);
        invariant(opcode !== undefined, `no instruction for ${x.op} of ${x.type}`);
        if (opcode !== null) code.op(opcode);
      }
    }
  }

  protected multiplyAdd(x: Ex): void {
    const type = x.type as "f32";
    this.scalar(x.args[0]);
    this.scalar(x.args[1]);
    this.code.op(`${type}.mul`);
    this.scalar(x.args[2]);
    this.code.op(`${type}.add`);
  }

  /** A vector instruction on one lane: the same rounding at every position of an array. */
  protected onOneLane(x: Ex, opcode: Opcode): void {
    const shape = x.type === "f32" ? "f32x4" : "f64x2";
    for (const a of x.args) {
      this.scalar(a);
      this.code.op(`${shape}.splat`);
    }
    this.code.op(opcode);
    this.code.lane(`${shape}.extract_lane`, 0);
  }

  /** The exact reduction by pi/2 of an f64 beyond 10^6; zero for all others, which do not use it. */
  protected reduceLarge(name: Reduction, operand: () => void): void {
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
      code.call(this.helpers.function(name));
      code.set(y);
    });
    code.get(y);
    code.release("f64", y);
  }

  /** Floor division and remainder of an index by a positive constant. */
  protected indexDivision(x: Ex): void {
    this.pushIndex(x.index!, 1);
    this.divideBy(x);
  }
  /** The same of the i32 on the stack. */
  protected divideBy(x: Ex): void {
    const { code } = this;
    const n = Number(x.value);
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
      code.i32(-n);
      code.op("i32.mul");
      code.get(v);
      code.op("i32.add");
    }
    code.release("i32", v);
  }

  /** Pushes `scale * index`. */
  protected pushIndex(index: Index, scale: number): void {
    this.pushTerms(index.terms, scale, index.c * scale);
  }
  protected pushTerms(terms: Index["terms"], scale: number, constant: number): void {
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

  /**
   * Accesses of one key have one address but for a constant: `base` bytes are part of the address, `offset` bytes are left
   * to the instruction. Only where no part of the address can be negative, since instructions do not wrap around.
   */
  protected access(of: Ex | StoreTarget): Access {
    let found = this.#accesses.get(of);
    if (found === undefined) {
      const { c, terms } = of.index!;
      const bytes = storageBytes[of.storage!];
      const guarded = "guard" in of ? of.guard !== null : of.args.length > 0;
      const rises = c >= 0 && terms.every((t) => t.coef > 0 && (t.atom.axis !== null || t.atom.op === "imod"));
      const [base, offset] = rises && !guarded ? [0, c * bytes] : [c * bytes, 0];
      const moves = terms.map((t) => `${t.coef}*${t.atom.id}`).sort();
      found = { key: `${of.slot}:${bytes}:${base}+${moves.join("+")}`, base, offset };
      this.#accesses.set(of, found);
    }
    return found;
  }
  readonly #accesses = new WeakMap<Ex | StoreTarget, Access>();

  /** Holds the part of an address that does not change in the loops inside: what was held before, plus `terms`. */
  holdAddress(of: Ex | StoreTarget, terms: Index["terms"]): void {
    const { code } = this;
    const bytes = storageBytes[of.storage!];
    const { key, base } = this.access(of);
    const before = this.addresses.get(key);
    // What another access, of this stage or of one before it, holds already is not added again.
    if (before !== undefined) terms = terms.filter((t) => !before.atoms.has(t.atom));
    if (terms.length === 0 && (before !== undefined || base === 0)) return;
    code.get(before?.local ?? this.pointer(of.slot));
    this.pushTerms(terms, bytes, before === undefined ? base : 0);
    code.op("i32.add");
    const local = this.own("i32");
    code.set(local);
    this.addresses.set(key, { local, atoms: new Set([...(before?.atoms ?? []), ...terms.map((t) => t.atom)]) });
    this.trail.push(() => {
      if (before === undefined) this.addresses.delete(key);
      else this.addresses.set(key, before);
    });
  }

  /** Pushes an address, to which the instruction adds the access's offset. */
  protected address(of: Ex | StoreTarget): void {
    const { code } = this;
    const bytes = storageBytes[of.storage!];
    const { key, base } = this.access(of);
    const held = this.addresses.get(key);
    code.get(held?.local ?? this.pointer(of.slot));
    const rest = held === undefined ? of.index!.terms : of.index!.terms.filter((t) => !held.atoms.has(t.atom));
    const constant = held === undefined ? base : 0;
    if (rest.length === 0 && constant === 0) return;
    this.pushTerms(rest, bytes, constant);
    code.op("i32.add");
  }

  protected guardedAddress(x: Ex): void {
    this.address(x);
    if (x.args.length > 0) {
      this.code.get(this.pointer(x.slot));
      this.scalar(x.args[0]);
      this.code.op("select");
    }
  }

  storeScalar(s: StoreTarget): void {
    const write = (): void => {
      this.address(s);
      this.scalar(s.value);
      this.code.memory(scalarStores[s.storage], this.access(s).offset);
    };
    if (s.guard === null) return write();
    // The value is computed before the branch: what it holds in locals may be used after it.
    this.hold(s.value, false);
    this.scalar(s.guard);
    this.when(write);
  }

  /** Runs `then` if the i32 on the stack is set. What it holds in locals is not known afterwards. */
  protected when(then: () => void): void {
    this.code.if(() => {
      const mark = this.mark();
      then();
      this.undo(mark);
    });
  }
}
