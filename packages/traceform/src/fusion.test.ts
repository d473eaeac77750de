import type { Inputs } from "@traceform/core";
import { expect, test } from "vitest";
import { jit, lax, nn, numpy as np, optim, random, type NDArray, valueAndGrad, vmap } from "./index.ts";

// How many kernels programs take that matter to users: what is fused is part of the promise.

const key = random.key(0);
const normal = (...shape: number[]): NDArray => random.normal(key, shape);
const kernels = <A extends readonly unknown[]>(fn: (...args: A) => unknown, ...args: Inputs<A>): readonly string[] =>
  jit(fn)
    .lower(...args)
    .compileSync()
    .inspect()
    .segments.flatMap((s) => s.kernels);

interface Layer {
  readonly w: NDArray;
  readonly b: NDArray;
}
const mlp = (...sizes: number[]): Layer[] => sizes.slice(1).map((n, i) => ({ w: normal(sizes[i], n), b: np.zeros([n]) }));
function loss(layers: readonly Layer[], x: NDArray, labels: NDArray): NDArray {
  const logits = layers.reduce((h, { w, b }, i) => {
    const z = np.add(np.matmul(h, w), b);
    return i === layers.length - 1 ? z : nn.relu(z);
  }, x);
  const picked = np.sum(np.multiply(nn.logSoftmax(logits), nn.oneHot(labels, 10)), 1);
  return np.negative(np.mean(picked));
}

test("rows that are worked on together are one kernel", () => {
  expect(kernels((x: NDArray) => nn.softmax(x), normal(64, 256))).toHaveLength(1);
  expect(kernels((x: NDArray) => nn.logSoftmax(x), normal(64, 256))).toHaveLength(1);
  const layerNorm = (x: NDArray, scale: NDArray, offset: NDArray): NDArray => {
    const c = np.subtract(x, np.mean(x, 1, { keepdims: true }));
    const v = np.mean(np.multiply(c, c), 1, { keepdims: true });
    return np.add(np.multiply(np.multiply(c, lax.rsqrt(np.add(v, 1e-5))), scale), offset);
  };
  expect(kernels(layerNorm, normal(64, 256), normal(256), normal(256))).toHaveLength(1);
});

test("a product takes what follows on it into its own kernel", () => {
  const x = normal(128, 64);
  const w = normal(64, 96);
  const b = normal(96);
  expect(kernels((x, w, b) => nn.gelu(np.add(np.matmul(x, w), b)), x, w, b)).toHaveLength(1);
  expect(kernels((x, w, b) => nn.softmax(np.add(np.matmul(x, w), b)), x, w, b)).toHaveLength(1);
  const image = normal(2, 8, 32, 32);
  const filter = normal(16, 8, 3, 3);
  const channel = normal(16);
  const conv =
    (padding: "SAME" | "VALID") =>
    (image: NDArray, filter: NDArray, channel: NDArray): NDArray =>
      nn.relu(np.add(lax.convGeneralDilated(image, filter, [1, 1], padding), np.reshape(channel, [16, 1, 1])));
  expect(kernels(conv("VALID"), image, filter, channel)).toHaveLength(1);
  // Zeros around the image are written once, before its windows are read nine times.
  expect(kernels(conv("SAME"), image, filter, channel)).toEqual(["pad", expect.stringContaining("conv_general_dilated.")]);
});

test("an update of all leaves of a pytree is one kernel", () => {
  const params = mlp(784, 128, 64, 10);
  const optimizer = optim.adam(1e-3);
  const state = optimizer.init(params);
  const update = (params: Layer[], state: ReturnType<typeof optimizer.init>, grads: Layer[]): unknown => {
    const [updates, next] = optimizer.update(grads, state, params);
    return [optim.applyUpdates(params, updates), next];
  };
  expect(kernels(update, params, state, params)).toHaveLength(1);
});

test("value and gradient of a multi-layer perceptron", () => {
  const x = normal(128, 784);
  const labels = np.zeros([128], { dtype: "int32" });
  expect(kernels(valueAndGrad(loss), mlp(784, 128, 10), x, labels).length).toBeLessThanOrEqual(8);
  expect(kernels(valueAndGrad(loss), mlp(784, 128, 64, 10), x, labels).length).toBeLessThanOrEqual(12);
});

test("the sum of a batch of products is one product", () => {
  const [x, y] = [normal(4, 16, 32), normal(4, 16, 8)];
  const each = (x: NDArray, y: NDArray): NDArray => vmap((a: NDArray, b: NDArray) => np.matmul(a.T, b))(x, y);
  const total = (x: NDArray, y: NDArray): NDArray => np.sum(each(x, y), 0);
  expect(kernels(total, x, y)).toHaveLength(1);
  const whole = np.matmul(np.reshape(x, [64, 32]).T, np.reshape(y, [64, 8]));
  const [got, expected] = [jit(total)(x, y).dataSync(), whole.dataSync()].map((v) => [...v].map(Number));
  got.forEach((v, i) => expect(v).toBeCloseTo(expected[i], 4));
  // Whoever needs the members has them computed once.
  const [parts, sum] = jit((x: NDArray, y: NDArray) => [each(x, y), total(x, y)] as const)(x, y);
  expect(parts.shape).toEqual([4, 32, 8]);
  [...sum.dataSync()].forEach((v, i) => expect(Number(v)).toBeCloseTo(expected[i], 4));
});
