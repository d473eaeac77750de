import { cpu } from "@traceform/backend-cpu";
import { type Backend, type DType, type NDArray, setDefaultBackend } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { WgpuDevice } from "./device.ts";
import { wgpu } from "./index.ts";
import { Run } from "./run.ts";

// Sorting, running folds and scattering, of sizes that lie on both sides of what a workgroup takes: 64 elements with tiny kernels, else 1024.

type Fn = (...xs: NDArray[]) => readonly NDArray[];
type Operand = readonly [shape: readonly number[], dtype: DType, values: "numbers" | "few" | "specials"];

const specials = [NaN, 0, -0, Infinity, -Infinity, 1, -1];

/** Arrays of the backend that is the default one. */
function arrays(operands: readonly Operand[]): NDArray[] {
  let seed = 42;
  const next = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const value = {
    numbers: () => 2e4 * next() - 1e4,
    few: () => Math.floor(50 * next()),
    specials: () => specials[Math.floor(7 * next())],
  };
  return operands.map(([shape, dtype, kind]) => {
    const length = shape.reduce((a, b) => a * b, 1);
    const numbers = np.array(Float32Array.from({ length }, value[kind]));
    return np.reshape(lax.convertElementType(numbers, dtype), shape);
  });
}

/** The bits of all results. NaN has many. */
async function results(on: Backend, f: Fn, operands: readonly Operand[]): Promise<string[]> {
  setDefaultBackend(on);
  const outs = await Promise.all((jit(f)(...arrays(operands)) as readonly NDArray[]).map((x) => x.data()));
  return outs.map((x) => Array.from(x as Float32Array, (v) => (Object.is(v, -0) ? "-0" : String(v))).join());
}

