import "@traceform/numpy/methods";
import { cpu } from "@traceform/backend-cpu";
import { type Backend, type Inputs, type NDArray, setDefaultBackend, treeLeaves } from "@traceform/core";
import { grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as nn from "@traceform/nn";
import * as np from "@traceform/numpy";
import { vmap } from "@traceform/vmap";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { wgpu } from "./index.ts";
import { Run } from "./run.ts";

let gpu: Backend;
let host: Backend;
beforeAll(async () => {
  host = cpu();
  gpu = await wgpu({ schedule: "tiny" });
});
afterAll(() => {
  setDefaultBackend(null);
  gpu[Symbol.dispose]();
  host[Symbol.dispose]();
});

/** Numbers of both signs, the same ones on every backend. */
const numbers = (seed: number, ...shape: number[]): NDArray => {
  const n = shape.reduce((a, b) => a * b, 1);
  return np.reshape(np.array(Array.from({ length: n }, (_, i) => Math.sin(0.37 * i * i + 1.3 * i + seed))), shape);
};

type Fn = (...xs: NDArray[]) => unknown;
type Operands = () => NDArray[];

async function valuesOf(backend: Backend, f: Fn, operands: Operands): Promise<{ values: number[][]; kernels: string[] }> {
  setDefaultBackend(backend);
  const inputs = operands();
  await Promise.all(inputs.map((x) => x.data()));
  const spy = vi.spyOn(Run.prototype, "add");
  const results = treeLeaves(jit(f)(...(inputs as Inputs<NDArray[]>))) as NDArray[];
  await Promise.all(results.map((x) => x.data()));
  const kernels = spy.mock.calls.flatMap(([list]) => list.map((d) => d.kernel.kind));
  spy.mockRestore();
  const values = await Promise.all(results.map(async (x) => Array.from((await x.astype("float32").data()) as Float32Array)));
  return { values, kernels };
}

/** Runs a function on both backends, compares, and returns the kinds of kernels on the GPU. */
async function compare(f: Fn, operands: Operands, tolerance = 2e-6, backend = gpu): Promise<string[]> {
  const { values: expected } = await valuesOf(host, f, operands);
  const { values, kernels } = await valuesOf(backend, f, operands);
  expect(values.map((x) => x.length)).toEqual(expected.map((x) => x.length));
  values.forEach((list, i) =>
    list.forEach((x, j) => {
      const y = expected[i][j];
      if (Number.isNaN(y)) expect(x).toBeNaN();
      else expect(Math.abs(x - y)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(y)));
    }),
  );
  return kernels;
}

type Attended = Parameters<typeof nn.dotProductAttention>[3];
const attend =
  (options?: Attended): Fn =>
  (q, k, v) =>
    nn.dotProductAttention(q, k, v, options);
/** Queries, keys and values: sizes that no tile divides. */
const operands =
  ({ batch = 2, queries = 37, keys = 45, heads = 2, groups = 1, dim = 20, scale = 1 } = {}): Operands =>
  () => [
    np.multiply(numbers(1, batch, queries, heads * groups, dim), scale),
    numbers(2, batch, keys, heads, dim),
    numbers(3, batch, keys, heads, dim),
  ];

