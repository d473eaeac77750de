import type { NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type ConformanceCase, floats, integers, type Operand, wide } from "./case.ts";

const sizes: [number, number, number][] = [
  [1, 1, 1],
  [3, 5, 7],
  [1, 64, 33],
  [65, 1, 17],
  [17, 40, 1],
  [64, 64, 64],
  [130, 70, 99],
];

function matmuls(): ConformanceCase[] {
  return sizes.flatMap(([n, k, m]) => {
    const make = (what: string, left: readonly number[], right: readonly number[], l: number, r: number): ConformanceCase => ({
      name: `dotGeneral: ${what} ${n}x${k}x${m}`,
      dtypes: n * k * m > 10_000 ? wide : [...floats, "int32"],
      operands: [{ shape: left }, { shape: right }],
      run: (a, b) => lax.dotGeneral(a, b, { lhsContract: [l], rhsContract: [r], lhsBatch: [], rhsBatch: [] }),
      ulps: 4,
      relative: 1e-6,
    });
    return [
      make("ab", [n, k], [k, m], 1, 0),
      make("abT", [n, k], [m, k], 1, 1),
      make("aTb", [k, n], [k, m], 0, 0),
      make("aTbT", [k, n], [m, k], 0, 1),
    ];
  });
}

const products: readonly ConformanceCase[] = [
  {
    name: "dotGeneral: batch",
    dtypes: wide,
    operands: [{ shape: [3, 9, 20] }, { shape: [3, 20, 11] }],
    run: (a, b) => lax.dotGeneral(a, b, { lhsContract: [2], rhsContract: [1], lhsBatch: [0], rhsBatch: [0] }),
    relative: 1e-6,
  },
  {
    name: "dotGeneral: inner batch axis",
    dtypes: wide,
    operands: [{ shape: [5, 2, 6] }, { shape: [6, 7, 2] }],
    run: (a, b) => lax.dotGeneral(a, b, { lhsContract: [2], rhsContract: [0], lhsBatch: [1], rhsBatch: [2] }),
    relative: 1e-6,
  },
  {
    name: "dotGeneral: two contracted axes",
    dtypes: wide,
    operands: [{ shape: [4, 3, 5] }, { shape: [5, 3, 6] }],
    run: (a, b) => lax.dotGeneral(a, b, { lhsContract: [1, 2], rhsContract: [1, 0], lhsBatch: [], rhsBatch: [] }),
    relative: 1e-6,
  },
  {
    name: "dotGeneral: outer product",
    dtypes: wide,
    operands: [{ shape: [4] }, { shape: [5] }],
    run: (a, b) => lax.dotGeneral(a, b, { lhsContract: [], rhsContract: [], lhsBatch: [], rhsBatch: [] }),
  },
  {
    name: "dotGeneral: vectors",
    dtypes: [...wide, ...integers],
    operands: [{ shape: [100] }, { shape: [100] }],
    run: (a, b) => lax.dot(a, b),
    relative: 1e-6,
    ulps: 64,
  },
  {
    name: "dotGeneral: empty contraction",
    dtypes: wide,
    operands: [{ shape: [3, 0] }, { shape: [0, 4] }],
    run: (a, b) => lax.dot(a, b),
  },
  {
    name: "dotGeneral: accumulates 16-bit inputs in 32 bits",
    dtypes: ["float16", "bfloat16"],
    operands: [
      { shape: [4, 500], range: [0, 1] },
      { shape: [500, 4], range: [0, 1] },
    ],
    run: (a, b) => lax.dot(a, b),
    ulps: 1,
  },
  {
    name: "dotGeneral: preferred element type",
    dtypes: ["bfloat16", "float16"],
    operands: [{ shape: [4, 50] }, { shape: [50, 4] }],
    run: (a, b) => lax.dot(a, b, { preferredElementType: "float32" }),
    relative: 1e-6,
  },
  {
    name: "dotGeneral: with producer and epilogue",
    dtypes: wide,
    operands: [{ shape: [20, 30] }, { shape: [30, 40] }, { shape: [40] }],
    run: (a, b, c) => lax.tanh(lax.add(lax.dot(lax.mul(a, 2), b), lax.broadcastInDim(c, [20, 40], [1]))),
    ulps: 8,
    relative: 1e-5,
  },
];

