import { spawnSync } from "node:child_process";
import { createReadStream, createWriteStream, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { type Browser, chromium } from "playwright-core";

const archives = join(dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium")), "../bin");
const { version } = JSON.parse(readFileSync(join(archives, "../package.json"), "utf8")) as { readonly version: string };

/** Beside playwright's own. */
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync"];

/**
 * Starts the headless Chromium that npm carries: nothing is downloaded.
 *
 * @throws {Error} with the reason when there is none for this machine or it does not start
 */
export async function startChromium(): Promise<Browser> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(`@sparticuz/chromium is for linux x64; this is ${process.platform} ${process.arch}`);
  }
  const folder = await unpack();
  const libraries = join(folder, "lib");
  const env = { ...process.env, LD_LIBRARY_PATH: libraries, FONTCONFIG_PATH: join(folder, "fonts") } as Record<string, string>;
  return chromium.launch({ executablePath: join(folder, "chromium"), args: flags, env, timeout: 20_000 });
}

/** The browser, once for each version of it, beside the libraries that a bare machine may lack. */
async function unpack(): Promise<string> {
  const folder = join(tmpdir(), `traceform-chromium-${version}`);
  if (existsSync(folder)) return folder;
  // Under another name until it is complete: tests may run at the same time.
  const parts = mkdtempSync(`${folder}-`);
  const inflate = (from: string, to: string): Promise<void> =>
    pipeline(createReadStream(join(archives, from)), createBrotliDecompress(), createWriteStream(join(parts, to), { mode: 0o700 }));
  await Promise.all([
    inflate("chromium.br", "chromium"),
    inflate("al2023.tar.br", "al2023.tar"),
    inflate("fonts.tar.br", "fonts.tar"),
  ]);
  for (const tar of ["al2023", "fonts"]) {
    const { status, stderr } = spawnSync("tar", ["-xf", join(parts, `${tar}.tar`), "-C", parts]);
    if (status !== 0) throw new Error(`tar could not unpack ${tar}.tar of @sparticuz/chromium: ${String(stderr)}`);
    rmSync(join(parts, `${tar}.tar`));
  }
  try {
    renameSync(parts, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    rmSync(parts, { recursive: true });
  }
  return folder;
}