describe("is one kernel, with the values of the CPU", () => {
  const square = operands({ queries: 45 });
  const cases: Readonly<Record<string, readonly [f: Fn, operands: Operands, tolerance?: number]>> = {
    plain: [attend(), operands()],
    "one head, one tile": [attend(), operands({ batch: 1, heads: 1, queries: 16, keys: 16, dim: 16 })],
    causal: [attend({ isCausal: true }), square],
    scaled: [attend({ scale: 0.5 }), operands()],
    // Roundings of scores of a thousand are errors of weights: a thousand times that of the others, where two keys are nearly as good.
    "scores that differ by hundreds": [attend(), operands({ scale: 300 }), 1e-4],
    "groups of heads": [attend(), operands({ groups: 2 })],
    "wide values": [attend(), operands({ dim: 100, heads: 1 })],
    vmapped: [
      vmap(attend() as (q: NDArray, k: NDArray, v: NDArray) => NDArray) as Fn,
      () => operands()().map((x) => np.reshape(x, [2, 1, ...x.shape.slice(1)])),
    ],
    "followed by other operations": [
      (q, k, v) => np.tanh(np.add(np.matmul(nn.softmax(np.matmul(q, np.swapaxes(k, 0, 1))), v), 1)),
      () => [numbers(1, 40, 8), numbers(2, 24, 8), numbers(3, 24, 12)],
    ],
  };
  test.each(Object.entries(cases))("%s", async (_, [f, xs, tolerance]) => {
    const kernels = await compare(f, xs, tolerance);
    expect(kernels.filter((k) => k === "attention")).toHaveLength(1);
    // Axes come back to their places.
    expect(kernels.length).toBeLessThanOrEqual(2);
  });

  test("in tiles of the usual size", async () => {
    using usual = await wgpu({ schedule: "full" });
    const kernels = await compare(attend({ isCausal: true }), operands({ queries: 75, keys: 75, dim: 40 }), 2e-6, usual);
    expect(kernels).toContain("attention");
  });

  test("masks and biases", async () => {
    const masked: Fn = (q, k, v, mask, bias) => nn.dotProductAttention(q, k, v, { mask: np.greater(mask, 0), bias });
    const kernels = await compare(masked, () => [...operands()(), numbers(4, 2, 2, 37, 45), numbers(5, 2, 2, 37, 45)]);
    expect(kernels).toContain("attention");
  });

  test("rows of which everything is masked are NaN, and others are not", async () => {
    const f: Fn = (q, k, v, mask) => nn.dotProductAttention(q, k, v, { mask: np.greater(mask, 0) });
    const rows = (): NDArray =>
      np.broadcastTo(np.reshape(np.array(Array.from({ length: 37 }, (_, i) => (i % 5 === 0 ? 0 : 1))), [37, 1]), [2, 2, 37, 45]);
    const kernels = await compare(f, () => [...operands()(), rows()]);
    expect(kernels).toContain("attention");
  });

  test("infinite scores and NaN reach their rows only", async () => {
    const special = (x: NDArray, row: number, value: number): NDArray => x.at(0, row, 0, 0).set(value);
    const xs: Operands = () => {
      const [q, k, v] = operands()();
      return [special(special(q, 3, Infinity), 5, NaN), k, v];
    };
    expect(await compare(attend(), xs)).toContain("attention");
  });

  test.each(["float16", "bfloat16"] as const)("%s", async (dtype) => {
    const xs: Operands = () => operands()().map((x) => x.astype(dtype));
    // The CPU rounds the weights too.
    expect(await compare(attend(), xs, dtype === "float16" ? 4e-3 : 3e-2)).toContain("attention");
  });

  test("inside of a loop", async () => {
    const f: Fn = (q, k, v) => lax.foriLoop(0, 3, (_: NDArray, x: NDArray) => nn.dotProductAttention(x, k, v), q);
    expect((await compare(f, operands())).filter((k) => k === "attention")).toHaveLength(3);
  });
});

describe("is several kernels where it is something else", () => {
  const plain = (q: NDArray, k: NDArray): NDArray => np.matmul(q, np.swapaxes(k, 0, 1));
  const small: Operands = () => [numbers(1, 24, 8), numbers(2, 24, 8), numbers(3, 24, 12)];
  const cases: Readonly<Record<string, readonly [Fn, Operands]>> = {
    "a softmax over the queries": [(q, k, v) => np.matmul(nn.softmax(plain(q, k), 0), v), small],
    "sums along another axis than the extremes": [
      (q, k, v) => {
        const x = plain(q, k);
        const e = np.exp(np.subtract(x, np.max(x, 1, { keepdims: true })));
        return np.matmul(np.divide(e, np.sum(e, 0, { keepdims: true })), v);
      },
      small,
    ],
    "sums of rows that divide columns": [
      (q, k, v) => {
        const x = plain(q, k);
        const e = np.exp(np.subtract(x, np.max(x, 1, { keepdims: true })));
        return np.matmul(np.divide(e, np.sum(e, 1)), v);
      },
      small,
    ],
    "weights that are wanted themselves": [
      (q, k, v) => {
        const w = nn.softmax(plain(q, k));
        return [w, np.matmul(w, v)];
      },
      small,
    ],
    "one query": [attend(), operands({ queries: 1 })],
    "values of more columns than a kernel takes": [attend(), operands({ dim: 132, heads: 1, batch: 1, queries: 9, keys: 9 })],
    gradients: [
      grad((q: NDArray, k: NDArray, v: NDArray) => np.sum(np.square(nn.dotProductAttention(q, k, v)))) as Fn,
      operands({ queries: 9, keys: 10, dim: 8, heads: 1, batch: 1 }),
    ],
  };
  test.each(Object.entries(cases))("%s", async (_, [f, xs]) => {
    expect(await compare(f, xs, 1e-5)).not.toContain("attention");
  });
});
