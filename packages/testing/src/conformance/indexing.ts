import type { NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type ConformanceCase, every, floats, numbers, type Operand, wide } from "./case.ts";

const rows = {
  offsetDims: [1],
  collapsedSliceDims: [0],
  startIndexMap: [0],
  operandBatchingDims: [],
  startIndicesBatchingDims: [],
};
const points = {
  offsetDims: [],
  collapsedSliceDims: [0, 1],
  startIndexMap: [0, 1],
  operandBatchingDims: [],
  startIndicesBatchingDims: [],
};
const windows = {
  offsetDims: [1, 2],
  collapsedSliceDims: [],
  startIndexMap: [1, 0],
  operandBatchingDims: [],
  startIndicesBatchingDims: [],
};
const batched = {
  offsetDims: [2],
  collapsedSliceDims: [1],
  startIndexMap: [1],
  operandBatchingDims: [0],
  startIndicesBatchingDims: [0],
};

const index = (shape: readonly number[], low: number, high: number): Operand => ({ shape, dtype: "int32", range: [low, high] });

function gathers(): ConformanceCase[] {
  return (["clip", "fill", "promise_in_bounds"] as const).flatMap((mode) => {
    const [lo, hi] = mode === "promise_in_bounds" ? [0, 3] : [-3, 9];
    return [
      {
        name: `gather: rows, ${mode}`,
        dtypes: every,
        operands: [{ shape: [6, 5] }, index([7, 1], lo, hi)],
        run: (x: NDArray, i: NDArray) => lax.gather(x, i, rows, [1, 5], { mode }),
      },
      {
        name: `gather: points, ${mode}`,
        dtypes: numbers,
        operands: [{ shape: [6, 5] }, index([3, 4, 2], lo, hi)],
        run: (x: NDArray, i: NDArray) => lax.gather(x, i, points, [1, 1], { mode }),
      },
      {
        name: `gather: windows, ${mode}`,
        dtypes: wide,
        operands: [{ shape: [6, 7] }, index([5, 2], lo, hi)],
        run: (x: NDArray, i: NDArray) => lax.gather(x, i, windows, [3, 2], { mode }),
      },
      {
        name: `gather: batched, ${mode}`,
        dtypes: wide,
        operands: [{ shape: [3, 6, 4] }, index([3, 5, 1], lo, hi)],
        run: (x: NDArray, i: NDArray) => lax.gather(x, i, batched, [1, 1, 4], { mode }),
      },
    ];
  });
}

const scatterRows = {
  updateWindowDims: [1],
  insertedWindowDims: [0],
  scatterDimsToOperandDims: [0],
  operandBatchingDims: [],
  scatterIndicesBatchingDims: [],
};
const scatterPoints = {
  updateWindowDims: [],
  insertedWindowDims: [0, 1],
  scatterDimsToOperandDims: [0, 1],
  operandBatchingDims: [],
  scatterIndicesBatchingDims: [],
};
const scatterWindows = {
  updateWindowDims: [1, 2],
  insertedWindowDims: [],
  scatterDimsToOperandDims: [1, 0],
  operandBatchingDims: [],
  scatterIndicesBatchingDims: [],
};
const scatterBatched = {
  updateWindowDims: [2],
  insertedWindowDims: [1],
  scatterDimsToOperandDims: [1],
  operandBatchingDims: [0],
  scatterIndicesBatchingDims: [0],
};

function scatters(): ConformanceCase[] {
  const kinds = {
    scatter: lax.scatter,
    scatterAdd: lax.scatterAdd,
    scatterMul: lax.scatterMul,
    scatterMin: lax.scatterMin,
    scatterMax: lax.scatterMax,
  };
  return Object.entries(kinds).flatMap(([name, fn]) =>
    (["clip", "fill"] as const).flatMap((mode) => {
      // Repeated indices have no defined order under `scatter`, so its indices are distinct.
      const distinct: Operand = {
        shape: [4, 1],
        dtype: "int32",
        values: [3, mode === "fill" ? 8 : 5, 0, mode === "fill" ? -2 : 1],
      };
      const repeated = index([9, 1], -2, 7);
      const at = name === "scatter" ? distinct : repeated;
      return [
        {
          name: `${name}: rows, ${mode}`,
          dtypes: name === "scatter" ? every : numbers,
          operands: [{ shape: [6, 5] }, at, { shape: [at.shape[0], 5] }],
          run: (x: NDArray, i: NDArray, u: NDArray) => fn(x, i, u, scatterRows, { mode }),
          ulps: 8,
          relative: 1e-6,
        },
        ...(name === "scatter"
          ? []
          : [
              {
                name: `${name}: points, ${mode}`,
                dtypes: wide,
                operands: [{ shape: [6, 5] }, index([3, 4, 2], -1, 6), { shape: [3, 4] }],
                run: (x: NDArray, i: NDArray, u: NDArray) => fn(x, i, u, scatterPoints, { mode }),
                ulps: 8,
              },
              {
                name: `${name}: windows, ${mode}`,
                dtypes: wide,
                operands: [{ shape: [6, 7] }, index([5, 2], -1, 6), { shape: [5, 3, 2] }],
                run: (x: NDArray, i: NDArray, u: NDArray) => fn(x, i, u, scatterWindows, { mode }),
                ulps: 8,
              },
              {
                name: `${name}: batched, ${mode}`,
                dtypes: wide,
                operands: [{ shape: [3, 6, 4] }, index([3, 5, 1], -1, 6), { shape: [3, 5, 4] }],
                run: (x: NDArray, i: NDArray, u: NDArray) => fn(x, i, u, scatterBatched, { mode }),
                ulps: 8,
              },
            ]),
      ];
    }),
  );
}

function sorts(): ConformanceCase[] {
  return [
    { name: "sort: last axis", dtypes: every, operands: [{ shape: [4, 37] }], run: (x) => lax.sort(x, 1) },
    { name: "sort: first axis", dtypes: numbers, operands: [{ shape: [37, 4] }], run: (x) => lax.sort(x, 0) },
    { name: "sort: special values", dtypes: floats, operands: [{ shape: [3, 64], special: true }], run: (x) => lax.sort(x, 1) },
    {
      name: "sort: long",
      dtypes: ["float32", "int32"],
      operands: [{ shape: [5000], range: [-1000, 1000] }],
      run: (x) => lax.sort(x, 0),
    },
    {
      name: "sort: keys with values, stable",
      dtypes: ["float32", "int32"],
      operands: [{ shape: [100], dtype: "int32", range: [0, 5] }, { shape: [100] }],
      run: (k, v) => lax.sortKeyVal(k, v, 0),
    },
    {
      name: "sort: two keys",
      dtypes: ["float32"],
      operands: [{ shape: [60], dtype: "int32", range: [0, 3] }, { shape: [60] }, { shape: [60], dtype: "uint8", range: [0, 200] }],
      run: (a, b, c) => lax.sort([a, b, c], 0, { numKeys: 2 }),
    },
    { name: "sort: empty", dtypes: ["float32"], operands: [{ shape: [0] }], run: (x) => lax.sort(x, 0) },
    { name: "topK: last axis", dtypes: numbers, operands: [{ shape: [4, 30], range: [0, 9] }], run: (x) => lax.topK(x, 7) },
    { name: "topK: special values", dtypes: ["float32"], operands: [{ shape: [50], special: true }], run: (x) => lax.topK(x, 20) },
  ];
}

export function indexingCases(): ConformanceCase[] {
  return [...gathers(), ...scatters(), ...sorts()];
}
