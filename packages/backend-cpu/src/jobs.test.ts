import { expect, test } from "vitest";
import { Jobs } from "./emit/jobs.ts";
import { control } from "./threads/control.ts";
import { Code } from "./wasm/code.ts";
import { ModuleBuilder } from "./wasm/encoder.ts";

interface Shape {
  readonly tasks: number;
  readonly chunk: number;
  readonly least: number;
  /** Tasks of what each thread has to do first. */
  readonly before?: number;
}

/** What `threads` threads call, one thread after the other, each as long as there is something to do. Names of functions, ranges of tasks. */
function calls(threads: number, { tasks, chunk, least, before }: Shape, order: readonly number[]): string[][] {
  const module = new ModuleBuilder();
  const trouble = Jobs.imports(module);
  const note = module.import("note", ["i32", "i32", "i32", "i32"], []);
  const jobs = new Jobs(module, trouble, threads);
  const noting = (kind: number): ReturnType<ModuleBuilder["declare"]> => {
    const slot = module.declare(["i32", "i32", "i32"], []);
    const code = new Code(slot);
    code.i32(kind);
    for (const parameter of [0, 1, 2]) code.get(parameter);
    code.call(note);
    code.finish();
    return slot;
  };
  const run = new Code(module.declare([], [], "run"));
  const own = before === undefined ? [] : [{ slot: noting(1), tasks: before }];
  jobs.launch(run, { slot: noting(0), tasks, chunk, least, strides: [1], before: own }, () => run.i32(7));
  run.finish();
  jobs.finish();
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const seen: string[][] = Array.from({ length: threads }, () => []);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish({ shared: true, maximumPages: 1 })), {
    e: {
      m: memory,
      trouble: () => {},
      note: (kind: number, begin: number, end: number, pointer: number) =>
        // The pointer is to memory of the thread's own, so it says which one this is.
        void seen[pointer - 7].push(`${kind === 0 ? "" : "before "}${begin}-${end}`),
    },
  });
  new Int32Array(memory.buffer)[control.pointers / 4] = 7;
  for (const thread of order) (exports["work"] as (thread: number) => void)(thread);
  return seen;
}

test("a thread takes its own tasks first, then those of the others", () => {
  const shape = { tasks: 22, chunk: 4, least: 4 };
  expect(calls(3, shape, [1, 0, 2])).toEqual([[], ["8-12", "12-16", "16-20", "20-22", "0-4", "4-8"], []]);
  expect(calls(1, shape, [0])).toEqual([["0-4", "4-8", "8-12", "12-16", "16-20", "20-22"]]);
});

test("chunks become smaller as tasks become fewer", () => {
  const shape = { tasks: 42, chunk: 8, least: 2 };
  const halves = (from: number, until: number): string[] => {
    const list: string[] = [];
    for (let at = from; at < until;) {
      const end = Math.min(until, at + Math.max(2, Math.min(8, Math.floor((until - at) / 2))));
      list.push(`${at}-${end}`);
      at = end;
    }
    return list;
  };
  expect(calls(2, shape, [1])[1]).toEqual([...halves(21, 42), ...halves(0, 21)]);
});

test.each([1, 2, 3, 5, 32])("every task is taken once by %i threads, whoever comes first", (threads) => {
  for (const tasks of [1, 2, 7, 31, 64, 100]) {
    for (const [chunk, least] of [
      [1, 1],
      [3, 3],
      [9, 2],
    ]) {
      const order = Array.from({ length: threads }, (_, i) => threads - 1 - i);
      const taken = calls(threads, { tasks, chunk, least }, order).flatMap((list) =>
        list.flatMap((range) => {
          const [begin, end] = range.split("-").map(Number);
          return Array.from({ length: end - begin }, (_, i) => begin + i);
        }),
      );
      expect(taken.toSorted((a, b) => a - b)).toEqual(Array.from({ length: tasks }, (_, i) => i));
    }
  }
});

test("what a thread has to do first it does once, and not where it comes too late", () => {
  const shape = { tasks: 4, chunk: 2, least: 2, before: 6 };
  expect(calls(2, shape, [0, 1])).toEqual([["before 0-6", "0-2", "2-4"], []]);
  expect(calls(2, shape, [1, 0])).toEqual([[], ["before 0-6", "2-4", "0-2"]]);
});
