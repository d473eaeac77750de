import type { NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type ConformanceCase, type Operand, wide } from "./case.ts";

const shape = [12, 37] as const;
const m: Operand = { shape };
const row: Operand = { shape: [37] };
const loose = { ulps: 64, relative: 1e-5 };

const rows = (x: NDArray): NDArray => lax.broadcastInDim(x, shape, [0]);
const columns = (x: NDArray): NDArray => lax.broadcastInDim(x, shape, [1]);
const mean = (x: NDArray): NDArray => lax.mul(lax.reduceSum(x, [1]), 1 / 37);

function logSoftmax(x: NDArray): NDArray {
  const y = lax.sub(x, rows(lax.reduceMax(x, [1])));
  return lax.sub(y, rows(lax.log(lax.reduceSum(lax.exp(y), [1]))));
}

function layerNorm(x: NDArray, g: NDArray, b: NDArray): NDArray {
  const c = lax.sub(x, rows(mean(x)));
  const scale = lax.rsqrt(lax.add(mean(lax.mul(c, c)), 1e-5));
  return lax.add(lax.mul(lax.mul(c, rows(scale)), columns(g)), columns(b));
}

const gelu = (x: NDArray): NDArray =>
  lax.mul(
    lax.mul(x, 0.5),
    lax.add(lax.tanh(lax.mul(lax.add(x, lax.mul(lax.integerPow(x, 3), 0.044715)), Math.sqrt(2 / Math.PI))), 1),
  );

/** Patterns that a compiler joins into few kernels: each must compute what its equations say. */
export function fusionCases(): ConformanceCase[] {
  return [
    { name: "fusion: softmax", dtypes: wide, operands: [m], run: softmax, ...loose },
    {
      name: "fusion: softmax, then more",
      dtypes: wide,
      operands: [m, m],
      run: (x, y) => [lax.mul(softmax(x), y), lax.reduceSum(lax.mul(softmax(x), y), [0])],
      ...loose,
    },
    {
      name: "fusion: softmax over the first axis",
      dtypes: wide,
      operands: [m],
      run: (x) => lax.transpose(softmax(lax.transpose(x, [1, 0])), [1, 0]),
      ...loose,
    },
    { name: "fusion: log-softmax", dtypes: wide, operands: [m], run: logSoftmax, ...loose },
    {
      name: "fusion: log-softmax, selected and averaged",
      dtypes: wide,
      operands: [m, { shape: [12, 37], dtype: "bool" }],
      run: (x, p) => lax.mul(lax.reduceSum(lax.select(p, logSoftmax(x), lax.fullLike(x, 0)), [0, 1]), 1 / 12),
      ...loose,
    },
    { name: "fusion: log-softmax with kept axes", dtypes: wide, operands: [m], run: keptLogSoftmax, ...loose },
    { name: "fusion: layer norm with kept axes", dtypes: wide, operands: [m], run: keptStandardize, ...loose },
    { name: "fusion: layer norm", dtypes: wide, operands: [m, row, row], run: layerNorm, ...loose },
    {
      name: "fusion: layer norm and its statistics",
      dtypes: wide,
      operands: [m, row, row],
      run: (x, g, b) => [layerNorm(x, g, b), mean(x), lax.reduceMax(x, [1])],
      ...loose,
    },
    {
      name: "fusion: two reductions of one input",
      dtypes: wide,
      operands: [m],
      run: (x) => [lax.reduceSum(x, [0]), lax.reduceSum(x, [1]), lax.reduceMax(lax.abs(x), [0, 1])],
      ...loose,
    },
    {
      name: "fusion: reduction of a reduction",
      dtypes: wide,
      operands: [m],
      run: (x) => lax.reduceMax(lax.reduceSum(lax.exp(x), [1]), [0]),
      ...loose,
    },
    {
      name: "fusion: variance of everything",
      dtypes: wide,
      operands: [m],
      run: (x) => {
        const c = lax.sub(x, lax.mul(lax.reduceSum(x), 1 / 444));
        return lax.reduceSum(lax.mul(c, c));
      },
      ...loose,
    },
    {
      name: "fusion: gelu of a dense layer",
      dtypes: wide,
      operands: [{ shape: [9, 20] }, { shape: [20, 37] }, row],
      run: (x, w, b) => gelu(lax.add(lax.dot(x, w), lax.broadcastInDim(b, [9, 37], [1]))),
      ...loose,
    },
    {
      name: "fusion: dense layer, then softmax",
      dtypes: wide,
      operands: [{ shape: [12, 20] }, { shape: [20, 37] }, row],
      run: (x, w, b) => [logSoftmax(lax.add(lax.dot(x, w), columns(b))), lax.argmax(lax.dot(x, w), 1)],
      ...loose,
    },
    {
      name: "fusion: product of a gathered and a converted operand",
      dtypes: ["uint8", "int32"],
      operands: [
        { shape: [30, 8], range: [0, 100] },
        { shape: [6], dtype: "int32", range: [0, 29] },
        { shape: [8, 5], dtype: "float32" },
      ],
      run: (t, i, w) =>
        lax.dot(
          lax.mul(
            lax.convertElementType(lax.gather(t, lax.reshape(i, [6, 1]), take, [1, 8], { mode: "fill" }), "float32"),
            1 / 255,
          ),
          w,
        ),
      ...loose,
    },
    {
      name: "fusion: attention",
      dtypes: wide,
      operands: [{ shape: [2, 12, 8] }, { shape: [2, 37, 8] }, { shape: [2, 37, 5] }],
      run: attention,
      ...loose,
    },
    {
      name: "fusion: a chain of views",
      dtypes: wide,
      operands: [m],
      run: (x) =>
        lax.rev(
          lax.pad(lax.transpose(lax.slice(lax.exp(x), [2, 3], [10, 33], [1, 2]), [1, 0]), 0.5, [
            [1, 2, 0],
            [0, 1, 1],
          ]),
          [0],
        ),
      ...loose,
    },
    {
      name: "fusion: concatenated producers",
      dtypes: wide,
      operands: [m, m],
      run: (x, y) => lax.reduceSum(lax.concatenate([lax.sin(x), lax.mul(y, 2)], 1), [1]),
      ...loose,
    },
    {
      name: "fusion: updates of many arrays",
      dtypes: wide,
      operands: [m, row, { shape: [] }],
      run: (...xs) =>
        xs.flatMap((p) => {
          const g = lax.mul(p, 0.1);
          const v = lax.add(lax.mul(g, g), 0.01);
          return [lax.sub(p, lax.div(g, lax.add(lax.sqrt(v), 1e-8))), v];
        }),
      ...loose,
    },
    {
      name: "fusion: shared producer with several readers",
      dtypes: wide,
      operands: [{ shape: [9, 13] }],
      run: (x) => {
        const e = lax.exp(x);
        const total = lax.reduceSum(e, [1]);
        return [lax.div(e, lax.broadcastInDim(total, [9, 13], [0])), lax.reduceMax(e, [0]), lax.transpose(e, [1, 0])];
      },
      ulps: 16,
      relative: 1e-6,
    },
    {
      name: "fusion: an input that is also an output",
      dtypes: [...wide, "int32"],
      operands: [{ shape: [4] }, { shape: [4] }],
      run: (x, y) => [y, x, lax.add(x, y), y],
    },
  ];
}

