import { asArray, config, type NDArray, numpyDtypePromotion, setDefaultBackend } from "@traceform/core";
import { add, mul, reduceSum, sin } from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { cacheCounts, clearCaches, explainCacheMisses, jit, type JitCacheCounts } from "./index.ts";

setDefaultBackend(referenceBackend());

const x = asArray([1, 2, 3]);

function counted(body: () => unknown): JitCacheCounts {
  const before = cacheCounts();
  body();
  const after = cacheCounts();
  const minus = (k: keyof JitCacheCounts): JitCacheCounts["tracing"] => ({
    hits: after[k].hits - before[k].hits,
    misses: after[k].misses - before[k].misses,
  });
  return { tracing: minus("tracing"), compilation: minus("compilation") };
}

describe("counters", () => {
  test("tracing and compilation, hits and misses", () => {
    const f = (y: NDArray): NDArray => mul(sin(y), 23);
    expect(counted(() => jit(f)(x))).toEqual({ tracing: { hits: 0, misses: 1 }, compilation: { hits: 0, misses: 1 } });
    expect(counted(() => jit(f)(x))).toEqual({ tracing: { hits: 1, misses: 0 }, compilation: { hits: 0, misses: 0 } });
    // A new function is traced, and finds the program of the equal one.
    expect(counted(() => jit((y: NDArray) => mul(sin(y), 23))(x))).toEqual({
      tracing: { hits: 0, misses: 1 },
      compilation: { hits: 1, misses: 0 },
    });
  });
  test("the size of one function's cache", () => {
    const f = jit((y: NDArray) => add(y, 1));
    expect(f.cacheSize()).toBe(0);
    f(x);
    f(1);
    f(2);
    expect(f.cacheSize()).toBe(2);
    f.clearCache();
    expect(f.cacheSize()).toBe(0);
  });
  test("clearCaches forgets both, also for functions that were jitted before", () => {
    const f = jit((y: NDArray) => mul(y, 29));
    f(x);
    clearCaches();
    expect(f.cacheSize()).toBe(0);
    expect(counted(() => f(x))).toEqual({ tracing: { hits: 0, misses: 1 }, compilation: { hits: 0, misses: 1 } });
    expect(f(x).jsSync()).toEqual([29, 58, 87]);
  });
});

/** What is said while `body` runs. */
function said(body: () => unknown): string[] {
  const out: string[] = [];
  explainCacheMisses((text) => out.push(text), body);
  return out;
}

