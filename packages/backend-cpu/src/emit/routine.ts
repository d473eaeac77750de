import { type Ex, type LanesLoop, reachable, type Routine, type Statement, type Storage, storageBytes } from "@traceform/compiler";
import { Code } from "../wasm/code.ts";
import type { FunctionSlot } from "../wasm/encoder.ts";
import { Evaluator } from "./evaluator.ts";
import type { Helpers } from "./helpers.ts";
import { lanes } from "./holder.ts";
import { scalarLoads, scalarStores } from "./scalar-evaluator.ts";
import { isWide, vectorShape, wasmType } from "./scalar-ops.ts";

/** Emits a routine as a function `(begin, end, ...pointers)` over its tasks. Variables are locals. */
export function emitRoutine(routine: Routine, slot: FunctionSlot, helpers: Helpers): void {
  new RoutineEmitter(routine, slot, helpers).emit();
}

class RoutineEmitter {
  readonly #routine: Routine;
  readonly #code: Code;
  readonly #ev: Evaluator;
  readonly #locals = new Map<Ex, number>();
  /** Inside the vector form of a loop over lanes: its variable, and the registers of the variables that differ by lane. */
  #lane: Ex | null = null;
  readonly #registers = new Map<Ex, readonly number[]>();

  constructor(routine: Routine, slot: FunctionSlot, helpers: Helpers) {
    this.#routine = routine;
    this.#code = new Code(slot);
    this.#ev = new Evaluator(this.#code, helpers, (s) => s + 2);
  }

  emit(): void {
    const { begin, end, variables, body } = this.#routine;
    this.#ev.bindScalar(begin, 0);
    this.#ev.bindScalar(end, 1);
    for (const v of variables) {
      const local = this.#code.local(wasmType[v.type]);
      this.#locals.set(v, local);
      this.#ev.bindScalar(v, local);
    }
    this.#run(body);
    this.#code.finish();
  }

