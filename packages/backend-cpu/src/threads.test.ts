import { BackendError, type Backend, makeAval, type NDArray, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { afterEach, describe, expect, test, vi } from "vitest";
import { cpu } from "./index.ts";
import { control, state } from "./threads/control.ts";
import { WorkerPool } from "./threads/pool.ts";
import { Code } from "./wasm/code.ts";
import { ModuleBuilder } from "./wasm/encoder.ts";

function values(n: number): Float32Array<ArrayBuffer> {
  let seed = 7;
  return Float32Array.from({ length: n }, () => (seed = (seed * 48271) % 2147483647) / 2147483647 - 0.5);
}

/** Bytes of the results of a function on a backend, run often enough that all of its threads have come up. */
async function results(
  backend: Backend,
  fn: (...xs: NDArray[]) => NDArray,
  shapes: readonly (readonly number[])[],
): Promise<string[]> {
  const [device] = backend.devices;
  const program = backend.compile(
    traceToJaxpr(
      (...xs) => [fn(...xs)],
      shapes.map((s) => makeAval(s, "float32")),
      "f",
    ),
    { name: "f" },
  );
  const args = shapes.map((shape) => {
    const data = values(shape.reduce((a, b) => a * b, 1));
    return backend.put({ shape, dtype: "float32", bytes: new Uint8Array(data.buffer) }, device);
  });
  const seen = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const [out] = program.run(args);
    seen.add(Buffer.from((await backend.read(out)).bytes).toString("base64"));
    out.release();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return [...seen];
}

function softmax(x: NDArray): NDArray {
  const rows = (r: NDArray): NDArray => lax.broadcastInDim(r, x.shape, [0]);
  const e = lax.exp(lax.sub(x, rows(lax.reduceMax(x, [1]))));
  return lax.div(e, rows(lax.reduceSum(e, [1])));
}
const programs: Record<string, readonly [(...xs: NDArray[]) => NDArray, readonly (readonly number[])[]]> = {
  "a product": [
    (a, b) => lax.dot(a, b),
    [
      [301, 210],
      [210, 187],
    ],
  ],
  // Blocks are cut from all batches in a row, as large as what is left, so they begin and end anywhere.
  "products of batches": [
    (a, b) => lax.tanh(lax.batchMatmul(a, b)),
    [
      [7, 101, 130],
      [7, 130, 93],
    ],
  ],
  "products of the same matrix with batches, by columns": [
    (a, b) => lax.batchMatmul(lax.broadcastInDim(a, [5, 37, 120], [1, 2]), b),
    [
      [37, 120],
      [5, 120, 210],
    ],
  ],
  "products of batches with the same matrix, by columns": [
    (a, b) => lax.batchMatmul(a, lax.broadcastInDim(b, [5, 120, 210], [1, 2])),
    [
      [5, 37, 120],
      [120, 210],
    ],
  ],
  // So many rows, or columns, for each thread that it packs the other operand for itself.
  "a product of many rows": [
    (a, b) => lax.tanh(lax.dot(a, b)),
    [
      [1301, 70],
      [70, 90],
    ],
  ],
  "a product of many columns": [
    (a, b) => lax.dot(a, b),
    [
      [50, 300],
      [300, 1301],
    ],
  ],
  "products of batches with the same small matrix": [
    (a, b) => lax.batchMatmul(a, lax.broadcastInDim(b, [5, 120, 110], [1, 2])),
    [
      [5, 301, 120],
      [120, 110],
    ],
  ],
  "a product of float64": [
    (a, b) =>
      lax.convertElementType(
        lax.dot(...([a, b].map((x) => lax.convertElementType(x, "float64")) as [NDArray, NDArray])),
        "float32",
      ),
    [
      [150, 210],
      [210, 187],
    ],
  ],
  "a running sum": [(x) => lax.cumsum(x), [[50_001]]],
  "an odd elementwise chain": [(x) => lax.tanh(lax.mul(lax.add(x, 1), x)), [[301, 1003]]],
  softmax: [softmax, [[999, 77]]],
  "a sum of columns": [(x) => lax.reduceSum(x, [0]), [[1003, 301]]],
  "a sum of everything": [(x) => lax.reduceSum(x, [0, 1]), [[1024, 300]]],
  "a scan of products": [
    (x, w) => lax.scan((c: NDArray, _: null) => [lax.tanh(lax.dot(c, w)), null] as [NDArray, null], x, null, { length: 5 })[0],
    [
      [130, 128],
      [128, 128],
    ],
  ],
};

describe("results do not depend on the number of threads", () => {
  test.each(Object.entries(programs))("%s", async (_name, [fn, shapes]) => {
    const all = new Set<string>();
    for (const threads of [1, 2, 5]) {
      const backend = cpu({ threads, grain: 1 << 12 });
      for (const r of await results(backend, fn, shapes)) all.add(r);
      backend[Symbol.dispose]();
    }
    expect(all.size).toBe(1);
  });
});

/** A module whose `work` counts calls at address 2048 and, at the end, does what `also` says. */
function worker(also: (code: Code) => void = () => {}): WebAssembly.Module {
  const module = new ModuleBuilder();
  const code = new Code(module.declare([], [], "work"));
  code.i32(2048);
  code.i32(1);
  code.atomic("i32.atomic.rmw.add");
  code.op("drop");
  also(code);
  code.finish();
  return new WebAssembly.Module(module.finish({ shared: true, maximumPages: 16 }));
}

describe("the pool", () => {
  const made: WorkerPool[] = [];
  afterEach(() => {
    for (const pool of made.splice(0)) pool.terminate();
  });
  function pool(workers: number): { readonly pool: WorkerPool; readonly words: Int32Array } {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared: true });
    const p = new WorkerPool(memory, workers, 0);
    made.push(p);
    return { pool: p, words: new Int32Array(memory.buffer) };
  }
  const open = (words: Int32Array): void => {
    Atomics.add(words, control.state / 4, state.generation + state.open);
    Atomics.notify(words, control.state / 4);
  };
  const close = (words: Int32Array): void => void Atomics.sub(words, control.state / 4, state.open);
  const until = (done: () => boolean): Promise<void> => vi.waitFor(() => expect(done()).toBe(true), { timeout: 20_000 });
  const joined = (words: Int32Array): number => Atomics.load(words, 512);

  test("each worker joins a job once, asleep or not", async () => {
    const { pool: p, words } = pool(3);
    p.register({ module: worker(), library: null, work: 1 }).select();
    await until(() => p.ready === 3);
    for (let job = 1; job <= 20; job++) {
      open(words);
      await until(() => joined(words) === 3 * job);
      close(words);
      if (job % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(Atomics.load(words, control.state / 4) & state.active).toBe(0);
  });

  test("workers start when there is enough for them to do", async () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared: true });
    const p = new WorkerPool(memory, 2, 100);
    made.push(p);
    const jobs = p.register({ module: worker(), library: null, work: 60 });
    jobs.select();
    expect(p.size).toBe(0);
    jobs.select();
    expect(p.size).toBe(2);
    await until(() => p.ready === 2);
  });

  test("the pool is quiet when its workers have taken all messages, and when there are none", async () => {
    const { pool: p, words } = pool(2);
    expect(p.isQuiet).toBe(true);
    // A kernel that ends when it is told to: meanwhile its worker takes no messages.
    const held = worker((code) =>
      code.loop((again) => {
        code.i32(2052);
        code.atomic("i32.atomic.load");
        code.op("i32.eqz");
        again();
      }),
    );
    p.register({ module: held, library: null, work: 1 }).select();
    await until(() => p.isQuiet && p.ready === 2);
    open(words);
    await until(() => joined(words) === 2);
    p.register({ module: worker(), library: null, work: 1 }).drop();
    expect(p.isQuiet).toBe(false);
    Atomics.store(words, 2052 / 4, 1);
    close(words);
    await until(() => p.isQuiet);
    p.register({ module: worker(), library: null, work: 1 }).drop();
    p.terminate();
    expect(p.isQuiet).toBe(true);
  });

  test("a program that was dropped is not run", async () => {
    const { pool: p, words } = pool(1);
    const first = p.register({ module: worker(), library: null, work: 1 });
    const second = p.register({ module: worker(), library: null, work: 1 });
    first.select();
    await until(() => p.ready === 1);
    first.drop();
    first.select();
    open(words);
    await new Promise((resolve) => setTimeout(resolve, 50));
    close(words);
    expect(joined(words)).toBe(0);
    second.select();
    open(words);
    await until(() => joined(words) === 1);
  });

  test("a kernel that fails in a worker is an error, and the worker goes on", async () => {
    const { pool: p, words } = pool(1);
    const jobs = p.register({ module: worker((code) => code.op("unreachable")), library: null, work: 1 });
    jobs.select();
    await until(() => p.ready === 1);
    for (let i = 1; i <= 2; i++) {
      jobs.select();
      open(words);
      await until(() => joined(words) === i && Atomics.load(words, control.failed / 4) === 1);
      close(words);
      expect(() => p.trouble()).toThrow(BackendError);
      expect(p.ready).toBe(1);
    }
  });

  test("a worker that does not come back is an error and the pool is made anew", async () => {
    const { pool: p, words } = pool(2);
    // Counts itself in and stays.
    const forever = worker((code) =>
      code.loop((again) => {
        code.i32(1);
        again();
      }),
    );
    const stuck = p.register({ module: forever, library: null, work: 1 });
    const fine = p.register({ module: worker(), library: null, work: 1 });
    stuck.select();
    await until(() => p.ready === 2);
    stuck.select();
    open(words);
    await until(() => joined(words) === 2);
    p.patience = 100;
    expect(() => stuck.settle()).toThrow(/has not come back/);
    expect(Atomics.load(words, control.state / 4) & (state.active | state.open)).toBe(0);
    Atomics.store(words, 512, 0);
    await until(() => p.ready === 2);
    fine.select();
    open(words);
    await until(() => joined(words) === 2);
    close(words);
  });

  test("workers that die while nobody needs them are replaced, but not for ever", async () => {
    const { pool: p } = pool(1);
    p.register({ module: worker(), library: null, work: 1 }).select();
    await until(() => p.ready === 1);
    // What is no module ends the worker that receives it, again and again.
    p.register({ module: {} as WebAssembly.Module, library: null, work: 1 });
    await until(() => p.size === 0);
  });
});

test("a process with workers that have nothing to do ends", async () => {
  const backend = cpu({ threads: 2, grain: 64 });
  expect(await results(backend, (x) => lax.exp(x), [[64, 64]])).toHaveLength(1);
  // Node reports what keeps a process alive; idle workers are not among it.
  expect(process.getActiveResourcesInfo().filter((r) => /worker|messageport/i.test(r))).toEqual([]);
});
