import { type NDArray, profiler, setDefaultBackend } from "@traceform/core";
import { valueAndGrad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cpu, type CpuOptions } from "./index.ts";

let backend: ReturnType<typeof cpu>;
const start = (options: CpuOptions): void => void (backend = setDefaultBackend(cpu(options)));
beforeEach(() => start({ threads: 1 }));
afterEach(() => {
  setDefaultBackend(null);
  backend[Symbol.dispose]();
});

type Complete = Extract<profiler.TraceEvent, { ph: "X" }>;
const complete = (trace: profiler.Trace): Complete[] => trace.traceEvents.filter((e) => e.ph === "X");
const kernels = (trace: profiler.Trace): Complete[] => complete(trace).filter((e) => e.cat === "kernel");

function step(w: NDArray, x: NDArray): NDArray {
  const [, g] = valueAndGrad((v: NDArray) => np.mean(np.square(np.tanh(np.matmul(x, v)))))(w);
  return np.subtract(w, np.multiply(g, 0.1));
}
const operands = (): [NDArray, NDArray] => [np.multiply(np.ones([64, 32]), 0.01), np.ones([128, 64])];

describe("a trace of the CPU", () => {
  test("has every kernel of every run, inside the time of its program, and changes no result", async () => {
    const f = jit(step);
    const [w, x] = operands();
    const plain = f(w, x).dataSync();
    const { value, trace } = await profiler.trace(() => {
      const a = f(w, x).dataSync();
      f(w, x);
      return a;
    });
    expect(value).toEqual(plain);
    const segments = f
      .lower(w, x)
      .compileSync()
      .inspect()
      .segments.flatMap((s) => s.kernels);
    expect(kernels(trace).map((e) => e.name)).toEqual([...segments, ...segments]);
    const runs = complete(trace).filter((e) => e.name === "step" && e.cat === "host");
    expect(runs).toHaveLength(2);
    for (const k of kernels(trace)) {
      expect(k.dur).toBeGreaterThanOrEqual(0);
      expect(k.args).toEqual({ program: "step" });
      expect(runs.some((r) => k.ts >= r.ts - 1 && k.ts + k.dur <= r.ts + r.dur + 1)).toBe(true);
    }
    // What is not recorded is not timed.
    expect(f(w, x).dataSync()).toEqual(plain);
  });

  test("names processes and threads, and is what Chrome reads", async () => {
    const { trace } = await profiler.trace(() => np.exp(np.ones([3])));
    const parsed = JSON.parse(JSON.stringify(trace)) as profiler.Trace;
    const names = parsed.traceEvents.filter((e) => e.ph === "M").map((e) => `${e.name} ${e.args.name}`);
    expect(names.toSorted()).toEqual(["process_name cpu", "process_name host", "thread_name kernels", "thread_name main"]);
    const pids = new Set(parsed.traceEvents.filter((e) => e.ph === "M" && e.name === "process_name").map((e) => e.pid));
    for (const e of parsed.traceEvents) expect(pids.has(e.pid)).toBe(true);
    const times = complete(parsed).map((e) => e.ts);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times[0]).toBeGreaterThanOrEqual(0);
  });

  test("has loops round by round, branches as taken, and calls out to JavaScript", async () => {
    const f = jit((x: NDArray) => {
      const y = lax.whileLoop(
        (v: NDArray) => lax.lt(np.sum(v), 10),
        (v: NDArray) => np.multiply(v, 2),
        x,
      );
      return lax.pureCallback((v) => np.add(v, 1), y, y);
    });
    const x = np.ones([2]);
    expect([...f(x).dataSync()]).toEqual([9, 9]);
    const { trace } = await profiler.trace(() => f(x));
    const names = kernels(trace).map((e) => e.name);
    expect(names.filter((n) => n.startsWith("mul"))).toHaveLength(3);
    expect(names).toContain("pure_callback");
  });

  test("works with several threads, with code for wide vectors, and gives the same bits", async () => {
    backend[Symbol.dispose]();
    start({ threads: 3, grain: 1 << 12, warmUp: 0 });
    const f = jit((x: NDArray) => np.matmul(np.tanh(np.matmul(x, x)), x));
    const x = np.reshape(np.sin(np.arange(0, 256 * 256)), [256, 256]);
    for (let i = 0; i < 200 && backend.threads < 3; i++) {
      f(x);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const plain = f(x).dataSync();
    const { value, trace } = await profiler.trace(() => f(x).dataSync());
    expect(value).toEqual(plain);
    expect(kernels(trace).length).toBeGreaterThan(0);
    expect(f(x).dataSync()).toEqual(plain);
  });

  test("levels leave things out", async () => {
    const f = jit((x: NDArray) => np.exp(x));
    const x = np.ones([2]);
    f(x);
    const run = (): void => {
      using _ = new profiler.TraceAnnotation("mine");
      f(x);
    };
    const categories = async (options: profiler.ProfileOptions): Promise<string[]> => {
      const { trace } = await profiler.trace(run, options);
      return complete(trace).map((e) => (e.name === "mine" ? "mine" : e.cat));
    };
    expect(await categories({ hostTracerLevel: 0 })).toEqual(["kernel"]);
    expect((await categories({ hostTracerLevel: 1, deviceTracerLevel: 0 })).sort()).toEqual(["mine"]);
    expect((await categories({ deviceTracerLevel: 0 })).sort()).toEqual(["host", "mine"]);
  });
});

describe("annotations", () => {
  test("cover the time until they end, with their values", async () => {
    profiler.startTrace();
    {
      using _ = new profiler.TraceAnnotation("load", { rows: 3 });
      await new Promise((resolve) => setTimeout(resolve, 12));
    }
    for (let i = 0; i < 2; i++) {
      using _ = new profiler.StepTraceAnnotation("train", { stepNum: i });
    }
    const twice = profiler.annotateFunction((x: number) => 2 * x, { name: "twice" });
    const slowly = profiler.annotateFunction(async function slowly() {
      await new Promise((resolve) => setTimeout(resolve, 12));
      return 5;
    });
    expect(twice(4)).toBe(8);
    expect(await slowly()).toBe(5);
    const trace = await profiler.stopTrace();
    const found = complete(trace).map((e) => [e.name, e.args ?? null] as const);
    expect(found).toEqual([
      ["load", { rows: 3 }],
      ["train 0", { stepNum: 0 }],
      ["train 1", { stepNum: 1 }],
      ["twice", null],
      ["slowly", null],
    ]);
    const of = (name: string): number => complete(trace).find((e) => e.name === name)!.dur;
    expect(Math.min(of("load"), of("slowly"))).toBeGreaterThan(10_000);
  });

  test("without a trace are nothing, and one that outlives its trace is none", async () => {
    using _ = new profiler.TraceAnnotation("nobody sees it");
    profiler.startTrace();
    const late = new profiler.TraceAnnotation("late");
    const trace = await profiler.stopTrace();
    late[Symbol.dispose]();
    expect(trace.traceEvents).toEqual([]);
  });

  test("one trace at a time", async () => {
    await expect(profiler.stopTrace()).rejects.toThrow(/no trace is being recorded[^]*fix: call profiler.startTrace/);
    profiler.startTrace();
    expect(() => profiler.startTrace()).toThrow(/only be one at a time[^]*fix: await profiler.stopTrace/);
    await profiler.stopTrace();
    await expect(profiler.trace(() => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
    // It ended all the same.
    await profiler.trace(() => null);
  });
});
