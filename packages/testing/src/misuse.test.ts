import {
  asArray,
  AxisError,
  currentTrace,
  DTypeError,
  isEager,
  type NDArray,
  setDefaultBackend,
  ShapeError,
  TracerError,
  TransformError,
  TreeError,
} from "@traceform/core";
import { customJvp, grad, jvp, linearize, valueAndGrad, vjp } from "@traceform/grad";
import { jit, makeJaxpr } from "@traceform/jit";
import { add, cond, dot, foriLoop, lt, mul, reduceSum, scan, sin, whileLoop } from "@traceform/lax";
import { vmap } from "@traceform/vmap";
import { afterEach, describe, expect, test } from "vitest";
import { referenceBackend } from "./index.ts";

setDefaultBackend(referenceBackend());

const x = asArray([1, 2, 3]);
const one = asArray(1);

afterEach(() => {
  // Whatever went wrong in a test, nothing may be left half-pushed on the interpreter stack.
  expect(isEager(currentTrace())).toBe(true);
  expect(add(x, 1).jsSync()).toEqual([2, 3, 4]);
});

type F = (y: NDArray) => NDArray;

/** A scan's step; a promise is handed on as it is, as an async body would. */
function pairUp(c: NDArray, y: NDArray): readonly [NDArray, NDArray] {
  return y instanceof Promise ? (y as never) : [c, y];
}

/** The sum of `f`'s result, for what wants a scalar. */
const summed =
  (f: F): F =>
  (y) => {
    const out = f(y);
    return out instanceof Promise ? (out as never) : reduceSum(out);
  };

/** Every transformation, as a way to run a function of one array. */
const transformations: Record<string, (f: F) => unknown> = {
  jit: (f) => jit(f)(x),
  makeJaxpr: (f) => makeJaxpr(f)(x),
  grad: (f) => grad(summed(f))(x),
  valueAndGrad: (f) => valueAndGrad(summed(f))(x),
  jvp: (f) => jvp(f, [x], [x]),
  linearize: (f) => linearize(f, x),
  vjp: (f) => vjp(f, x),
  vmap: (f) => vmap(f)(x),
  scan: (f) => scan((c: NDArray, y: NDArray) => pairUp(c, f(y)), 0, x),
  while: (f) => whileLoop((c: NDArray) => lt(reduceSum(c), 0), f, x),
  fori: (f) => foriLoop(0, 3, (_, c: NDArray) => f(c), x),
  cond: (f) => cond(true, f, (y: NDArray) => y, x),
  customJvp: (f) => {
    const g = customJvp(f);
    g.defjvp(([y], [dy]) => [f(y), dy]);
    return jit(grad(summed(g)))(x);
  },
};

const nestings = Object.keys(transformations).flatMap((a) => Object.keys(transformations).map((b) => [a, b] as const));

test.each(nestings)("an error thrown inside %s(%s) reaches the caller and leaves the stack as it was", (outer, inner) => {
  class Mine extends Error {}
  const failing: F = () => {
    throw new Mine("from the user's function");
  };
  const nested: F = (y) => {
    transformations[inner](failing);
    return y;
  };
  expect(() => transformations[outer](nested)).toThrow(Mine);
});

test.each(Object.keys(transformations))("%s refuses async functions", (name) => {
  expect(() => transformations[name]((async (y: NDArray) => y) as unknown as F)).toThrow(TransformError);
});

test.each(Object.keys(transformations))("a tracer that leaks from %s is recognised afterwards", (name) => {
  let kept: NDArray | null = null;
  transformations[name]((y) => {
    kept = sin(y);
    return mul(y, 1);
  });
  if (kept !== null && "tracedBy" in kept) {
    expect(() => add(kept!, 1)).toThrow(TracerError);
    expect(() => jit((y: NDArray) => add(y, kept!))(x)).toThrow(/leaked/);
  } else {
    expect.unreachable("the function saw no tracer");
  }
});

describe("errors name the operation and show shapes", () => {
  test("shape and dtype mismatches", () => {
    expect(() => add(x, asArray([1, 2]))).toThrow(ShapeError);
    expect(() => add(x, asArray([1, 2]))).toThrow(/float32\[3\][\s\S]*float32\[2\]/);
    expect(() => dot(x, asArray([[1, 2]]))).toThrow(ShapeError);
    expect(() => mul(x, asArray(Int32Array.of(1, 2, 3)))).toThrow(DTypeError);
    expect(() => jit((y: NDArray) => add(y, asArray([1, 2])))(x)).toThrow(ShapeError);
  });
  test("axes", () => {
    expect(() => reduceSum(x, [1])).toThrow(AxisError);
    expect(() => reduceSum(x, [0, 0])).toThrow(AxisError);
    expect(() => vmap((y: NDArray) => y, { inAxes: 3 })(x)).toThrow(/axis|axes|inAxes/i);
  });
  test("differentiation", () => {
    expect(() => grad((y: NDArray) => y)(x)).toThrow(ShapeError);
    expect(() => grad((y: NDArray) => reduceSum(y))(asArray(Int32Array.of(1, 2)))).toThrow(DTypeError);
    // @ts-expect-error there is no argument 2
    expect(() => grad((y: NDArray) => y, { argnums: 2 })(one)).toThrow(TransformError);
    class Unknown {}
    expect(() => grad((y: unknown) => one && (y as NDArray))(new Unknown() as never)).toThrow(TreeError);
  });
  test("carries must keep their type", () => {
    const grow = (): unknown => scan((c: NDArray) => [add(c, asArray([1, 2])) as NDArray, null] as const, one, null, { length: 2 });
    expect(grow).toThrow(/float32\[\][\s\S]*float32\[2\]/);
  });
});
