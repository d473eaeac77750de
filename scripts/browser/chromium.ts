import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { hasArchives, unpack } from "./archives.ts";

/** Beside playwright's own. WebGPU runs on SwiftShader, a Vulkan driver on the CPU: there need be no GPU. */
const flags = [
  "--no-sandbox",
  "--no-first-run",
  "--disable-quic",
  "--disable-sync",
  "--disable-background-networking",
  "--disable-component-update",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
];

/**
 * Starts the headless Chromium that npm carries: nothing is downloaded.
 *
 * @throws {Error} with the reason when there is none for this machine or it does not start
 */
export async function startChromium(): Promise<Browser> {
  if (!hasArchives) {
    throw new Error(`@sparticuz/chromium is for linux x64; this is ${process.platform} ${process.arch}`);
  }
  // Beside the libraries that a bare machine may lack.
  const folder = await unpack("browser", ["chromium", "swiftshader.tar", "al2023.tar", "fonts.tar"]);
  const libraries = join(folder, "lib");
  const env = { ...process.env, LD_LIBRARY_PATH: libraries, FONTCONFIG_PATH: join(folder, "fonts") } as Record<string, string>;
  return chromium.launch({ executablePath: join(folder, "chromium"), args: flags, env, timeout: 20_000 });
}
