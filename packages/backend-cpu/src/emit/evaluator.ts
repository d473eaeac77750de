import { type Ex, type Index, indexKey, type Storage, storageBytes, strideAlong } from "@traceform/compiler";
import { lanes, type StoreTarget } from "./holder.ts";
import { isWide } from "./scalar-ops.ts";
import { scalarLoads, scalarStores } from "./scalar-evaluator.ts";
import { VectorEvaluator } from "./vector-evaluator.ts";

/**
 * Emits expressions of one kernel. Values that are used again, or deeper in the loops, are held in locals; the rest
 * stays on WebAssembly's stack. In a vector loop an expression that depends on the loop's axis is emitted on lanes, and
 * any other is a scalar that is spread over the lanes where it meets one.
 */
export class Evaluator extends VectorEvaluator {
  /** The step of an access from lane to lane, or null when lanes must be addressed one by one. */
  protected laneStride(index: Index, guard: Ex | null): number | null {
    if (guard !== null && this.varies(guard)) return null;
    if (this.vectorAxis === null) return index.terms.some((t) => this.varies(t.atom)) ? null : 0;
    for (const t of index.terms) if (t.atom.axis === null && this.varies(t.atom)) return null;
    return strideAlong(index, this.vectorAxis);
  }

  protected vectorLoad(x: Ex, r: number): void {
    const guard = x.args[0] ?? null;
    const stride = this.laneStride(x.index!, null);
    if (stride !== 1) return guard === null && isStep(stride, x.storage!) ? this.steppedLoad(x, r, stride) : this.gatherLanes(x, r);
    if (guard !== null && this.varies(guard)) return this.partlyGuarded(x, r, guard);
    this.code.get(this.vectorAddress(x));
    this.contiguous(x, r);
  }

  /**
   * The local with the address from which all registers of a dense access are loaded. One local for all of them shows the engine
   * that they are neighbours: it then joins pairs of them (`compileWide`).
   */
  protected vectorAddress(x: Ex): number {
    let local = this.vectorAddresses.get(x);
    if (local === undefined) {
      this.guardedAddress(x);
      local = this.own("i32");
      this.code.set(local);
      this.vectorAddresses.set(x, local);
      this.trail.push(() => this.vectorAddresses.delete(x));
    }
    return local;
  }
  protected readonly vectorAddresses: Map<Ex, number> = new Map<Ex, number>();

  /** A guard that differs between lanes mostly does not, so whole vectors are tried first. */
  protected partlyGuarded(x: Ex, r: number, guard: Ex): void {
    const { code } = this;
    const y = code.local("v128");
    code.get(this.heldVector(guard, isWide(x.type) ? r >> 1 : r));
    code.op("i32x4.all_true");
    code.if(
      () => {
        const mark = this.mark();
        this.address(x);
        this.contiguous(x, r);
        code.set(y);
        this.undo(mark);
      },
      () => {
        const mark = this.mark();
        this.gatherLanes(x, r);
        code.set(y);
        this.undo(mark);
      },
    );
    code.get(y);
    code.release("v128", y);
  }

  /** Loads register `r` from the address on the stack. */
  protected contiguous(x: Ex, r: number): void {
    const { code } = this;
    const { offset } = this.access(x);
    switch (x.storage!) {
      case "f32":
      case "i32":
        return code.memory("v128.load", offset + r * 16);
      case "f64":
      case "i64":
        return code.memory("v128.load", offset + r * 16);
      case "u16":
        return code.memory("v128.load16x4_u", offset + r * 8);
      case "i16":
        return code.memory("v128.load16x4_s", offset + r * 8);
      default: {
        const signed = x.storage === "i8";
        code.memory("v128.load32_zero", offset + r * 4);
        code.op(signed ? "i16x8.extend_low_i8x16_s" : "i16x8.extend_low_i8x16_u");
        code.op(signed ? "i32x4.extend_low_i16x8_s" : "i32x4.extend_low_i16x8_u");
        if (x.storage === "bool") code.op("i32x4.neg");
      }
    }
  }

  /**
   * Pushes an address from which every lane of an access that takes equal steps is reached by going up, and returns the
   * lane that lies there.
   */
  protected steppedAddress(of: Ex | StoreTarget, step: number): number {
    this.address(of);
    if (step > 0) return 0;
    const last = lanes * this.groups - 1;
    this.code.i32(last * step * storageBytes[of.storage!]);
    this.code.op("i32.add");
    return last;
  }

