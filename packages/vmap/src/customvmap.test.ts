import { asArray, batchRule, bind1, definePrimitive, type NDArray, printJaxpr, scalar, setDefaultBackend } from "@traceform/core";
import { DTypeError, ShapeError, TransformError, TreeError } from "@traceform/core";
import { grad, jvp, linearTranspose } from "@traceform/grad";
import { jit, makeJaxpr } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { describe, expect, test } from "vitest";
import { type BatchRule, type CustomVmap, customVmap, sequentialVmap, vmap } from "./index.ts";

setDefaultBackend(referenceBackend());

const xs = asArray([1, 2, 3]);
const two = scalar(2, "float32");
const near = (got: NDArray, expected: readonly number[]): void =>
  (got.jsSync() as number[]).forEach((v, i) => expect(v).toBeCloseTo(expected[i], 5));

interface Call {
  readonly axisSize: number;
  readonly inBatched: readonly unknown[];
  readonly shapes: readonly string[];
}

/** sin(x) y alone, cos(x) y in a batch, so that results tell which of the two ran. */
function example(): { f: CustomVmap<[NDArray, NDArray], NDArray>; calls: Call[] } {
  const calls: Call[] = [];
  const f = customVmap((x: NDArray, y: NDArray) => lax.mul(lax.sin(x), y));
  f.defVmap((axisSize, inBatched, x, y) => {
    calls.push({ axisSize, inBatched, shapes: [String(x.shape), String(y.shape)] });
    return [lax.mul(lax.cos(x), y), inBatched[0] || inBatched[1]];
  });
  return { f, calls };
}

