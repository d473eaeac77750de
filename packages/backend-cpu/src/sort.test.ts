import { type Backend, makeAval, type NDArray, type StandardDType, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { expect, test } from "vitest";
import { decode, type Element, encode, sizeOf } from "../../testing/src/reference/values.ts";
import { cpu } from "./index.ts";

// Sorts of every method (insertion, radix of short and long digits), where the conformance suite has short arrays only.

const backend = cpu();

function run(
  on: Backend,
  fn: (...xs: NDArray[]) => NDArray[],
  operands: readonly (readonly [dtype: StandardDType, values: readonly Element[]])[],
  shape: readonly number[],
): Element[][] {
  const avals = operands.map(([dtype]) => makeAval(shape, dtype));
  const executable = on.compile(traceToJaxpr(fn, avals, "sort"), {});
  const buffers = operands.map(([dtype, values]) => on.put({ shape, dtype, bytes: encode(dtype, values) }, on.devices[0]));
  return executable.run(buffers).map((y) => {
    const { dtype, shape: s, bytes } = on.readSync!(y);
    return decode(dtype, bytes, sizeOf(s));
  });
}

function random(seed: number): () => number {
  let s = seed;
  return () => (s = (s * 48271) % 2147483647) / 2147483647;
}

/** Values of a dtype in no order, many of them equal; of floats both zeros, infinities and NaN too. */
function values(dtype: StandardDType, n: number): Element[] {
  const r = random(n + dtype.length);
  return Array.from({ length: n }, () => {
    const t = r();
    if (dtype === "bool") return t < 0.5 ? 1 : 0;
    if (dtype.startsWith("uint")) return dtype === "uint64" ? BigInt(Math.floor(t * 2 ** 64)) : Math.floor(t * 200);
    if (dtype === "int64") return BigInt(Math.floor((t - 0.5) * 2 ** 63));
    if (dtype.startsWith("int")) return Math.floor(t * 200) - 100;
    const special = Math.floor(t * 1000);
    if (special < 6) return [0, -0, NaN, Infinity, -Infinity, -0][special];
    const scaled = Math.floor(t * 100_000) - 50_000;
    return scaled % 7 === 0 ? (scaled % 2 === 0 ? 0 : -0) : scaled % 1024;
  });
}

/** The order of JAX's sort: NaN last, and equal to NaN; zeros equal. */
function compare(a: Element, b: Element): number {
  const [p, q] = [Number.isNaN(a), Number.isNaN(b)];
  if (p || q) return Number(p) - Number(q);
  return a < b ? -1 : a > b ? 1 : 0;
}
/** Places in sorted order. JavaScript's sort is stable, too. */
const order = (xs: readonly Element[]): number[] => xs.map((_, i) => i).sort((i, j) => compare(xs[i], xs[j]));

const dtypes: readonly StandardDType[] = [
  "bool",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "float16",
  "bfloat16",
  "float32",
  "float64",
];
const lengths = [1, 2, 63, 64, 65, 300, 4095, 4096, 5000];

/** What differs: zeros have signs, for equal elements keep their order. */
function firstDifference(got: readonly Element[], want: readonly Element[]): string | null {
  const i = want.findIndex((w, k) => !Object.is(got[k], w));
  return i < 0 ? null : `${String(got[i])} at ${i}, not ${String(want[i])}`;
}

test.each(dtypes)("values and permutations of %s", (dtype) => {
  for (const n of lengths) {
    const xs = decode(dtype, encode(dtype, values(dtype, n)), n);
    const places = order(xs);
    const [sorted] = run(backend, (x) => [lax.sort(x, 0)], [[dtype, xs]], [n]);
    expect(
      firstDifference(
        sorted,
        places.map((i) => xs[i]),
      ),
      `${n} values`,
    ).toBeNull();
    const iota: Element[] = xs.map((_, i) => i);
    const [, perm] = run(
      backend,
      (x, i) => lax.sortKeyVal(x, i, 0) as NDArray[],
      [
        [dtype, xs],
        ["int32", iota],
      ],
      [n],
    );
    expect(firstDifference(perm, places), `${n} places`).toBeNull();
  }
});

test("a column of keys is sorted by several operands, the first foremost", () => {
  const n = 700;
  const r = random(5);
  const [a, b] = [0, 1].map(() => Array.from({ length: n }, () => Math.floor(r() * 9) - 4));
  const want = a.map((_, i) => i).sort((i, j) => a[i] - a[j] || b[i] - b[j]);
  const iota = a.map((_, i) => i);
  const [, , perm] = run(
    backend,
    (x, y, z) => lax.sort([x, y, z], 0, { numKeys: 2 }),
    [
      ["int8", a],
      ["float32", b],
      ["int32", iota],
    ],
    [n],
  );
  expect(perm).toEqual(want);
});

test("rows that threads share do not share their counters", () => {
  const [rows, n] = [40, 3000];
  const threaded = cpu({ threads: 3, grain: 32 });
  const xs = decode("float32", encode("float32", values("float32", rows * n)), rows * n);
  const want = Array.from({ length: rows }, (_, i) => {
    const row = xs.slice(i * n, (i + 1) * n);
    return order(row).map((k) => row[k]);
  }).flat();
  for (let attempt = 0; attempt < 5; attempt++) {
    const [sorted] = run(threaded, (x) => [lax.sort(x, 1)], [["float32", xs]], [rows, n]);
    expect(firstDifference(sorted, want)).toBeNull();
  }
});

test.each(["float32", "int16", "uint8", "float64"] as const)("topK of %s gives the largest, of equal ones the first", (dtype) => {
  for (const [n, k] of [
    [5, 0],
    [5, 5],
    [64, 3],
    [3000, 1],
    [3000, 16],
    [3000, 700],
  ]) {
    const xs = decode(dtype, encode(dtype, values(dtype, n)), n);
    // NaN counts as the largest.
    const want = xs
      .map((_, i) => i)
      .sort((i, j) => compare(xs[j], xs[i]))
      .slice(0, k);
    const [top, at] = run(backend, (x) => lax.topK(x, k) as unknown as NDArray[], [[dtype, xs]], [n]);
    expect(at, `${k} of ${n}`).toEqual(want);
    expect(
      firstDifference(
        top,
        want.map((i) => xs[i]),
      ),
    ).toBeNull();
  }
});