  /** Loads register `r`, whose lanes take equal steps through memory; backwards by one, they are turned round. */
  protected steppedLoad(x: Ex, r: number, step: number): void {
    const { code } = this;
    const bytes = storageBytes[x.storage!];
    const { offset } = this.access(x);
    const width = 16 / bytes;
    const base = code.local("i32");
    const origin = this.steppedAddress(x, step);
    code.set(base);
    const at = (lane: number): number => offset + (lane - origin) * step * bytes;
    code.get(base);
    if (step === -1) {
      code.memory("v128.load", at(r * width + width - 1));
      this.reverse(bytes);
    } else {
      const load = bytes === 8 ? "64" : "32";
      code.memory(`v128.load${load}_zero`, at(r * width));
      for (let i = 1; i < width; i++) {
        const held = code.local("v128");
        code.set(held);
        code.get(base);
        code.get(held);
        code.memoryLane(`v128.load${load}_lane`, i, at(r * width + i));
        code.release("v128", held);
      }
    }
    code.release("i32", base);
  }

  protected steppedStore(s: StoreTarget, step: number): void {
    const { code } = this;
    const bytes = storageBytes[s.storage];
    const { offset } = this.access(s);
    const width = 16 / bytes;
    const base = code.local("i32");
    const origin = this.steppedAddress(s, step);
    code.set(base);
    const at = (lane: number): number => offset + (lane - origin) * step * bytes;
    for (let r = 0; r < this.registers(s.value.type); r++) {
      if (step === -1) {
        code.get(base);
        this.vector(s.value, r);
        this.reverse(bytes);
        code.memory("v128.store", at(r * width + width - 1));
        continue;
      }
      for (let i = 0; i < width; i++) {
        code.get(base);
        this.vector(s.value, r);
        code.memoryLane(bytes === 8 ? "v128.store64_lane" : "v128.store32_lane", i, at(r * width + i));
      }
    }
    code.release("i32", base);
  }

  /** Turns the lanes of the vector on the stack round. */
  protected reverse(bytes: number): void {
    const { code } = this;
    const held = code.local("v128");
    code.tee(held);
    code.get(held);
    code.shuffle(Array.from({ length: 16 }, (_, i) => 16 - bytes * (Math.floor(i / bytes) + 1) + (i % bytes)));
    code.release("v128", held);
  }

