import { isNDArray, setDefaultBackend, treeMap } from "@traceform/core";
import { cpu } from "@traceform/backend-cpu";
import "@traceform/numpy/methods";
import { mkdirSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { assertResults, commentExamples, type Example, importsFor, nameSources, readmeExamples } from "./docs.ts";
import { root } from "./process.ts";

/** Arrays become nested JavaScript arrays, so that a comment can state them. */
async function plain(value: unknown): Promise<unknown> {
  const x = await value;
  if (typeof x !== "object" || x === null) return x;
  return treeMap((leaf: unknown) => (isNDArray(leaf) ? leaf.jsSync() : leaf), x);
}

function close(actual: unknown, expected: unknown): boolean {
  if (typeof actual === "number" && typeof expected === "number") {
    return Object.is(actual, expected) || Math.abs(actual - expected) <= 2e-5 * Math.max(1, Math.abs(expected));
  }
  if (typeof actual !== "object" || actual === null || typeof expected !== "object" || expected === null)
    return Object.is(actual, expected);
  const [a, b] = [actual, expected] as Record<string, unknown>[];
  const keys = Object.keys(b);
  return Object.keys(a).length === keys.length && keys.every((k) => close(a[k], b[k]));
}

async function check(value: unknown, expected: unknown): Promise<void> {
  const actual = await plain(value);
  if (!close(actual, expected)) expect(actual).toEqual(expected);
}

async function throws(body: () => Promise<unknown>, name: string): Promise<void> {
  const error: unknown = await body().then(
    () => null,
    (e: unknown) => e,
  );
  expect((error as Error | null)?.constructor.name).toBe(name);
  expect((error as Error).message, "an error of ours says how to repair the call").toContain("fix:");
}

// Examples of programs for several devices run on logical ones.
const backend = cpu({ devices: 4 });
const modules: Record<string, string[]> = {};

beforeAll(async () => {
  Object.assign(globalThis, { __check: check, __throws: throws });
  mkdirSync(`${root}out/docs`, { recursive: true });
  // The same files as the examples import: a second copy of core would warn.
  const entry = process.env["TRACEFORM_BUILT"] === "1" ? "dist/index.js" : "src/index.ts";
  for (const m of nameSources)
    modules[m] = Object.keys((await import(/* @vite-ignore */ `${root}packages/${m}/${entry}`)) as object);
});

function run(examples: readonly Example[]): void {
  test.each(examples.map((e) => [e.place, e] as const))("%s", async (place, example) => {
    // Some examples choose a backend of their own.
    setDefaultBackend(backend);
    const imports = example.pkg === null ? "" : importsFor(example, modules);
    const file = `${root}out/docs/${place.replace(/[^\w]/g, "_")}.ts`;
    writeFileSync(file, `${imports}\n${assertResults(example.code)}\nexport {};\n`);
    await import(/* @vite-ignore */ file);
  });
}

describe("examples of the documentation give what they say", () => run(readmeExamples()));
describe("examples of doc comments give what they say", () => run(commentExamples()));
