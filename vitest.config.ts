import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

// The suite runs against the sources by default and against the built packages with TRACEFORM_BUILT=1.
const built = process.env["TRACEFORM_BUILT"] === "1";
const packages = new URL("./packages/", import.meta.url).pathname;
const [folder, extension] = built ? ["dist", "js"] : ["src", "ts"];

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@traceform\/([\w-]+)$/, replacement: `${packages}$1/${folder}/index.${extension}` },
      { find: /^@traceform\/([\w-]+)\/([\w-]+)$/, replacement: `${packages}$1/${folder}/$2.${extension}` },
      { find: /^traceform$/, replacement: `${packages}traceform/${folder}/index.${extension}` },
    ],
  },
  test: {
    include: ["packages/*/src/**/*.test.ts", "examples/*/**/*.test.ts", "scripts/**/*.test.ts"],
    pool: "forks",
    // Vitest would leave a core to itself, which is half of two.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    globalSetup: ["scripts/gpu.ts"],
    testTimeout: 60_000,
  },
});
