import { expect, test } from "vitest";
import { grad, jit, lax, numpy as np, random, type NDArray } from "./index.ts";

// Large convolutions go through the packed products; their gradients are convolutions of other shapes. A linear map and its
// gradients belong together by inner products: <conv(u, w), r> = <u, dx> and <conv(x, v), r> = <v, dw> for any u and v.

type Config = {
  readonly name: string;
  readonly lhs: readonly number[];
  readonly rhs: readonly number[];
  readonly strides: readonly number[];
  readonly padding: "SAME" | "VALID" | readonly (readonly [number, number])[];
  readonly options?: Parameters<typeof lax.convGeneralDilated>[4];
};
const nhwc = { dimensionNumbers: ["NHWC", "HWIO", "NHWC"] as const };
const configs: readonly Config[] = [
  { name: "3x3", lhs: [2, 16, 28, 28], rhs: [24, 16, 3, 3], strides: [1, 1], padding: "SAME" },
  {
    name: "odd image, strides",
    lhs: [3, 16, 27, 29],
    rhs: [16, 16, 3, 5],
    strides: [2, 1],
    padding: [
      [1, 2],
      [0, 3],
    ],
  },
  {
    name: "dilated kernel",
    lhs: [2, 12, 26, 26],
    rhs: [16, 12, 3, 3],
    strides: [1, 1],
    padding: "SAME",
    options: { rhsDilation: [2, 3] },
  },
  {
    name: "transposed",
    lhs: [2, 16, 13, 13],
    rhs: [16, 16, 4, 4],
    strides: [1, 1],
    padding: [
      [2, 2],
      [2, 2],
    ],
    options: { lhsDilation: [2, 2] },
  },
  { name: "features last", lhs: [2, 20, 22, 16], rhs: [3, 3, 16, 24], strides: [1, 1], padding: "SAME", options: nhwc },
  {
    name: "groups",
    lhs: [2, 32, 24, 24],
    rhs: [48, 16, 3, 3],
    strides: [1, 1],
    padding: "SAME",
    options: { featureGroupCount: 2 },
  },
  {
    name: "depthwise",
    lhs: [2, 24, 20, 20],
    rhs: [24, 1, 3, 3],
    strides: [1, 1],
    padding: "SAME",
    options: { featureGroupCount: 24 },
  },
  { name: "one dimension", lhs: [4, 16, 400], rhs: [16, 16, 7], strides: [1], padding: "SAME" },
  { name: "three dimensions", lhs: [2, 12, 9, 10, 11], rhs: [16, 12, 3, 2, 3], strides: [1, 1, 1], padding: "SAME" },
  { name: "one by one", lhs: [4, 24, 20, 20], rhs: [48, 24, 1, 1], strides: [1, 1], padding: "VALID" },
  {
    name: "features last, groups",
    lhs: [2, 20, 22, 32],
    rhs: [3, 3, 16, 48],
    strides: [1, 1],
    padding: "SAME",
    options: { ...nhwc, featureGroupCount: 2 },
  },
  { name: "features last, strides", lhs: [2, 31, 33, 16], rhs: [3, 3, 16, 24], strides: [2, 3], padding: "SAME", options: nhwc },
  {
    name: "groups of images",
    lhs: [4, 16, 24, 24],
    rhs: [48, 16, 3, 3],
    strides: [1, 1],
    padding: "SAME",
    options: { batchGroupCount: 2 },
  },
  {
    name: "transposed by other steps, odd sizes",
    lhs: [2, 16, 9, 11],
    rhs: [20, 16, 5, 2],
    strides: [1, 1],
    padding: [
      [5, 1],
      [0, 4],
    ],
    options: { lhsDilation: [3, 2] },
  },
  {
    name: "transposed, groups",
    lhs: [2, 32, 12, 12],
    rhs: [32, 16, 3, 3],
    strides: [1, 1],
    padding: [
      [1, 2],
      [2, 1],
    ],
    options: { lhsDilation: [2, 2], featureGroupCount: 2 },
  },
  {
    name: "holes in both",
    lhs: [2, 16, 12, 12],
    rhs: [16, 16, 3, 3],
    strides: [1, 2],
    padding: [
      [2, 2],
      [3, 2],
    ],
    options: { lhsDilation: [2, 3], rhsDilation: [3, 1] },
  },
  {
    name: "cropped",
    lhs: [2, 16, 30, 30],
    rhs: [16, 16, 3, 3],
    strides: [1, 1],
    padding: [
      [-2, -1],
      [1, -3],
    ],
  },
  { name: "long depth", lhs: [8, 16, 40, 40], rhs: [16, 16, 3, 3], strides: [1, 1], padding: "SAME" },
];

const dot = async (a: NDArray, b: NDArray): Promise<number> =>
  Number(await np.sum(np.multiply(a.astype("float64"), b.astype("float64"))).item());

test.each(configs)("$name", async ({ lhs, rhs, strides, padding, options }) => {
  const conv = jit((x: NDArray, w: NDArray) => lax.convGeneralDilated(x, w, strides, padding, options));
  const key = random.key(3);
  const normal = (i: number, shape: readonly number[]): NDArray => random.normal(random.foldIn(key, i), shape);
  const [x, w, u, v] = [normal(0, lhs), normal(1, rhs), normal(2, lhs), normal(3, rhs)];
  const out = conv(x, w);
  const r = normal(4, out.shape);
  const loss = (x: NDArray, w: NDArray): NDArray => np.sum(np.multiply(conv(x, w), r));
  const [dx, dw] = jit(grad(loss, { argnums: [0, 1] }))(x, w);
  // The same convolution in float64, which takes no product: element by element.
  const exact = jit((x: NDArray, w: NDArray) => lax.convGeneralDilated(x, w, strides, padding, options))(
    x.astype("float64"),
    w.astype("float64"),
  );
  const error = Number(await np.max(np.abs(np.subtract(out.astype("float64"), exact))).item());
  // A running sum of n products of normal numbers is of size sqrt(n): n roundings of it add up to some sqrt(n) * sqrt(n) * 2^-25, and
  // the largest of many results lies five times as far out.
  const depth = rhs.reduce((a, b) => a * b, 1) / rhs[options?.dimensionNumbers ? rhs.length - 1 : 0];
  expect(error).toBeLessThan(2 * depth * 2 ** -23);
  const scale = Math.sqrt(out.size * depth);
  expect(Math.abs((await dot(conv(u, w), r)) - (await dot(u, dx)))).toBeLessThan(1e-5 * scale);
  expect(Math.abs((await dot(conv(x, v), r)) - (await dot(v, dw)))).toBeLessThan(1e-5 * scale);
});
