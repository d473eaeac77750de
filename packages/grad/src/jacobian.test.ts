import { fromTyped, type NDArray, provideVmap, setDefaultBackend } from "@traceform/core";
import { jit, makeJaxpr } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { corpus } from "@traceform/testing/corpus";
import { close, numbers } from "@traceform/testing/derivatives";
import { vmap } from "@traceform/vmap";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hessian, jacfwd, jacrev } from "./index.ts";

setDefaultBackend(referenceBackend());

const vector = (...xs: number[]): NDArray => fromTyped(Float64Array.from(xs), [xs.length], "float64");
const x = (): NDArray => vector(0.4, -0.3, 0.7);
const names = (f: (x: NDArray) => unknown): string[] => makeJaxpr(f)(x()).jaxpr.eqns.map((e) => e.primitive.name);
const f = (v: NDArray): NDArray => lax.mul(lax.sin(v), lax.reduceSum(v));

test("without vmap basis vectors go one after the other, in one loop", () => {
  expect(names(jacfwd(f))).toContain("scan");
  expect(names(jacrev(f))).toContain("scan");
});

describe("with vmap", () => {
  beforeAll(() => provideVmap(vmap));
  afterAll(() => provideVmap(null));

  test("all basis vectors go at once", () => {
    expect(names(jacfwd(f))).not.toContain("scan");
    expect(names(jacrev(f))).not.toContain("scan");
    expect(names(hessian((v: NDArray) => lax.reduceSum(f(v))))).not.toContain("scan");
  });

  test.each(corpus().map((c) => [c.name, c] as const))("%s: the Jacobians of the loop, eager and jitted", (name, c) => {
    const both = (): number[][] => [
      ...(name === "customVjp" ? [] : [numbers(jacfwd(c.fn)(x())), numbers(jit(jacfwd(c.fn))(x()))]),
      ...(c.forwardOnly ? [] : [numbers(jacrev(c.fn)(x())), numbers(jit(jacrev(c.fn))(x()))]),
    ];
    const batched = both();
    provideVmap(null);
    const looped = both();
    provideVmap(vmap);
    batched.forEach((b, i) => expect(close(b, looped[i], 1e-12), `${b} against ${looped[i]}`).toBe(true));
  });

  test("trees of arguments and results, with several argnums", () => {
    const g = ({ a, b }: { a: NDArray; b: NDArray }, c: NDArray): { y: NDArray; z: readonly [NDArray] } => ({
      y: lax.mul(a, lax.reduceSum(c)),
      z: [lax.dot(b, a)],
    });
    const b = fromTyped(Float64Array.of(1, 2, 3, 4, 5, 6), [2, 3], "float64");
    for (const jac of [jacfwd, jacrev]) {
      const [first, second] = jac(g, { argnums: [0, 1] })({ a: x(), b }, vector(1, 2)).z[0];
      expect(first.a.jsSync()).toEqual(b.jsSync());
      expect(first.b.shape).toEqual([2, 2, 3]);
      expect(second.jsSync()).toEqual([
        [0, 0],
        [0, 0],
      ]);
      const [, dc] = jac(g, { argnums: [0, 1] })({ a: x(), b }, vector(1, 2)).y;
      expect(dc.jsSync()).toEqual([
        [0.4, 0.4],
        [-0.3, -0.3],
        [0.7, 0.7],
      ]);
    }
  });

  test("no elements", () => {
    expect(jacfwd(f)(vector()).shape).toEqual([0, 0]);
    expect(jacrev(f)(vector()).shape).toEqual([0, 0]);
  });
});
