import {
  asArray,
  compilationCount,
  type ConcreteArray,
  defaultBackend,
  DisposedError,
  evalClosedJaxpr,
  type NDArray,
  printJaxpr,
  scalar,
  setDefaultBackend,
  TransformError,
  TreeError,
} from "@traceform/core";
import { add, cond, gt, mul, reduceSum, sin } from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { describe, expect, test } from "vitest";
import { evalShape, jit, makeJaxpr, ShapeDtypeStruct, traceCount } from "./index.ts";

setDefaultBackend(referenceBackend());

/** How often `fn` was traced while `body` ran. */
function traces(body: () => void): number {
  const before = traceCount();
  body();
  return traceCount() - before;
}

const x = asArray([1, 2, 3]);

test("a jitted function gives what the function gives, over pytrees", () => {
  const f = jit(({ a, b }: { a: NDArray; b: [NDArray] }) => ({ sum: add(a, b[0]), twice: [mul(a, 2)] as const }));
  const out = f({ a: x, b: [asArray([10, 20, 30])] });
  expect(out.sum.jsSync()).toEqual([11, 22, 33]);
  expect(out.twice[0].jsSync()).toEqual([2, 4, 6]);
});

test("a signature is traced once, a new shape, dtype or weak type anew", () => {
  const f = jit((y: NDArray | number) => add(y, 1));
  expect(traces(() => [f(x), f(asArray([4, 5, 6]))])).toBe(1);
  expect(traces(() => f(asArray([1, 2])))).toBe(1);
  expect(traces(() => f(asArray(new Int32Array(3))))).toBe(1);
  expect(traces(() => [f(3), f(4)])).toBe(1);
});

test("jit of the same function twice shares its traces, and equal programs share an executable", () => {
  const f = (y: NDArray): NDArray => mul(sin(y), 17);
  jit(f)(x);
  expect(traces(() => jit(f)(x))).toBe(0);
  const before = compilationCount();
  for (let i = 0; i < 3; i++) jit((y: NDArray) => mul(sin(y), 17))(x);
  expect(compilationCount()).toBe(before);
});

describe("static arguments", () => {
  test("are compared by value when they are plain data", () => {
    const f = jit((y: NDArray, o: { power: number }) => (o.power === 2 ? mul(y, y) : y), { staticArgnums: 1 });
    expect(f(x, { power: 2 }).jsSync()).toEqual([1, 4, 9]);
    expect(f(x, { power: 1 }).jsSync()).toEqual([1, 2, 3]);
    expect(traces(() => f(x, { power: 2 }))).toBe(0);
  });

  test("do not collide: 1 and '1', 0 and -0, [1,2] and ['1,2'] are different", () => {
    const seen: unknown[] = [];
    const f = jit(
      (y: NDArray, s: unknown) => {
        seen.push(s);
        return y;
      },
      { staticArgnums: [1] },
    );
    const values = [1, "1", 0, -0, NaN, null, undefined, true, "true", 1n, [1, 2], ["1,2"], { a: 1 }, { a: "1" }];
    for (const v of values) f(x, v);
    expect(seen).toEqual(values);
    for (const v of values) f(x, v);
    expect(seen).toHaveLength(values.length);
  });

  test("are compared by identity for functions and instances, by equals where they bring it", () => {
    class Config {
      readonly n: number;
      constructor(n: number) {
        this.n = n;
      }
      equals(other: unknown): boolean {
        return other instanceof Config && other.n === this.n;
      }
      hash(): number {
        return this.n;
      }
    }
    const f = jit((y: NDArray, c: Config) => mul(y, c.n), { staticArgnums: 1 });
    expect(traces(() => [f(x, new Config(2)), f(x, new Config(2)), f(x, new Config(3))])).toBe(2);
    const g = jit((y: NDArray, h: (z: NDArray) => NDArray) => h(y), { staticArgnums: 1 });
    expect(traces(() => [g(x, sin), g(x, sin), g(x, (z) => sin(z))])).toBe(2);
  });

  test("can be named in the options object", () => {
    const f = jit((y: NDArray, o: { scale: NDArray; double: boolean }) => mul(y, o.double ? mul(o.scale, 2) : o.scale), {
      staticArgnames: "double",
    });
    expect(f(x, { scale: asArray(3), double: true }).jsSync()).toEqual([6, 12, 18]);
    expect(f(x, { scale: asArray(3), double: false }).jsSync()).toEqual([3, 6, 9]);
  });

  test("must not be arrays, and positions are integers inside the call", () => {
    expect(() => jit((y: NDArray, z: NDArray) => add(y, z), { staticArgnums: 1 })(x, x)).toThrow(TransformError);
    // @ts-expect-error no integer
    expect(() => jit((y: NDArray) => y, { staticArgnums: 1.5 })).toThrow(/not the position/);
    // @ts-expect-error there is no argument -3
    expect(() => jit((y: NDArray) => y, { staticArgnums: -3 })(x)).toThrow(/outside the 1 arguments/);
    expect(() => jit((y: NDArray) => y, { staticArgnums: 0, donateArgnums: 0 })).toThrow(/both static and donated/);
  });
});