interface ConvSpec {
  readonly what: string;
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly strides: readonly number[];
  readonly padding: "SAME" | "VALID" | readonly (readonly [number, number])[];
  readonly options?: Parameters<typeof lax.convGeneralDilated>[4];
}

const convs: readonly ConvSpec[] = [
  { what: "3x3 same", x: [2, 3, 8, 9], w: [4, 3, 3, 3], strides: [1, 1], padding: "SAME" },
  { what: "strides", x: [2, 3, 9, 9], w: [4, 3, 3, 2], strides: [2, 3], padding: "VALID" },
  {
    what: "explicit and negative padding",
    x: [1, 2, 8, 8],
    w: [3, 2, 3, 3],
    strides: [1, 1],
    padding: [
      [2, -1],
      [-1, 2],
    ],
  },
  {
    what: "window dilation",
    x: [1, 2, 11, 11],
    w: [3, 2, 3, 3],
    strides: [1, 1],
    padding: "SAME",
    options: { rhsDilation: [2, 3] },
  },
  {
    what: "base dilation",
    x: [1, 2, 5, 5],
    w: [3, 2, 3, 3],
    strides: [1, 1],
    padding: [
      [2, 2],
      [2, 2],
    ],
    options: { lhsDilation: [2, 2] },
  },
  {
    what: "both dilations and strides",
    x: [2, 2, 6, 7],
    w: [3, 2, 2, 3],
    strides: [2, 1],
    padding: [
      [1, 2],
      [2, 1],
    ],
    options: { lhsDilation: [2, 3], rhsDilation: [2, 1] },
  },
  { what: "feature groups", x: [2, 4, 6, 6], w: [6, 2, 3, 3], strides: [1, 1], padding: "SAME", options: { featureGroupCount: 2 } },
  { what: "depthwise", x: [2, 5, 6, 6], w: [5, 1, 3, 3], strides: [1, 1], padding: "SAME", options: { featureGroupCount: 5 } },
  { what: "batch groups", x: [4, 3, 6, 6], w: [4, 3, 3, 3], strides: [1, 1], padding: "VALID", options: { batchGroupCount: 2 } },
  {
    what: "NHWC",
    x: [2, 8, 9, 3],
    w: [3, 3, 3, 8],
    strides: [1, 1],
    padding: "SAME",
    options: { dimensionNumbers: ["NHWC", "HWIO", "NHWC"] },
  },
  {
    what: "NHWC strided",
    x: [2, 9, 9, 16],
    w: [3, 3, 16, 24],
    strides: [2, 2],
    padding: "SAME",
    options: { dimensionNumbers: ["NHWC", "HWIO", "NHWC"] },
  },
  { what: "one dimension", x: [2, 3, 20], w: [4, 3, 5], strides: [2], padding: "SAME" },
  { what: "three dimensions", x: [1, 2, 5, 6, 4], w: [3, 2, 2, 3, 2], strides: [1, 2, 1], padding: "SAME" },
  { what: "1x1", x: [2, 16, 7, 7], w: [32, 16, 1, 1], strides: [1, 1], padding: "VALID" },
];

function convolutions(): ConformanceCase[] {
  return convs.map(({ what, x, w, strides, padding, options }) => ({
    name: `convGeneralDilated: ${what}`,
    dtypes: wide,
    operands: [{ shape: x }, { shape: w }] satisfies Operand[],
    run: (a: NDArray, b: NDArray) => lax.convGeneralDilated(a, b, strides, padding, options),
    relative: 1e-6,
  }));
}

export function contractionCases(): ConformanceCase[] {
  return [...matmuls(), ...products, ...convolutions()];
}
