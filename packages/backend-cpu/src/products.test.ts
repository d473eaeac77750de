import { type HostArray, makeAval, type NDArray, setDefaultBackend, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { describe, expect, test } from "vitest";
import { cpu, type CpuOptions } from "./index.ts";

const configurations: readonly (readonly [string, CpuOptions])[] = [
  ["as the engine allows", {}],
  ["without revectorisation", { revectorize: false }],
  ["plain SIMD", { revectorize: false, relaxedSimd: false }],
];
// Whole tiles, edges on both sides, several depth blocks, several row blocks.
const sizes: readonly (readonly [number, number, number])[] = [
  [48, 64, 64],
  [50, 70, 37],
  [8, 2100, 8],
  [193, 33, 300],
  [400, 65, 20],
  [9, 600, 129],
];

function values(n: number, seed: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    seed = (seed * 48271) % 2147483647;
    out[i] = seed / 2147483647 - 0.5;
  }
  return out;
}

describe.each(configurations)("matrix products, %s", (_name, options) => {
  const backend = cpu(options);
  const [device] = backend.devices;
  const run = (fn: (...xs: NDArray[]) => NDArray, ...args: (readonly [number[], Float32Array<ArrayBuffer>])[]): Float32Array => {
    setDefaultBackend(backend);
    const e = backend.compile(
      traceToJaxpr(
        (...xs) => [fn(...xs)],
        args.map(([s]) => makeAval(s, "float32")),
        "f",
      ),
      {},
    );
    const [out] = e.run(
      args.map(([shape, data]) => backend.put({ shape, dtype: "float32", bytes: new Uint8Array(data.buffer) }, device)),
    );
    return new Float32Array(backend.readSync!(out).bytes.buffer);
  };

  test.each(sizes)("%i x %i x %i, both orders of both operands", (m, k, n) => {
    const a = values(m * k, 1);
    const b = values(k * n, 2);
    const want = new Float64Array(m * n);
    for (let i = 0; i < m; i++)
      for (let p = 0; p < k; p++) for (let j = 0; j < n; j++) want[i * n + j] += a[i * k + p] * b[p * n + j];
    const transposed = (x: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> =>
      Float32Array.from(x, (_, i) => x[(i % rows) * columns + Math.floor(i / rows)]);
    const variants = [
      run((x, y) => lax.dot(x, y), [[m, k], a], [[k, n], b]),
      run((x, y) => lax.dot(lax.transpose(x, [1, 0]), y), [[k, m], transposed(a, m, k)], [[k, n], b]),
      run((x, y) => lax.dot(x, lax.transpose(y, [1, 0])), [[m, k], a], [[n, k], transposed(b, k, n)]),
    ];
    for (const got of variants) {
      let worst = 0;
      for (let i = 0; i < want.length; i++) worst = Math.max(worst, Math.abs(got[i] - want[i]));
      expect(worst).toBeLessThan(1e-6 * Math.sqrt(k) * 4);
    }
  });

  // As many rows as columns, and few of them, so that blocks are of rows and of columns; a block may reach from one batch into the next.
  test.each([
    [3, 20, 90, 100],
    [11, 50, 90, 40],
    [5, 13, 64, 260],
  ])("%i batches of %i x %i x %i, with a producer absorbed in packing", (bt, m, k, n) => {
    const a = values(bt * m * k, 3);
    const b = values(bt * k * n, 4);
    const got = run((x, y) => lax.batchMatmul(lax.mul(x, 2), y), [[bt, m, k], a], [[bt, k, n], b]);
    let worst = 0;
    for (let at = 0; at < got.length; at++) {
      const [row, j] = [Math.floor(at / n), at % n];
      let want = 0;
      for (let p = 0; p < k; p++) want += 2 * a[row * k + p] * b[(Math.floor(row / m) * k + p) * n + j];
      worst = Math.max(worst, Math.abs(got[at] - want));
    }
    expect(worst).toBeLessThan(1e-6 * Math.sqrt(k) * 8);
  });
});

test("what a block packs may have its panel 0 before the start of the memory", () => {
  // A new heap, so the scratch memory is at low addresses, and a last block whose panels, counted from the first, lie far up.
  const backend = cpu({ threads: 1, revectorize: false });
  const [m, k, n] = [2704, 144, 32];
  const program = backend.compile(
    traceToJaxpr((x, y) => [lax.dot(x, y)], [makeAval([m, k], "float32"), makeAval([k, n], "float32")], "f"),
    {},
  );
  const ones = (rows: number, columns: number): HostArray => ({
    shape: [rows, columns],
    dtype: "float32",
    bytes: new Uint8Array(new Float32Array(rows * columns).fill(1).buffer),
  });
  const [out] = program.run([backend.put(ones(m, k), backend.devices[0]), backend.put(ones(k, n), backend.devices[0])]);
  expect(new Set(new Float32Array(backend.readSync!(out).bytes.buffer))).toEqual(new Set([k]));
});