test("a donated argument cannot be used again, the result can", () => {
  const f = jit((y: NDArray, z: NDArray) => add(y, z), { donateArgnums: 0 });
  const y = add(x, 0);
  const out = f(y, x);
  expect(out.jsSync()).toEqual([2, 4, 6]);
  expect(() => y.jsSync()).toThrow(DisposedError);
  expect(() => add(y, 1)).toThrow(/was donated to a jitted function/);
  expect(x.jsSync()).toEqual([1, 2, 3]);
  expect(f(add(x, 0), 1 as never).jsSync()).toEqual([2, 3, 4]);
});

test("donating a number leaves the shared constant alone", () => {
  const f = jit((y: NDArray | number) => add(y, 1), { donateArgnums: 0 });
  expect(f(5).itemSync()).toBe(6);
  expect(f(5).itemSync()).toBe(6);
});

test("functions close over arrays and over tracers of an outer trace", () => {
  const inner = (w: NDArray): NDArray => jit((y: NDArray) => mul(y, w))(x);
  expect(jit(inner)(asArray(2)).jsSync()).toEqual([2, 4, 6]);
  expect(jit(inner)(asArray(3)).jsSync()).toEqual([3, 6, 9]);
});

test("nested jit is one equation of the outer program", () => {
  const f = jit(function inner(y: NDArray) {
    return sin(y);
  });
  expect(printJaxpr(makeJaxpr((y: NDArray) => add(f(y), 1))(x))).toMatchInlineSnapshot(`
    "{ lambda ; a:float32[3]. let
        b:float32[3] = jit[
          jaxpr={ lambda ; a:float32[3]. let b:float32[3] = sin a in (b,) }
          name=inner
        ] a
        c:float32[3] = add b 1.0:float32[]
      in (c,) }"
  `);
});

test("misuse is refused with the way out", () => {
  expect(() => jit(async (y: NDArray) => y)(x)).toThrow(/async/);
  class Unknown {}
  expect(() => jit((y: unknown) => y)({ p: new Unknown() })).toThrow(TreeError);
  expect(() => jit((y: unknown) => y)({ p: new Unknown() })).toThrow(/\[0\]\.p is an instance of Unknown[\s\S]*registerPytreeNode/);
  expect(() => jit(() => "text")()).toThrow(/is a string/);
});

test("lower and compile ahead of time", () => {
  const f = jit((y: NDArray) =>
    cond(
      gt(reduceSum(y), 5),
      (z: NDArray) => mul(z, 2),
      (z: NDArray) => z,
      y,
    ),
  );
  const lowered = f.lower(x);
  expect(lowered.asText()).toContain("cond");
  const compiled = lowered.compileSync();
  expect(compiled(x).jsSync()).toEqual([2, 4, 6]);
  expect(() => compiled(asArray([1, 2]))).toThrow(/y compiled with float32\[3\] and called with float32\[2\]/);
});

test("shapes without values", () => {
  const f = (y: NDArray): { s: NDArray; y: NDArray } => ({ s: reduceSum(y), y: sin(y) });
  const out = evalShape(f, new ShapeDtypeStruct([4, 5], "float32")) as { s: ShapeDtypeStruct; y: ShapeDtypeStruct };
  expect(String(out.s)).toBe("float32[]");
  expect(String(out.y)).toBe("float32[4,5]");
  const closed = makeJaxpr((y: NDArray) => add(y, x))(new ShapeDtypeStruct([3], "float32"));
  expect(evalClosedJaxpr(closed, [x])[0].jsSync()).toEqual([2, 4, 6]);
});

test("a jitted function runs where its arguments are, else where its captured arrays are, and constants do not decide", () => {
  const place = (y: NDArray): unknown => (y as ConcreteArray).device;
  const before = defaultBackend();
  const captured = mul(x, 1);
  const two = mul(scalar(1, "float32"), 2);
  const twice = jit((y: NDArray) => mul(y, 2));
  const shifted = jit((y: NDArray) => add(y, captured));
  const here = place(twice(two));
  const [device] = setDefaultBackend(referenceBackend()).devices;
  try {
    expect(place(twice(scalar(2, "float32")))).toBe(device);
    expect(place(shifted(scalar(2, "float32")))).toBe(here);
    const there = shifted(mul(asArray([1, 2, 3]), 1));
    expect(place(there)).toBe(device);
    expect(there.jsSync()).toEqual([2, 4, 6]);
  } finally {
    setDefaultBackend(before);
  }
});
