import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { build, preview, type PreviewServer } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startChromium } from "../../scripts/browser/chromium.ts";
import { root as repository } from "../../scripts/process.ts";

// The built page, driven in headless Chromium with WebGPU on SwiftShader. Screenshots stay in out/mnist-web.

const root = fileURLToPath(new URL(".", import.meta.url));
const outDir = `${repository}out/mnist-web/site`;
const pictures = `${repository}out/mnist-web`;
/** Milliseconds: beside the other suites SwiftShader, which is a CPU, takes many times as long as alone. */
const patience = 60_000;
let server: PreviewServer;
let browser: Browser;

beforeAll(async () => {
  mkdirSync(pictures, { recursive: true });
  await build({ root, logLevel: "silent", build: { outDir, emptyOutDir: true } });
  server = await preview({ root, build: { outDir }, preview: { host: "127.0.0.1", port: 0 }, logLevel: "silent" });
  browser = await startChromium();
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

async function open(query: string): Promise<{ readonly page: Page; readonly errors: string[] }> {
  const page = await browser.newPage({ viewport: { width: 1240, height: 900 } });
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${server.resolvedUrls!.local[0]}${query}`);
  await page.locator("#status", { hasText: "Ready to train" }).waitFor({ timeout: patience });
  return { page, errors };
}

type Point = readonly [x: number, y: number];

/** Draws strokes on the pad, whose sides are from 0 to 1. */
async function drawDigit(page: Page, strokes: readonly (readonly Point[])[]): Promise<void> {
  await page.click("#clear");
  const box = (await page.locator("#pad").boundingBox())!;
  const at = ([x, y]: Point): Point => [box.x + x * box.width, box.y + y * box.height];
  for (const [first, ...rest] of strokes) {
    await page.mouse.move(...at(first));
    await page.mouse.down();
    for (const p of rest) await page.mouse.move(...at(p), { steps: 6 });
    await page.mouse.up();
  }
}

const circle = (cx: number, cy: number, rx: number, ry: number): Point[] =>
  Array.from({ length: 25 }, (_, i) => [cx + rx * Math.sin((i * Math.PI) / 12), cy - ry * Math.cos((i * Math.PI) / 12)]);
const drawings: Readonly<Record<string, readonly (readonly Point[])[]>> = {
  "7": [
    [
      [0.28, 0.22],
      [0.72, 0.22],
      [0.45, 0.82],
    ],
  ],
  "0": [circle(0.5, 0.5, 0.22, 0.32)],
  "1": [
    [
      [0.54, 0.18],
      [0.47, 0.82],
    ],
  ],
};
const answer = (page: Page, digit: string): Promise<void> =>
  page.locator("#digit", { hasText: digit }).waitFor({ timeout: patience });
const numberIn = async (page: Page, id: string): Promise<number> => parseFloat((await page.textContent(`#${id}`))!);

describe("the page", { timeout: 4 * patience }, () => {
  test("learns on the CPU, reads what is drawn, and does so on the GPU too", async () => {
    const { page, errors } = await open("?digits=6000");
    expect(await page.textContent("#status")).toContain("WebAssembly");
    await page.fill("#epochs", "2");
    await page.click("#train");
    await page.locator("#status", { hasText: "steps learned" }).waitFor({ timeout: patience });
    expect(await numberIn(page, "accuracy")).toBeGreaterThan(90);
    expect(await numberIn(page, "loss")).toBeLessThan(0.6);
    expect(await page.textContent("#steps")).toBe("186");
    expect(await page.locator(".sample.right").count()).toBeGreaterThan(60);
    for (const [digit, strokes] of Object.entries(drawings)) {
      await drawDigit(page, strokes);
      await answer(page, digit);
    }
    await page.screenshot({ path: `${pictures}/trained.png`, fullPage: true });

    // The network moves to the GPU as it is, and reads there.
    await page.click("#clear");
    await page.click("text=GPU");
    await page.locator("#status", { hasText: /WebGPU, .*The network came along/ }).waitFor({ timeout: patience });
    await drawDigit(page, drawings["7"]);
    await answer(page, "7");
    expect(await page.textContent("#steps")).toBe("186");
    await page.screenshot({ path: `${pictures}/moved.png`, fullPage: true });
    expect(errors).toEqual([]);
    await page.close();
  });

  test("learns on the GPU, can be stopped, and goes on on the CPU", async () => {
    const { page, errors } = await open("?digits=640&batch=32");
    await page.click("text=GPU");
    await page.locator("#status", { hasText: /WebGPU, .*Ready to train/ }).waitFor({ timeout: patience });
    await page.click("#train");
    await page.locator("#status", { hasText: "Pass 1, step 10 of 60" }).waitFor({ timeout: patience });
    const first = await numberIn(page, "loss");
    expect(first).toBeLessThan(2.5);
    await page.click("#train");
    await page.locator("#status", { hasText: "steps learned" }).waitFor({ timeout: patience });
    const learned = await numberIn(page, "steps");
    expect(learned % 10).toBe(0);
    expect(learned).toBeLessThan(60);
    expect(await numberIn(page, "accuracy")).toBeGreaterThan(25);
    await page.click("text=CPU");
    await page.locator("#status", { hasText: /WebAssembly, .*The network came along/ }).waitFor({ timeout: patience });
    await page.click("#train");
    await page.locator("#status", { hasText: "steps learned" }).waitFor({ timeout: patience });
    expect(await numberIn(page, "steps")).toBe(learned + 60);
    expect(await numberIn(page, "loss")).toBeLessThan(first);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("begins anew with another network", async () => {
    const { page, errors } = await open("?digits=640&batch=32");
    await page.fill("#epochs", "1");
    await page.click("#train");
    await page.locator("#status", { hasText: "20 steps learned" }).waitFor({ timeout: patience });
    await page.click("text=Convolutional");
    await page.locator("#status", { hasText: "Ready to train" }).waitFor({ timeout: patience });
    expect(await page.textContent("#steps")).toBe("0");
    await page.click("#train");
    await page.locator("#status", { hasText: "20 steps learned" }).waitFor({ timeout: patience });
    expect(await numberIn(page, "accuracy")).toBeGreaterThan(30);
    await page.emulateMedia({ colorScheme: "dark" });
    await page.screenshot({ path: `${pictures}/dark.png`, fullPage: true });
    expect(errors).toEqual([]);
    await page.close();
  });

  test("outlives the GPU", async () => {
    const page = await browser.newPage();
    await page.route("**/worker-*.js", async (route) => {
      const response = await route.fetch();
      const remember = `const request = GPUAdapter.prototype.requestDevice;
        GPUAdapter.prototype.requestDevice = async function (d) { return (self.device = await request.call(this, d)); };`;
      await route.fulfill({ response, body: remember + (await response.text()) });
    });
    await page.goto(`${server.resolvedUrls!.local[0]}?digits=640&batch=32`);
    await page.locator("#status", { hasText: "Ready to train" }).waitFor({ timeout: patience });
    await page.click("text=GPU");
    await page.locator("#status", { hasText: /WebGPU, .*Ready to train/ }).waitFor({ timeout: patience });
    await page.click("#train");
    await page.locator("#status", { hasText: "Pass 1, step 10 of" }).waitFor({ timeout: patience });
    await page.workers()[0].evaluate(() => (globalThis as unknown as { device: GPUDevice }).device.destroy());
    await page.locator("#status.failed", { hasText: "the GPU device was lost" }).waitFor({ timeout: patience });
    await page.click("text=CPU");
    await page.locator("#status", { hasText: /WebAssembly, .*Ready to train/ }).waitFor({ timeout: patience });
    await page.fill("#epochs", "1");
    await page.click("#train");
    await page.locator("#status", { hasText: "20 steps learned" }).waitFor({ timeout: patience });
    await page.close();
  });

  test("says what is missing where there is no GPU, and stays on the CPU", async () => {
    const page = await browser.newPage();
    // Workers have a navigator of their own, so the page's cannot be changed for them: their adapter is asked for and not there.
    await page.route("**/worker-*.js", async (route) => {
      const response = await route.fetch();
      const none = "navigator.gpu.requestAdapter = () => Promise.resolve(null);";
      await route.fulfill({ response, body: none + (await response.text()) });
    });
    await page.goto(server.resolvedUrls!.local[0]);
    await page.locator("#status", { hasText: "Ready to train" }).waitFor({ timeout: patience });
    await page.click("text=GPU");
    await page.locator("#status.failed", { hasText: "no adapter" }).waitFor({ timeout: patience });
    expect(await page.textContent("#status")).toContain("or use the CPU backend");
    expect(await page.isChecked("input[value=cpu]")).toBe(true);
    expect(await page.isEnabled("#train")).toBe(true);
    await page.close();
  });
});
