import { expect, test } from "vitest";
import { grad, jit, lax, numpy as np, type NDArray } from "./index.ts";

const xs = np.arange(14).astype("float32").mul(0.1).reshape([7, 2]);
const run =
  (unroll: number | boolean, reverse = false) =>
  (x: NDArray): readonly [NDArray, NDArray] =>
    lax.scan((c: NDArray, v: NDArray) => [np.sin(c.mul(v).add(0.5)), c.add(v)], x, xs, { unroll, reverse });
const inspect = (unroll: number | boolean): { kernels: number; text: string } => {
  const info = jit(run(unroll))
    .lower(np.ones([2]))
    .compileSync()
    .inspect();
  return { kernels: info.segments.flatMap((s) => s.kernels).length, text: info.text };
};

test("unrolled iterations are compiled as one, and those that are left over by themselves", () => {
  expect(inspect(1).text).toMatch(/loop 7:/);
  expect(inspect(3).text).toMatch(/loop 2:/);
  expect(inspect(2).text).toMatch(/loop 3:/);
  for (const all of [true, 7, 100]) expect(inspect(all).text).not.toMatch(/loop/);
});

test("results and gradients are those of the loop, bit by bit", () => {
  const x = np.array([0.3, -0.8]);
  for (const reverse of [false, true]) {
    const loss = (unroll: number | boolean) => (v: NDArray) => {
      const [c, ys] = run(unroll, reverse)(v);
      return np.sum(c).add(np.sum(np.square(ys)));
    };
    const want = jit((v: NDArray) => run(1, reverse)(v))(x).map((y) => y.jsSync());
    const slope = jit(grad(loss(1)))(x).jsSync() as number[];
    for (const unroll of [2, 3, 6, 7, 8, true] as const) {
      expect(jit((v: NDArray) => run(unroll, reverse)(v))(x).map((y) => y.jsSync())).toEqual(want);
      // Sums of the gradient may be taken in another order inside one kernel.
      (jit(grad(loss(unroll)))(x).jsSync() as number[]).forEach((g, i) => expect(g).toBeCloseTo(slope[i], 6));
    }
  }
});
