import { asArray, type NDArray, setDefaultBackend } from "@traceform/core";
import "./methods.ts";
import { grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { referenceBackend } from "@traceform/testing";
import { expect, test } from "vitest";
import { arange, ravelPytree, segmentMax, segmentMin, segmentProd, segmentSum, square, sum } from "./index.ts";

setDefaultBackend(referenceBackend());

test("a tree becomes a vector and a vector the tree again", () => {
  const tree = {
    w: asArray([
      [1, 2],
      [3, 4],
    ]),
    b: asArray(Int32Array.of(5)),
  };
  const [flat, unravel] = ravelPytree(tree);
  expect(flat.jsSync()).toEqual([5, 1, 2, 3, 4]);
  expect(unravel(flat).w.jsSync()).toEqual([
    [1, 2],
    [3, 4],
  ]);
  expect(unravel(flat).b.dtype).toBe("int32");
  expect(() => unravel(asArray([1, 2]))).toThrow(/5 elements/);
  expect(ravelPytree({})[0].shape).toEqual([0]);
});

test("a loss over a tree is a loss over its vector", () => {
  const [flat, unravel] = ravelPytree({ a: asArray([1, 2]), b: asArray(3) });
  const loss = (v: NDArray): NDArray => sum(square(unravel(v).a)).mul(unravel(v).b);
  expect(jit(grad(loss))(flat).jsSync()).toEqual([6, 12, 5]);
});

// jax.ops.segment_sum(jnp.arange(6.), jnp.array([0, 0, 2, -1, 2, 5]), 4) and its siblings.
test("segments are JAX's: negative and too large ids are dropped", () => {
  const data = asArray([0, 1, 2, 3, 4, 5]);
  const ids = asArray(Int32Array.of(0, 0, 2, -1, 2, 5));
  expect(segmentSum(data, ids, { numSegments: 4 }).jsSync()).toEqual([1, 0, 6, 0]);
  expect(segmentProd(data, ids, { numSegments: 4 }).jsSync()).toEqual([0, 1, 8, 1]);
  expect(segmentMax(data, ids, { numSegments: 4 }).jsSync()).toEqual([1, -Infinity, 4, -Infinity]);
  expect(segmentMin(data, ids, { numSegments: 4 }).jsSync()).toEqual([0, Infinity, 2, Infinity]);
  expect(segmentSum(data, ids).shape).toEqual([6]);
  expect(() => segmentSum(data, asArray(Int32Array.of(0)))).toThrow(/segment ids/);
});

test("arange takes its dtype in options", () => {
  expect(arange(3, { dtype: "float32" }).dtype).toBe("float32");
  expect(arange(1, 4, { dtype: "uint8" }).jsSync()).toEqual([1, 2, 3]);
  expect(arange(1, 4, 2, "int16").dtype).toBe("int16");
});
