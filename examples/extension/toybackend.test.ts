import { BackendError, defaultDevice, type NDArray, setDefaultBackend } from "@traceform/core";
import { grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { array, cumsum, exp, mean, multiply, sin, sum } from "@traceform/numpy";
import { backendConformance } from "@traceform/testing/conformance";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { toy } from "./toybackend.ts";

const families = [
  "neg",
  "sin",
  "cos",
  "exp",
  "log",
  "tanh",
  "add",
  "sub",
  "mul",
  "div",
  "select",
  "reshape",
  "transpose",
  "broadcastInDim",
  "reduceSum",
];

// What the backend is meant to do, it does as the reference backend does.
backendConformance(toy, {
  only: (name, dtype) =>
    families.includes(name.split(":")[0]) && (dtype === "float32" || (dtype === "int32" && !name.startsWith("div"))),
});

describe("the library runs on it", () => {
  setDefaultBackend(toy());
  const x = array([1, 2, 3]);
  const f = (v: NDArray): NDArray => mean(multiply(sin(v), exp(v)));
  const slope = [1, 2, 3].map((v) => (Math.exp(v) * (Math.sin(v) + Math.cos(v))) / 3);

  test("eagerly, compiled, differentiated and vectorised", () => {
    for (const g of [grad(f), jit(grad(f))]) {
      (g(x).jsSync() as number[]).forEach((v, i) => expect(v).toBeCloseTo(slope[i], 4));
    }
    expect(
      vmap((v: NDArray) => sum(multiply(v, x)))(
        array([
          [1, 0, 0],
          [0, 2, 0],
        ]),
      ).jsSync(),
    ).toEqual([1, 4]);
  });
  test("what it lacks has a name", () => {
    expect(() => cumsum(x)).toThrow(BackendError);
    expect(() => cumsum(x)).toThrow(/toy: has no kernel for cumsum/);
  });
  test("memory goes back", () => {
    const live = (): number => defaultDevice().memoryStats().liveBuffers;
    multiply(x, 2).dispose();
    const before = live();
    const y = multiply(x, 2);
    expect(live()).toBeGreaterThan(before);
    y.dispose();
    expect(live()).toBe(before);
  });
});
