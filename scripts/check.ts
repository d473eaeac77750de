// What a contributor should run beside the tests: lint, formatting, the dependency arrows, import cycles, and the types of everything.
import { cycles } from "./cycles.ts";
import { arrowViolations } from "./arrows.ts";
import { step } from "./process.ts";

const code = ["packages", "examples", "scripts", "benchmarks"];
const problems = [...arrowViolations(), ...cycles()];
for (const p of problems) console.error(p);
const results = {
  arrows: problems.length === 0,
  format: step("oxfmt", ["--check", ...code]),
  lint: step("oxlint", ["--quiet", ...code]),
  types: step("tsc", ["-p", "tsconfig.tests.json"]),
  // The compiler that many people and all tools with a plugin still use: types must mean the same to it.
  "types on TypeScript 6": step("node", ["node_modules/typescript6/lib/tsc.js", "-p", "tsconfig.tests.json"]),
};
for (const [name, ok] of Object.entries(results)) console.log(`${ok ? "ok  " : "FAIL"} ${name}`);
if (Object.values(results).includes(false)) process.exit(1);
