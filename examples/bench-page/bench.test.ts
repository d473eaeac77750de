import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { build, preview, type PreviewServer } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makers } from "../../benchmarks/gpu/alone.ts";
import { gpuCases } from "../../benchmarks/gpu/cases.ts";
import { type GpuReport, measureCase, writeTable } from "../../benchmarks/gpu/measure.ts";
import { benchmarkGpu } from "../../benchmarks/gpu/report.ts";
import { startChromium } from "../../scripts/browser/chromium.ts";
import { root as repository } from "../../scripts/process.ts";

// That the benchmark works, on an adapter that is a CPU: it may not pass its times off as those of a GPU.

const root = fileURLToPath(new URL(".", import.meta.url));
const outDir = `${repository}out/bench-page/site`;
/** Milliseconds: beside the other suites SwiftShader, which is a CPU, takes many times as long as alone. */
const patience = 60_000;
let server: PreviewServer;
let browser: Browser;
let dawn: GPU;

beforeAll(async () => {
  mkdirSync(outDir, { recursive: true });
  process.env["BENCH_ALONE"] = "1";
  await build({ root, logLevel: "silent", build: { outDir, emptyOutDir: true } });
  server = await preview({ root, build: { outDir }, preview: { host: "127.0.0.1", port: 0 }, logLevel: "silent" });
  browser = await startChromium();
  const { create } = (await import("webgpu")) as unknown as { create(options: readonly string[]): GPU };
  dawn = create([]);
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

describe("in Node", () => {
  const options = { size: "tiny", allowCpu: false, complain: () => undefined } as const;

  test("an adapter that is a CPU is refused, by its name", async () => {
    await expect(benchmarkGpu(dawn, makers, options)).rejects.toThrow(/SwiftShader.*: a CPU that runs WebGPU.*--allow-cpu/);
  });

  test("where it is allowed, the table begins with what the adapter is", async () => {
    const report = await benchmarkGpu(dawn, makers, { ...options, allowCpu: true, only: "softmax" });
    expect(report.adapter.cpu).toBe(true);
    expect(report.limits.gflops).toBeGreaterThan(0);
    expect(report.limits.gigabytesPerSecond).toBeGreaterThan(0);
    expect(report.rows.map((r) => [r.name, r.notes])).toEqual([["softmax 16x64", []]]);
    const [headline, , header, , row] = writeTable(report).split("\n");
    expect(headline).toMatch(/^NOT A GPU: SwiftShader/);
    expect(header).toContain("| case | traceform |");
    expect(row).toMatch(/^\| softmax 16x64 \| \d/);
  });

  test("a GPU's table has its name, its limits and the ratios; sides that fail or differ are named", async () => {
    const side = (milliseconds: number, value: number) => () => ({
      run: () => new Promise((resolve) => setTimeout(resolve, milliseconds)),
      result: () => Promise.resolve([value]),
    });
    const library = (name: string, like: Parameters<typeof measureCase>[1][number]["cases"][string]) => ({
      name,
      native: false,
      cases: { "sum 1M": like },
    });
    const c = gpuCases("tiny").find((x) => x.like === "sum 1M")!;
    const limits = { gflops: 1000, gigabytesPerSecond: 0.001 };
    const libraries = [
      library("traceform", side(2, 1)),
      library("slow", side(20, 1)),
      library("wrong", side(8, 2)),
      library("broken", () => {
        throw new Error("no such kernel");
      }),
    ];
    const row = await measureCase(c, libraries, limits, "tiny");
    expect(row.milliseconds["broken"]).toBeNull();
    expect(row.ratio).toBeGreaterThan(2);
    expect(row.ofLimit).toBeCloseTo(4.096 / row.milliseconds["traceform"]!, 5);
    expect(row.notes).toEqual(["wrong differs by 1.0e+0 from traceform", "broken fails: Error: no such kernel"]);
    const adapter = { name: "Some GPU", cpu: false, features: [] };
    expect(writeTable({ adapter, limits, rows: [row] })).toMatch(
      /^Adapter: Some GPU; copies .* GB\/s[^]*\| missing \|[^]*wrong differs/,
    );
  });
});

describe("in a page", { timeout: 4 * patience }, () => {
  test("an adapter that is a CPU is refused, and nothing can be measured", async () => {
    const page = await browser.newPage();
    await page.goto(server.resolvedUrls!.local[0]);
    await page.locator("#status.failed", { hasText: /a CPU that runs WebGPU/ }).waitFor({ timeout: patience });
    expect(await page.isDisabled("#start")).toBe(true);
    await page.close();
  });

  test("every case runs, and the table says what it is of", async () => {
    const page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(`${server.resolvedUrls!.local[0]}?tiny&allow-cpu`);
    await page.click("#start:enabled");
    await page.locator("#status", { hasText: "Done." }).waitFor({ timeout: 2 * patience });
    const report = await page.evaluate(() => (globalThis as unknown as { report: GpuReport }).report);
    expect(report.rows.map((r) => r.name)).toEqual(gpuCases("tiny").map((c) => c.name));
    expect(report.rows.filter((r) => r.milliseconds["traceform"] === null)).toEqual([]);
    expect(report.rows.flatMap((r) => r.notes)).toEqual([]);
    expect(await page.textContent("caption")).toMatch(/^NOT A GPU/);
    await page.screenshot({ path: `${repository}out/bench-page/tiny.png`, fullPage: true });
    expect(errors).toEqual([]);
    await page.close();
  });
});
