import { cpu } from "@traceform/backend-cpu";
import {
  type Backend,
  itemsize,
  makeAval,
  type NDArray,
  ShapeDtypeStruct,
  setDefaultBackend,
  type StandardDType,
  traceToJaxpr,
} from "@traceform/core";
import * as lax from "@traceform/lax";
import * as nn from "@traceform/nn";
import * as np from "@traceform/numpy";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { WgpuDevice } from "./device.ts";
import { wgpu } from "./index.ts";

// Elements of 8 and 16 bits share words: whoever writes one must not disturb the others.

type Shape = readonly number[];
type Fn = (...xs: NDArray[]) => NDArray;

const host = cpu();
let backend: Backend;
let gpu: GPUDevice;
beforeAll(async () => {
  backend = await wgpu({ schedule: "tiny" });
  ({ gpu } = backend.devices[0] as WgpuDevice);
});
afterAll(() => backend[Symbol.dispose]());
afterEach(() => {
  vi.restoreAllMocks();
  setDefaultBackend(null);
});

/** Small integers, of which sums and products are exact in all dtypes. */
function bytesOf(shape: Shape, dtype: StandardDType, seed: number): Uint8Array {
  const bytes = new Uint8Array(shape.reduce((a, b) => a * b, itemsize(dtype)));
  const count = bytes.length / itemsize(dtype);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) {
    const x = (7 * i + 3 * seed) % 4;
    if (dtype === "float16") view.setUint16(2 * i, [0, 0x3c00, 0x4000, 0x4200][x], true);
    else if (dtype === "bfloat16") view.setUint16(2 * i, [0, 0x3f80, 0x4000, 0x4040][x], true);
    else if (dtype === "float32") view.setFloat32(4 * i, x, true);
    else if (dtype === "bool") bytes[i] = x & 1;
    else if (itemsize(dtype) === 2) view.setInt16(2 * i, x, true);
    else bytes[i] = x;
  }
  return bytes;
}

async function run(on: Backend, f: Fn, dtype: StandardDType, shapes: readonly Shape[]): Promise<number[]> {
  setDefaultBackend(on);
  const avals = shapes.map((s) => makeAval(s, dtype));
  const { jaxpr, consts } = traceToJaxpr((...xs: NDArray[]) => [f(...xs)], avals, "f");
  using program = on.compile({ jaxpr, consts }, { name: "f" });
  const args = shapes.map((shape, i) => on.put({ shape, dtype, bytes: bytesOf(shape, dtype, i) }, on.devices[0]));
  const [out] = program.run(args);
  const { bytes } = await on.read(out);
  [...args, out].forEach((b) => b.release());
  return [...bytes];
}

/** The kernels that a program needs on the GPU, where its result is that of the CPU. */
async function kernels(f: Fn, dtype: StandardDType, ...shapes: readonly Shape[]): Promise<readonly string[]> {
  const written = vi.spyOn(gpu, "createShaderModule");
  const got = await run(backend, f, dtype, shapes);
  const codes = written.mock.calls.map(([{ code }]) => code);
  written.mockRestore();
  expect(got).toEqual(await run(host, f, dtype, shapes));
  return codes;
}
const isAtomic = (code: string): boolean => code.includes("atomicOr");

const twice = (x: NDArray): NDArray => lax.add(x, x);
// Of each width, signed and not; the others differ from these by expressions only, which the conformance suite sees.
const short: readonly StandardDType[] = ["float16", "int8", "uint8"];

