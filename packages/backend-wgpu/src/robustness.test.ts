import { type Backend, devicePut, makeAval, type NDArray, setDefaultBackend, traceToJaxpr } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { WgpuDevice } from "./device.ts";
import { wgpu, type WgpuOptions } from "./index.ts";

type Started = Backend & { readonly devices: readonly WgpuDevice[] };
const started: Started[] = [];

async function start(options: WgpuOptions = {}): Promise<Started> {
  const backend = (await wgpu(options)) as Started;
  started.push(backend);
  return setDefaultBackend(backend);
}

function limitsOf({ limits }: GPUDevice): Record<string, number> {
  const all: Record<string, number> = {};
  for (const name in limits) all[name] = limits[name as keyof GPUSupportedLimits] as number;
  return all;
}

/** It has to live as long as what it has made. */
let dawn: GPU | null = null;

/** A device with WebGPU's default limits and no features: what any adapter has. */
async function bareDevice(): Promise<GPUDevice> {
  const { create } = (await import("webgpu")) as unknown as { create(options: readonly string[]): GPU };
  const adapter = await (dawn ??= create([])).requestAdapter();
  return adapter!.requestDevice();
}

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  setDefaultBackend(null);
  for (const backend of started.splice(0)) backend[Symbol.dispose]();
});

const floats = (n: number, x: number) =>
  ({ shape: [n], dtype: "float32", bytes: new Uint8Array(new Float32Array(n).fill(x).buffer) }) as const;

describe("where there is no WebGPU", () => {
  const gpu = (adapters: readonly (object | null)[]) => {
    const left = [...adapters];
    vi.stubGlobal("navigator", { gpu: { requestAdapter: () => Promise.resolve(left.shift() ?? null) } });
  };
  test("no adapter", async () => {
    gpu([null]);
    await expect(wgpu()).rejects.toThrow(/no adapter: no GPU[^]*fix: install a Vulkan/);
  });
  test("a driver that is too old for all but the compatibility mode", async () => {
    gpu([null, { info: { vendor: "acme", architecture: "anvil-1", device: "", description: "" } }]);
    await expect(wgpu()).rejects.toThrow(/the driver of acme, anvil-1 is too old[^]*fix: install a newer driver/);
  });
  test("an adapter that has given its device away", async () => {
    const limits = { maxBufferSize: 1024 };
    const requestDevice = () => Promise.reject(new Error("already consumed"));
    gpu([{ limits, requestDevice }]);
    await expect(wgpu()).rejects.toThrow(/gave no device: already consumed[^]*fix: adapters give one device/);
  });
  test("no navigator.gpu, and no package `webgpu`", async () => {
    vi.doMock("webgpu", () => {
      throw new Error("Cannot find package 'webgpu'");
    });
    await expect(wgpu()).rejects.toThrow(/no navigator.gpu[^]*fix: in Node, `npm install webgpu`/);
    vi.doUnmock("webgpu");
  });
});