describe.each(["tiny", "full"] as const)("%s kernels", (schedule) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await wgpu({ schedule });
  });
  afterAll(() => {
    setDefaultBackend(null);
    backend[Symbol.dispose]();
  });
  const block = schedule === "tiny" ? 64 : 1024;
  /** For what does not depend on the size of kernels, or would take millions of elements, or many pipelines, with large ones. */
  const tiny = schedule === "tiny";

  const same = async (f: Fn, ...operands: readonly Operand[]): Promise<void> =>
    expect(await results(backend, f, operands)).toEqual(await results(cpu(), f, operands));
  /** The kernels of a run, and the most invocations that one of them has. */
  async function dispatched(f: Fn, ...operands: readonly Operand[]): Promise<{ names: string[]; groups: number }> {
    const spy = vi.spyOn(Run.prototype, "add");
    setDefaultBackend(backend);
    const inputs = arrays(operands);
    await Promise.all(inputs.map((x) => x.data()));
    spy.mockClear();
    await Promise.all((jit(f)(...inputs) as readonly NDArray[]).map((x) => x.data()));
    const list = spy.mock.calls.flatMap(([some]) => some);
    spy.mockRestore();
    return { names: list.map((d) => d.name), groups: Math.max(...list.map((d) => d.workgroups[0] * d.workgroups[1])) };
  }

  describe("sort", () => {
    const lengths = [1, block, 2 * block + 3];
    test.each(lengths)("rows of %i elements, their places, and what goes with them", async (n) => {
      const f: Fn = (x, y) => [
        np.sort(x, -1),
        np.argsort(x, -1),
        ...(tiny
          ? [...lax.sort([y, x], 1, { numKeys: 1 }), ...lax.sort([np.floor(np.divide(y, 9)), y, x], 1, { numKeys: 2 })]
          : []),
      ];
      await same(f, [[3, n], "float32", "specials"], [[3, n], "float32", "few"]);
      await same((x) => [np.sort(x, -1)], [[3, n], "float32", "numbers"]);
    });
    if (tiny)
      test.each(["bool", "int8", "uint8", "int16", "uint16", "bfloat16", "float16", "int32", "uint32"] as const)(
        "%s",
        async (dtype) => {
          const f: Fn = (x) => [np.sort(x, 0), np.argsort(x, 0)];
          await same(f, [[2 * block + 5, 2], dtype, dtype.includes("float") ? "numbers" : "few"]);
        },
      );
    if (tiny)
      test("many short rows share workgroups", async () => {
        const operand: Operand = [[1000, 3], "float32", "numbers"];
        await same((x) => [np.sort(x, -1)], operand);
        const { names } = await dispatched((x) => [np.sort(x, -1)], operand);
        expect(names.filter((name) => name.startsWith("sort."))).toEqual(["sort.keys", "sort.block", "sort.values"]);
      });
    test("a long row is the work of many workgroups", async () => {
      const { names, groups } = await dispatched((x) => [np.sort(x)], [[40 * block], "int8", "few"]);
      expect(names).toEqual([
        "sort.keys",
        ...Array.from({ length: 2 }, () => ["sort.count", "sort.offsets", "sort.move"]).flat(),
        "sort.values",
      ]);
      expect(groups).toBeGreaterThanOrEqual(40);
    });
    test("one set of pipelines serves all lengths", async () => {
      setDefaultBackend(backend);
      const made = vi.spyOn((backend.devices[0] as WgpuDevice).gpu, "createComputePipeline");
      const kinds = async (n: number): Promise<string[]> => {
        made.mockClear();
        await results(backend, (x) => [np.argsort(x)], [[[n], "int16", "few"]]);
        return made.mock.calls.map(([d]) => d.label!).filter((label) => /^sort\.(block|count|offsets|move)/.test(label));
      };
      await kinds(7 * block + 1);
      expect(await kinds(9 * block + 5)).toEqual([]);
      made.mockRestore();
    });
  });

  describe("top k", () => {
    test.each([block, 30 * block])("of %i elements, the first of equals", async (n) => {
      await same((x) => lax.topK(x, 3), [[2, n], "float32", "few"]);
      await same((x) => lax.topK(x, 3), [[2, n], "float32", "specials"]);
      await same((x) => lax.topK(x, 3), [[2, n], "int8", "few"]);
    });
  });

  describe("running folds", () => {
    const lengths = [2 * block - 1, 4 * block + 1, 11 * block + 7];
    test.each(lengths)("of rows of %i elements", async (n) => {
      const exact: Fn = (x) => [np.cumsum(x, 1), lax.cummax(x, 1), lax.cummin(x, 1, true), lax.cumprod(x, 1)];
      await same(exact, [[3, n], "int32", "few"]);
      await same(
        (x) => [lax.cummax(x, 1), lax.cummin(x, 1, true), lax.cummax(np.greater(x, 0), 1)],
        [[2, n], "float32", "specials"],
      );
    });
    test("along an axis that is not the last, and of short dtypes", async () => {
      await same((x) => [np.cumsum(x, 0), lax.cummax(x, 0, true)], [[4 * block + 3, 5], "int32", "few"]);
      await same((x) => [np.cumsum(x, 1), lax.cummax(x, 1)], [[2, 4 * block + 3], "int8", "few"]);
    });
    test("are sums whose error does not grow with the length of the row", async () => {
      const f: Fn = (x) => [np.cumsum(x), lax.cumlogsumexp(x), np.cumsum(lax.convertElementType(x, "bfloat16"))];
      const operand: Operand = [[9 * block + 5], "float32", "numbers"];
      const [[sums, logs, short], [wantedSums, wantedLogs, wantedShort]] = await Promise.all(
        (await Promise.all([results(backend, f, [operand]), results(cpu(), f, [operand])])).map((r) =>
          r.map((t) => t.split(",").map(Number)),
        ),
      );
      const largest = Math.max(...wantedSums.map(Math.abs));
      const worst = (got: readonly number[], wanted: readonly number[]): number =>
        Math.max(...wanted.map((w, i) => Math.abs(got[i] - w)));
      // A few roundings of the largest.
      expect(worst(sums, wantedSums)).toBeLessThan(4e-7 * largest);
      expect(worst(logs, wantedLogs)).toBeLessThan(2e-6 * Math.max(...wantedLogs));
      // One rounding to eight bits.
      expect(worst(short, wantedShort)).toBeLessThan(2 ** -8 * largest);
    });
    if (tiny)
      test("of a long row are the work of many workgroups, those of blocks as well", async () => {
        const { names, groups } = await dispatched((x) => [np.cumsum(x)], [[5 * (2 * block) * (2 * block)], "int32", "few"]);
        expect(names.filter((name) => name.includes(".offsets"))).toHaveLength(3);
        expect(groups).toBe(5 * 2 * block);
      });
  });

  describe("scatter", () => {
    const add = { updateWindowDims: [], insertedWindowDims: [0], scatterDimsToOperandDims: [0] };
    const columns = { ...add, updateWindowDims: [1] };
    const folds = [lax.scatterAdd, lax.scatterMin, lax.scatterMax, lax.scatterMul, lax.scatter] as const;
    const operands = (n: number, width: number, kind: Operand[2] = "numbers"): Operand[] => [
      [[45, width], "float32", "numbers"],
      [[n, 1], "int32", "few"],
      [[n, width], "float32", kind],
    ];
    // Indices are below 50: some updates go nowhere.
    test.each([3, 65, block])("%i rows of updates have the results of one after the other, bit for bit", async (n) => {
      for (const scatter of folds.slice(0, tiny && n === 65 ? 5 : 1))
        await same((x, i, u) => [scatter(x, i, u, columns)], ...operands(n, 3));
      await same((x, i, u) => [lax.scatterAdd(x, i, u, columns, { mode: "clip" })], ...operands(n, 1));
    });
    test("elements of many blocks of updates", async () => {
      // Whole numbers, so that no sum is rounded; half of the indices are one.
      const hot: Fn = (x, i, u) => [
        lax.scatterAdd(np.floor(x), lax.max(i, 25), u, columns),
        lax.scatter(x, lax.min(i, 5), u, columns),
      ];
      await same(hot, ...operands(7 * block + 5, 2, "few"));
      await same((x, i, u) => [lax.scatterMax(x, lax.fullLike(i, 7), u, columns)], ...operands(3 * block, 2));
      // Whose order is the same every time.
      const sum: Fn = (x, i, u) => [lax.scatterAdd(x, lax.div(i, 20), u, columns)];
      const [first, again] = [
        await results(backend, sum, operands(5 * block, 2)),
        await results(backend, sum, operands(5 * block, 2)),
      ];
      expect(again).toEqual(first);
      const wanted = (await results(cpu(), sum, operands(5 * block, 2)))[0].split(",").map(Number);
      first[0].split(",").forEach((x, k) => expect(Math.abs(Number(x) - wanted[k])).toBeLessThan(1e-6 * 1e4 * block));
    });
    test("windows that overlap, batches, and other dtypes", async () => {
      const n = 2 * block + 3;
      const windows = { updateWindowDims: [1, 2], insertedWindowDims: [], scatterDimsToOperandDims: [0] };
      await same(
        (x, i, u) => [lax.scatterAdd(x, i, u, windows)],
        [[53, 2], "float32", "few"],
        [[n, 1], "int32", "few"],
        [[n, 4, 2], "float32", "few"],
      );
      const batched = {
        updateWindowDims: [2],
        insertedWindowDims: [1],
        scatterDimsToOperandDims: [1],
        operandBatchingDims: [0],
        scatterIndicesBatchingDims: [0],
      };
      // Of one block: sums are rounded at every step.
      for (const dtype of ["bfloat16", "int8"] as const)
        await same(
          (x, i, u) => [lax.scatterAdd(x, i, u, batched)],
          [[2, 50, 3], dtype, "few"],
          [[2, block, 1], "int32", "few"],
          [[2, block, 3], dtype, "few"],
        );
    });
    test("many updates are the work of many workgroups; of few, or of distinct ones, no order is made", async () => {
      const kernels = async (n: number, uniqueIndices: boolean): Promise<{ names: string[]; groups: number }> =>
        dispatched((x, i, u) => [lax.scatterAdd(x, i, u, columns, { uniqueIndices })], ...operands(n, 64));
      const many = await kernels(4 * block, false);
      expect(many.names).toContain("scatter-add.apply");
      expect(many.groups).toBe(4 * block);
      expect((await kernels(64, false)).names).toEqual(["copy", "scatter-add"]);
      const distinct = await kernels(4 * block, true);
      expect(distinct.names).toEqual(["copy", "scatter-add"]);
      expect(distinct.groups).toBe(4 * block);
    });
  });
});