describe("explainCacheMisses", () => {
  const f = jit((xs: NDArray, batch: { image: NDArray; label: NDArray | number }) => add(xs, batch.image));
  const batch = { image: x, label: 1 };
  test("nothing is said of hits, and the first call is the first", () => {
    expect(said(() => f(x, batch))).toEqual([expect.stringContaining("it was not called before")]);
    expect(said(() => f(x, batch))).toEqual([]);
  });
  test("names the argument and what differs, and the line of the call", () => {
    const [shape] = said(() => f(reduceSum(x), { image: asArray([1, 2]), label: 1 }));
    expect(shape).toMatch(/^jit\(<anonymous>\) traces at .*caches\.test\.ts:\d+:\d+, because/);
    expect(shape).toContain("xs is float32[], was float32[3]: another shape");
    expect(shape).toContain("batch.image is float32[2], was float32[3]: another shape");
    expect(shape).not.toContain("label");
    const [dtype] = said(() => f(asArray([1, 2, 3]), { image: x, label: asArray(Int32Array.of(1, 2)) }));
    expect(dtype).toContain("batch.label is int32[2], was a weak float32[]: another shape, dtype, weak type");
    const [weak] = said(() => f(x, { image: x, label: asArray([7]) }));
    expect(weak).toContain("batch.label is float32[1]");
  });
  test("compares with the signature that is most alike", () => {
    const g = jit((a: NDArray, b: NDArray) => [a, b]);
    g(x, x);
    g(asArray([1, 2]), 1);
    const [text] = said(() => g(asArray([1, 2]), 1 as never as NDArray) && g(asArray([1, 2, 3, 4]), 1));
    expect(text).toContain("a is float32[4], was float32[2]: another shape");
    expect(text).not.toContain("    b is");
  });
  test("weak types say where they come from", () => {
    const g = jit((a: NDArray) => add(a, 1));
    g(1);
    const [text] = said(() => g(reduceSum(x)));
    expect(text).toContain("a is float32[], was a weak float32[]: another weak type (JavaScript numbers are weak)");
  });
  test("static values, structures and numbers of arguments", () => {
    const g = jit(
      function scaled(a: NDArray, n: unknown, more?: unknown) {
        return more === undefined || n === null ? a : a;
      },
      { staticArgnums: 1 },
    );
    g(x, 1);
    expect(said(() => g(x, 2))[0]).toContain("the static n is 2, was 1");
    expect(said(() => g(x, { a: "b" }))[0]).toContain('the static n is {"a":"b"}, was');
    expect(said(() => g(x, 2, [x]))[0]).toContain("there are 2 arguments, there was 1");
    g(x, 2, { a: x });
    expect(said(() => g(x, 2, { b: x }))[0]).toContain("more is {b: *}, was {a: *}: another structure");
    class Options {}
    g(x, new Options());
    expect(said(() => g(x, new Options()))[0]).toContain("compared by identity: keep one, or give its class equals and hash");
    const h = jit((a: NDArray, o: { axis: number }) => reduceSum(a, [o.axis]), { staticArgnames: "axis" });
    h(x, { axis: 0 });
    expect(said(() => h(x, { axis: -1 }))[0]).toContain("the static argument axis is -1, was 0");
  });
  test("a function that is made anew for each call", () => {
    const texts = said(() => {
      for (let i = 0; i < 3; i++) jit((y: NDArray) => mul(y, 31))(x);
    });
    expect(texts[0]).toContain("it was not called before");
    expect(texts[1]).toContain("it is a new function: another one with the same source was traced before; define it once");
    expect(texts[2]).toContain("2 others");
  });
  test("axis names", () => {
    const g = jit((y: NDArray) => add(y, 1));
    g(1);
    const [text] = said(() => vmap((y: NDArray) => g(mul(y, 1)), { axisName: "i" })(x));
    expect(text).toContain("the named axes in scope are [i:3], were []");
  });
  test("the promotion of dtypes", () => {
    const g = jit((y: NDArray) => add(y, asArray([1, 2, 3])));
    g(x);
    const [text] = said(() => numpyDtypePromotion("strict", () => g(x)));
    expect(text).toContain("dtypes meet by strict promotion, did so by standard");
  });
  test("for good, and through the console", () => {
    const texts: string[] = [];
    explainCacheMisses(
      (t) => texts.push(t),
      () => jit((y: NDArray) => mul(y, 37))(x),
    );
    jit((y: NDArray) => mul(y, 41))(x);
    expect(texts).toHaveLength(1);
    const { warn } = console;
    const warned: unknown[] = [];
    console.warn = (t: unknown) => warned.push(t);
    config.update("explainCacheMisses", true);
    try {
      jit((y: NDArray) => mul(y, 47))(x);
      explainCacheMisses(false, () => jit((y: NDArray) => mul(y, 53))(x));
      config.update("explainCacheMisses", false);
      jit((y: NDArray) => mul(y, 59))(x);
      expect(warned).toHaveLength(1);
      warned.length = 0;
      explainCacheMisses(true, () => jit((y: NDArray) => mul(y, 43))(x));
    } finally {
      config.update("explainCacheMisses", false);
      console.warn = warn;
    }
    expect(warned).toEqual([expect.stringContaining("jit(<anonymous>) traces")]);
  });
});
