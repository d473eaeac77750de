import { type Backend, makeAval, type NDArray, setDefaultBackend, type StandardDType, traceToJaxpr } from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import { valueAndGrad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { WgpuDevice } from "./device.ts";
import { wgpu } from "./index.ts";

let backend: Backend;
let device: WgpuDevice;

beforeEach(async () => {
  backend = await wgpu();
  device = backend.devices[0] as WgpuDevice;
});
afterEach(() => backend[Symbol.dispose]());

const put = (values: readonly number[], shape: readonly number[] = [values.length]) =>
  backend.put({ shape, dtype: "float32", bytes: new Uint8Array(Float32Array.from(values).buffer) }, device);
const floats = (bytes: Uint8Array): number[] => [...new Float32Array(bytes.slice().buffer)];

function compile(f: (...xs: NDArray[]) => NDArray | readonly NDArray[], shapes: readonly (readonly number[])[], name = "f") {
  const avals = shapes.map((shape) => makeAval(shape, "float32"));
  const { jaxpr, consts } = traceToJaxpr((...xs: NDArray[]) => [f(...xs)].flat() as NDArray[], avals, name);
  return backend.compile({ jaxpr, consts }, { name });
}

describe("arrays", () => {
  const examples: readonly (readonly [StandardDType, readonly number[], Uint8Array])[] = [
    ["float32", [3], new Uint8Array(Float32Array.of(1.5, -0, NaN).buffer)],
    ["int32", [2, 1], new Uint8Array(Int32Array.of(-1, 2 ** 31 - 1).buffer)],
    ["uint32", [], new Uint8Array(Uint32Array.of(2 ** 32 - 1).buffer)],
    ["bool", [5], Uint8Array.of(1, 0, 1, 1, 0)],
    ["float32", [0, 4], new Uint8Array(0)],
    ["int8", [3], new Uint8Array(Int8Array.of(-1, 127, -128).buffer)],
    ["uint16", [2], new Uint8Array(Uint16Array.of(65535, 1).buffer)],
    ["bfloat16", [2], new Uint8Array(Uint16Array.of(0x3f80, 0xff80).buffer)],
    ["complex64", [2], new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer)],
  ];
  test.each(examples)("%s%j comes back as it was put", async (dtype, shape, bytes) => {
    const buffer = backend.put({ shape, dtype, bytes }, device);
    const back = await backend.read(buffer);
    expect({ ...back, bytes: [...back.bytes] }).toEqual({ shape, dtype, bytes: [...bytes] });
    buffer.release();
  });

  test("a dtype that is not there is refused by name, as an array and as a result", () => {
    expect(() => backend.put({ shape: [1], dtype: "float64", bytes: new Uint8Array(8) }, device)).toThrow("no float64");
    expect(() => compile((x) => lax.convertElementType(x, "int64"), [[2]])).toThrow("no int64");
    expect(() => compile((x) => lax.reduceSum(lax.convertElementType(x, "float64")), [[2]])).toThrow(
      "convert_element_type makes an array of float64",
    );
  });

  test("memory is used again, and neighbours that are free are one piece", () => {
    const before = device.memoryStats();
    expect(before).toMatchObject({ bytesInUse: 0, liveBuffers: 0 });
    const many = Array.from({ length: 8 }, () => put([1], [1]));
    expect(device.memoryStats().liveBuffers).toBe(8);
    const reserved = device.memoryStats().bytesReserved;
    for (const i of [0, 2, 4, 6, 1, 3, 5, 7]) many[i].release();
    expect(device.memoryStats()).toMatchObject({ bytesInUse: 0, liveBuffers: 0, bytesReserved: reserved });
    // All of the slab.
    device.memory.free(device.memory.allocate(reserved, "everything"));
    expect(device.memoryStats().bytesReserved).toBe(reserved);
  });

  test("memory has a limit, and the error says what is in use", async () => {
    const small = await wgpu({ maxMemoryBytes: 1 << 20 });
    const [there] = small.devices;
    const large = { shape: [1 << 17], dtype: "float32", bytes: new Uint8Array(1 << 19) } as const;
    const kept = [small.put(large, there), small.put(large, there)];
    expect(() => small.put(large, there)).toThrow(/1048576 are reserved and 1048576 in use/);
    kept[0].release();
    small.put(large, there).release();
    expect(() => small.put({ ...large, shape: [1 << 19], bytes: new Uint8Array(1 << 21) }, there)).toThrow("at the most");
    small[Symbol.dispose]();
  });
});

