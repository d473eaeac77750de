import { type Ex, reachable, type Routine, type Statement, type Storage, storageBytes } from "@traceform/compiler";
import { Code } from "../wasm/code.ts";
import type { FunctionSlot } from "../wasm/encoder.ts";
import { Evaluator } from "./evaluator.ts";
import type { Helpers } from "./helpers.ts";
import { scalarLoads, scalarStores } from "./scalar-evaluator.ts";
import { wasmType } from "./scalar-ops.ts";

/** Emits a routine as a function `(begin, end, ...pointers)` over its tasks. Variables are locals. */
export function emitRoutine(routine: Routine, slot: FunctionSlot, helpers: Helpers): void {
  const code = new Code(slot);
  const ev = new Evaluator(code, helpers, (s) => s + 2);
  const locals = new Map<Ex, number>();
  ev.bindScalar(routine.begin, 0);
  ev.bindScalar(routine.end, 1);
  for (const v of routine.variables) {
    const local = code.local(wasmType[v.type]);
    locals.set(v, local);
    ev.bindScalar(v, local);
  }
  const evaluate = (x: Ex): void => {
    // Variables change between statements, so nothing is held beyond one expression.
    const mark = ev.mark();
    const uses = new Map<Ex, number>();
    for (const n of reachable([x])) for (const a of n.args) uses.set(a, (uses.get(a) ?? 0) + 1);
    ev.setUses(uses);
    ev.scalar(x);
    ev.undo(mark);
  };
  const address = (pointer: number, storage: Storage, position: Ex): void => {
    code.get(pointer + 2);
    evaluate(position);
    code.i32(Math.log2(storageBytes[storage]));
    code.op("i32.shl");
    code.op("i32.add");
  };
  const run = (list: readonly Statement[]): void => list.forEach(statement);
  const statement = (s: Statement): void => {
    switch (s.kind) {
      case "set":
        evaluate(s.value);
        return code.set(locals.get(s.variable)!);
      case "load":
        address(s.slot, s.storage, s.position);
        code.memory(scalarLoads[s.storage]);
        return code.set(locals.get(s.variable)!);
      case "store":
        address(s.slot, s.storage, s.position);
        evaluate(s.value);
        return code.memory(scalarStores[s.storage]);
      case "for": {
        const v = locals.get(s.variable)!;
        const end = code.local("i32");
        evaluate(s.from);
        code.set(v);
        evaluate(s.to);
        code.set(end);
        const test = (): void => {
          code.get(v);
          code.get(end);
          code.op("i32.lt_s");
        };
        test();
        code.if(() =>
          code.loop((again) => {
            run(s.body);
            code.get(v);
            code.i32(1);
            code.op("i32.add");
            code.set(v);
            test();
            again();
          }),
        );
        return code.release("i32", end);
      }
      case "while":
        return code.block((exit) =>
          code.loop((again) => {
            run(s.condition);
            evaluate(s.test);
            code.op("i32.eqz");
            code.if(() => exit());
            run(s.body);
            code.i32(1);
            again();
          }),
        );
      case "if":
        evaluate(s.test);
        return code.if(() => run(s.then), s.otherwise.length > 0 ? () => run(s.otherwise) : null);
    }
  };
  run(routine.body);
  code.finish();
}
