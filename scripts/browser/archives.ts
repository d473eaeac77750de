import { spawnSync } from "node:child_process";
import { createReadStream, createWriteStream, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";

/** What @sparticuz/chromium carries is for these machines only. */
export const hasArchives: boolean = process.platform === "linux" && process.arch === "x64";

/**
 * Unpacks archives of @sparticuz/chromium, once for each version of it, and returns their folder. Names end in `.tar` for those
 * that hold several files.
 */
export async function unpack(name: string, archives: readonly string[]): Promise<string> {
  const bin = join(dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium")), "../bin");
  const { version } = JSON.parse(readFileSync(join(bin, "../package.json"), "utf8")) as { readonly version: string };
  const folder = join(tmpdir(), `traceform-${name}-${version}`);
  if (existsSync(folder)) return folder;
  // Under another name until it is complete: tests may run at the same time.
  const parts = mkdtempSync(`${folder}-`);
  const inflate = (archive: string): Promise<void> =>
    pipeline(
      createReadStream(join(bin, `${archive}.br`)),
      createBrotliDecompress(),
      createWriteStream(join(parts, archive), { mode: 0o700 }),
    );
  await Promise.all(archives.map(inflate));
  for (const tar of archives.filter((a) => a.endsWith(".tar"))) {
    const { status, stderr } = spawnSync("tar", ["-xf", join(parts, tar), "-C", parts]);
    if (status !== 0) throw new Error(`tar could not unpack ${tar} of @sparticuz/chromium: ${String(stderr)}`);
    rmSync(join(parts, tar));
  }
  try {
    renameSync(parts, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    rmSync(parts, { recursive: true });
  }
  return folder;
}