/** Statistics that keep their axis, as array libraries write them: elementwise work happens at [n, 1]. */
const kept = (x: NDArray): NDArray => lax.broadcastInDim(x, [12, 1], [0]);
const spread = (x: NDArray): NDArray => lax.broadcastInDim(x, shape, [0, 1]);

function keptLogSoftmax(x: NDArray): NDArray {
  const y = lax.sub(x, spread(lax.stopGradient(kept(lax.reduceMax(x, [1])))));
  return lax.sub(y, spread(lax.log(kept(lax.reduceSum(lax.exp(y), [1])))));
}

function keptStandardize(x: NDArray): NDArray {
  const c = lax.sub(x, spread(lax.mul(kept(lax.reduceSum(x, [1])), 1 / 37)));
  return lax.mul(c, spread(lax.rsqrt(lax.add(lax.mul(kept(lax.reduceSum(lax.square(c), [1])), 1 / 37), 1e-5))));
}

const take = {
  offsetDims: [1],
  collapsedSliceDims: [0],
  startIndexMap: [0],
  operandBatchingDims: [],
  startIndicesBatchingDims: [],
};

function softmax(x: NDArray): NDArray {
  const spread = (y: NDArray): NDArray => lax.broadcastInDim(y, x.shape, x.shape.map((_, d) => d).slice(0, -1));
  const last = x.ndim - 1;
  const e = lax.exp(lax.sub(x, spread(lax.reduceMax(x, [last]))));
  return lax.div(e, spread(lax.reduceSum(e, [last])));
}

function attention(q: NDArray, k: NDArray, v: NDArray): NDArray {
  const logits = lax.mul(lax.dotGeneral(q, k, { lhsContract: [2], rhsContract: [2], lhsBatch: [0], rhsBatch: [0] }), 0.35);
  const [i, j] = [1, 2].map((d) => lax.broadcastedIota("int32", logits.shape, d));
  const masked = lax.select(lax.ge(i, j), logits, lax.fullLike(logits, -1e9));
  return lax.dotGeneral(softmax(masked), v, { lhsContract: [2], rhsContract: [1], lhsBatch: [0], rhsBatch: [0] });
}
