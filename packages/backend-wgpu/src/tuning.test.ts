import { makeAval, type NDArray, setDefaultBackend, traceToJaxpr } from "@traceform/core";
import type { Axis } from "@traceform/compiler";
import * as np from "@traceform/numpy";
import { afterEach, expect, test, vi } from "vitest";
import type { WgpuDevice } from "./device.ts";
import { type TileTable, wgpu } from "./index.ts";
import type { Product } from "./emit/tiles.ts";
import { timeRuns } from "./measure.ts";
import { Tuning } from "./tuning.ts";

afterEach(() => {
  vi.restoreAllMocks();
  setDefaultBackend(null);
});

const { choose } = Tuning.prototype;
/** Lets measurements find what is written here, and returns the names of what was measured. */
function pretend(times: (name: string) => number | null): string[] {
  const measured: string[] = [];
  vi.spyOn(Tuning.prototype, "choose").mockImplementation(function (this: Tuning, productClass, names, time) {
    return choose.call(this, productClass, names, async (i) => {
      measured.push(names[i]);
      return times(names[i]) ?? (await time(i));
    });
  });
  return measured;
}

async function compile(tiles: TileTable, [m, k, n]: readonly [number, number, number], prepare = true) {
  const backend = await wgpu({ tiles });
  setDefaultBackend(backend);
  const written = vi.spyOn((backend.devices[0] as WgpuDevice).gpu, "createShaderModule");
  const avals = [makeAval([m, k], "float32"), makeAval([k, n], "float32")];
  const { jaxpr, consts } = traceToJaxpr((x: NDArray, y: NDArray) => [np.matmul(x, y)], avals, "f");
  const program = backend.compile({ jaxpr, consts }, {});
  if (prepare) await program.prepare!();
  const run = async (): Promise<Uint8Array> => {
    const args = avals.map(({ shape }, seed) => {
      const data = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(0.37 * i + seed));
      return backend.put({ shape, dtype: "float32", bytes: new Uint8Array(data.buffer) }, backend.devices[0]);
    });
    const [out] = program.run(args);
    return (await backend.read(out)).bytes;
  };
  const memory = (): string => /tile_a_\w+: [^;]*/.exec(written.mock.calls.at(-1)![0].code)![0];
  return { backend, run, memory };
}

/** Large enough for all tiles. */
const large = [128, 64, 128] as const;
const worthwhile = (): unknown => vi.spyOn(Tuning.prototype, "isWorthwhile").mockReturnValue(true);

test("a program that is awaited measures tiles once, and has the fastest; others take what is known", async () => {
  worthwhile();
  const tiles: TileTable = {};
  // One is run in earnest, and others are known to be slower or not to run.
  const real = "8x8 4x4 16";
  const measured = pretend((name) => (name === real ? null : name === "8x8 8x8 8" ? 1e9 : Infinity));
  const first = await compile(tiles, large);
  expect(measured.length).toBeGreaterThan(5);
  expect(new Set(measured).size).toBe(measured.length);
  expect(Object.values(tiles).map((t) => Object.values(t))).toEqual([[real]]);
  expect(first.memory()).toBe("tile_a_vec4f32: array<vec4<f32>, 144>");
  const { bytesInUse } = first.backend.devices[0].memoryStats!();
  expect(bytesInUse).toBe(0);

  const before = measured.length;
  // Kept as JSON; of the same magnitudes.
  const second = await compile(JSON.parse(JSON.stringify(tiles)) as TileTable, [130, 64, 132]);
  expect(second.memory()).toBe("tile_a_vec4f32: array<vec4<f32>, 144>");
  expect(measured.length).toBe(before);
  for (const { backend } of [first, second]) backend[Symbol.dispose]();
});

test("small products, and programs that nobody waits for, go by rule", async () => {
  const measured = pretend(() => 1);
  const tiles: TileTable = {};
  for (const made of [await compile(tiles, [512, 512, 512], false), await compile(tiles, [64, 64, 64])])
    made.backend[Symbol.dispose]();
  expect(measured).toEqual([]);
  expect(Object.values(tiles)).toEqual([{}]);
});

test("of equals the first is taken, and of what does not run nothing", async () => {
  const table: TileTable = {};
  const gpu = { adapterInfo: { vendor: "a", architecture: "b" }, limits: {} } as unknown as GPUDevice;
  const tuning = new Tuning(gpu, table);
  await tuning.choose("x", ["p", "q", "r"], async (i) => [2, 1, 1][i]);
  await tuning.choose("x", ["p"], async () => expect.fail("it is known"));
  await tuning.choose("y", ["p", "q"], async () => Infinity);
  expect(Object.values(table)).toEqual([{ x: "q" }]);
});

test("large products are measured, on GPUs, unless nobody wants it", () => {
  const axis = (extent: number): Axis => ({ id: 0, extent });
  const product = (n: number, others: number) =>
    ({ batches: [], rows: [axis(n)], columns: [axis(n)], depth: [axis(n)], others: new Array(others) }) as unknown as Product;
  const gpu = (isFallbackAdapter: boolean) => ({ adapterInfo: { isFallbackAdapter }, limits: {} }) as unknown as GPUDevice;
  const tuning = new Tuning(gpu(false), {});
  expect([product(512, 9), product(64, 9), product(512, 1)].map((p) => tuning.isWorthwhile(p))).toEqual([true, false, false]);
  expect(new Tuning(gpu(true), {}).isWorthwhile(product(512, 9))).toBe(false);
  expect(new Tuning(gpu(false), null).isWorthwhile(product(512, 9))).toBe(false);
});

test("short runs are repeated", async () => {
  let [now, submitted] = [0, 0];
  vi.spyOn(performance, "now").mockImplementation(() => now);
  const queue = { onSubmittedWorkDone: async () => void ((now += submitted), (submitted = 0)) };
  const asked: number[] = [];
  const time = await timeRuns({ queue } as unknown as GPUDevice, (times) => {
    asked.push(times);
    submitted += 2 * times;
  });
  expect([time, asked]).toEqual([2, [1, 1, 3, 3]]);
});

test("all tiles make the same bits", async () => {
  const results: Uint8Array[] = [];
  worthwhile();
  const all = pretend(() => 1);
  await compile({}, large).then(({ backend }) => backend[Symbol.dispose]());
  // The tests' GPU takes seconds to compile the larger ones.
  const names = all.filter((name) => name.includes(" 4x4 ") || name.startsWith("8x8 "));
  expect(names.length).toBeGreaterThan(4);
  const memories = new Set<string>();
  for (const name of names) {
    vi.spyOn(Tuning.prototype, "chosen").mockReturnValue(name);
    const made = await compile({}, [130, 70, 132], false);
    results.push(await made.run());
    memories.add(made.memory());
    made.backend[Symbol.dispose]();
  }
  expect(memories.size).toBeGreaterThan(2);
  for (const bytes of results) expect(bytes).toEqual(results[0]);
});