  /** Emits an expression; variables change between statements, so nothing is held beyond it. */
  #evaluating(x: Ex, emit: () => void): void {
    const mark = this.#ev.mark();
    const uses = new Map<Ex, number>();
    for (const n of reachable([x])) for (const a of n.args) uses.set(a, (uses.get(a) ?? 0) + 1);
    this.#ev.setUses(uses);
    emit();
    this.#ev.undo(mark);
  }
  #scalar(x: Ex): void {
    this.#evaluating(x, () => this.#ev.scalar(x));
  }

  #address(pointer: number, storage: Storage, position: Ex): void {
    const code = this.#code;
    code.get(pointer + 2);
    this.#scalar(position);
    code.i32(Math.log2(storageBytes[storage]));
    code.op("i32.shl");
    code.op("i32.add");
  }

  #run(list: readonly Statement[]): void {
    for (const s of list) this.#statement(s);
  }

  #statement(s: Statement): void {
    const code = this.#code;
    switch (s.kind) {
      case "set": {
        const registers = this.#registers.get(s.variable);
        if (registers !== undefined) return this.#setVector(registers, s.value);
        this.#scalar(s.value);
        return code.set(this.#locals.get(s.variable)!);
      }
      case "load": {
        const registers = this.#registers.get(s.variable);
        if (registers !== undefined) return this.#loadVector(registers, s);
        this.#address(s.slot, s.storage, s.position);
        code.memory(scalarLoads[s.storage]);
        return code.set(this.#locals.get(s.variable)!);
      }
      case "store":
        if (this.#lane !== null && reachable([s.position]).has(this.#lane)) return this.#storeVector(s);
        this.#address(s.slot, s.storage, s.position);
        this.#scalar(s.value);
        return code.memory(scalarStores[s.storage]);
      case "for":
        return this.#counting(s, 1, () => this.#run(s.body));
      case "lanes":
        return this.#lanes(s);
      case "while":
        return code.block((exit) =>
          code.loop((again) => {
            this.#run(s.condition);
            this.#scalar(s.test);
            code.op("i32.eqz");
            code.if(() => exit());
            this.#run(s.body);
            code.i32(1);
            again();
          }),
        );
      case "if":
        this.#scalar(s.test);
        return code.if(() => this.#run(s.then), s.otherwise.length > 0 ? () => this.#run(s.otherwise) : null);
    }
  }

  #counting({ variable, from, to }: Pick<LanesLoop, "variable" | "from" | "to">, step: number, body: () => void): void {
    const v = this.#locals.get(variable)!;
    const end = this.#code.local("i32");
    this.#scalar(from);
    this.#code.set(v);
    this.#scalar(to);
    this.#code.set(end);
    this.#repeat(v, end, step, body);
    this.#code.release("i32", end);
  }

  /** Runs the body while `step` more iterations fit in front of `end`. */
  #repeat(v: number, end: number, step: number, body: () => void): void {
    const code = this.#code;
    const test = (): void => {
      code.get(v);
      if (step > 1) {
        code.i32(step);
        code.op("i32.add");
      }
      code.get(end);
      code.op(step > 1 ? "i32.le_s" : "i32.lt_s");
    };
    test();
    code.if(() =>
      code.loop((again) => {
        body();
        code.get(v);
        code.i32(step);
        code.op("i32.add");
        code.set(v);
        test();
        again();
      }),
    );
  }

  /** A loop over lanes: many elements a pass, then four, then one. Passes that a fixed length leaves out are not emitted. */
  #lanes(s: LanesLoop): void {
    const code = this.#code;
    const v = this.#locals.get(s.variable)!;
    const end = code.local("i32");
    this.#scalar(s.from);
    code.set(v);
    this.#scalar(s.to);
    code.set(end);
    const fixed = s.from.op === "const" && s.to.op === "const";
    let left = fixed ? Number(s.to.value) - Number(s.from.value) : Infinity;
    for (const groups of s.groups > 1 ? [s.groups, 1] : [1]) {
      const width = lanes * groups;
      if (left < width) continue;
      if (fixed) left %= width;
      this.#vectorPasses(s, groups, v, end);
    }
    if (left > 0) this.#repeat(v, end, 1, () => this.#run(s.body));
    code.release("i32", end);
  }

  #vectorPasses(s: LanesLoop, groups: number, v: number, end: number): void {
    const code = this.#code;
    const ev = this.#ev;
    const mark = ev.mark();
    ev.groups = groups;
    this.#lane = s.variable;
    for (const x of varyingVariables(s)) {
      const registers = Array.from({ length: ev.registers(x.type) }, () => code.local("v128"));
      this.#registers.set(x, registers);
      ev.bindVector(x, registers);
    }
    const zero = (register: number): void => {
      code.v128(new Uint8Array(16));
      code.set(register);
    };
    for (const sum of s.sums) this.#registers.get(sum)!.forEach(zero);
    this.#repeat(v, end, lanes * groups, () => this.#run(s.body));
    for (const sum of s.sums) this.#addLanes(sum);
    ev.undo(mark);
    for (const registers of this.#registers.values()) registers.forEach((r) => code.release("v128", r));
    this.#registers.clear();
    this.#lane = null;
    ev.groups = 1;
  }

  /** Adds what the lanes of a sum hold to its scalar. */
  #addLanes(sum: Ex): void {
    const code = this.#code;
    const registers = this.#registers.get(sum)!;
    const shape = vectorShape[sum.type] as "f32x4" | "f64x2";
    const type = sum.type as "f32" | "f64";
    registers.forEach((r, i) => {
      code.get(r);
      if (i > 0) code.op(`${shape}.add`);
    });
    code.set(registers[0]);
    const lane = (i: number): void => {
      code.get(registers[0]);
      code.lane(`${shape}.extract_lane`, i);
    };
    const local = this.#locals.get(sum)!;
    lane(0);
    lane(1);
    code.op(`${type}.add`);
    if (!isWide(type)) {
      lane(2);
      lane(3);
      code.op(`${type}.add`);
      code.op(`${type}.add`);
    }
    code.get(local);
    code.op(`${type}.add`);
    code.set(local);
  }

  #setVector(registers: readonly number[], value: Ex): void {
    this.#evaluating(value, () => {
      registers.forEach((register, r) => {
        this.#ev.vector(value, r);
        this.#code.set(register);
      });
    });
  }

  #loadVector(registers: readonly number[], s: Extract<Statement, { kind: "load" }>): void {
    const code = this.#code;
    if (!reachable([s.position]).has(this.#lane!)) {
      // The same element for all lanes.
      this.#address(s.slot, s.storage, s.position);
      code.memory(scalarLoads[s.storage]);
      code.op(`${vectorShape[s.variable.type]}.splat`);
      code.set(registers[0]);
      registers.slice(1).forEach((register) => {
        code.get(registers[0]);
        code.set(register);
      });
      return;
    }
    const at = this.#heldAddress(s);
    registers.forEach((register, r) => {
      code.get(at);
      code.memory("v128.load", 16 * r);
      code.set(register);
    });
    code.release("i32", at);
  }

  #storeVector(s: Extract<Statement, { kind: "store" }>): void {
    const code = this.#code;
    const at = this.#heldAddress(s);
    this.#evaluating(s.value, () => {
      for (let r = 0; r < this.#ev.registers(s.value.type); r++) {
        code.get(at);
        this.#ev.vector(s.value, r);
        code.memory("v128.store", 16 * r);
      }
    });
    code.release("i32", at);
  }

  #heldAddress(s: Extract<Statement, { kind: "load" | "store" }>): number {
    const at = this.#code.local("i32");
    this.#address(s.slot, s.storage, s.position);
    this.#code.set(at);
    return at;
  }
}

/** The variables that hold a value for each lane: those set to what depends on the loop's variable, directly or not. */
function varyingVariables(loop: LanesLoop): ReadonlySet<Ex> {
  const varying = new Set<Ex>(loop.sums);
  const seeds = new Set<Ex>([loop.variable]);
  const depends = (x: Ex): boolean => [...reachable([x])].some((n) => varying.has(n) || seeds.has(n));
  const visit = (list: readonly Statement[]): void => {
    for (const s of list) {
      if (s.kind === "set" && depends(s.value)) varying.add(s.variable);
      else if (s.kind === "load" && depends(s.position)) varying.add(s.variable);
      else if (s.kind === "for") visit(s.body);
      else if (s.kind === "while") [s.condition, s.body].forEach(visit);
      else if (s.kind === "if") [s.then, s.otherwise].forEach(visit);
    }
  };
  for (let before = -1; before !== varying.size;) {
    before = varying.size;
    visit(loop.body);
  }
  return varying;
}