  protected gatherLanes(x: Ex, r: number): void {
    const { code } = this;
    const wide = isWide(x.type);
    const bytes = storageBytes[x.storage!];
    const guard = x.args[0] ?? null;
    for (const t of x.index!.terms)
      if (t.atom.axis !== this.vectorAxis && this.varies(t.atom)) this.heldVector(t.atom, wide ? r >> 1 : r);
    if (guard !== null && this.varies(guard)) this.heldVector(guard, wide ? r >> 1 : r);
    code.v128(new Uint8Array(16));
    const held = code.local("v128");
    code.set(held);
    const first = wide ? r * 2 : r * 4;
    for (let i = 0; i < (wide ? 2 : 4); i++) {
      const simple = bytes >= 4;
      if (!simple) code.get(held);
      code.get(this.pointer(x.slot));
      this.laneIndex(x.index!, first + i, bytes);
      code.op("i32.add");
      if (guard !== null) {
        code.get(this.pointer(x.slot));
        this.lane(guard, first + i);
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

  /** The stores of one iteration. Those to neighbouring places, each against the grain, are transposed and stored together. */
  storeVectors(stores: readonly StoreTarget[]): void {
    for (let i = 0; i < stores.length;) {
      const count = [4, 2].find((n) => this.neighbours(stores.slice(i, i + n), n)) ?? 1;
      if (count === 1) this.storeVector(stores[i]);
      else this.transposedStore(stores.slice(i, i + count));
      i += count;
    }
  }

  /** Whether so many stores of words go to places one after the other, from where their lanes take equal steps. */
  protected neighbours(stores: readonly StoreTarget[], count: number): boolean {
    const [first] = stores;
    const step = this.laneStride(first.index, first.guard);
    if (stores.length < count || first.guard !== null || !isStep(step, first.storage) || step < count) return false;
    const terms = indexKey({ ...first.index, c: 0 });
    return stores.every(
      (s, i) =>
        s.slot === first.slot &&
        s.storage === first.storage &&
        storageBytes[s.storage] === 4 &&
        s.guard === null &&
        s.index.c === first.index.c + i &&
        indexKey({ ...s.index, c: 0 }) === terms &&
        // Values that are loaded in order may depend on the store before.
        s.value.op === "load" &&
        !s.value.pinned &&
        this.varies(s.value),
    );
  }

  /** Stores four or two vectors whose lanes i are neighbours in memory. */
  protected transposedStore(stores: readonly StoreTarget[]): void {
    const { code } = this;
    const [first] = stores;
    const step = this.laneStride(first.index, null)! * 4;
    const { offset } = this.access(first);
    const at = code.local("i32");
    for (const s of stores) for (let r = 0; r < this.groups; r++) this.heldVector(s.value, r);
    this.address(first);
    code.set(at);
    const mixed = (x: number, y: number, words: readonly number[]): number => {
      const out = code.local("v128");
      code.get(x);
      code.get(y);
      code.shuffle(words.flatMap((w) => [0, 1, 2, 3].map((b) => 4 * w + b)));
      code.set(out);
      return out;
    };
    for (let r = 0; r < this.groups; r++) {
      const place = (lane: number): number => offset + (r * lanes + lane) * step;
      const values = stores.map((s) => this.heldVector(s.value, r));
      // Lanes 0 and 1, and lanes 2 and 3, of each pair of values.
      const halves = [lowPairs, highPairs].map((words) =>
        [0, 2].slice(0, stores.length / 2).map((v) => mixed(values[v], values[v + 1], words)),
      );
      halves.forEach((pairs, half) => {
        for (let i = 0; i < 2; i++) {
          code.get(at);
          if (pairs.length === 1) {
            code.get(pairs[0]);
            code.memoryLane("v128.store64_lane", i, place(2 * half + i));
            continue;
          }
          const row = mixed(pairs[0], pairs[1], i === 0 ? firstHalves : secondHalves);
          code.get(row);
          code.memory("v128.store", place(2 * half + i));
          code.release("v128", row);
        }
      });
      for (const v of halves.flat()) code.release("v128", v);
    }
    code.release("i32", at);
  }

  storeVector(s: StoreTarget): void {
    const { code } = this;
    const stride = this.laneStride(s.index, s.guard);
    // All registers first: the stores of neighbours then stand side by side, and may overwrite what was read.
    if (this.varies(s.value)) for (let r = 0; r < this.registers(s.value.type); r++) this.heldVector(s.value, r);
    if (stride !== 1)
      return s.guard === null && this.varies(s.value) && isStep(stride, s.storage)
        ? this.steppedStore(s, stride)
        : this.scatterLanes(s);
    const { offset } = this.access(s);
    const write = (): void => {
      if (storageBytes[s.storage] < 4) {
        for (let r = 0; r < this.registers(s.value.type); r++) this.storeNarrow(s, r);
        return;
      }
      const at = code.local("i32");
      this.address(s);
      code.set(at);
      for (let r = 0; r < this.registers(s.value.type); r++) {
        code.get(at);
        this.vector(s.value, r);
        code.memory("v128.store", offset + r * 16);
      }
      code.release("i32", at);
    };
    if (s.guard === null) return write();
    this.scalar(s.guard);
    this.when(write);
  }

  /** Stores four values of one or two bytes. */
  protected storeNarrow(s: StoreTarget, r: number): void {
    const { code } = this;
    const bytes = storageBytes[s.storage];
    const v = code.local("v128");
    this.vector(s.value, r);
    code.v128(Array.from({ length: 16 }, (_, i) => (i % 4 < bytes ? (s.storage === "bool" ? (i % 4 === 0 ? 1 : 0) : 255) : 0)));
    code.op("v128.and");
    code.set(v);
    this.address(s);
    code.get(v);
    code.get(v);
    code.op("i16x8.narrow_i32x4_u");
    if (bytes === 1) {
      code.set(v);
      code.get(v);
      code.get(v);
      code.op("i8x16.narrow_i16x8_u");
    }
    code.memoryLane(bytes === 1 ? "v128.store32_lane" : "v128.store64_lane", 0, this.access(s).offset + r * 4 * bytes);
    code.release("v128", v);
  }

  protected scatterLanes(s: StoreTarget): void {
    const { code } = this;
    const bytes = storageBytes[s.storage];
    for (const t of s.index.terms)
      if (t.atom.axis !== this.vectorAxis && this.varies(t.atom)) for (let g = 0; g < this.groups; g++) this.heldVector(t.atom, g);
    if (s.guard !== null && this.varies(s.guard)) for (let g = 0; g < this.groups; g++) this.heldVector(s.guard, g);
    if (!this.varies(s.value) && s.value.op !== "const") this.holdScalar(s.value);
    for (let i = 0; i < lanes * this.groups; i++) {
      const write = (): void => {
        code.get(this.pointer(s.slot));
        this.laneIndex(s.index, i, bytes);
        code.op("i32.add");
        this.lane(s.value, i);
        code.memory(scalarStores[s.storage]);
      };
      if (s.guard === null) write();
      else {
        this.lane(s.guard, i);
        this.when(write);
      }
    }
  }
}

/** Whether lanes of 32 or 64 bits take equal steps that instructions can hold. */
function isStep(stride: number | null, storage: Storage): stride is number {
  return stride !== null && stride !== 0 && Math.abs(stride) < largestStep && storageBytes[storage] >= 4;
}
const largestStep = 1 << 20;

/** Words of two vectors: pairs of their lower and upper lanes, and halves of both. */
const lowPairs = [0, 4, 1, 5];
const highPairs = [2, 6, 3, 7];
const firstHalves = [0, 1, 4, 5];
const secondHalves = [2, 3, 6, 7];
