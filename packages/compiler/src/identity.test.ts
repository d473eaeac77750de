import { makeAval, type NDArray, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { expect, test } from "vitest";
import { kernelKey, lowerProgram, type Step } from "./index.ts";

/** The keys of a program's kernels, in order. */
function keys(fn: (...xs: NDArray[]) => readonly NDArray[], ...shapes: readonly number[][]): (string | null)[] {
  const jaxpr = traceToJaxpr(
    fn,
    shapes.map((s) => makeAval(s, "float32")),
    "f",
  );
  const { steps } = lowerProgram(jaxpr, "f", { tile: { m: 6, n: 16 }, wideSums: true });
  return steps.map((s: Step) => (s.kind === "launch" ? kernelKey(s.kernel) : null));
}

test("the layers of a model share their kernels", () => {
  const layer = (x: NDArray, w: NDArray): NDArray => lax.max(lax.dot(x, w), 0);
  const all = keys((x, a, b, c) => [layer(layer(layer(x, a), b), c)], [128, 64], [64, 64], [64, 64], [64, 64]);
  // Packing of both operands and the product; the activation goes into the next layer's packing, and the last has its own.
  expect(all.length).toBeGreaterThan(8);
  expect(new Set(all).size).toBeLessThan(all.length - 2);
});

test("kernels that differ in a constant, a shape or an operand are different", () => {
  const one = (fn: (x: NDArray, y: NDArray) => NDArray, n = 10): string | null => keys((x, y) => [fn(x, y)], [n], [n])[0];
  const base = one((x, y) => lax.add(lax.mul(x, 2), y));
  expect(one((x, y) => lax.add(lax.mul(x, 2), y))).toBe(base);
  const others = [
    one((x, y) => lax.add(lax.mul(x, 3), y)),
    one((x, y) => lax.sub(lax.mul(x, 2), y)),
    one((x) => lax.add(lax.mul(x, 2), x)),
    one((x, y) => lax.add(lax.mul(x, 2), y), 11),
    one((x, y) => lax.add(lax.mul(x, 2), lax.rev(y, [0]))),
    one((x, y) => lax.add(lax.mul(x, -0), y)),
    one((x, y) => lax.add(lax.mul(x, 0), y)),
  ];
  expect(new Set([base, ...others]).size).toBe(others.length + 1);
});
