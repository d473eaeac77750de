import { config, asArray, type NDArray, printJaxpr, scalar, setDefaultBackend, TracerError, ValueError } from "@traceform/core";
import { grad } from "@traceform/grad";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { disableJit, ensureCompileTimeEval, jit, makeJaxpr, traceCount } from "./index.ts";

setDefaultBackend(referenceBackend());

const xs = asArray([0, 1, 2]);

describe("disableJit", () => {
  test("a jitted function runs as it is written, with values", () => {
    const f = jit((x: NDArray) => (Number(x) > 0 ? x : lax.neg(x)));
    expect(() => f(-2)).toThrow(TracerError);
    const before = traceCount();
    expect(disableJit(() => f(scalar(-2, "float32")).itemSync())).toBe(2);
    expect(traceCount()).toBe(before);
    expect(config.disableJit).toBe(false);
  });
  test("loops run in JavaScript", () => {
    const seen: unknown[] = [];
    const [carry, ys] = disableJit(() =>
      lax.scan(
        (c: NDArray, x: NDArray) => {
          seen.push(x.itemSync());
          return [lax.add(c, x), { before: c, twice: [lax.mul(x, 2)] }];
        },
        10,
        xs,
      ),
    );
    expect(seen).toEqual([0, 1, 2]);
    expect([carry.itemSync(), ys.before.jsSync(), ys.twice[0].jsSync()]).toEqual([13, [10, 10, 11], [0, 2, 4]]);
    const [, reversed] = disableJit(() => lax.scan((c: NDArray, x: NDArray) => [x, c], 9, xs, { reverse: true }));
    expect(reversed.jsSync()).toEqual([1, 2, 9]);
    const steps: unknown[] = [];
    const total = disableJit(() =>
      lax.foriLoop(
        0,
        3,
        (i, v: NDArray) => {
          steps.push(i.itemSync());
          return lax.add(v, lax.convertElementType(i, "float32"));
        },
        0.5,
      ),
    );
    expect([steps, total.itemSync()]).toEqual([[0, 1, 2], 3.5]);
    const counted: unknown[] = [];
    const end = disableJit(() =>
      lax.whileLoop(
        (c: NDArray) => lax.lt(c, 3),
        (c) => {
          counted.push(c.itemSync());
          return lax.add(c, 1);
        },
        0,
      ),
    );
    expect([counted, end.itemSync()]).toEqual([[0, 1, 2], 3]);
    const mapped: unknown[] = [];
    disableJit(() => lax.map((x: NDArray) => (mapped.push(x.itemSync()), lax.mul(x, 2)), xs));
    expect(mapped).toEqual([0, 1, 2]);
    expect(disableJit(() => lax.foriLoop(0, 0, (_i, v: NDArray) => v, 4)).itemSync()).toBe(4);
  });
  test("only the branch that is taken runs", () => {
    const taken: string[] = [];
    const note =
      (name: string) =>
      (x: NDArray): NDArray => {
        taken.push(name);
        return x;
      };
    disableJit(() => lax.cond(true, note("yes"), note("no"), xs));
    disableJit(() => lax.switch_(7, [note("0"), note("1")], xs));
    expect(taken).toEqual(["yes", "1"]);
  });
  test("a predicate that is not known is staged as ever", () => {
    const clip = (x: NDArray): NDArray =>
      lax.whileLoop(
        (c: NDArray) => lax.lt(c, 3),
        (c) => lax.add(c, 2),
        x,
      );
    expect(disableJit(() => vmap(clip)(xs)).jsSync()).toEqual([4, 3, 4]);
    const sign = (x: NDArray): NDArray =>
      lax.cond(
        lax.gt(x, 0),
        (y: NDArray) => y,
        (y: NDArray) => lax.neg(y),
        x,
      );
    expect(disableJit(() => vmap(sign)(asArray([-1, 2]))).jsSync()).toEqual([1, 2]);
    expect(printJaxpr(disableJit(() => makeJaxpr(sign)(scalar(1, "float32"))))).toContain("cond");
  });
  test("differentiates through loops, which unroll", () => {
    const f = (a: NDArray): NDArray => lax.scan((c: NDArray, x: NDArray) => [lax.mul(c, x), c], a, asArray([1, 2, 3]))[0];
    expect(disableJit(() => grad(f)(2)).itemSync()).toBe(6);
    const text = printJaxpr(disableJit(() => makeJaxpr(f)(scalar(2, "float32"))));
    expect(text).not.toContain("scan");
    expect(text.match(/mul/g)).toHaveLength(3);
  });
  test("as an option, until further notice; and a scope ends with an error", () => {
    config.update("disableJit", true);
    try {
      expect(config.disableJit).toBe(true);
    } finally {
      config.update("disableJit", false);
    }
    expect(() =>
      disableJit(() => {
        throw new Error("mine");
      }),
    ).toThrow("mine");
    expect(config.disableJit).toBe(false);
  });
  test("a scan of length 0 has results of unknown types, as in JAX", () => {
    const empty = asArray(new Float32Array(0));
    expect(() => disableJit(() => lax.scan((c: NDArray, x: NDArray) => [c, x], 0, empty))).toThrow(ValueError);
  });
});

describe("ensureCompileTimeEval", () => {
  test("computes now what a trace would stage", () => {
    const f = jit((x: NDArray) => {
      const n = Number(ensureCompileTimeEval(() => lax.reduceSum(asArray([1, 2])).itemSync()));
      return lax.mul(x, n);
    });
    expect(f(2).itemSync()).toBe(6);
    const text = printJaxpr(makeJaxpr(f)(scalar(2, "float32")));
    expect(text).not.toContain("reduce_sum");
  });
  test("also inside vmap and grad", () => {
    const f = (x: NDArray): NDArray => lax.mul(x, Number(ensureCompileTimeEval(() => lax.sin(scalar(1, "float32"))).itemSync()));
    expect(grad(f)(1).itemSync()).toBeCloseTo(Math.sin(1), 6);
    expect((vmap(f)(xs).jsSync() as number[])[2]).toBeCloseTo(2 * Math.sin(1), 6);
  });
  test("refuses what is not known yet", () => {
    const f = jit((x: NDArray) => ensureCompileTimeEval(() => lax.add(x, 1)));
    expect(() => f(1)).toThrow(TracerError);
    expect(() => f(1)).toThrow(/has no value yet[\s\S]*ensureCompileTimeEval/);
  });
});
