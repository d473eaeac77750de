import { defineConfig } from "vitest/config";

// The suite runs against the sources by default and against the built packages with TRACEFORM_BUILT=1.
const built = process.env["TRACEFORM_BUILT"] === "1";
const packages = new URL("./packages/", import.meta.url).pathname;

export default defineConfig({
  resolve: {
    alias: built
      ? []
      : [
          { find: /^@traceform\/([\w-]+)$/, replacement: `${packages}$1/src/index.ts` },
          { find: /^@traceform\/([\w-]+)\/([\w-]+)$/, replacement: `${packages}$1/src/$2.ts` },
          { find: /^traceform$/, replacement: `${packages}traceform/src/index.ts` },
        ],
  },
  test: {
    include: ["packages/*/src/**/*.test.ts", "examples/*/**/*.test.ts", "scripts/**/*.test.ts"],
    pool: "forks",
    testTimeout: 60_000,
  },
});
