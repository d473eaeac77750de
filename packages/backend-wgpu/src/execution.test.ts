import { type Backend, makeAval, type NDArray, setDefaultBackend, traceToJaxpr } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { WgpuDevice } from "./device.ts";
import { wgpu } from "./index.ts";

let backend: Backend;
let device: WgpuDevice;

beforeEach(async () => {
  backend = setDefaultBackend(await wgpu());
  device = backend.devices[0] as WgpuDevice;
});
afterEach(() => {
  setDefaultBackend(null);
  backend[Symbol.dispose]();
});

const ones = (n: number) =>
  backend.put({ shape: [n], dtype: "float32", bytes: new Uint8Array(new Float32Array(n).fill(1).buffer) }, device);

function compile(f: (...xs: NDArray[]) => NDArray, shapes: readonly (readonly number[])[], name = "f", donate: number[] = []) {
  const avals = shapes.map((shape) => makeAval(shape, "float32"));
  const { jaxpr, consts } = traceToJaxpr((...xs: NDArray[]) => [f(...xs)], avals, name);
  return backend.compile({ jaxpr, consts }, { name, donate });
}

describe("reads", () => {
  test("those of one task are one copy and one submit", async () => {
    const submit = vi.spyOn(device.gpu.queue, "submit");
    const create = vi.spyOn(device.gpu, "createBuffer");
    const xs = [3, 1, 4].map((x) => np.full([x], x));
    submit.mockClear();
    create.mockClear();
    const values = await Promise.all(xs.map((x) => x.data()));
    expect(values.map((v) => [...v])).toEqual([[3, 3, 3], [1], [4, 4, 4, 4]]);
    expect(submit).toHaveBeenCalledTimes(1);
    expect(create).toHaveBeenCalledTimes(1);
  });

  test("staging memory is used again", async () => {
    const create = vi.spyOn(device.gpu, "createBuffer");
    const x = np.ones([100]);
    await x.data();
    create.mockClear();
    for (let i = 0; i < 5; i++) expect((await x.data())[99]).toBe(1);
    expect(create).not.toHaveBeenCalled();
  });

  test("a value is what it was when it was asked for, whatever becomes of its memory", async () => {
    const x = ones(64);
    const read = backend.read(x);
    x.release();
    const other = compile((y) => lax.neg(y), [[64]]);
    const y = ones(64);
    const outs = Array.from({ length: 8 }, () => other.run([y])[0]);
    expect(new Float32Array((await read).bytes.buffer)[5]).toBe(1);
    for (const b of [y, ...outs]) b.release();
    expect(device.memoryStats()).toMatchObject({ bytesInUse: 0, liveBuffers: 0 });
  });

  test("large ones do not share a batch", async () => {
    const n = 1 << 24;
    const [a, b] = [np.full([n], 2), np.full([n], 3)];
    const [x, y] = await Promise.all([a.data(), b.data()]);
    expect([x[0], x[n - 1], y[0], y[n - 1]]).toEqual([2, 2, 3, 3]);
  });
});

test("numbers are wherever they are needed, also when the device that had them is gone", async () => {
  expect([...(await np.full([2], 7.25).data())]).toEqual([7.25, 7.25]);
  backend[Symbol.dispose]();
  backend = setDefaultBackend(await wgpu());
  expect([...(await np.full([2], 7.25).data())]).toEqual([7.25, 7.25]);
});

describe("donation", () => {
  test("the result has the memory of an argument that nobody else holds", async () => {
    const step = compile((x) => lax.add(x, lax.fullLike(x, 1)), [[256]], "step", [0]);
    let x = ones(256);
    const { piece } = x as unknown as { piece: unknown };
    for (let i = 0; i < 3; i++) {
      const [next] = step.run([x]);
      x.release();
      expect(device.memoryStats()).toMatchObject({ bytesInUse: 1024, liveBuffers: 1 });
      x = next;
    }
    expect((x as unknown as { piece: unknown }).piece).toBe(piece);
    expect(new Float32Array((await backend.read(x)).bytes.buffer)[255]).toBe(4);
    x.release();
    expect(device.memoryStats()).toMatchObject({ bytesInUse: 0, liveBuffers: 0 });
  });

  test("an argument that is read, or given twice, keeps its memory", async () => {
    const f = compile((x, y) => lax.add(lax.mul(x, lax.fullLike(x, 2)), y), [[64], [64]], "f", [0]);
    const x = ones(64);
    const read = backend.read(x);
    const [a] = f.run([x, x]);
    expect(new Float32Array((await read).bytes.buffer)[0]).toBe(1);
    const [b] = f.run([x, x]);
    const values = await Promise.all([x, a, b].map((out) => backend.read(out)));
    expect(values.map((v) => new Float32Array(v.bytes.buffer)[63])).toEqual([1, 3, 3]);
  });

  test("training in place needs memory once", async () => {
    const step = jit((w: NDArray, x: NDArray) => np.subtract(w, np.multiply(np.tanh(np.matmul(w, x)), 0.1)), { donateArgnums: 0 });
    let w = np.ones([64, 64]);
    const x = np.multiply(np.ones([64, 64]), 1 / 64);
    w = step(w, x);
    const { bytesInUse } = device.memoryStats();
    for (let i = 0; i < 20; i++) w = step(w, x);
    expect(device.memoryStats().bytesInUse).toBe(bytesInUse);
    expect(Number.isFinite((await w.data())[0])).toBe(true);
  });
});

