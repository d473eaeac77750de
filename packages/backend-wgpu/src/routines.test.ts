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
    const lengths = [1, 7, block, block + 1, 5 * block + 3];
    test.each(lengths)("rows of %i elements, their places, and what goes with them", async (n) => {
      const f: Fn = (x, y) => [
        np.sort(x, -1),
        np.argsort(x, -1),
        ...lax.sort([y, x], 1, 1),
        ...lax.sort([np.floor(np.divide(y, 9)), y, x], 1, 2),
      ];
      await same(f, [[3, n], "float32", "specials"], [[3, n], "float32", "few"]);
      await same((x) => [np.sort(x, -1)], [[3, n], "float32", "numbers"]);
    });
    test.each(["bool", "int8", "uint8", "int16", "uint16", "bfloat16", "float16", "int32", "uint32"] as const)(
      "%s",
      async (dtype) => {
        const f: Fn = (x) => [np.sort(x, 0), np.argsort(x, 0)];
        await same(f, [[2 * block + 5, 2], dtype, dtype.includes("float") ? "numbers" : "few"]);
      },
    );
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
    test.each([12, block, 3 * block + 1, 30 * block])("of %i elements, the first of equals", async (n) => {
      await same((x) => lax.topK(x, 3), [[2, n], "float32", "few"]);
      await same((x) => lax.topK(x, 3), [[2, n], "float32", "specials"]);
      await same((x) => lax.topK(x, 3), [[2, n], "int8", "few"]);
    });
  });
});
