import type { CostAnalysis, Inputs } from "@traceform/core";
import { expect, test } from "vitest";
import { jit, lax, numpy as np, type NDArray } from "./index.ts";

const cost = <A extends readonly unknown[]>(fn: (...args: A) => unknown, ...args: Inputs<A>): CostAnalysis =>
  jit(fn)
    .lower(...args)
    .compileSync()
    .costAnalysis();

test("transcendental functions are counted by their values, however they are fused", () => {
  const x = np.ones([30, 10]);
  expect(cost((x: NDArray) => np.multiply(np.add(x, 1), x), x).transcendentals).toBe(0);
  expect(cost((x: NDArray) => np.exp(x), x).transcendentals).toBe(300);
  expect(cost((x: NDArray) => np.tanh(np.exp(np.sum(x, 1))), x).transcendentals).toBe(60);
  const steps = (x: NDArray): NDArray => lax.scan((c: NDArray, _: null) => [np.sin(c), null], x, null, { length: 7 })[0];
  expect(cost(steps, x).transcendentals).toBe(2100);
});

test("a product counts two operations for each step of its sums", () => {
  const [a, b] = [np.ones([96, 64]), np.ones([64, 48])];
  expect(cost((a: NDArray, b: NDArray) => np.matmul(a, b), a, b).flops).toBe(2 * 96 * 64 * 48);
});