describe("the words of a dispatch", () => {
  /** Small kernels, one whose pointers are more than immediates can be, and small ones again. */
  const program = jit((x: NDArray, ...more: NDArray[]) => {
    const y = np.exp(np.sort(x));
    const all = more.reduce((a, b) => np.add(a, b), y);
    return np.sum(np.sort(all));
  });
  const operands = (): [NDArray, ...NDArray[]] => [np.full([4], 0), ...Array.from({ length: 15 }, (_, i) => np.full([4], i))];
  const expected = 4 * (1 + (14 * 15) / 2);

  test("are immediates, and uniforms where they are too many; both in one pass", async () => {
    const create = vi.spyOn(device.gpu, "createShaderModule");
    expect(await program(...operands()).item()).toBeCloseTo(expected, 3);
    const codes = create.mock.calls.map(([{ code }]) => code);
    expect(codes.some((c) => c.includes("var<immediate>"))).toBe(true);
    expect(codes.some((c) => c.includes("var<uniform>"))).toBe(true);
  });

  test("are uniforms where the platform has no immediates", async () => {
    backend[Symbol.dispose]();
    const { create } = (await import("webgpu")) as unknown as { create(options: readonly string[]): GPU };
    const dawn = create([]);
    const old = await (await dawn.requestAdapter())!.requestDevice();
    const limits = Object.create(null) as Record<string, unknown>;
    for (const name in old.limits) limits[name] = old.limits[name as keyof GPUSupportedLimits];
    vi.spyOn(old, "limits", "get").mockReturnValue({ ...limits, maxImmediateSize: undefined } as unknown as GPUSupportedLimits);
    const modules = vi.spyOn(old, "createShaderModule");
    backend = setDefaultBackend(await wgpu({ device: old }));
    expect(await program(...operands()).item()).toBeCloseTo(expected, 3);
    expect(modules.mock.calls.length).toBeGreaterThan(1);
    expect(modules.mock.calls.every(([{ code }]) => code.includes("var<uniform>"))).toBe(true);
    // Dawn must outlive what it has made.
    expect(dawn).toBeDefined();
  });
});

test("slabs with nothing in them make room for a larger one", async () => {
  backend[Symbol.dispose]();
  backend = setDefaultBackend(await wgpu({ maxMemoryBytes: 3 << 26 }));
  device = backend.devices[0] as WgpuDevice;
  // Two slabs of 64 MiB, each full.
  const parts = [0, 1].map(() => ones(1 << 24));
  const small = ones(4);
  const read = backend.read(parts[1]);
  for (const p of parts) p.release();
  // The read has been submitted, and no longer holds its array.
  await Promise.resolve();
  expect(device.memoryStats().bytesReserved).toBe(3 << 26);
  const large = ones(1 << 25);
  expect(device.memoryStats().bytesReserved).toBeLessThanOrEqual(3 << 26);
  const values = await Promise.all([read, backend.read(large), backend.read(small)]);
  expect(values.map((v) => new Float32Array(v.bytes.buffer).at(-1))).toEqual([1, 1, 1]);
});

describe("pipelines", () => {
  test("`await lowered.compile()` makes them while the host does other things; the first call makes none", async () => {
    const now = vi.spyOn(device.gpu, "createComputePipeline");
    const later = vi.spyOn(device.gpu, "createComputePipelineAsync");
    const f = jit((x: NDArray) => np.exp(np.subtract(x, np.max(x))));
    const x = np.array([0, 0, 0]);
    const before = now.mock.calls.length;
    const compiled = await f.lower(x).compile();
    expect(later).toHaveBeenCalled();
    expect([...(await compiled(x).data())]).toEqual([1, 1, 1]);
    expect(now).toHaveBeenCalledTimes(before);
  });

  test("a call that does not wait for them makes its own", async () => {
    const f = jit((x: NDArray) => np.square(np.add(x, 2)));
    const lowered = f.lower(np.array([1, 2]));
    const waiting = lowered.compile();
    const y = lowered.compileSync()(np.array([1, 2]));
    expect([...(await y.data())]).toEqual([9, 16]);
    expect([...(await (await waiting)(np.array([0, 1])).data())]).toEqual([4, 9]);
  });

  test("what WebGPU does not take is an error of the compilation that was awaited", async () => {
    const create = device.gpu.createShaderModule.bind(device.gpu);
    vi.spyOn(device.gpu, "createShaderModule").mockImplementation((d) =>
      create({ ...d, code: d.code.replace("let invocation", "let from") }),
    );
    const lowered = jit((x: NDArray) => np.less(np.square(x), 3)).lower(np.array([1, 2]));
    await expect(lowered.compile()).rejects.toThrow(
      /WebGPU did not take the kernel of [^:]*lt \(.*execution.test.ts:\d+:\d+\).*: .* in line \d+/,
    );
  });
});
