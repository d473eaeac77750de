import { asArray, makeAval, type NDArray, setDefaultBackend, traceToJaxpr, TransformError } from "@traceform/core";
import { referenceBackend } from "@traceform/testing";
import { describe, expect, test } from "vitest";
import * as lax from "./index.ts";

setDefaultBackend(referenceBackend());
const vector = (...values: number[]): NDArray => asArray(values);
const float = makeAval([2], "float32");

/** The one equation that a call stages. */
function equation<P>(fn: (...xs: NDArray[]) => NDArray, n: number): { params: P; name: string; operands: number } {
  const { jaxpr } = traceToJaxpr((...xs) => [fn(...xs)], new Array(n).fill(float), "test");
  const eqn = jaxpr.eqns.at(-1)!;
  return { params: eqn.params as P, name: eqn.primitive.name, operands: eqn.invars.length };
}
const values = (xs: readonly (NDArray | null)[]): unknown[] => xs.map((x) => x?.jsSync() ?? null);

describe("customJvp", () => {
  const f = lax.customJvp((x: NDArray, y: NDArray) => lax.mul(lax.sin(x), y));
  f.defjvp(([x, y], [dx, dy]) => [f(x, y), lax.add(lax.mul(dx, 100), lax.mul(dy, y))]);

  test("evaluates the function itself", () => {
    expect(f(vector(0, 1), vector(2, 2)).jsSync()).toEqual(lax.mul(lax.sin(vector(0, 1)), vector(2, 2)).jsSync());
  });
  test("stages one equation whose rule works on flat values", () => {
    const { params, name } = equation<lax.CustomJvpCallParams>((x, y) => f(x, y), 2);
    expect(name).toBe("custom_jvp_call");
    const [outs, dots] = params.jvp([vector(0, 0), vector(3, 4)], [vector(1, 2), vector(1, 1)]);
    expect(values(outs)).toEqual([[0, 0]]);
    expect(values(dots)).toEqual([[103, 204]]);
  });
  test("values that the function closes over are leading operands that the rule sets aside", () => {
    const g = (x: NDArray, w: NDArray): NDArray => {
      const h = lax.customJvp((v: NDArray) => lax.mul(v, w));
      h.defjvp(([v], [dv]) => [v, lax.mul(dv, 7)]);
      return h(x);
    };
    const { params, operands } = equation<lax.CustomJvpCallParams>(g, 2);
    expect(operands).toBe(2);
    expect(values(params.jvp([vector(5, 5), vector(1, 2)], [null, vector(1, 1)])[1])).toEqual([[7, 7]]);
    expect(() => params.jvp([vector(5, 5), vector(1, 2)], [vector(9, 9), null])).toThrow(/closes over is differentiated/);
  });
  test("defjvps adds one part for each argument, and null is zero", () => {
    const h = lax.customJvp((x: NDArray, y: NDArray) => lax.mul(x, y));
    h.defjvps(null, (dy: NDArray, _ans, x) => lax.mul(dy, x));
    const { params } = equation<lax.CustomJvpCallParams>((x, y) => h(x, y), 2);
    expect(values(params.jvp([vector(2, 3), vector(4, 5)], [vector(1, 1), vector(1, 10)])[1])).toEqual([[2, 30]]);
  });
  test("nondiffArgnums are closed over and come first in the rule", () => {
    const h = lax.customJvp((fn: (x: NDArray) => NDArray, x: NDArray) => fn(x), { nondiffArgnums: [0] });
    h.defjvp((fn: (x: NDArray) => NDArray, [x]: [NDArray], [dx]: [NDArray]) => [fn(x), lax.mul(fn(dx), 2)]);
    const { params } = equation<lax.CustomJvpCallParams>((x) => h(lax.neg, x), 1);
    expect(values(params.jvp([vector(1, 2)], [vector(1, 1)])[1])).toEqual([[-2, -2]]);
  });
  test("a missing rule, and a rule with another structure or shape, say so", () => {
    expect(() => lax.customJvp((x: NDArray) => x)(vector(1))).toThrow(TransformError);
    const wrong = lax.customJvp((x: NDArray) => x);
    wrong.defjvp(([x], [dx]) => [x, lax.reduceSum(dx)]);
    const { params } = equation<lax.CustomJvpCallParams>((x) => wrong(x), 1);
    expect(() => params.jvp([vector(1, 2)], [vector(1, 2)])).toThrow(/shape of the function's result, \[2\]/);
  });
});

describe("customVjp", () => {
  const f = lax.customVjp((x: NDArray, y: NDArray) => lax.mul(x, y));
  f.defvjp(
    (x, y) => [f(x, y), { x, y }],
    ({ x, y }, ct) => [lax.mul(ct, y), lax.mul(lax.mul(ct, x), 2)],
  );

  test("stages one equation with flat forward and backward rules", () => {
    const { params, name } = equation<lax.CustomVjpCallParams>((x, y) => f(x, y), 2);
    expect(name).toBe("custom_vjp_call");
    const { outs, residuals, bwd } = params.fwd([vector(1, 2), vector(3, 4)], [true, true]);
    expect(values(outs)).toEqual([[3, 8]]);
    expect(residuals.length).toBe(2);
    expect(values(bwd(residuals, [vector(1, 1)]))).toEqual([
      [3, 4],
      [2, 4],
    ]);
  });
  test("null cotangents are zero, and a wrong number of them is an error", () => {
    const g = lax.customVjp((x: NDArray, y: NDArray) => lax.mul(x, y));
    g.defvjp(
      (x, y) => [lax.mul(x, y), null],
      (_, ct) => [ct, null],
    );
    const { params } = equation<lax.CustomVjpCallParams>((x, y) => g(x, y), 2);
    const { bwd } = params.fwd([vector(1, 2), vector(3, 4)], [true, true]);
    expect(values(bwd([], [vector(1, 1)]))).toEqual([[1, 1], null]);
    const bad = lax.customVjp((x: NDArray, y: NDArray) => lax.mul(x, y));
    bad.defvjp(
      (x, y) => [lax.mul(x, y), null],
      (_, ct) => [ct],
    );
    const eqn = equation<lax.CustomVjpCallParams>((x, y) => bad(x, y), 2);
    const wrong = eqn.params.fwd([vector(1, 2), vector(3, 4)], [true, true]);
    expect(() => wrong.bwd([], [vector(1, 1)])).toThrow(/a list of 2 cotangents/);
  });
});

test("checkpoint stages the function as one equation", () => {
  const { params, name } = equation<lax.CheckpointParams>((x) => lax.checkpoint((v: NDArray) => lax.sin(lax.sin(v)))(x), 1);
  expect(name).toBe("checkpoint");
  expect(params.jaxpr.eqns.length).toBe(2);
});
