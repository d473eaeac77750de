import {
  type Backend,
  debugInfs,
  debugNans,
  effectsBarrier,
  FloatingPointError,
  type NDArray,
  setDefaultBackend,
} from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { wgpu } from "./index.ts";

let backend: Backend;
let lines: string[] = [];
beforeEach(async () => {
  backend = setDefaultBackend(await wgpu());
  lines = [];
  lax.debug.setPrintSink((text) => lines.push(text));
});
afterEach(() => {
  lax.debug.setPrintSink(null);
  setDefaultBackend(null);
  backend[Symbol.dispose]();
});

test("what programs and eager operations print comes in order", async () => {
  const f = jit((x: NDArray) => {
    lax.debug.print("program {}", x);
    return np.multiply(x, 2);
  });
  const y = f(np.array([1, 2]));
  lax.debug.print("eager {}", y);
  f(y);
  await effectsBarrier();
  expect(lines).toEqual(["program [1, 2]", "eager [2, 4]", "program [2, 4]"]);
});

describe("debugNans", () => {
  const failure = async (x: NDArray): Promise<FloatingPointError> => {
    const error: unknown = await x.data().then(
      () => null,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(FloatingPointError);
    return error as FloatingPointError;
  };
  const bad = (x: NDArray): NDArray => np.exp(np.log(x));

  test("names the operation and its line when the result is read", async () => {
    const eager = debugNans(true, () => bad(np.array([1, -1])));
    const compiled = debugNans(true, () => jit(bad)(np.array([1, -1])));
    for (const y of [eager, compiled]) {
      const error = await failure(y);
      expect(error.fn).toBe("log");
      expect(error.message).toMatch(/^log: a NaN among the values of the result, float32\[2\]/);
      expect(error.message).toContain("debug.test.ts:");
    }
  });

  test("looks into loops and branches, and passes what is right", async () => {
    const looped = (x: NDArray): NDArray =>
      lax.scan(
        (c: NDArray, y: NDArray) => [
          np.add(
            c,
            lax.cond(np.greater(y, 0), bad, (z: NDArray) => np.sqrt(z), y),
          ),
          y,
        ],
        0,
        x,
      )[0];
    expect(await debugNans(true, () => jit(looped)(np.array([1, 4]))).item()).toBe(5);
    expect((await failure(debugNans(true, () => jit(looped)(np.array([1, -4]))))).fn).toBe("sqrt");
    // Off, nothing is looked at.
    expect(await jit(looped)(np.array([1, -4])).item()).toBeNaN();
  });

  test("infinities are found by debugInfs alone", async () => {
    expect((await failure(debugInfs(true, () => np.divide(1, np.array([0, 1]))))).message).toContain("an infinity");
    expect([...(await debugNans(true, () => np.divide(1, np.array([0, 1]))).data())]).toEqual([Infinity, 1]);
  });
});
