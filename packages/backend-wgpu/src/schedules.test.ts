import { type Backend, makeAval, type NDArray, setDefaultBackend, traceToJaxpr } from "@traceform/core";
import { grad } from "@traceform/grad";
import * as lax from "@traceform/lax";
import * as nn from "@traceform/nn";
import * as np from "@traceform/numpy";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { referenceBackend } from "../../testing/src/reference/backend.ts";
import type { WgpuDevice } from "./device.ts";
import { wgpu } from "./index.ts";

type Shape = readonly number[];
type Fn = (...xs: NDArray[]) => NDArray;

function values({ length }: { readonly length: number }, seed: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length }, () => {
    seed = (seed * 48271) % 2147483647;
    return seed / 2147483647 - 0.5;
  });
}

async function run(backend: Backend, f: Fn, shapes: readonly Shape[]): Promise<Float32Array> {
  const avals = shapes.map((s) => makeAval(s, "float32"));
  const { jaxpr, consts } = traceToJaxpr((...xs: NDArray[]) => [f(...xs)], avals, "f");
  using program = backend.compile({ jaxpr, consts }, { name: "f" });
  const args = shapes.map((shape, i) => {
    const data = values({ length: shape.reduce((a, b) => a * b, 1) }, i + 1);
    return backend.put({ shape, dtype: "float32", bytes: new Uint8Array(data.buffer) }, backend.devices[0]);
  });
  const [out] = program.run(args);
  const { bytes } = await backend.read(out);
  [...args, out].forEach((b) => b.release());
  return new Float32Array(bytes.slice().buffer);
}

const conv = (x: NDArray, w: NDArray): NDArray => lax.convGeneralDilated(x, w, [1, 1], "SAME");
const products: Readonly<Record<string, readonly [Fn, ...Shape[]]>> = {
  "whole tiles": [(x, y) => lax.dot(x, y), [128, 64], [64, 128]],
  "edges on all sides": [(x, y) => lax.dot(x, y), [67, 37], [37, 90]],
  "both operands transposed": [(x, y) => lax.dot(lax.transpose(x, [1, 0]), lax.transpose(y, [1, 0])), [40, 70], [50, 40]],
  "a batch": [(x, y) => np.matmul(x, y), [3, 33, 20], [3, 20, 34]],
  "many tiles": [(x, y) => np.matmul(x, y), [128, 64, 17], [128, 17, 68]],
  "many large tiles": [(x, y) => np.matmul(x, y), [128, 128, 9], [128, 9, 130]],
  "a batch of one operand only": [(x, y) => np.matmul(x, y), [3, 33, 20], [20, 34]],
  "producers and what becomes of the result": [
    (x, y, b) => lax.abs(lax.add(lax.dot(lax.exp(x), lax.neg(y)), lax.broadcastInDim(b, [48, 40], [1]))),
    [48, 24],
    [24, 40],
    [40],
  ],
  "a convolution": [conv, [2, 5, 9, 9], [36, 5, 3, 3]],
  "a convolution's gradient of the image": [
    (x, w, r) => grad((y: NDArray) => np.sum(np.multiply(conv(y, w), r)))(x),
    [2, 33, 9, 9],
    [5, 33, 3, 3],
    [2, 5, 9, 9],
  ],
  "a convolution's gradient of the kernel": [
    (x, w, r) => grad((y: NDArray) => np.sum(np.multiply(conv(x, y), r)))(w),
    [2, 5, 9, 9],
    [36, 5, 3, 3],
    [2, 36, 9, 9],
  ],
};
const rows: Readonly<Record<string, readonly [Fn, ...Shape[]]>> = {
  "sums of rows": [(x) => np.sum(x, 1), [7, 333]],
  "one long row": [(x) => np.sum(x), [5000]],
  "few columns": [(x) => np.sum(x, 0), [1500, 3]],
  "several axes": [(x) => np.max(x, [0, 2]), [11, 3, 40]],
  "folds of pairs": [(x) => lax.convertElementType(np.argmax(np.abs(x), 1), "float32"), [4, 700]],
  softmax: [(x) => nn.softmax(x, -1), [5, 257]],
  "layer norm": [(x) => nn.standardize(x), [3, 2, 400]],
};

const columns: Readonly<Record<string, readonly [Fn, ...Shape[]]>> = {
  "sums of columns": [(x) => np.sum(x, 0), [70, 70]],
  "a row times a matrix": [(x, y) => np.matmul(x, y), [90], [90, 37]],
  "a row times a wide matrix": [(x, y) => np.matmul(np.negative(x), y), [33], [33, 16400]],
  "rows of a batch times its matrices": [(x, y) => np.matmul(x, y), [3, 1, 65], [3, 65, 34]],
  "folds of folds, and what becomes of them": [(x) => np.divide(np.std(x, 0), np.add(1, np.max(np.abs(x), 0))), [67, 33]],
  "positions of the largest": [(x) => lax.convertElementType(np.argmax(x, 0), "float32"), [48, 40]],
};

/** A device that has no subgroups, though its adapter may. */
async function withoutSubgroups(): Promise<GPUDevice> {
  const { create } = (await import("webgpu")) as unknown as { create(options: readonly string[]): GPU };
  const adapter = await (dawn ??= create([])).requestAdapter();
  return adapter!.requestDevice();
}
/** It has to live as long as what it has made. */
let dawn: GPU | null = null;

describe.each([
  ["full", true],
  ["tiny", true],
  ["full", false],
] as const)("%s kernels, with subgroups: %s", (schedule, subgroups) => {
  const reference = referenceBackend();
  let backend: Backend;
  beforeAll(async () => {
    backend = await wgpu({ schedule, ...(subgroups ? {} : { device: await withoutSubgroups() }) });
  });
  afterAll(() => backend[Symbol.dispose]());

  async function check([f, ...shapes]: readonly [Fn, ...Shape[]], memory: string): Promise<void> {
    setDefaultBackend(reference);
    const written = vi.spyOn((backend.devices[0] as WgpuDevice).gpu, "createShaderModule");
    const got = await run(backend, f, shapes);
    const kernels = written.mock.calls.map(([{ code }]) => code);
    written.mockRestore();
    const own = kernels.filter((code) => code.includes(memory));
    expect(own.length).toBeGreaterThan(0);
    if (own.some((code) => code.includes("shared_0") && !code.includes("let strip")))
      expect(own.some((code) => code.includes("enable subgroups"))).toBe(subgroups);
    const want = await run(reference, f, shapes);
    expect(got.length).toBe(want.length);
    // Once, and not for each of millions of elements.
    const worst = got.reduce((most, x, i) => Math.max(most, Math.abs(x - want[i]) / Math.max(1, Math.abs(want[i]))), 0);
    expect(worst).toBeLessThan(1e-5);
  }

  // Products have no use for subgroups.
  if (subgroups) test.each(Object.keys(products))("products in tiles: %s", (name) => check(products[name], "tile_a"));
  if (subgroups) test.each(Object.keys(columns))("strips of columns: %s", (name) => check(columns[name], "let strip"));
  // What has no fold needs no memory of the workgroup.
  test.each(Object.keys(rows))("rows that workgroups share: %s", (name) => check(rows[name], "var e = i32(local)"));
});