describe("programs", () => {
  test("many kernels are one submit, and equal kernels one pipeline, of all programs", async () => {
    const submit = vi.spyOn(device.gpu.queue, "submit");
    const create = vi.spyOn(device.gpu, "createComputePipeline");
    const layer = (x: NDArray, w: NDArray): NDArray => lax.tanh(lax.dot(x, w));
    const deep = compile(
      (x, v, w) => layer(layer(layer(x, v), w), v),
      [
        [4, 4],
        [4, 4],
        [4, 4],
      ],
    );
    const args = [0, 1, 2].map((k) =>
      put(
        Array.from({ length: 16 }, (_, i) => Math.sin(i + k)),
        [4, 4],
      ),
    );
    const [out] = deep.run(args);
    expect(submit).toHaveBeenCalledTimes(1);
    const pipelines = create.mock.calls.length;
    expect(pipelines).toBeGreaterThan(0);
    expect(pipelines).toBeLessThan(6);
    const again = compile(
      (x, v, w) => layer(layer(layer(x, w), v), w),
      [
        [4, 4],
        [4, 4],
        [4, 4],
      ],
    );
    again.run(args);
    expect(create).toHaveBeenCalledTimes(pipelines);
    expect(floats((await backend.read(out)).bytes).every((x) => Math.abs(x) <= 1)).toBe(true);
  });

  test("long sums lose few digits", async () => {
    const n = 1 << 20;
    // Equal values are the worst: every rounding of a block goes the same way.
    const values = new Float32Array(n).fill(0.1);
    const [sum] = compile((y) => lax.reduceSum(y, [0]), [[n]]).run([put([...values])]);
    const exact = values.reduce((a, b) => a + b, 0);
    expect(Math.abs(floats((await backend.read(sum)).bytes)[0] / exact - 1)).toBeLessThan(5e-6);
    // One after the other they lose three digits more.
    expect(Math.abs(values.reduce((a, b) => Math.fround(a + b), 0) / exact - 1)).toBeGreaterThan(1e-3);
  });

  test("infinities and NaN are IEEE's", async () => {
    const x = put([Infinity, -Infinity, NaN, -0, 2]);
    const f = compile((y) => [lax.max(y, lax.fullLike(y, 0)), lax.div(lax.fullLike(y, 1), y), lax.sub(y, y), lax.exp(y)], [[5]]);
    const outs = await Promise.all(f.run([x]).map((b) => backend.read(b)));
    expect(outs.map((o) => floats(o.bytes))).toEqual([
      [Infinity, 0, NaN, 0, 2],
      [0, -0, NaN, -Infinity, 0.5],
      [NaN, NaN, NaN, 0, 0],
      [Infinity, 0, NaN, 1, Math.fround(Math.E ** 2)],
    ]);
  });

  test("a result that is an argument, and one that is given twice, have a reference for each", async () => {
    const x = put([1, 2]);
    const f = compile(
      (y) => {
        const z = lax.neg(y);
        return [y, z, z];
      },
      [[2]],
    );
    const outs = f.run([x]);
    x.release();
    outs[0].release();
    outs[1].release();
    expect(floats((await backend.read(outs[2])).bytes)).toEqual([-1, -2]);
    outs[2].release();
    f[Symbol.dispose]();
    expect(device.memoryStats()).toMatchObject({ bytesInUse: 0, liveBuffers: 0 });
    expect(() => f.run([x])).toThrow("disposed");
  });
});

