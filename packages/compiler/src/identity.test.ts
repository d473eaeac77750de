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
  const { steps } = lowerProgram(jaxpr, "f", {
    tile: { m: 6, n: 16 },
    float64: true,
    threads: 1,
    block: 0,
    attentionColumns: 0,
    grain: 1 << 16,
  });
  return steps.map((s: Step) => (s.kind === "launch" ? kernelKey(s.kernel) : null));
}

test("the layers of a model share their kernels", () => {
  const layer = (x: NDArray, w: NDArray): NDArray => lax.max(lax.dot(x, w), 0);
  const net = (x: NDArray, ...weights: NDArray[]): NDArray[] => [weights.reduce(layer, x)];
  const all = keys(net, [128, 64], ...new Array<number[]>(5).fill([64, 64]));
  // An activation goes into the packing of the next layer: the first layer has none to pack, and the last one keeps its own.
  expect(all.length).toBe(5);
  expect(new Set(all).size).toBe(3);
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
