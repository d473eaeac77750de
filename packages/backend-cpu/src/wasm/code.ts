import { Bytes, type FunctionSlot, type ValueType, valueTypes } from "./encoder.ts";
import { opcodes, type Opcode } from "./opcodes.ts";

/** Block types. */
const empty = 0x40;

/** Writes the body of one function: instructions, locals, and structured control flow with its own labels. */
export class Code {
  readonly #slot: FunctionSlot;
  readonly #locals: ValueType[] = [];
  readonly #out = new Bytes();
  readonly #free = new Map<ValueType, number[]>();
  #depth = 0;

  constructor(slot: FunctionSlot) {
    this.#slot = slot;
  }

  /** A fresh local. */
  local(type: ValueType): number {
    const reused = this.#free.get(type)?.pop();
    if (reused !== undefined) return reused;
    return this.#slot.signature.params.length + this.#locals.push(type) - 1;
  }
  /** Gives a local back for reuse. */
  release(type: ValueType, local: number): void {
    const list = this.#free.get(type);
    if (list === undefined) this.#free.set(type, [local]);
    else list.push(local);
  }
  get(local: number): void {
    this.#out.byte(0x20);
    this.#out.u32(local);
  }
  set(local: number): void {
    this.#out.byte(0x21);
    this.#out.u32(local);
  }
  tee(local: number): void {
    this.#out.byte(0x22);
    this.#out.u32(local);
  }
  i32(value: number): void {
    this.#out.byte(0x41);
    this.#out.i32(value);
  }
  i64(value: bigint): void {
    this.#out.byte(0x42);
    this.#out.i64(value);
  }
  f32(value: number): void {
    this.#out.byte(0x43);
    this.#out.f32(value);
  }
  f64(value: number): void {
    this.#out.byte(0x44);
    this.#out.f64(value);
  }
  v128(bytes: ArrayLike<number>): void {
    this.op("v128.const");
    this.#out.bytes(bytes);
  }
  op(name: Opcode): void {
    const code = opcodes[name];
    if (code >= 0xfd0000) {
      this.#out.byte(0xfd);
      this.#out.u32(code - 0xfd0000);
    } else if (code >= 0xfc00) {
      this.#out.byte(code >> 8);
      this.#out.u32(code & 0xff);
    } else this.#out.byte(code);
  }
  /** A load or store; the alignment hint is the natural one or less. */
  memory(name: Opcode, offset = 0): void {
    this.op(name);
    this.#out.u32(0);
    this.#out.u32(offset);
  }
  /** An atomic access to an aligned i32. */
  atomic(name: Opcode, offset = 0): void {
    this.op(name);
    this.#out.u32(2);
    this.#out.u32(offset);
  }
  /** A load or store of one lane. */
  memoryLane(name: Opcode, lane: number, offset = 0): void {
    this.memory(name, offset);
    this.#out.byte(lane);
  }
  lane(name: Opcode, lane: number): void {
    this.op(name);
    this.#out.byte(lane);
  }
  /** Picks 16 bytes out of two vectors. */
  shuffle(bytes: readonly number[]): void {
    this.op("i8x16.shuffle");
    this.#out.bytes(bytes);
  }
  call(slot: FunctionSlot): void {
    this.#out.byte(0x10);
    this.#out.u32(slot.index);
  }
  memoryCopy(): void {
    this.#out.bytes([0xfc, 10, 0, 0]);
  }

  block(body: (exit: () => void) => void): void {
    this.#out.byte(0x02);
    this.#out.byte(empty);
    const label = ++this.#depth;
    body(() => this.#branch(0x0c, label));
    this.#out.byte(0x0b);
    this.#depth--;
  }
  /** A loop whose body says when to go round again: the condition is on the stack when `again` is called. */
  loop(body: (againIf: () => void) => void): void {
    this.#out.byte(0x03);
    this.#out.byte(empty);
    const label = ++this.#depth;
    body(() => this.#branch(0x0d, label));
    this.#out.byte(0x0b);
    this.#depth--;
  }
  /** Runs `then` when the i32 on the stack is not zero. */
  if(then: () => void, otherwise: (() => void) | null = null): void {
    this.#out.byte(0x04);
    this.#out.byte(empty);
    this.#depth++;
    then();
    if (otherwise !== null) {
      this.#out.byte(0x05);
      otherwise();
    }
    this.#out.byte(0x0b);
    this.#depth--;
  }
  #branch(code: number, label: number): void {
    this.#out.byte(code);
    this.#out.u32(this.#depth - label);
  }

  finish(): void {
    const body = new Bytes();
    const runs: { type: ValueType; count: number }[] = [];
    for (const type of this.#locals) {
      const last = runs[runs.length - 1];
      if (last !== undefined && last.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    body.u32(runs.length);
    for (const { type, count } of runs) {
      body.u32(count);
      body.byte(valueTypes[type]);
    }
    body.bytes(this.#out.take());
    body.byte(0x0b);
    this.#slot.body = body.take();
  }
}
