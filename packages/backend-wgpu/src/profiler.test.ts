import { type NDArray, profiler, setDefaultBackend } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { WgpuDevice } from "./device.ts";
import { wgpu, type WgpuOptions } from "./index.ts";

let backend: Awaited<ReturnType<typeof wgpu>>;
async function start(options: WgpuOptions = {}): Promise<WgpuDevice> {
  backend = setDefaultBackend(await wgpu(options));
  return backend.devices[0] as WgpuDevice;
}
afterEach(() => {
  setDefaultBackend(null);
  backend[Symbol.dispose]();
});

type Complete = Extract<profiler.TraceEvent, { ph: "X" }>;
const complete = (trace: profiler.Trace): Complete[] => trace.traceEvents.filter((e) => e.ph === "X");
const kernels = (trace: profiler.Trace): Complete[] => complete(trace).filter((e) => e.cat === "kernel");

describe("a trace of the GPU", () => {
  const f = jit(function step(x: NDArray, w: NDArray): NDArray {
    return np.sum(np.tanh(np.matmul(np.tanh(np.matmul(x, w)), w)), 0);
  });
  const operands = (): [NDArray, NDArray] => [np.full([64, 32], 0.1), np.full([32, 32], 0.2)];

  test("has every kernel in the order in which it ran, after its program was submitted", async () => {
    const device = await start();
    const [x, w] = operands();
    const plain = [...(await f(x, w).data())];
    const submit = vi.spyOn(device.gpu.queue, "submit");
    const { value, trace } = await profiler.trace(async () => [...(await f(x, w).data())]);
    expect(value).toEqual(plain);
    // The program and the read.
    expect(submit).toHaveBeenCalledTimes(2);
    const found = kernels(trace);
    expect(found.length).toBeGreaterThan(1);
    const [run] = complete(trace).filter((e) => e.cat === "host" && e.name === "step");
    found.forEach((k, i) => {
      expect(k.args).toEqual({ program: "step" });
      expect(k.dur).toBeGreaterThanOrEqual(0);
      expect(k.ts).toBeGreaterThanOrEqual(run.ts);
      if (i > 0) expect(k.ts).toBeGreaterThanOrEqual(found[i - 1].ts);
    });
    expect(found.some((k) => k.dur > 0)).toBe(true);
    // Nothing is left of it.
    const create = vi.spyOn(device.gpu, "createQuerySet");
    expect([...(await f(x, w).data())]).toEqual(plain);
    expect(create).not.toHaveBeenCalled();
  });

  test("kernels of several submits have one clock", async () => {
    await start();
    const [x, w] = operands();
    f(x, w);
    const { trace } = await profiler.trace(async () => {
      for (let i = 0; i < 3; i++) await f(x, w).data();
    });
    const runs = complete(trace).filter((e) => e.cat === "host" && e.name === "step");
    const found = kernels(trace);
    expect(runs).toHaveLength(3);
    expect(found.length % 3).toBe(0);
    const perRun = found.length / 3;
    runs.forEach((run, i) => expect(found[i * perRun].ts).toBeGreaterThanOrEqual(run.ts));
    // Each run was read before the next one began.
    runs.slice(1).forEach((run, i) => expect(found[i * perRun + perRun - 1].ts).toBeLessThan(run.ts));
  });

  test("long programs are timed as far as there are timestamps", async () => {
    await start();
    const long = jit((x: NDArray) => lax.foriLoop(0, 3000, (_: NDArray, y: NDArray) => np.sort(np.negative(y)), x));
    const x = np.array([3, 1, 2]);
    const plain = await long(x).js();
    const { value, trace } = await profiler.trace(() => long(x).js());
    expect(value).toEqual(plain);
    expect(kernels(trace).length).toBeGreaterThan(1000);
    expect(kernels(trace).length).toBeLessThanOrEqual(2 * 2048);
  });

  test("where the device has no timestamps, submits have the times that the host sees", async () => {
    const { create } = (await import("webgpu")) as unknown as { create(options: readonly string[]): GPU };
    const gpu = create([]);
    const bare = await (await gpu.requestAdapter())!.requestDevice();
    await start({ device: bare });
    const [x, w] = operands();
    await f(x, w).data();
    const { trace } = await profiler.trace(() => f(x, w).data());
    const [submit, ...more] = kernels(trace);
    expect(more).toEqual([]);
    expect(submit.name).toBe("step");
    expect(submit.args!["note"]).toContain("no timestamp queries");
    expect(submit.dur).toBeGreaterThan(0);
    // Dawn must outlive what it has made.
    expect(gpu).toBeDefined();
  });
});
