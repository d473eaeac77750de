import { type Backend, setDefaultBackend } from "@traceform/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fuzzDifference } from "../../testing/src/fuzz.ts";
import { referenceBackend } from "../../testing/src/index.ts";
import { wgpu } from "./index.ts";

const oracle = referenceBackend();
let ours: Backend;
beforeAll(async () => {
  setDefaultBackend(oracle);
  ours = await wgpu();
});
afterAll(() => ours[Symbol.dispose]());

const programs = Number(process.env["TRACEFORM_FUZZ"] ?? 60);
const perTest = 20;

describe(`${programs} random programs agree with the reference backend`, () => {
  test.each(Array.from({ length: Math.ceil(programs / perTest) }, (_, i) => [i]))("batch %i", async (batch) => {
    const wrong: string[] = [];
    for (let i = 0; i < perTest; i++) {
      const d = await fuzzDifference((1 + batch * perTest + i) * 7919, oracle, ours, ["float32"]);
      if (d !== null) wrong.push(d);
    }
    expect(wrong).toEqual([]);
  });
});
