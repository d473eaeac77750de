import { cpu } from "@traceform/backend-cpu";
import { type Backend, config, debugInfs, debugNans, FloatingPointError, type NDArray, setDefaultBackend } from "@traceform/core";
import { checkpoint, customJvp, grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { vmap } from "@traceform/vmap";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { referenceBackend } from "./reference/backend.ts";

const backends: readonly (readonly [string, () => Backend])[] = [
  ["reference", () => referenceBackend()],
  ["cpu", () => cpu()],
];

function thrown(fn: () => unknown): FloatingPointError {
  try {
    fn();
  } catch (error) {
    expect(error).toBeInstanceOf(FloatingPointError);
    return error as FloatingPointError;
  }
  throw new Error("nothing was thrown");
}
const here = (): number => Number(/:(\d+):\d+\)?$/.exec(new Error().stack!.split("\n")[2])![1]);

describe.each(backends)("debugNans on %s", (_name, make) => {
  beforeAll(() => {
    setDefaultBackend(make());
  });
  afterAll(() => {
    setDefaultBackend(null);
  });
  let at = 0;
  const bad = (x: NDArray): NDArray => {
    at = here() + 1;
    return np.log(x);
  };

  test("off, nothing happens; on, eager operations throw and name the primitive", () => {
    expect(bad(np.array(-1)).itemSync()).toBeNaN();
    const error = thrown(() => debugNans(true, () => bad(np.array([1, -1]))));
    expect(error.fn).toBe("log");
    expect(error.code).toBe("TRACEFORM_FLOATING_POINT");
    expect(error.message).toMatch(/^log: a NaN among the values of the result, float32\[2\]/);
    expect(bad(np.array(-1)).itemSync()).toBeNaN();
    expect(debugNans(true, () => np.sqrt(np.array(4)).itemSync())).toBe(2);
  });

  const inLoop = (x: NDArray): NDArray => lax.scan((c: NDArray, y: NDArray) => [np.add(c, bad(y)), y], 0, x)[0];
  const programs: Record<string, () => unknown> = {
    jit: () => jit(bad)(np.array([1, -1])),
    "jit inside jit": () => jit((x: NDArray) => np.add(jit(bad)(np.sin(x)), 1))(np.array(-1)),
    "compiled ahead of time": () => jit(bad).lower(np.array(-1)).compileSync()(np.array(-1)),
    "jit of vmap": () => jit(vmap(bad))(np.array([1, -1])),
    "grad of jit": () => grad(jit(bad))(np.array(-1)),
    "jit of grad": () => jit(grad((x: NDArray) => np.multiply(bad(x), bad(x))))(np.array(-1)),
    "scan, the second iteration": () => jit(inLoop)(np.array([1, -1, 1])),
    "scan in reverse": () =>
      jit((x: NDArray) => lax.scan((c: NDArray, y: NDArray) => [c, bad(y)], 0, x, { reverse: true }))(np.array([1, -1])),
    "eager scan": () => inLoop(np.array([1, -1, 1])),
    whileLoop: () =>
      jit((x: NDArray) =>
        lax.whileLoop(
          (c: NDArray) => np.greater(c, -2),
          (c: NDArray) => np.subtract(np.add(bad(c), c), bad(c)),
          x,
        ),
      )(np.array(-1)),
    cond: () => jit((x: NDArray) => lax.cond(np.less(x, 0), bad, (y: NDArray) => y, x))(np.array(-1)),
    checkpoint: () => jit(grad(checkpoint((x: NDArray) => np.multiply(bad(x), bad(x)))))(np.array(-1)),
    customJvp: () => {
      const f = customJvp(bad);
      f.defjvp(([x], [dx]) => [f(x), dx]);
      return jit(f)(np.array(-1));
    },
  };
  test.each(Object.entries(programs))("%s: the equation and its line", (_program, run) => {
    const error = thrown(() => debugNans(true, run));
    expect(error.message).toMatch(/^log: a NaN/);
    expect(error.message).toMatch(new RegExp(`at: .*debugnans\\.test\\.ts:${at}:`));
    // Without the check everything runs.
    run();
  });

  test("infinities have a switch of their own", () => {
    const f = jit((x: NDArray) => np.divide(np.array(1), x));
    expect(debugNans(true, () => f(np.array(0)).itemSync())).toBe(Infinity);
    expect(thrown(() => debugInfs(true, () => f(np.array(0)))).message).toMatch(/^div: an infinity/);
    expect(debugInfs(true, () => np.log(np.array(-1)).itemSync())).toBeNaN();
    for (const dtype of ["float16", "bfloat16", "float64", "complex64"] as const) {
      const zero = lax.convertElementType(np.array(0), dtype);
      const one = lax.convertElementType(np.array(1), dtype);
      thrown(() => debugNans(true, () => lax.div(zero, zero)));
      expect(debugNans(true, () => lax.div(zero, one).shape)).toEqual([]);
      if (dtype !== "complex64") thrown(() => debugInfs(true, () => lax.div(one, zero)));
    }
  });

  test("what does not reach a result is not seen, and integers are not looked at", () => {
    expect(debugNans(true, () => jit((x: NDArray) => np.where(np.greater(x, 0), np.log(x), 0))(np.array(-1)).itemSync())).toBe(0);
    expect(debugNans(true, () => jit((x: NDArray) => np.add(x, 1))(np.array([1], { dtype: "int32" })).jsSync())).toEqual([2]);
  });

  test("config.update sets it for good, and refuses what is no setting", () => {
    config.update("debugNans", true);
    expect(config.debugNans).toBe(true);
    try {
      thrown(() => bad(np.array(-1)));
      // A scope inside turns it off and on again.
      expect(debugNans(false, () => bad(np.array(-1)).itemSync())).toBeNaN();
      thrown(() => bad(np.array(-1)));
    } finally {
      config.update("debugNans", false);
    }
    expect(() => (config.update as (name: string, value: unknown) => void)("debugNan", true)).toThrow(
      /there is no setting "debugNan"/,
    );
    expect(() => (config.update as (name: string, value: unknown) => void)("debugNans", 1)).toThrow(/debugNans cannot be 1/);
  });

  test("donated arguments stay alive while it looks", () => {
    const f = jit((x: NDArray) => np.add(bad(x), 1), { donateArgnums: 0 });
    const x = np.array([1, 2]);
    debugNans(true, () => f(x));
    expect(x.jsSync()).toEqual([1, 2]);
    thrown(() => debugNans(true, () => f(np.array([-1, 2]))));
  });

  test("callbacks for debugging are not called again by the search, and one with a result ends it", () => {
    let calls = 0;
    const f = jit((x: NDArray) => {
      lax.debug.callback(() => calls++, x);
      return bad(x);
    });
    thrown(() => debugNans(true, () => f(np.array(-1))));
    expect(calls).toBe(1);
    const g = jit((x: NDArray) => bad(lax.ioCallback((v: NDArray) => (calls++, v), x, x)));
    expect(thrown(() => debugNans(true, () => g(np.array(-1)))).message).toMatch(/is not called again/);
    expect(calls).toBe(2);
  });
});
