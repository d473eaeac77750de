import { invariant } from "@traceform/core";
import { type Ex, type Index, type ScalarType } from "@traceform/compiler";
import type { Opcode } from "../wasm/opcodes.ts";
import type { Reduction } from "./helpers.ts";
import { lanes } from "./holder.ts";
import { isComparison, isWide, scalarOpcode, vectorComparison, vectorOpcode, vectorShape } from "./scalar-ops.ts";
import { ScalarEvaluator } from "./scalar-evaluator.ts";

/**
 * Emits expressions on the lanes of vectors. A value of 32 bits takes a register for each group of lanes, one of 64 bits
 * takes two; operations without a vector instruction go lane by lane.
 */
export abstract class VectorEvaluator extends ScalarEvaluator {
  protected abstract vectorLoad(x: Ex, r: number): void;

  protected spread(type: ScalarType): void {
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
    const held = this.held.get(x);
    if (held !== undefined && held.vector[r] !== undefined) return code.get(held.vector[r]);
    if (!this.varies(x)) {
      if (x.op === "const") return this.vectorConstant(x);
      this.scalar(x);
      return this.spread(x.type);
    }
    if ((this.uses.get(x) ?? 0) > 1) return code.get(this.holdVector(x, r));
    this.computeVector(x, r);
  }

  protected vectorConstant(x: Ex): void {
    const view = new DataView(new ArrayBuffer(16));
    for (let i = 0; i < 16; i += isWide(x.type) ? 8 : 4) {
      if (x.type === "i64") view.setBigInt64(i, BigInt(x.value), true);
      else if (x.type === "f64") view.setFloat64(i, Number(x.value), true);
      else if (x.type === "f32") view.setFloat32(i, Number(x.value), true);
      else view.setInt32(i, x.type === "bool" ? -Number(x.value) : Number(x.value), true);
    }
    this.code.v128(new Uint8Array(view.buffer));
  }

