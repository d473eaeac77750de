// What a contributor should run beside the tests: lint, formatting, the dependency arrows, import cycles, and the types of tests.
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
};
for (const [name, ok] of Object.entries(results)) console.log(`${ok ? "ok  " : "FAIL"} ${name}`);
if (Object.values(results).includes(false)) process.exit(1);