describe.each(short)("%s", (dtype) => {
  test("takes its own bytes of memory", () => {
    const before = backend.devices[0].memoryStats!().bytesInUse;
    const buffer = backend.put({ shape: [1024], dtype, bytes: bytesOf([1024], dtype, 0) }, backend.devices[0]);
    expect(backend.devices[0].memoryStats!().bytesInUse - before).toBe(1024 * itemsize(dtype));
    buffer.release();
  });

  test.each([1, 2, 3, 4, 5, 63, 64, 127, 1021])("%i elements one after the other are whole words", async (n) => {
    const codes = await kernels(twice, dtype, [n]);
    expect(codes.every((c) => !isAtomic(c))).toBe(true);
  });

  test("rows of any length are", async () => {
    for (const n of [2, 3, 5, 8]) {
      await kernels((x, y) => lax.add(x, lax.broadcastInDim(y, [7, n], [1])), dtype, [7, n], [n]);
      await kernels((x) => lax.transpose(twice(x), [1, 0]), dtype, [7, n]);
      await kernels((x) => lax.rev(twice(x), [0, 1]), dtype, [n, 7]);
      await kernels(
        (x) =>
          lax.pad(x, lax.fullLike(lax.reduceMax(x, [0, 1]), 1), [
            [1, 2, 0],
            [0, 1, 1],
          ]),
        dtype,
        [n, 3],
      );
    }
  });

  test("folds of rows write results side by side", async () => {
    const sums = (x: NDArray): NDArray => lax.reduceSum(x, [1]);
    for (const rows of [1, 2, 3, 6]) {
      // One invocation for each row, and one workgroup.
      await kernels(sums, dtype, [rows, 7]);
      const codes = await kernels(sums, dtype, [rows, 301]);
      expect(codes.every((c) => !isAtomic(c))).toBe(true);
    }
    for (const n of [5, 6, 7]) await kernels((x) => lax.reduceMax(x, [0]), dtype, [65, n]);
  });

  test("rows that are written by workgroups are shared by words, and change parts of words where they are odd", async () => {
    const centred = (x: NDArray): NDArray => lax.sub(x, lax.broadcastInDim(lax.reduceMin(x, [1]), x.shape, [0]));
    for (const n of [128, 131]) {
      const codes = await kernels(centred, dtype, [3, n]);
      expect(codes.some(isAtomic)).toBe(n === 131);
    }
    await kernels(centred, dtype, [1, 131]);
  });

  test("products have rows of any length", async () => {
    const product = (x: NDArray, y: NDArray): NDArray => lax.dot(x, y);
    for (const n of [16, 17, 18]) await kernels(product, dtype, [9, 12], [12, n]);
    await kernels((x, y) => np.matmul(x, y), dtype, [3, 5, 8], [3, 8, 7]);
  });

  test("parts of arrays begin anywhere", async () => {
    await kernels((x, y) => lax.concatenate([x, y, x], 0), dtype, [3], [5]);
    await kernels(
      (x, y) =>
        lax.concatenate(
          Array.from({ length: 70 }, (_, i) => (i % 2 === 0 ? x : y)),
          0,
        ),
      dtype,
      [3],
      [5],
    );
    await kernels((x) => twice(lax.slice(x, [3], [10])), dtype, [11]);
    await kernels((x, y) => lax.dynamicUpdateSlice(twice(x), y, [5]), dtype, [17], [3]);
    await kernels((x, y) => lax.dynamicUpdateSlice(twice(x), y, [1, 1]), dtype, [3, 5], [2, 3]);
  });

  test("loops step through them", async () => {
    const scan: Fn = (x) => {
      const [last, all] = lax.scan((c: NDArray, row: NDArray) => [lax.max(c, row), lax.sub(c, row)], lax.reduceMin(x, [0]), x);
      return lax.concatenate([lax.expandDims(last, [0]), all], 0);
    };
    for (const n of [1, 3, 4]) await kernels(scan, dtype, [5, n]);
    await kernels(
      (x) =>
        lax.whileLoop(
          ([i]: [NDArray, NDArray]) => lax.lt(i, 3),
          ([i, y]: [NDArray, NDArray]) => [lax.add(i, 1), lax.rev(lax.add(y, y), [0])] as [NDArray, NDArray],
          [np.array(0, { dtype: "int32" }), x] as [NDArray, NDArray],
        )[1],
      dtype,
      [7],
    );
  });

  test("gathers, scatters, sorts and running sums", async () => {
    const at = [4, 0, 2, 2, 6];
    await kernels((x) => np.take(x, np.array(at, { dtype: "int32" })), dtype, [7]);
    await kernels((x, y) => np.at(twice(x), [np.array([4, 0, 2], { dtype: "int32" })]).set(y), dtype, [7], [3]);
    await kernels((x, y) => np.at(x, [np.array(at, { dtype: "int32" })]).add(y), dtype, [7, 3], [5, 3]);
    await kernels((x) => np.sort(x, 0), dtype, [9, 3]);
    await kernels((x) => np.sort(x), dtype, [5, 13]);
    await kernels((x) => np.cumsum(x, 1, { dtype }), dtype, [3, 7]);
  });
});

test("predicates and masks are bytes", async () => {
  const masked = (x: NDArray, y: NDArray): NDArray => lax.select(x, y, lax.bitwiseXor(x, y));
  for (const n of [1, 3, 8, 130]) expect((await kernels(masked, "bool", [n], [n])).every((c) => !isAtomic(c))).toBe(true);
  await kernels((x) => lax.reduceOr(x, [1]), "bool", [3, 5]);
  await kernels((x) => lax.transpose(lax.bitwiseNot(x), [1, 0]), "bool", [3, 5]);
});

test("results of several widths are written by one kernel", async () => {
  const f: Fn = (x) => {
    const y = lax.add(x, x);
    return lax.add(lax.convertElementType(lax.convertElementType(y, "int8"), "float32"), lax.convertElementType(y, "float32"));
  };
  await kernels(f, "float16", [13]);
  await kernels((x) => nn.softmax(lax.mul(x, lax.fullLike(x, 0)), -1), "float16", [3, 4]);
});

test("calls out to JavaScript read and write parts of words", async () => {
  const out = new ShapeDtypeStruct([3], "uint8");
  const f: Fn = (x) =>
    lax.scan(
      (c: NDArray, row: NDArray) => [c, lax.pureCallback((y: NDArray) => lax.add(y, 1), out, lax.add(row, row))] as const,
      0,
      x,
    )[1] as NDArray;
  const got = run(backend, f, "uint8", [[5, 3]]);
  // Callbacks work with arrays of the host.
  setDefaultBackend(host);
  expect(await got).toEqual([...bytesOf([5, 3], "uint8", 0)].map((x) => 2 * x + 1));
});
