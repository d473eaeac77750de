import { fromTyped, isFloat, isNDArray, type NDArray, setDefaultBackend, treeLeaves } from "@traceform/core";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { referenceBackend } from "@traceform/testing";
import { close, numbers } from "@traceform/testing/derivatives";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { checkGrads } from "./index.ts";

setDefaultBackend(referenceBackend());

const v = (...xs: number[]): NDArray => fromTyped(Float64Array.from(xs), [xs.length], "float64");
const m = (...xs: number[]): NDArray => fromTyped(Float64Array.from(xs), [2, 2], "float64");
const inputs = (): NDArray[][] => [
  [v(0.31, 0.82, 0.57, 0.44)],
  [m(0.31, 0.82, 0.57, 0.44)],
  [v(0.31, 0.82, 0.57, 0.44), v(0.61, 0.12, 0.77, 0.94)],
  [m(0.31, 0.82, 0.57, 0.44), m(1.1, 0.2, 0.37, 1.44)],
];

/** Functions whose second operand is no array of numbers to differentiate, or that step where they are tested. */
const notDifferentiated = new Set(["nextafter", "split", "arraySplit", "vsplit", "hsplit", "dsplit", "frexp"]);

type AnyFunction = (...xs: NDArray[]) => unknown;
const functions = Object.entries(np).filter(([name, f]) => typeof f === "function" && /^[a-z]/.test(name)) as [
  string,
  AnyFunction,
][];

/** The floating-point arrays among the results. */
function floats(f: AnyFunction): (...xs: NDArray[]) => NDArray[] {
  return (...xs) => treeLeaves(f(...xs)).filter((y): y is NDArray => isNDArray(y) && isFloat(y.dtype));
}

/** Operands that the function takes: those for which it returns floating-point arrays at all. */
function accepted(f: AnyFunction): NDArray[][] {
  return inputs().filter((args) => {
    try {
      return floats(f)(...args).length > 0;
    } catch {
      return false;
    }
  });
}

/** Results whose shape depends on values cannot be vectorised, and say so. */
const dataDependent = /depends on the values|is not known|needs a concrete value/;

describe.each(functions.map(([name, f]) => [name, f, accepted(f)] as const).filter(([, , args]) => args.length > 0))(
  "numpy.%s",
  (name, f, arguments_) => {
    const g = floats(f);
    if (!notDifferentiated.has(name))
      test("first and second derivatives", () => {
        for (const args of arguments_) checkGrads(g, args, { order: 2, rtol: 1e-4, atol: 1e-4 });
      });
    test("vmap", () => {
      for (const args of arguments_) {
        const batch = args.map((x) => lax.concatenate([lax.expandDims(x, [0]), lax.expandDims(lax.mul(x, 0.9), [0])], 0));
        const wanted = g(...args);
        let got: NDArray[];
        try {
          got = vmap(g)(...batch);
        } catch (error) {
          expect((error as Error).message).toMatch(dataDependent);
          continue;
        }
        got.forEach((y, i) => expect(close(numbers(y).slice(0, wanted[i].size), numbers(wanted[i]), 1e-9), `${name}`).toBe(true));
      }
    });
  },
);

test("most of numpy is covered", () => {
  expect(functions.filter(([, f]) => accepted(f).length > 0).length).toBeGreaterThan(150);
});
