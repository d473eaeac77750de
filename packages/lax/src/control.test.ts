import {
  asArray,
  checkJaxpr,
  constvarsToInvars,
  type DType,
  evalClosedJaxpr,
  makeAval,
  type NDArray,
  printJaxpr,
  setDefaultBackend,
  ShapeError,
  traceToJaxpr,
  treeLeaves,
  TreeError,
} from "@traceform/core";
import { referenceBackend } from "@traceform/testing";
import { describe, expect, test } from "vitest";
import * as lax from "./index.ts";

setDefaultBackend(referenceBackend());
const vector = (...values: number[]): NDArray => asArray(values);
const ints = (...values: number[]): NDArray => asArray(Int32Array.from(values));

function stage(fn: (...xs: NDArray[]) => unknown, ...types: string[]): ReturnType<typeof traceToJaxpr> {
  const avals = types.map((type) => {
    const [, dtype, dims] = /^(\w+)\[(.*)\]$/.exec(type)!;
    return makeAval(dims === "" ? [] : dims.split(",").map(Number), dtype as DType);
  });
  const closed = traceToJaxpr((...xs) => treeLeaves(fn(...xs)).map((x) => asArray(x as NDArray)), avals, "test");
  checkJaxpr(constvarsToInvars(closed.jaxpr));
  return closed;
}

/** Runs `fn` eagerly and staged and expects the same. */
function both(fn: (...xs: NDArray[]) => unknown, ...args: NDArray[]): unknown[] {
  const eager = treeLeaves(fn(...args)).map((x) => (x as NDArray).jsSync());
  const staged = evalClosedJaxpr(stage(fn, ...args.map((x) => String(x.aval))), args).map((x) => x.jsSync());
  expect(staged).toEqual(eager);
  return eager;
}

describe("scan", () => {
  test("carries a state and stacks results", () => {
    const f = (xs: NDArray): unknown => lax.scan((c, x) => [lax.add(c, x), lax.mul(c, x)], 0, xs);
    expect(both(f, vector(1, 2, 3))).toEqual([6, [0, 2, 9]]);
  });
  test("takes pytrees, runs in reverse, and closes over values", () => {
    const f = (xs: NDArray, w: NDArray): unknown =>
      lax.scan(
        ({ n, s }, x) => [{ n: lax.add(n, 1n), s: lax.add(s, lax.mul(w, x)) }, { seen: s }],
        { n: lax.full([], 0, "int32"), s: 0 },
        xs,
        { reverse: true },
      );
    expect(both(f, vector(1, 2, 3), lax.full([], 10, "float32"))).toEqual([3, 60, [50, 30, 0]]);
  });
  test("needs no xs when the length is given", () => {
    expect(both(() => lax.scan((c, _) => [lax.mul(c, 2), null], 1, null, { length: 5 }))).toEqual([32]);
  });
  test("zero iterations return the initial carry and empty results", () => {
    expect(both((xs) => lax.scan((c, x) => [lax.add(c, x), x], 7, xs), lax.full([0], 0, "float32"))).toEqual([7, []]);
  });
  test("is one equation, whose body has no constvars", () => {
    const closed = stage(
      (xs, w) => lax.scan((c, x) => [lax.add(c, lax.mul(x, w)), c], lax.full([], 0, "float32"), xs),
      "float32[3]",
      "float32[]",
    );
    expect(printJaxpr(closed)).toMatchInlineSnapshot(`
      "{ lambda ; a:float32[3] b:float32[]. let
          c:float32[] d:float32[3] = scan[
            jaxpr={ lambda ; a:float32[] b:float32[] c:float32[]. let
                  d:float32[] = mul c a
                  e:float32[] = add b d
                in (e, b) }
            length=3
            num_carry=1
            num_consts=1
            reverse=False
            unroll=1
          ] b 0.0:float32[] a
        in (c, d) }"
    `);
  });
  test("a weak initial carry takes the type that the body returns", () => {
    const [c] = lax.scan((c, x) => [lax.add(c, x), null], 0, vector(1, 2));
    expect([c.dtype, c.weakType]).toEqual(["float32", false]);
    const [n] = lax.scan((_, x) => [x, null], 0, ints(3, 5));
    expect([n.dtype, n.itemSync()]).toEqual(["int32", 5]);
  });
  test("a carry that changes its type throws and prints both types", () => {
    const grow = (): unknown => lax.scan((c: NDArray, x: NDArray) => [lax.concatenate([c, c], 0), x], vector(1), vector(1, 2));
    expect(grow).toThrow(ShapeError);
    expect(grow).toThrow(/\(the value\): came in as float32\[1\], went out as float32\[2\]/);
    const tree = (): unknown => lax.scan((c: { a: NDArray }) => [{ b: c.a } as never, null], { a: vector(1) }, null, { length: 1 });
    expect(tree).toThrow(TreeError);
    const leaf = (): unknown =>
      lax.scan((c) => [{ a: c.a, b: lax.convertElementType(c.b, "float16") }, null], { a: vector(1), b: vector(2) }, null, {
        length: 1,
      });
    expect(leaf).toThrow(/\.b: came in as float32\[1\], went out as float16\[1\]/);
  });
  test("a body that does not return a pair says so", () => {
    expect(() => lax.scan(((c: NDArray) => c) as never, vector(1), null, { length: 1 })).toThrow(/return \[carry, y\]/);
  });
  test("map stacks the results of a function", () => {
    expect(both((xs) => lax.map((x: NDArray) => lax.mul(x, x), xs), vector(1, 2, 3))).toEqual([[1, 4, 9]]);
  });
});

