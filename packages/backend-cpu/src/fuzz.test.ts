import { setDefaultBackend } from "@traceform/core";
import { describe, expect, test } from "vitest";
import { fuzzDifference } from "../../testing/src/fuzz.ts";
import { referenceBackend } from "../../testing/src/index.ts";
import { cpu } from "./index.ts";

const ours = cpu();
const oracle = referenceBackend();
setDefaultBackend(oracle);

const programs = Number(process.env["TRACEFORM_FUZZ"] ?? 200);
const perTest = 50;

describe(`${programs} random programs agree with the reference backend`, () => {
  test.each(Array.from({ length: Math.ceil(programs / perTest) }, (_, i) => [i]))("batch %i", async (batch) => {
    const wrong: string[] = [];
    for (let i = 0; i < perTest; i++) {
      const seed = (1 + batch * perTest + i) * 7919;
      const d = await fuzzDifference(seed, oracle, ours, ["float32", "float32", "float32", "float64"]);
      if (d !== null) wrong.push(d);
    }
    expect(wrong).toEqual([]);
  });
});
