import { mkdirSync, writeFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import type { CpuOptions } from "@traceform/backend-cpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startChromium } from "./browser/chromium.ts";
import type { Report } from "./browser/page.ts";
import type * as Programs from "./browser/programs.ts";
import { bundle, type Headers, isolation, serve, type Site } from "./browser/site.ts";
import { assertResults, readmeExamples } from "./docs.ts";
import { root } from "./process.ts";

// The built packages in a real browser: with shared memory and without, and where the page forbids workers.

const blocked = { "content-security-policy": "worker-src 'none'" };
const pages: Readonly<Record<string, Headers>> = {
  plain: {},
  isolated: isolation,
  "no-workers": { ...isolation, ...blocked },
  // `new Worker(url)` throws at once where the platform asks for trusted types.
  "trusted-types": { ...isolation, "content-security-policy": "require-trusted-types-for 'script'" },
};
/** Small chunks, so that small programs use all threads. */
const options: CpuOptions = { threads: 4, grain: 1 << 12 };

let browser: Browser;
let site: Site;
const reference: Record<string, Programs.Outcome> = {};
const folder = `${root}out/browser`;

/** An open page, and everything that went wrong in it. */
async function open(name: string, script = "page.js"): Promise<{ readonly page: Page; readonly errors: string[] }> {
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${site.url}/${name}?script=${script}`, { waitUntil: "load" });
  return { page, errors };
}

async function report(
  name: string,
  { expected, inWorker = false, ...more }: { expected: number; inWorker?: boolean } & CpuOptions,
): Promise<Report & { readonly errors: string[] }> {
  const { page, errors } = await open(name);
  const result = await page.evaluate(
    ([o, n, w]) => (globalThis as unknown as { run(o: CpuOptions, n: number, w: boolean): Promise<Report> }).run(o, n, w),
    [{ ...options, ...more }, expected, inWorker] as const,
  );
  await page.screenshot({ path: `${folder}/${name}${inWorker ? "-worker" : ""}.png`, fullPage: true });
  await page.close();
  return { ...result, errors };
}

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  const [example] = readmeExamples().filter((e) => e.place.startsWith("README.md"));
  writeFileSync(`${folder}/readme.ts`, `${assertResults(example.code)}\n__done();\n`);
  const [page, programs, readme] = await Promise.all(
    ["scripts/browser/page.ts", "scripts/browser/programs.ts", "out/browser/readme.ts"].map((f) => bundle(root + f)),
  );
  writeFileSync(`${folder}/programs.mjs`, programs);
  const { run } = (await import(/* @vite-ignore */ `${folder}/programs.mjs`)) as typeof Programs;
  for (const relaxedSimd of [true, false]) reference[String(relaxedSimd)] = await run({ threads: 1, relaxedSimd }, 1);
  site = await serve(pages, { "page.js": page, "readme.js": readme });
  browser = await startChromium();
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await site?.[Symbol.asyncDispose]();
});

describe("a page gives the bits that Node gives", () => {
  test("a cross-origin isolated one runs on several threads, and its main thread never sleeps", async () => {
    const { isolated, outcome, errors } = await report("isolated", { expected: 4 });
    expect({ isolated, errors, threads: outcome.threads, sleeps: outcome.sleeps }).toEqual({
      isolated: true,
      errors: [],
      threads: 4,
      sleeps: 0,
    });
    expect(outcome.digests).toEqual(reference["true"].digests);
  });

  test("any other runs on one thread", async () => {
    const { isolated, outcome, errors } = await report("plain", { expected: 1 });
    expect({ isolated, errors, threads: outcome.threads, sleeps: outcome.sleeps }).toEqual({
      isolated: false,
      errors: [],
      threads: 1,
      sleeps: 0,
    });
    expect(outcome.digests).toEqual(reference["true"].digests);
  });

  test("without relaxed SIMD", async () => {
    const { outcome } = await report("isolated", { expected: 4, relaxedSimd: false });
    expect(outcome.digests).toEqual(reference["false"].digests);
  });

  test("a worker of an isolated page has worker threads of its own", async () => {
    const { outcome, errors } = await report("isolated", { expected: 4, inWorker: true });
    expect({ errors, threads: outcome.threads }).toEqual({ errors: [], threads: 4 });
    expect(outcome.digests).toEqual(reference["true"].digests);
  });

  test.each(["no-workers", "trusted-types"])("a page that forbids workers (%s) runs on one thread", async (name) => {
    const { isolated, outcome } = await report(name, { expected: 1 });
    expect({ isolated, threads: outcome.threads, sleeps: outcome.sleeps }).toEqual({ isolated: true, threads: 1, sleeps: 0 });
    expect(outcome.digests).toEqual(reference["true"].digests);
  });
});

test.each(["plain", "isolated"])("the example of the README runs in a page (%s)", async (name) => {
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.addInitScript(() => {
    const checks: unknown[] = [];
    const plain = (x: unknown): unknown => {
      if (typeof x !== "object" || x === null) return x;
      if ("jsSync" in x) return (x as { jsSync(): unknown }).jsSync();
      return Object.fromEntries(Object.entries(x).map(([k, v]) => [k, plain(v)]));
    };
    const done = new Promise((resolve) => Object.assign(globalThis, { __done: () => resolve(checks) }));
    Object.assign(globalThis, { __check: (x: unknown, expected: unknown) => checks.push([plain(x), expected]), __checked: done });
  });
  await page.goto(`${site.url}/${name}?script=readme.js`);
  const checks = await page.evaluate(() => (globalThis as unknown as { __checked: Promise<[unknown, unknown][]> }).__checked);
  expect(errors).toEqual([]);
  expect(checks).toHaveLength(4);
  for (const [actual, expected] of checks) expect(actual).toEqual(expected);
  await page.close();
});
