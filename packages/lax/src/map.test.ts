import { fromTyped, type NDArray, provideVmap, setDefaultBackend, TransformError, ValueError } from "@traceform/core";
import { grad } from "@traceform/grad";
import { jit, makeJaxpr } from "@traceform/jit";
import { referenceBackend } from "@traceform/testing";
import { vmap } from "@traceform/vmap";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as lax from "./index.ts";

setDefaultBackend(referenceBackend());

const rows = (n: number): NDArray =>
  fromTyped(
    Float32Array.from({ length: 2 * n }, (_, i) => i),
    [n, 2],
    "float32",
  );
const f = ({ x, k }: { x: NDArray; k: NDArray }): { sum: NDArray; scaled: NDArray } => ({
  sum: lax.reduceSum(x),
  scaled: lax.mul(x, k),
});
const input = (n: number): { x: NDArray; k: NDArray } => ({ x: rows(n), k: lax.iota("float32", n) });

test("batchSize without vmap says how to provide it", () => {
  expect(() => lax.map(f, input(3), { batchSize: 2 })).toThrow(TransformError);
  expect(() => lax.map(f, input(3), { batchSize: 2 })).toThrow(/provideVmap\(vmap\)/);
});

describe("map in batches", () => {
  beforeAll(() => provideVmap(vmap));
  afterAll(() => provideVmap(null));

  test.each([
    [7, 3],
    [6, 3],
    [7, 1],
    [7, 7],
    [7, 0],
    [7, 100],
    [1, 1],
    [0, 2],
    [0, 0],
  ])("%i elements, %i at once: the results of single elements", (n, batchSize) => {
    const one = lax.map(f, input(n));
    for (const run of [
      lax.map(f, input(n), { batchSize }),
      jit((v: ReturnType<typeof input>) => lax.map(f, v, { batchSize }))(input(n)),
    ]) {
      expect(run.sum.jsSync()).toEqual(one.sum.jsSync());
      expect(run.scaled.jsSync()).toEqual(one.scaled.jsSync());
      expect(run.scaled.shape).toEqual([n, 2]);
    }
  });

  test("is a loop over batches, and a batch of what is left over", () => {
    const traced = makeJaxpr((v: NDArray) => lax.map((x: NDArray) => lax.sin(x), v, { batchSize: 3 }))(rows(7)).jaxpr;
    const scan = traced.eqns.find((e) => e.primitive.name === "scan")!;
    expect(scan.params["length"]).toBe(2);
    expect(traced.eqns.filter((e) => e.primitive.name === "sin").map((e) => String(e.outvars[0].aval))).toEqual(["float32[1,2]"]);
    const whole = makeJaxpr((v: NDArray) => lax.map((x: NDArray) => lax.sin(x), v, { batchSize: 0 }))(rows(7)).jaxpr;
    expect(whole.eqns.map((e) => e.primitive.name)).not.toContain("scan");
  });

  test("differentiates", () => {
    const loss = (batchSize: number) => (x: NDArray) =>
      lax.reduceSum(lax.map((v: NDArray) => lax.mul(v, lax.reduceSum(v)), x, { batchSize }));
    const want = grad(loss(0))(rows(5)).jsSync();
    expect(grad(loss(2))(rows(5)).jsSync()).toEqual(want);
    expect(want).toEqual(
      grad((x: NDArray) => lax.reduceSum(lax.map((v: NDArray) => lax.mul(v, lax.reduceSum(v)), x)))(rows(5)).jsSync(),
    );
  });

  test("a batchSize that is no count is an error", () => {
    expect(() => lax.map(f, input(3), { batchSize: -1 })).toThrow(ValueError);
    expect(() => lax.map(f, input(3), { batchSize: 1.5 })).toThrow(ValueError);
  });
});
