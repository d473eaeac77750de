import { cpu } from "@traceform/backend-cpu";
import { type Backend, type Inputs, makeAval, type NDArray, setDefaultBackend, traceToJaxpr, treeLeaves } from "@traceform/core";
import { grad, valueAndGrad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as nn from "@traceform/nn";
import * as np from "@traceform/numpy";
import * as optim from "@traceform/optim";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { WgpuDevice } from "./device.ts";
import { wgpu } from "./index.ts";
import { Run } from "./run.ts";

// Programs of which the umbrella package's `fusion.test.ts` pins the number of kernels take as many dispatches here.

let backend: Backend;
beforeEach(async () => {
  backend = setDefaultBackend(await wgpu());
});
afterEach(() => {
  vi.restoreAllMocks();
  backend[Symbol.dispose]();
});

const values = (...shape: number[]): NDArray => {
  const n = shape.reduce((a, b) => a * b, 1);
  return np.reshape(np.array(Array.from({ length: n }, (_, i) => Math.sin(0.7 * i + n))), shape);
};

/** The kernels that a call dispatches. */
function kernels<A extends readonly unknown[]>(fn: (...args: A) => unknown, ...args: Inputs<A>): string[] {
  const compiled = jit(fn)
    .lower(...args)
    .compileSync();
  const spy = vi.spyOn(Run.prototype, "add");
  compiled(...args);
  const found = spy.mock.calls.flatMap(([list]) => list.map((d) => `${d.kernel.kind} ${d.name}`));
  spy.mockRestore();
  return found;
}

test("rows that are worked on together are one dispatch", () => {
  expect(kernels((x: NDArray) => nn.softmax(x), values(64, 256))).toHaveLength(1);
  expect(kernels((x: NDArray) => nn.logSoftmax(x), values(64, 256))).toHaveLength(1);
  const layerNorm = (x: NDArray, scale: NDArray, offset: NDArray): NDArray => {
    const c = np.subtract(x, np.mean(x, 1, { keepdims: true }));
    const v = np.mean(np.multiply(c, c), 1, { keepdims: true });
    return np.add(np.multiply(np.multiply(c, lax.rsqrt(np.add(v, 1e-5))), scale), offset);
  };
  expect(kernels(layerNorm, values(64, 256), values(256), values(256))).toHaveLength(1);
});

test("a product takes what follows on it into its own dispatch", () => {
  const dense = (x: NDArray, w: NDArray, b: NDArray): NDArray => nn.gelu(np.add(np.matmul(x, w), b));
  expect(kernels(dense, values(128, 64), values(64, 96), values(96))).toHaveLength(1);
  const attention = (x: NDArray, w: NDArray, b: NDArray): NDArray => nn.softmax(np.add(np.matmul(x, w), b));
  expect(kernels(attention, values(128, 64), values(64, 96), values(96))).toEqual([expect.stringContaining("chain ")]);
  const conv =
    (padding: "SAME" | "VALID") =>
    (image: NDArray, filter: NDArray, channel: NDArray): NDArray =>
      nn.relu(np.add(lax.convGeneralDilated(image, filter, [1, 1], padding), np.reshape(channel, [16, 1, 1])));
  expect(kernels(conv("VALID"), values(2, 8, 32, 32), values(16, 8, 3, 3), values(16))).toHaveLength(1);
  expect(kernels(conv("SAME"), values(2, 8, 32, 32), values(16, 8, 3, 3), values(16)).length).toBeLessThanOrEqual(2);
});

describe("a product and what goes on with its rows", () => {
  const dense = (x: NDArray, w: NDArray): NDArray => nn.softmax(np.matmul(x, w));
  const twice = (x: NDArray, w: NDArray): NDArray[] => {
    const z = np.matmul(np.negative(x), w);
    return [nn.softmax(z), z];
  };
  test.each([
    ["with edges", dense, [37, 23], [23, 90], true],
    ["of a batch", dense, [3, 21, 17], [3, 17, 33], true],
    ["with two results and a producer", twice, [20, 16], [16, 64], true],
    ["that are too long for a tile", dense, [20, 40], [40, 130], false],
    ["or rather with its columns", (x: NDArray, w: NDArray) => nn.softmax(np.matmul(x, w), 0), [40, 20], [20, 64], false],
  ] as const)("%s", async (_, f: (x: NDArray, w: NDArray) => unknown, left, right, chained) => {
    const operands = (): [NDArray, NDArray] => [values(...left), values(...right)];
    const kinds = kernels(f, ...operands()).map((name) => name.split(" ")[0]);
    if (chained) expect(kinds).toEqual(["chain"]);
    else expect(kinds.slice(0, 2)).toEqual(["product", expect.not.stringContaining("chain")]);
    const got = await leavesOf(jit(f)(...operands()));
    setDefaultBackend(cpu());
    const wanted = await leavesOf(jit(f)(...operands()));
    setDefaultBackend(backend);
    expect(got.map((x) => x.length)).toEqual(wanted.map((x) => x.length));
    const worst = got.map((x, i) => Math.max(...x.map((y, k) => Math.abs(y - wanted[i][k]) / Math.max(1, Math.abs(wanted[i][k])))));
    expect(Math.max(...worst)).toBeLessThan(2e-5);
  });
});

interface Layer {
  readonly w: NDArray;
  readonly b: NDArray;
}
const layers = (): Layer[] => [784, 128, 64, 10].slice(1).map((n, i) => ({ w: values([784, 128, 64][i], n), b: values(n) }));
const optimizer = optim.adam(1e-3);
const update = (params: Layer[], state: ReturnType<typeof optimizer.init>, grads: Layer[]): unknown => {
  const [updates, next] = optimizer.update(grads, state, params);
  return [optim.applyUpdates(params, updates), next];
};
const leavesOf = (tree: unknown): Promise<number[][]> =>
  Promise.all((treeLeaves(tree) as NDArray[]).map(async (x) => [...((await x.data()) as Float32Array)]));

test("an update of all leaves of a pytree is one dispatch, and that of the CPU in every leaf", async () => {
  const params = layers();
  const state = optimizer.init(params);
  expect(kernels(update, params, state, params)).toEqual([expect.stringContaining("bundle ")]);
  const got = await leavesOf(jit(update)(params, state, params));
  setDefaultBackend(cpu());
  const own = layers();
  const wanted = await leavesOf(jit(update)(own, optimizer.init(own), own));
  expect(got.map((x) => x.length)).toEqual(wanted.map((x) => x.length));
  got.forEach((x, i) =>
    x.forEach((y, k) => expect(Math.abs(y - wanted[i][k])).toBeLessThanOrEqual(1e-6 * Math.abs(wanted[i][k]) + 1e-9)),
  );
  setDefaultBackend(backend);
});

test("value and gradient of a multi-layer perceptron take few dispatches", () => {
  const mlp = (...sizes: number[]): Layer[] => sizes.slice(1).map((n, i) => ({ w: values(sizes[i], n), b: values(n) }));
  const loss = (net: Layer[], x: NDArray, labels: NDArray): NDArray => {
    const logits = net.reduce((h, { w, b }, i) => {
      const z = np.add(np.matmul(h, w), b);
      return i === net.length - 1 ? z : nn.relu(z);
    }, x);
    const picked = np.sum(np.multiply(nn.logSoftmax(logits), nn.oneHot(labels, 10)), 1);
    return np.negative(np.mean(picked));
  };
  const [x, labels] = [values(128, 784), np.zeros([128], { dtype: "int32" })];
  expect(kernels(valueAndGrad(loss), mlp(784, 128, 10), x, labels).length).toBeLessThanOrEqual(8);
  expect(kernels(valueAndGrad(loss), mlp(784, 128, 64, 10), x, labels).length).toBeLessThanOrEqual(12);
});

/** It has to live as long as what it has made: without it the process ends, or hangs. */
let dawn: GPU | null = null;

describe("what does not depend on each other is one dispatch", () => {
  // Tiles of 64 invocations, long rows of 256, and what goes with any number.
  const beside = (a: NDArray, b: NDArray, c: NDArray, d: NDArray, x: NDArray): NDArray[] => [
    np.matmul(a, b),
    np.matmul(c, d),
    np.sum(x, 1),
    np.exp(c),
  ];
  const operands = (): NDArray[] => [values(100, 33), values(33, 20), values(40, 20), values(20, 90), values(7, 1100)];
  const found = async (): Promise<number[][]> => leavesOf(beside(...(operands() as Parameters<typeof beside>)));
  const expectEqual = (got: readonly number[][], wanted: readonly number[][]): void => {
    expect(got.map((x) => x.length)).toEqual(wanted.map((x) => x.length));
    const worst = got.map((x, i) => Math.max(...x.map((y, k) => Math.abs(y - wanted[i][k])).map((e) => (e > 1e-5 ? e : 0))));
    expect(worst).toEqual(worst.map(() => 0));
  };

  test("products of all sizes, folds and elements", async () => {
    const args = operands() as Parameters<typeof beside>;
    expect(kernels(beside, ...args)).toEqual([expect.stringContaining("bundle ")]);
    const got = await leavesOf(jit(beside)(...args));
    setDefaultBackend(cpu());
    const wanted = await found();
    setDefaultBackend(backend);
    expectEqual(got, wanted);
  });

  test("but for products whose tiles would not fit beside the folds", async () => {
    const { create } = (await import("webgpu")) as unknown as { create(options: readonly string[]): GPU };
    const adapter = await (dawn ??= create([])).requestAdapter();
    const device = await adapter!.requestDevice();
    Object.defineProperty(device, "limits", { value: { ...limitsOf(device), maxComputeWorkgroupStorageSize: 4600 } });
    using small = setDefaultBackend(await wgpu({ device }));
    const args = operands() as Parameters<typeof beside>;
    expect(kernels(beside, ...args).map((name) => name.split(" ")[0])).toEqual(["bundle", "product", "product"]);
    const got = await leavesOf(jit(beside)(...args));
    setDefaultBackend(cpu());
    const wanted = await found();
    setDefaultBackend(small);
    expectEqual(got, wanted);
  });
});

test("where the device binds too few buffers, the parts of a bundle are dispatched one by one", async () => {
  const device = backend.devices[0] as WgpuDevice;
  const { memory, gpu } = device;
  const fill = (): void => void memory.allocate(memory.bytesReserved - memory.bytesInUse, "all that is left");
  const lists = [
    [1, 2, 3],
    [4, 5],
  ];
  const operands = lists.map((list) => {
    const bytes = new Uint8Array(Float32Array.from(list).buffer);
    const buffer = backend.put({ shape: [list.length], dtype: "float32", bytes }, device);
    fill();
    return buffer;
  });
  const avals = lists.map((list) => makeAval([list.length], "float32"));
  const program = traceToJaxpr((a: NDArray, b: NDArray) => [lax.neg(a), lax.exp(lax.sub(b, b))], avals, "f");
  const f = backend.compile(program, {});
  const bound = vi.spyOn(gpu, "createBindGroup");
  // Operands and results are in three buffers.
  Object.defineProperty(gpu, "limits", { value: { ...limitsOf(gpu), maxStorageBuffersPerShaderStage: 2 }, configurable: true });
  const results = await Promise.all(f.run(operands).map((b) => backend.read(b)));
  expect(results.map(({ bytes }) => [...new Float32Array(bytes.slice().buffer)])).toEqual([
    [-1, -2, -3],
    [1, 1],
  ]);
  // Binding 0 has the words, where they are uniforms.
  expect(bound.mock.calls.map(([d]) => [...d.entries].filter((e) => e.binding > 0).length)).toEqual([2, 2]);
});

describe("a pipeline serves all sizes that need no other kernel", () => {
  /** The kernels of a call for which pipelines were made. */
  async function made<A extends readonly unknown[]>(fn: (...args: A) => unknown, ...args: Inputs<A>): Promise<string[]> {
    await leavesOf(args);
    const spy = vi.spyOn((backend.devices[0] as WgpuDevice).gpu, "createComputePipeline");
    await leavesOf(jit(fn)(...args));
    const labels = spy.mock.calls.map(([d]) => d.label!);
    spy.mockRestore();
    return labels;
  }

  test("of elements and of rows", async () => {
    const chain = (x: NDArray): NDArray => np.multiply(np.tanh(np.add(x, 1)), 3.7);
    expect(await made(chain, values(5))).toHaveLength(1);
    for (const n of [64, 100, 333, 1000]) expect(await made(chain, values(n))).toEqual([]);
    // Nor do other constants.
    expect(await made((x: NDArray) => np.multiply(np.tanh(np.add(x, 1)), 1e-3), values(7))).toEqual([]);
    expect(await made((x: NDArray) => nn.softmax(x), values(3, 200))).toHaveLength(1);
    for (const [rows, n] of [
      [3, 333],
      [2, 640],
      [70, 1000],
    ] as const)
      expect(await made((x: NDArray) => nn.softmax(x), values(rows, n))).toEqual([]);
    const got = (await jit((x: NDArray) => nn.softmax(x))(values(2, 512)).data()) as Float32Array;
    expect(got.reduce((sum, x) => sum + x, 0)).toBeCloseTo(2, 5);
  });

  test("of products, and of a network's training for other batches", async () => {
    const product = (x: NDArray, y: NDArray): NDArray => np.matmul(x, y);
    expect(await made(product, values(32, 32), values(32, 32))).toHaveLength(1);
    for (const [m, k, n] of [
      [64, 48, 32],
      [32, 64, 96],
      [96, 32, 64],
    ])
      expect(await made(product, values(m, k), values(k, n))).toEqual([]);
    const net = [
      [96, 64],
      [64, 32],
    ].map(([m, n]) => ({ w: values(m, n), b: values(n) }));
    const state = optimizer.init(net);
    const loss = (params: Layer[], x: NDArray): NDArray => {
      const out = params.reduce((h, { w, b }) => nn.relu(np.add(np.matmul(h, w), b)), x);
      return np.mean(np.multiply(out, out));
    };
    const train = (params: Layer[], x: NDArray): unknown => update(params, state, grad(loss)(params, x));
    expect((await made(train, net, values(128, 96))).length).toBeGreaterThan(4);
    expect(await made(train, net, values(256, 96))).toEqual([]);
  });
});

/** The limits of a device as a plain object. */
function limitsOf({ limits }: GPUDevice): Record<string, number> {
  const all: Record<string, number> = {};
  for (const name in limits) all[name] = limits[name as keyof GPUSupportedLimits] as number;
  return all;
}
