// Runs the checks and the tests, and closes with the line `N passed, N failed`.
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { root, step } from "./process.ts";

const args = process.argv.slice(2);
const full = args.includes("--full");
const passed: string[] = [];
const failed: string[] = [];
let tests = { passed: 0, failed: 0 };

function report(name: string, ok: boolean): void {
  (ok ? passed : failed).push(name);
}

function vitest(name: string, env: Record<string, string>, ...filters: string[]): void {
  const output = `${root}out/${name}.json`;
  rmSync(output, { force: true });
  const ok = step("vitest", ["run", "--reporter=default", "--reporter=json", `--outputFile=${output}`, ...filters], {
    env: { ...env, ...(full ? { TRACEFORM_FULL: "1" } : {}) },
  });
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(output, "utf8")) as {
      numPassedTests: number;
      numFailedTests: number;
    };
    tests = { passed: tests.passed + numPassedTests, failed: tests.failed + numFailedTests };
    // A file that fails to load has no failed test of its own.
    if (!ok && numFailedTests === 0) report(name, false);
  } catch {
    report(name, false);
  }
}

mkdirSync(`${root}out`, { recursive: true });
if (args.filter((a) => !a.startsWith("-")).length === 0) report("checks", step("node", ["scripts/check.ts"]));
vitest("sources", {}, ...args.filter((a) => a !== "--full"));
// What users install is the build: the documentation's examples and the suites that reach every package run against it.
const builtSuites = [
  "scripts/docs.test.ts",
  "packages/jit",
  "packages/random",
  "packages/nn",
  "packages/optim",
  "packages/checkify",
  "packages/testing/src/misuse.test.ts",
];
if (args.length === 0 || full) vitest("built", { TRACEFORM_BUILT: "1" }, ...builtSuites);

if (failed.length > 0) console.error(`failed: ${failed.join(", ")}`);
console.log(`${tests.passed + passed.length} passed, ${tests.failed + failed.length} failed`);
process.exit(tests.failed + failed.length > 0 ? 1 : 0);
