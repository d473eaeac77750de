import type { CostAnalysis, Inputs } from "@traceform/core";
import { corpus } from "@traceform/testing/corpus";
import { expect, test } from "vitest";
import { jit, lax, numpy as np, type NDArray, vjp } from "./index.ts";

// The cheap gradient principle, counted and not timed: a function and its gradient together take at most four times the
// operations of the function. Griewank & Walther (2008), "Evaluating Derivatives", section 3.4: between three and four.

const cost = <A extends readonly unknown[]>(fn: (...args: A) => unknown, ...args: Inputs<A>): CostAnalysis =>
  jit(fn)
    .lower(...args)
    .compileSync()
    .costAnalysis();

/** What a value of exp, sin or the like takes in additions and multiplications: their polynomials have some twenty terms. */
const transcendental = 20;
const operations = ({ flops, transcendentals }: CostAnalysis): number => flops + transcendental * transcendentals;

const x = np.array([0.4, -0.3, 0.7], { dtype: "float64" });
const w = np.array([0.7, -1.1, 0.4], { dtype: "float64" });

test.each(
  corpus()
    .filter((c) => !c.forwardOnly)
    .map((c) => [c.name, c.fn] as const),
)("value and gradient of %s take at most four times its operations", (_name, fn) => {
  const primal = cost(fn, x);
  const both = cost(
    (x: NDArray, w: NDArray) => {
      const [y, pullback] = vjp(fn, x);
      return [y, pullback(w)[0]] as const;
    },
    x,
    w,
  );
  // A function that only moves its elements has a gradient that adds them up.
  expect(operations(both)).toBeLessThanOrEqual(4 * Math.max(operations(primal), x.size));
});

/** Functions of sizes at which one kind of operation dominates, where the bound has little slack left. */
const large: readonly (readonly [name: string, fn: (x: NDArray) => NDArray, shape: readonly number[]])[] = [
  ["a product", (x) => np.matmul(x, x), [64, 64]],
  ["layers", (x) => np.tanh(np.matmul(np.tanh(np.matmul(np.tanh(np.matmul(x, x)), x)), x)), [48, 48]],
  [
    "a convolution",
    (x) => lax.convGeneralDilated(np.reshape(x, [2, 8, 16, 16]), np.reshape(x.slice([0, 576]), [8, 8, 3, 3]), [1, 1], "SAME"),
    [4096],
  ],
  [
    "a recurrence",
    (x) => lax.scan((c: NDArray, _: null) => [np.tanh(np.matmul(x, c)), null], x, null, { length: 20 })[0],
    [24, 24],
  ],
  [
    "a checkpointed recurrence, which computes twice",
    (x) =>
      lax.scan((c: NDArray, v: NDArray) => [lax.checkpoint((c: NDArray) => np.tanh(np.matmul(x, c.add(v))))(c), null], x, x)[0],
    [24, 24],
  ],
  ["attention", (x) => np.matmul(np.exp(np.matmul(x, x.T).mul(0.1)), x), [32, 32]],
];

test.each(large)("value and gradient of %s, large", (_name, fn, shape) => {
  const x = np.ones([...shape]);
  const primal = cost(fn, x);
  const both = cost((x: NDArray) => {
    const [y, pullback] = vjp(fn, x);
    return [y, pullback(np.ones(y.shape))[0]] as const;
  }, x);
  expect(operations(both)).toBeLessThanOrEqual(4 * operations(primal));
});
