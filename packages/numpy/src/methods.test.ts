import { setDefaultBackend } from "@traceform/core";
import { referenceBackend } from "@traceform/testing";
import { expect, test } from "vitest";
import { array } from "./index.ts";
import "./methods.ts";

setDefaultBackend(referenceBackend());

test("arrays have the methods people chain", () => {
  const x = array([[1, 2, 3], [4, 5, 6]]);
  expect(x.add(1).mul(2).sum(0).jsSync()).toEqual([14, 18, 22]);
  expect(x.T.shape).toEqual([3, 2]);
  expect(x.slice(0, [1]).jsSync()).toEqual([2, 3]);
  expect(x.at(0, 1).set(9).jsSync()).toEqual([[1, 9, 3], [4, 5, 6]]);
  expect(x.reshape(3, 2).shape).toEqual([3, 2]);
  expect(x.reshape([-1]).shape).toEqual([6]);
  expect([...x].map((row) => row.jsSync())).toEqual([[1, 2, 3], [4, 5, 6]]);
  expect(x.nbytes).toBe(24);
});