describe("devices with the default limits, and without features", () => {
  test("programs run", async () => {
    const device = await bareDevice();
    expect([...device.features].filter((f) => f !== "core-features-and-limits")).toEqual([]);
    await start({ device });
    const x = np.reshape(np.arange(0, 12, 1, "float32"), [3, 4]);
    const f = jit((y: NDArray) => np.sum(np.exp(np.multiply(np.matmul(y, np.transpose(y)), 1e-2)), 1));
    const expected = [0, 1, 2].map((i) =>
      [0, 1, 2].reduce((s, j) => s + Math.exp(1e-2 * [0, 1, 2, 3].reduce((t, k) => t + (4 * i + k) * (4 * j + k), 0)), 0),
    );
    const values = await f(x).data();
    expected.forEach((e, i) => expect(Math.abs(Number(values[i]) / e - 1)).toBeLessThan(1e-5));
  });

  test("an array beyond the binding limit is refused, with the limit", async () => {
    const backend = await start({ device: await bareDevice() });
    expect(backend.capabilities.maxBufferBytes).toBe(2 ** 27);
    const [device] = backend.devices;
    expect(() => backend.put(floats(2 ** 25 + 1, 0), device)).toThrow(
      /134217732 bytes at once[^]*binds 134217728[^]*fix: split it/,
    );
    // The largest that fits goes through a kernel.
    const x = np.full([2 ** 25], 2);
    expect(Number(await np.max(np.add(x, 1)).item())).toBe(3);
  });

  test("a kernel that reaches into more slabs than can be bound is refused, and what fits still runs", async () => {
    const gpu = await bareDevice();
    // Slabs are no larger than bindings, so each array has one.
    const limits = { ...limitsOf(gpu), maxStorageBufferBindingSize: 2 ** 20 };
    vi.spyOn(gpu, "limits", "get").mockReturnValue(limits as GPUSupportedLimits);
    const backend = await start({ device: gpu });
    const [device] = backend.devices;
    const n = 2 ** 18;
    const arrays = Array.from({ length: 9 }, () => backend.put(floats(n, 1), device));
    const sumOf = (count: number) => {
      const avals = Array.from({ length: count }, () => makeAval([n], "float32"));
      const { jaxpr } = traceToJaxpr((...xs: NDArray[]) => [xs.reduce((a, b) => lax.add(a, b))], avals, "many");
      return backend.compile({ jaxpr, consts: [] }, { name: "many" }).run(arrays.slice(0, count));
    };
    expect(new Float32Array((await backend.read(sumOf(7)[0])).bytes.buffer, 0, 1)[0]).toBe(7);
    const { liveBuffers } = device.memoryStats();
    expect(() => sumOf(9)).toThrow(/10 pieces of the device's memory[^]*binds 8 at the most[^]*fix: split the program/);
    expect(device.memoryStats().liveBuffers).toBe(liveBuffers);
  });

  test("more invocations than fit into one dimension of workgroups", async () => {
    await start({ device: await bareDevice() });
    const n = 65536 * 64 + 17;
    const x = np.add(np.arange(0, n, 1, "int32"), 1);
    const [first, last] = await Promise.all([np.min(x).item(), np.max(x).item()]);
    expect([first, last]).toEqual([1, n]);
  });
});

describe("memory that the GPU does not have", () => {
  /** The next buffer of the device is none, as when memory is short. */
  function shortOfMemory({ gpu }: { readonly gpu: GPUDevice }): void {
    const create = gpu.createBuffer.bind(gpu);
    const pop = gpu.popErrorScope.bind(gpu);
    vi.spyOn(gpu, "createBuffer").mockImplementationOnce((descriptor) => {
      gpu.pushErrorScope("validation");
      const invalid = create({ ...descriptor, usage: 0x0001 | 0x0080 });
      void pop();
      vi.spyOn(gpu, "popErrorScope").mockImplementationOnce(async () => {
        await pop();
        return { message: "VK_ERROR_OUT_OF_DEVICE_MEMORY" } as GPUError;
      });
      return invalid;
    });
  }

  test("is an error of the arrays that were to be there, and of what was made of them, but of no others", async () => {
    const backend = await start();
    const [device] = backend.devices;
    const before = np.full([3], 5);
    await before.data();
    const { bytesReserved } = device.memoryStats();
    shortOfMemory(device);
    const large = backend.put(floats(2 ** 25, 1), device);
    const { jaxpr } = traceToJaxpr((x: NDArray) => [lax.neg(x)], [makeAval([2 ** 25], "float32")], "neg");
    const [next] = backend.compile({ jaxpr, consts: [] }, { name: "neg" }).run([large]);
    await expect(backend.read(large)).rejects.toThrow(/did not have the \d+ bytes that float32\[33554432\] needed[^]*VK_ERROR/);
    await expect(backend.read(next)).rejects.toThrow(/did not have the \d+ bytes/);
    expect([...(await np.add(before, 1).data())]).toEqual([6, 6, 6]);
    large.release();
    next.release();
    // The next try is one of the GPU's.
    const again = backend.put(floats(2 ** 25, 4), device);
    expect(new Float32Array((await backend.read(again)).bytes.buffer, 0, 1)[0]).toBe(4);
    again.release();
    expect(device.memoryStats().bytesReserved).toBeGreaterThan(bytesReserved);
  });
});

describe("a device that is lost", () => {
  test("while reads wait, while programs are queued, and while pipelines are made", async () => {
    const backend = await start();
    const [device] = backend.devices;
    const x = np.full([1000], 2);
    const y = np.exp(x);
    const reads = [x.data(), y.data()];
    const compiling = jit((z: NDArray) => np.square(np.subtract(z, 3)))
      .lower(x)
      .compile();
    device.gpu.destroy();
    const outcomes = await Promise.allSettled([...reads, compiling]);
    for (const o of outcomes.slice(0, 2)) expect(o.status === "rejected" && String(o.reason)).toMatch(/GPU device was lost/);
    await expect(y.data()).rejects.toThrow(/lost[^]*fix: make another backend with `await wgpu\(\)`/);
    expect(() => np.exp(x)).toThrow("lost");
    expect(() => jit((z: NDArray) => np.exp(np.exp(z)))(x)).toThrow("lost");
    // Letting go of what was there is no error.
    x.dispose();
    y.dispose();
    await start();
    expect([...(await np.full([2], 3).data())]).toEqual([3, 3]);
  });

  test("by the driver, between two steps of training", async () => {
    const gpu = await bareDevice();
    let lose: (info: GPUDeviceLostInfo) => void = () => undefined;
    const lost = new Promise<GPUDeviceLostInfo>((resolve) => (lose = resolve));
    vi.spyOn(gpu, "lost", "get").mockReturnValue(lost);
    await start({ device: gpu });
    const step = jit((w: NDArray) => np.multiply(w, 0.5));
    const w = step(np.ones([8]));
    expect((await w.data())[7]).toBe(0.5);
    lose({ reason: "unknown", message: "the driver was reset", __brand: "GPUDeviceLostInfo" } as GPUDeviceLostInfo);
    await Promise.resolve();
    await Promise.resolve();
    expect(() => step(w)).toThrow(/lost \(unknown\): the driver was reset/);
    await expect(w.data()).rejects.toThrow("the driver was reset");
    gpu.destroy();
  });

  test("an error that nobody asked for makes the device suspect", async () => {
    const backend = await start();
    const [device] = backend.devices;
    const x = np.ones([2]);
    await x.data();
    device.gpu.createBuffer({ size: 16, usage: 0x0001 | 0x0080 });
    await vi.waitFor(() =>
      expect(() => np.exp(x)).toThrow(/WebGPU reported an error[^]*fix: nothing on the device can be trusted/),
    );
  });
});

describe("what cannot be done", () => {
  test("reading without awaiting", async () => {
    await start();
    expect(() => np.exp(np.ones([2])).dataSync()).toThrow(
      /the wgpu backend cannot read without awaiting[^]*fix: use await x.data\(\)/,
    );
    expect(() => np.exp(np.ones([2])).itemSync()).toThrow("without awaiting");
  });

  test("moving an array to another device without awaiting", async () => {
    await start();
    const x = np.exp(np.zeros([2]));
    const other = await start();
    expect(() => devicePut(x, other.devices[0])).toThrow(/cannot move to wgpu:0 without awaiting[^]*await x.js\(\)/);
    const y = devicePut(np.array((await x.js()) as number[], { dtype: "float32" }), other.devices[0]);
    expect([...(await y.data())]).toEqual([1, 1]);
  });

  test("dtypes of 64 bits, by name", async () => {
    await start();
    expect(() => np.exp(np.ones([2], "float64"))).toThrow(/no float64; it has float32[^]*fix: convert/);
    expect(() => np.add(np.ones([2], "int64"), 1)).toThrow(/no int64/);
  });
});

describe("arrays without elements", () => {
  test("go through programs of all kinds", async () => {
    await start();
    const x = np.zeros([0, 3]);
    const y = np.ones([3, 2]);
    const f = jit((a: NDArray, b: NDArray) => ({
      product: np.matmul(a, b),
      sum: np.sum(a, 0),
      total: np.sum(a),
      joined: np.concatenate([a, np.transpose(b)], 0),
      sorted: np.sort(a, 0),
    }));
    const out = f(x, y);
    expect(out.product.shape).toEqual([0, 2]);
    expect([...(await out.product.data())]).toEqual([]);
    expect([...(await out.sum.data())]).toEqual([0, 0, 0]);
    expect(await out.total.item()).toBe(0);
    expect(await out.joined.js()).toEqual([
      [1, 1, 1],
      [1, 1, 1],
    ]);
    expect([...(await out.sorted.data())]).toEqual([]);
  });
});
