import { add } from "@traceform/lax";
import { jit } from "@traceform/jit";
import { referenceBackend } from "@traceform/testing";
import { expect, test } from "vitest";
import {
  asArray,
  blockUntilReady,
  ConcreteArray,
  deviceGet,
  devicePut,
  type NDArray,
  Partial,
  setDefaultBackend,
  treeLeaves,
} from "./index.ts";

const backend = setDefaultBackend(referenceBackend());

test("trees go to a device and come back as typed arrays", async () => {
  const there = devicePut({ a: asArray([1, 2]), b: [3] }, backend.devices[0]);
  expect((there.a as ConcreteArray).device).toBe(backend.devices[0]);
  expect(await deviceGet(there)).toEqual({ a: Float32Array.of(1, 2), b: [Float32Array.of(3)] });
  expect(await blockUntilReady(there)).toBe(there);
});

test("a moved array keeps its values on the other device", () => {
  const other = referenceBackend();
  const x = add(asArray([1, 2]), 1);
  devicePut(x, other.devices[0]);
  expect((x as ConcreteArray).device).toBe(other.devices[0]);
  expect(x.jsSync()).toEqual([2, 3]);
});

test("a Partial is a pytree whose leaves are the arguments it holds", () => {
  const shift = (by: NDArray, x: NDArray): NDArray => add(x, by);
  const held = new Partial(shift, asArray(10));
  expect(treeLeaves(held)).toHaveLength(1);
  const apply = jit((f: typeof held, x: NDArray): NDArray => f.call(x));
  expect(apply(held, asArray([1, 2])).jsSync()).toEqual([11, 12]);
});