  protected computeVector(x: Ex, r: number): void {
    const { code } = this;
    switch (x.op) {
      case "axis":
        return this.laneNumbers(x, r);
      case "index":
        return this.vectorIndex(x.index!, r);
      case "load":
        return this.vectorLoad(x, r);
      case "select":
        return this.vectorSelect(x, r);
      case "fma":
        if (!this.helpers.relaxed) {
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
        this.magnitudeMask(x.type);
        return code.op("v128.bitselect");
      case "shl":
      case "shr_s":
      case "shr_u":
        if (this.varies(x.args[1])) return this.byLane(x, r);
        this.vector(x.args[0], r);
        this.scalar(x.args[1]);
        if (x.type === "i64") code.op("i32.wrap_i64");
        return code.op(`${vectorShape[x.type] as "i32x4"}.${x.op}`);
      case "rem_pio2":
      case "tail_pio2":
      case "quo_pio2":
        return this.reduceLargeLanes(x, r);
      case "bitcast":
        return this.vector(x.args[0], r);
      case "from_bool":
        return this.fromMask(x, r);
    }
    if (isComparison(x.op)) return this.vectorCompare(x, r);
    if (this.vectorConvert(x, r)) return;
    const opcode = vectorOpcode(x);
    if (opcode === undefined) return this.byLane(x, r);
    for (const a of x.args) this.vector(a, r);
    code.op(opcode);
  }

  readonly #laneOffsets: number[] = [];
  /**
   * Holds the distances of the lanes from the first one, for some registers. Engines make such a constant anew, in ten instructions,
   * wherever it is written.
   */
  holdLaneOffsets(registers: number): void {
    for (let r = this.#laneOffsets.length; r < registers; r++) {
      this.laneOffsets(r);
      this.code.set((this.#laneOffsets[r] = this.code.local("v128")));
    }
  }
  protected laneOffsets(r: number): void {
    const held = this.#laneOffsets[r];
    if (held !== undefined) this.code.get(held);
    else this.code.v128(Array.from({ length: 16 }, (_, i) => (i % 4 === 0 ? r * lanes + i / 4 : 0)));
  }
  protected laneNumbers(x: Ex, r: number): void {
    this.code.get(this.axes.get(x.axis!)!);
    this.code.op("i32x4.splat");
    this.laneOffsets(r);
    this.code.op("i32x4.add");
  }

  protected vectorIndex(index: Index, r: number): void {
    const { code } = this;
    const fixed = index.terms.filter((t) => !this.varies(t.atom));
    this.pushTerms(fixed, 1, index.c);
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

  protected magnitudeMask(type: ScalarType): void {
    const bytes = isWide(type) ? [255, 255, 255, 255, 255, 255, 255, 127] : [255, 255, 255, 127];
    this.code.v128(Array.from({ length: 16 }, (_, i) => bytes[i % bytes.length]));
  }

  /** A mask for register `r`: of four lanes, or the half of one for two wide lanes. */
  protected mask(x: Ex, wide: boolean, r: number): void {
    if (!wide) return this.vector(x, r);
    this.narrow(x, r >> 1);
    this.code.op((r & 1) === 0 ? "i64x2.extend_low_i32x4_s" : "i64x2.extend_high_i32x4_s");
  }
  /** Pushes a register of which two wide ones are made: held, so that it is computed once. */
  protected narrow(x: Ex, r: number): void {
    if (this.varies(x)) this.code.get(this.heldVector(x, r));
    else this.vector(x, r);
  }
  protected vectorSelect(x: Ex, r: number): void {
    const [c, a, b] = x.args;
    // A choice of nothing is one instruction where the general one is three.
    const nothing = [isNothing(a), isNothing(b)];
    if (!nothing[0]) this.vector(a, r);
    if (nothing[0] || !nothing[1]) this.vector(b, r);
    this.mask(c, isWide(x.type), r);
    this.code.op(nothing[0] ? "v128.andnot" : nothing[1] ? "v128.and" : "v128.bitselect");
  }
  protected fromMask(x: Ex, r: number): void {
    const wide = isWide(x.type);
    this.mask(x.args[0], wide, r);
    this.code.v128(Array.from({ length: 16 }, (_, i) => (i % (wide ? 8 : 4) === 0 ? 1 : 0)));
    this.code.op("v128.and");
  }

  protected vectorCompare(x: Ex, r: number): void {
    const opcode = vectorComparison(x);
    if (opcode === undefined) return this.byLane(x, r);
    const wide = isWide(x.args[0].type);
    for (let h = 0; h < (wide ? 2 : 1); h++) {
      for (const a of x.args) this.vector(a, wide ? 2 * r + h : r);
      this.code.op(opcode);
    }
    if (wide) this.code.shuffle(evenWords);
  }

  /** Conversions between lanes of 32 and 64 bits, and within them. */
  protected vectorConvert(x: Ex, r: number): boolean {
    const { code } = this;
    const [a] = x.args;
    const from = a?.type;
    const high = (): void => {
      if ((r & 1) === 0 || !this.varies(a)) return this.narrow(a, r >> 1);
      // A shuffle takes two operands.
      const local = this.heldVector(a, r >> 1);
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
        this.narrow(a, r >> 1);
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
  protected lane(x: Ex, lane: number): void {
    if (!this.varies(x)) return this.scalar(x);
    const { code } = this;
    const wide = isWide(x.type);
    code.get(this.heldVector(x, wide ? lane >> 1 : lane >> 2));
    code.lane(`${vectorShape[x.type]}.extract_lane`, wide ? lane & 1 : lane & 3);
    if (x.type === "bool") {
      code.i32(1);
      code.op("i32.and");
    }
  }
  protected heldVector(x: Ex, r: number): number {
    const held = this.held.get(x);
    return held?.vector[r] ?? this.holdVector(x, r);
  }

  /** Holds the registers of one group of lanes. */
  protected holdGroup(x: Ex, group: number): void {
    if (!isWide(x.type)) this.heldVector(x, group);
    else for (let h = 0; h < 2; h++) this.heldVector(x, 2 * group + h);
  }

  /** An operation without a vector instruction: lane by lane. */
  protected byLane(x: Ex, r: number): void {
    const { code } = this;
    const wide = isWide(x.type);
    const shape = vectorShape[x.type];
    // Operands first, since holding them emits code.
    for (const a of x.args) {
      if (this.varies(a)) this.holdGroup(a, wide ? r >> 1 : r);
      else if (a.op !== "const") this.holdScalar(a);
    }
    code.v128(new Uint8Array(16));
    const first = wide ? r * 2 : r * 4;
    for (let i = 0; i < (wide ? 2 : 4); i++) {
      if (x.op === "idiv" || x.op === "imod") this.divideLane(x, first + i);
      else {
        for (const a of x.args) this.lane(a, first + i);
        if (x.op === "fmod") code.call(this.helpers.function(x.op));
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
  protected reduceLargeLanes(x: Ex, r: number): void {
    const { code } = this;
    const operand = this.heldVector(x.args[0], r);
    const y = code.local("v128");
    code.v128(new Uint8Array(16));
    code.set(y);
    code.get(operand);
    code.op("f64x2.abs");
    this.vectorConstant(largeAngle);
    code.op("f64x2.gt");
    code.op("v128.any_true");
    code.if(() => {
      for (let lane = 0; lane < 2; lane++) {
        code.get(y);
        this.reduceLarge(x.op as Reduction, () => {
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
  protected divideLane(x: Ex, lane: number): void {
    this.laneIndex(x.index!, lane, 1);
    this.divideBy(x);
  }

  /** Pushes `scale * index` for one lane. */
  protected laneIndex(index: Index, lane: number, scale: number): void {
    const { code } = this;
    code.i32(index.c * scale);
    for (const t of index.terms) {
      if (t.atom.axis !== null && t.atom.axis === this.vectorAxis) {
        this.scalar(t.atom);
        code.i32(lane);
        code.op("i32.add");
      } else this.lane(t.atom, lane);
      code.i32(t.coef * scale);
      code.op("i32.mul");
      code.op("i32.add");
    }
  }
}

/** Beyond it, reducing by pi/2 needs more digits than two parts have. */
const largeAngle: Ex = {
  id: -1,
  op: "const",
  type: "f64",
  args: [],
  value: 1e6,
  index: null,
  axis: null,
  slot: -1,
  storage: null,
  pinned: false,
};

/** Words 0 and 2 of two vectors: the low halves of four wide lanes. */
const evenWords: readonly number[] = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27];
const upperHalf: readonly number[] = [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15];
const lowHalves: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];

/** Whether a value is a constant of which all bits are zero. */
function isNothing(x: Ex): boolean {
  return x.op === "const" && Number(x.value) === 0 && !Object.is(x.value, -0);
}