describe("failures", () => {
  test("a lost device is an error of what is read from it, and of what is asked of it later", async () => {
    const x = put([1, 2]);
    const f = compile((y) => lax.neg(y), [[2]]);
    const [out] = f.run([x]);
    device.gpu.destroy();
    await expect(backend.read(out)).rejects.toThrow("the GPU device was lost (destroyed)");
    expect(() => f.run([x])).toThrow("lost");
    expect(() => put([1])).toThrow("lost");
    // Another one can be had.
    const second = await wgpu();
    const y = second.put({ shape: [1], dtype: "float32", bytes: new Uint8Array(Float32Array.of(3).buffer) }, second.devices[0]);
    expect(floats((await second.read(y)).bytes)).toEqual([3]);
    second[Symbol.dispose]();
  });

  test("a kernel that WebGPU does not take is an error of its results, with the line, and of no others", async () => {
    const create = device.gpu.createShaderModule.bind(device.gpu);
    const spy = vi.spyOn(device.gpu, "createShaderModule");
    spy.mockImplementation((d) => create({ ...d, code: d.code.replace("let invocation", "let from") }));
    const x = put([1, 2]);
    const [broken] = compile((y) => lax.neg(y), [[2]], "broken").run([x]);
    spy.mockRestore();
    const [next] = compile((y) => lax.exp(y), [[2]]).run([broken]);
    const [other] = compile((y) => lax.abs(y), [[2]]).run([x]);
    await expect(backend.read(broken)).rejects.toThrow(
      /neg: WebGPU did not take the kernel of neg \(.*wgpu.test.ts:\d+:\d+\): .*'from'.* in line \d+: let /,
    );
    await expect(backend.read(next)).rejects.toThrow("neg: WebGPU did not take the kernel of neg");
    expect(floats((await backend.read(other)).bytes)).toEqual([1, 2]);
  });

  test("reading without waiting is not there", () => {
    expect(backend.capabilities.syncReads).toBe(false);
    expect(backend.readSync).toBeUndefined();
  });
});

test("a network learns on the GPU what it learns on the CPU", async () => {
  const losses: number[][] = [];
  const host = setDefaultBackend(cpu());
  for (const on of [device, host.devices[0]]) {
    const loss = (w: { a: NDArray; b: NDArray }, x: NDArray, y: NDArray): NDArray =>
      np.mean(np.square(np.subtract(np.matmul(np.tanh(np.matmul(x, w.a)), w.b), y)));
    const step = jit(
      (w: { a: NDArray; b: NDArray }, x: NDArray, y: NDArray) => {
        const [value, g] = valueAndGrad(loss)(w, x, y);
        return [value, { a: np.subtract(w.a, np.multiply(g.a, 0.1)), b: np.subtract(w.b, np.multiply(g.b, 0.1)) }] as const;
      },
      { device: on },
    );
    const grid = (rows: number, columns: number, phase: number): NDArray =>
      np.reshape(np.array(Array.from({ length: rows * columns }, (_, i) => Math.sin(1.7 * i + phase))), [rows, columns]);
    const [x, y] = [grid(32, 8, 0), grid(32, 1, 1)];
    let w = { a: grid(8, 16, 2), b: grid(16, 1, 3) };
    const seen: number[] = [];
    for (let i = 0; i < 20; i++) {
      const [value, next] = step(w, x, y);
      seen.push((await value.data())[0] as number);
      w = next;
    }
    losses.push(seen);
  }
  const [gpu, reference] = losses;
  expect(gpu.at(-1)).toBeLessThan(gpu[0] / 4);
  gpu.forEach((value, i) => expect(Math.abs(value / reference[i] - 1)).toBeLessThan(1e-4));
});

test("a device that was passed in stays its owner's", async () => {
  const guest = await wgpu({ device: device.gpu });
  guest[Symbol.dispose]();
  const x = put([5]);
  expect(floats((await backend.read(x)).bytes)).toEqual([5]);
});
