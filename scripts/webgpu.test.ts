import { cpu } from "@traceform/backend-cpu";
import { wgpu } from "@traceform/backend-wgpu";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startChromium } from "./browser/chromium.ts";
import { type ConformanceReport, expectations, type Extent } from "./browser/conformance.ts";
import { bundle, isolation, serve, type Site } from "./browser/site.ts";
import { root } from "./process.ts";

// The built packages in a real browser that has WebGPU, on SwiftShader.

/** Milliseconds. Alone it takes fifteen seconds; beside the other suites SwiftShader, which compiles on the CPU, gets a part of it only. */
const patience = 240_000;
let browser: Browser;
let site: Site;

/** An open page, and everything that went wrong in it. */
async function open(name: string): Promise<{ readonly page: Page; readonly errors: string[] }> {
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${site.url}/${name}?script=conformance.js`, { waitUntil: "load" });
  return { page, errors };
}

beforeAll(async () => {
  const conformance = await bundle(`${root}scripts/browser/conformance.ts`);
  site = await serve({ plain: {}, isolated: isolation }, { "conformance.js": conformance });
  browser = await startChromium();
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await site?.[Symbol.asyncDispose]();
});

interface Functions {
  conformance(of: { readonly name: "cpu" | "wgpu"; readonly extent: Extent }): Promise<ConformanceReport>;
  busy(steps: number): Promise<number>;
  together(_: null): Promise<readonly unknown[]>;
  traced(_: null): Promise<{ readonly kernels: readonly string[]; readonly duration: number }>;
}
/** Calls a function of the script of a page. */
function call<K extends keyof Functions>(page: Page, name: K, arg: Parameters<Functions[K]>[0]): ReturnType<Functions[K]> {
  return page.evaluate(([n, a]) => (globalThis as unknown as Record<string, (x: unknown) => unknown>)[n](a), [
    name,
    arg,
  ] as const) as ReturnType<Functions[K]>;
}

/** With TRACEFORM_FULL pages run all of the suite, for six minutes. */
const extent: Extent = process.env["TRACEFORM_FULL"] ? "whole" : "part";

describe(`${extent === "whole" ? "all" : "a part of every family"} of the conformance suite passes in a page`, () => {
  test.each([
    ["wgpu", "plain"],
    ["wgpu", "isolated"],
    ["cpu", "plain"],
    ["cpu", "isolated"],
  ] as const)(
    "%s, %s",
    async (backend, name) => {
      const { page, errors } = await open(name);
      const { problems, isolated, families, refused, ran } = await call(page, "conformance", { name: backend, extent });
      await page.close();
      // Both are SwiftShader here, so a page can do what Node can.
      const node = backend === "wgpu" ? await wgpu({ schedule: "tiny" }) : cpu();
      const expected = expectations(node, extent);
      node[Symbol.dispose]();
      expect(problems).toEqual([]);
      expect({ errors, isolated, families, refused }).toEqual({ errors: [], isolated: name === "isolated", ...expected });
      expect(ran).toBeGreaterThan(extent === "whole" ? 2000 : 140);
    },
    extent === "whole" ? 10 * patience : patience,
  );
});

test("a page traces its kernels", async () => {
  const { page, errors } = await open("isolated");
  const { kernels, duration } = await call(page, "traced", null);
  expect(kernels.length).toBeGreaterThan(1);
  expect(duration).toBeGreaterThan(0);
  expect(errors).toEqual([]);
  await page.close();
});

test("two GPUs meet in a page", async () => {
  const { page, errors } = await open("plain");
  const sums = [[10, 20]];
  expect(await call(page, "together", null)).toEqual([
    sums,
    sums,
    [
      [4, 8],
      [12, 16],
    ],
  ]);
  expect(errors).toEqual([]);
  await page.close();
});

describe("what becomes of pages", () => {
  const expected = (steps: number): number => {
    let x = 1;
    for (let i = 0; i < steps; i++) x = Math.fround(x * x - 0.5);
    return x * 128 * 128;
  };

  test("work goes on in a page that is hidden and frozen meanwhile", async () => {
    const { page, errors } = await open("plain");
    const sum = call(page, "busy", 60);
    const session = await page.context().newCDPSession(page);
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await new Promise((resolve) => setTimeout(resolve, 300));
    await session.send("Page.setWebLifecycleState", { state: "active" });
    expect(await sum).toBeCloseTo(expected(60), 0);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("a page that is left in the middle of its work disturbs neither the next one nor its neighbours", async () => {
    const [left, neighbour] = await Promise.all([open("plain"), open("plain")]);
    const beside = call(neighbour.page, "busy", 40);
    void call(left.page, "busy", 500).catch(() => null);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await left.page.goto(`${site.url}/isolated?script=conformance.js`, { waitUntil: "load" });
    expect(await call(left.page, "busy", 10)).toBeCloseTo(expected(10), 0);
    expect(await beside).toBeCloseTo(expected(40), 0);
    expect([left.errors, neighbour.errors]).toEqual([[], []]);
    await Promise.all([left.page.close(), neighbour.page.close()]);
  });
});