describe("the rule", () => {
  test("runs on the whole batch, with the batch in front", () => {
    const { f, calls } = example();
    near(
      vmap(f)(xs, xs),
      [1, 2, 3].map((x) => Math.cos(x) * x),
    );
    near(
      vmap(f, { inAxes: [0, null] })(xs, two),
      [1, 2, 3].map((x) => Math.cos(x) * 2),
    );
    const m = asArray([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    vmap(f, { inAxes: [1, null] })(m, two);
    expect(calls).toEqual([
      { axisSize: 3, inBatched: [true, true], shapes: ["3", "3"] },
      { axisSize: 3, inBatched: [true, false], shapes: ["3", ""] },
      { axisSize: 2, inBatched: [true, false], shapes: ["2,3", ""] },
    ]);
  });
  test("does not run without vmap, nor where nothing is batched", () => {
    const { f, calls } = example();
    expect(f(1, 2).itemSync()).toBeCloseTo(2 * Math.sin(1), 6);
    expect(jit(f)(1, 2).itemSync()).toBeCloseTo(2 * Math.sin(1), 6);
    near(
      vmap((x: NDArray) => lax.mul(f(two, two), x))(xs),
      [1, 2, 3].map((x) => 2 * Math.sin(2) * x),
    );
    expect(calls).toEqual([]);
  });
  test("serves the inner of two batches; the outer one batches what the rule does", () => {
    const { f, calls } = example();
    const m = asArray([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const out = vmap(vmap(f, { inAxes: [0, null] }), { inAxes: [0, null] })(m, two).jsSync() as number[][];
    out.flat().forEach((v, i) => expect(v).toBeCloseTo(2 * Math.cos(i + 1), 5));
    expect(calls).toEqual([{ axisSize: 3, inBatched: [true, false], shapes: ["3", ""] }]);
  });
  test("works with jit on either side, and in loops and branches", () => {
    const { f } = example();
    const expected = [1, 2, 3].map((x) => 2 * Math.cos(x));
    const one = (x: NDArray): NDArray => f(x, two);
    near(jit(vmap(one))(xs), expected);
    near(vmap(jit(one))(xs), expected);
    const looped = (x: NDArray): NDArray => lax.scan((c: NDArray, _: null) => [f(c, 1), null], x, null, { length: 2 })[0];
    near(
      vmap(looped)(xs),
      [1, 2, 3].map((x) => Math.cos(Math.cos(x))),
    );
    expect(looped(asArray(1)).itemSync()).toBeCloseTo(Math.sin(Math.sin(1)), 6);
    const branched = (x: NDArray): NDArray =>
      lax.cond(
        lax.gt(x, 1.5),
        (y: NDArray) => f(y, two),
        (y: NDArray) => y,
        x,
      );
    near(vmap(branched)(xs), [1, 2 * Math.cos(2), 2 * Math.cos(3)]);
  });
  test("takes and returns pytrees, and results that are the same for all", () => {
    const f = customVmap((p: { a: NDArray; b: NDArray }) => ({ s: lax.mul(p.a, p.b), c: p.b }));
    let seen: unknown;
    f.defVmap((_n, [batched], p) => {
      seen = batched;
      return [
        { s: lax.mul(p.a, p.b), c: scalar(7, "float32") },
        { s: true, c: false },
      ];
    });
    const out = vmap(f, { inAxes: [{ a: 0, b: null }], outAxes: { s: 0, c: null } })({ a: xs, b: two });
    expect(seen).toEqual({ a: true, b: false });
    expect([out.s.jsSync(), out.c.jsSync()]).toEqual([[2, 4, 6], 7]);
  });
  test("may close over arrays, but the function not over batched ones", () => {
    const f = customVmap((x: NDArray) => lax.mul(x, two));
    f.defVmap((_n, [b], x) => [lax.mul(x, xs), b]);
    expect(jit(vmap((x: NDArray) => f(x)))(xs).jsSync()).toEqual([1, 4, 9]);
    const inner = (w: NDArray): NDArray => {
      const g = customVmap((x: NDArray) => lax.mul(x, w));
      g.defVmap((_n, [b], x) => [x, b]);
      return g(w);
    };
    expect(() => vmap(inner)(xs)).toThrow(/closes over a batched value[\s\S]*make the value an argument/);
  });
});

describe("derivatives", () => {
  const alone = (x: number, y: number): number[] => [Math.cos(x) * y, Math.sin(x)];
  const inBatch = (x: number, y: number): number[] => [-Math.sin(x) * y, Math.cos(x)];
  test("without vmap they are those of the function", () => {
    const { f } = example();
    const [y, dy] = jvp(f, [scalar(1, "float32"), two], [scalar(1, "float32"), scalar(1, "float32")]);
    expect(y.itemSync()).toBeCloseTo(2 * Math.sin(1), 5);
    expect(dy.itemSync()).toBeCloseTo(alone(1, 2)[0] + alone(1, 2)[1], 5);
    const slopes = grad((a: NDArray, b: NDArray) => f(a, b), { argnums: [0, 1] })(1, 2);
    slopes.forEach((s, i) => expect(s.itemSync()).toBeCloseTo(alone(1, 2)[i], 5));
    expect(jit(grad((a: NDArray) => f(a, 2)))(1).itemSync()).toBeCloseTo(alone(1, 2)[0], 5);
  });
  test("of a batch they are those of the rule, as in JAX", () => {
    const { f } = example();
    const ones = asArray([1, 1, 1]);
    const [y, dy] = jvp(vmap(f), [xs, xs], [ones, ones]);
    near(
      y,
      [1, 2, 3].map((x) => Math.cos(x) * x),
    );
    near(
      dy,
      [1, 2, 3].map((x) => inBatch(x, x)[0] + inBatch(x, x)[1]),
    );
    const slope = grad((x: NDArray) => lax.reduceSum(vmap(f)(x, x)));
    const expected = [1, 2, 3].map((x) => inBatch(x, x)[0] + inBatch(x, x)[1]);
    near(slope(xs), expected);
    near(jit(slope)(xs), expected);
  });
  test("in forward mode the tangents of a batch go through the rule, as in JAX", () => {
    const { f } = example();
    const both = vmap((x: NDArray) => jvp((a: NDArray) => f(a, two), [x], [scalar(1, "float32")]));
    const [y, dy] = both(xs);
    near(
      y,
      [1, 2, 3].map((x) => 2 * Math.cos(x)),
    );
    near(
      dy,
      [1, 2, 3].map((x) => inBatch(x, 2)[0]),
    );
    const second = vmap((x: NDArray) => jvp((b: NDArray) => jvp((a: NDArray) => f(a, b), [x], [two])[1], [two], [two])[1]);
    near(
      second(xs),
      [1, 2, 3].map((x) => -Math.sin(x) * 4),
    );
  });
  test("in reverse mode inside vmap the value is the rule's, the cotangents are the function's", () => {
    const { f } = example();
    const values = vmap((x: NDArray) => {
      const slope = grad((a: NDArray) => f(a, two))(x);
      return slope;
    })(xs);
    near(
      values,
      [1, 2, 3].map((x) => alone(x, 2)[0]),
    );
  });
  test("a linear function is transposed", () => {
    const f = customVmap((x: NDArray) => lax.mul(x, 3));
    f.defVmap((_n, [b], x) => [lax.mul(x, 3), b]);
    const back = linearTranspose((x: NDArray) => f(x), xs);
    expect(back(asArray([1, 2, 3]))[0].jsSync()).toEqual([3, 6, 9]);
  });
  test("closed-over values and integers", () => {
    const slope = grad((w: NDArray) => {
      const f = customVmap((x: NDArray, n: NDArray) => lax.mul(lax.mul(x, w), lax.convertElementType(n, "float32")));
      f.defVmap(() => {
        throw new Error("not called");
      });
      return f(5, scalar(3, "int32"));
    });
    expect(slope(two).itemSync()).toBe(15);
  });
});

test("sequentialVmap is a loop over the members", () => {
  const f = sequentialVmap((x: NDArray, y: NDArray) => lax.mul(x, y));
  expect(vmap(f, { inAxes: [0, null] })(xs, two).jsSync()).toEqual([2, 4, 6]);
  const text = printJaxpr(makeJaxpr(vmap(f, { inAxes: [0, null] }))(xs, two));
  expect(text).toContain("scan");
  expect(text).toContain("custom_vmap_call");
  const m = asArray([
    [1, 2],
    [3, 4],
  ]);
  expect(vmap(vmap(f, { inAxes: [0, null] }))(m, asArray([10, 100])).jsSync()).toEqual([
    [10, 20],
    [300, 400],
  ]);
  near(grad((x: NDArray) => lax.reduceSum(vmap(f)(x, x)))(xs), [2, 4, 6]);
});

describe("errors", () => {
  const rule = (r: (n: number, b: readonly unknown[], x: NDArray) => unknown): (() => unknown) => {
    const f = customVmap((x: NDArray) => x);
    f.defVmap(r as never);
    return () => vmap(f)(xs);
  };
  test("no rule", () => {
    const f = customVmap(function smooth(x: NDArray) {
      return x;
    });
    expect(() => vmap(f)(xs)).toThrow(/smooth: has no batching rule yet[\s\S]*defVmap/);
  });
  test("results and booleans in another structure than the function's", () => {
    expect(
      rule((_n, _b, x) => [
        [x, x],
        [true, true],
      ]),
    ).toThrow(TreeError);
    expect(rule((_n, _b, x) => [x, [true, true]])).toThrow(TreeError);
    expect(rule((_n, _b, x) => x)).toThrow(TransformError);
    expect(rule((_n, _b, x) => [x, 1])).toThrow(/says 1 where it must say whether/);
  });
  test("results of other shapes or dtypes than the function's", () => {
    expect(rule((_n, _b, x) => [lax.reduceSum(x), true])).toThrow(ShapeError);
    expect(rule((_n, _b, x) => [x, false])).toThrow(/not batched, must be float32\[\][\s\S]*returned float32\[3\]/);
    expect(rule((_n, _b, x) => [lax.convertElementType(x, "int32"), true])).toThrow(DTypeError);
  });
});

test("spmdAxisName reaches the rules of primitives that know of meshes", () => {
  const seen: (readonly string[])[] = [];
  const rule: BatchRule = (args, dims, _params, context) => {
    seen.push(context.spmdAxisName);
    return [args, dims];
  };
  const constrained = definePrimitive("constrained", { abstractEval: ([x]) => [x], rules: { [batchRule]: rule } });
  const f = (x: NDArray): NDArray => bind1(constrained, [x], {});
  vmap(f)(xs);
  vmap(f, { spmdAxisName: "data" })(xs);
  vmap(jit(f), { spmdAxisName: ["data", "model"] })(xs);
  expect(seen).toEqual([[], ["data"], ["data", "model"]]);
});