describe("loops", () => {
  test("foriLoop with static bounds is a scan", () => {
    const f = (x: NDArray): unknown => lax.foriLoop(1, 4, (i, v) => lax.mul(v, lax.convertElementType(i, "float32")), x);
    expect(both(f, lax.full([], 2, "float32"))).toEqual([12]);
    expect(stage(f, "float32[]").jaxpr.eqns.map((e) => e.primitive.name)).toEqual(["scan"]);
  });
  test("foriLoop with a traced bound is a while", () => {
    const f = (n: NDArray): unknown => lax.foriLoop(0, n, (_, v) => lax.mul(v, 2), 1);
    expect(both(f, lax.full([], 10, "int32"))).toEqual([1024]);
    expect(stage(f, "int32[]").jaxpr.eqns.map((e) => e.primitive.name)).toContain("while");
  });
  test("an empty range returns the initial value", () => {
    expect(both((x) => lax.foriLoop(3, 1, (_, v) => lax.add(v, 1), x), vector(5))).toEqual([[5]]);
  });
  test("whileLoop runs until the condition fails, closing over values on both sides", () => {
    const f = (limit: NDArray, step: NDArray): unknown =>
      lax.whileLoop(
        ({ x }) => lax.lt(x, limit),
        ({ x, n }) => ({ x: lax.add(x, step), n: lax.add(n, 1) }),
        { x: 0, n: 0 },
      );
    expect(both(f, lax.full([], 10, "float32"), lax.full([], 3, "float32"))).toEqual([4, 12]);
  });
  test("a condition that is no bool scalar throws", () => {
    expect(() =>
      lax.whileLoop(
        (x: NDArray) => lax.lt(x, 3),
        (x: NDArray) => x,
        vector(1, 2),
      ),
    ).toThrow(/one bool scalar/);
  });
});

describe("branches", () => {
  test("cond picks one of two functions", () => {
    const f = (p: NDArray, x: NDArray): unknown =>
      lax.cond(
        p,
        (v) => lax.mul(v, 2),
        (v) => lax.neg(v),
        x,
      );
    expect(both(f, lax.full([], true), vector(3))).toEqual([[6]]);
    expect(both(f, lax.full([], false), vector(3))).toEqual([[-3]]);
  });
  test("branches share what they close over, and their weak results give way", () => {
    const f = (p: NDArray, x: NDArray, w: NDArray): unknown =>
      lax.cond(
        p,
        () => lax.mul(x, w),
        () => 0,
      );
    const two = lax.full([], 2, "int32");
    expect(both(f, lax.full([], true), two, two)).toEqual([4]);
    const [out] = stage(f, "bool[]", "int32[]", "int32[]").jaxpr.outAvals;
    expect([out.dtype, out.weakType]).toEqual(["int32", false]);
  });
  test("switch_ clamps its index", () => {
    const f = (i: NDArray, x: NDArray): unknown => lax.switch_(i, [(v) => v, (v) => lax.add(v, 10), (v) => lax.add(v, 20)], x);
    for (const [i, y] of [
      [-3, 1],
      [0, 1],
      [1, 11],
      [2, 21],
      [9, 21],
    ]) {
      expect(both(f, lax.full([], i, "int32"), lax.full([], 1, "float32"))).toEqual([y]);
    }
  });
  test("different results throw and name the leaf", () => {
    const f = (): unknown =>
      lax.cond(
        true,
        () => ({ a: vector(1), b: vector(1) }),
        () => ({ a: vector(1), b: vector(1, 2) }),
      );
    expect(f).toThrow(/\.b: falseFn float32\[2\], trueFn float32\[1\]/);
    expect(() =>
      lax.cond(
        true,
        () => [vector(1)],
        () => ({ x: vector(1) }) as never,
      ),
    ).toThrow(TreeError);
  });
  test("a predicate with axes throws", () => {
    expect(() =>
      lax.cond(
        vector(1, 2),
        () => 1,
        () => 2,
      ),
    ).toThrow(ShapeError);
  });
});
