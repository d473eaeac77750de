import { readFileSync } from "node:fs";
import { cpu } from "@traceform/backend-cpu";
import { setDefaultBackend } from "@traceform/core";
import { describe, expect, test } from "vitest";
import { compositionTests } from "./composition.ts";
import { goldenFiles } from "./goldenfiles.ts";
import { nestingTests } from "./nestingtests.ts";
import { call, decode, describeCase, difference, type NumpyCase } from "./numpygoldens.ts";
import { type Transformed, transformTests } from "./transformtests.ts";

// What the other files hold the reference backend to, the CPU backend is held to as well.

const read = <T>(name: string): T => JSON.parse(readFileSync(new URL(`../goldens/${name}`, import.meta.url), "utf8")) as T;
const cases = goldenFiles.flatMap(({ values }) => read<readonly NumpyCase[]>(values));

setDefaultBackend(cpu({ devices: 2 }));

describe("values recorded from JAX", () => {
  for (const [name, list] of Map.groupBy(cases, (c) => c[0])) {
    const withResults = list.filter((c) => !(typeof c[2] === "object" && c[2] !== null && "error" in c[2]));
    if (withResults.length === 0) continue;
    test(name, () => {
      const problems = withResults.flatMap((c) => {
        const d = difference(call(name, c[1].map(decode)), c[2], c[3]);
        return d === null ? [] : [`${describeCase(c)}: ${d}`];
      });
      expect(problems).toEqual([]);
    });
  }
});

describe("jitted transformations recorded from JAX", () => {
  for (const { values, transforms } of goldenFiles)
    transformTests(read<readonly NumpyCase[]>(values), read<readonly Transformed[]>(transforms), { jit: true });
});

compositionTests();
nestingTests(Number(process.env["TRACEFORM_NESTINGS"] ?? 400));
