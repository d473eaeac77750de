import { setDefaultBackend, traceToJaxpr } from "@traceform/core";
import { referenceBackend } from "@traceform/testing";
import { expect, test } from "vitest";
import { array } from "./index.ts";
import "./methods.ts";

setDefaultBackend(referenceBackend());

test("arrays have the methods people chain", () => {
  const x = array([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  expect(x.add(1).mul(2).sum(0).jsSync()).toEqual([14, 18, 22]);
  expect(x.T.shape).toEqual([3, 2]);
  expect(x.slice(0, [1]).jsSync()).toEqual([2, 3]);
  expect(x.at(0, 1).set(9).jsSync()).toEqual([
    [1, 9, 3],
    [4, 5, 6],
  ]);
  expect(x.reshape(3, 2).shape).toEqual([3, 2]);
  expect(x.reshape([-1]).shape).toEqual([6]);
  expect([...x].map((row) => row.jsSync())).toEqual([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  expect(x.nbytes).toBe(24);
});

test("every method works on a traced array too", async () => {
  const x = array([
    [3, 1, 2],
    [6, 5, 4],
  ]);
  expect(x.var(1).round(4).jsSync()).toEqual([Math.fround(0.6667), Math.fround(0.6667)]);
  expect(await x.tolist()).toEqual([
    [3, 1, 2],
    [6, 5, 4],
  ]);
  expect(x.mT.shape).toEqual([3, 2]);
  const { jaxpr } = traceToJaxpr(
    (t) => [t.T.dot(t).sub(1).abs().pow(2).sort(0).argmax(1), t.mean(0, { keepdims: true })],
    [x.aval],
    "test",
  );
  expect(jaxpr.outAvals.map(String)).toEqual(["int32[3]", "float32[1,3]"]);
});
