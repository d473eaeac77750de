import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const benchmarks = fileURLToPath(new URL("../../benchmarks/", import.meta.url));
const packages = fileURLToPath(new URL("../../packages/", import.meta.url));

/** The libraries to compare: Traceform alone where the peers, which are large, are not installed. */
function libraries(): Plugin {
  const installed = existsSync(`${benchmarks}node_modules/@tensorflow/tfjs-backend-webgpu`) && process.env["BENCH_ALONE"] !== "1";
  return {
    name: "libraries",
    resolveId: (id) => (id === "virtual:libraries" ? `${benchmarks}gpu/${installed ? "libraries" : "alone"}.ts` : null),
  };
}

const headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

export default defineConfig({
  base: "./",
  plugins: [libraries()],
  resolve: {
    // The benchmark's files are not in a workspace package.
    alias: [
      { find: /^@traceform\/([\w-]+)$/, replacement: `${packages}$1/dist/index.js` },
      { find: /^@traceform\/([\w-]+)\/([\w-]+)$/, replacement: `${packages}$1/dist/$2.js` },
    ],
  },
  build: { target: "esnext" },
  server: { headers, fs: { allow: ["../.."] } },
  preview: { headers },
});
