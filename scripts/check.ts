// What a contributor should run beside the tests: lint, the dependency arrows, import cycles, and the types of tests.
import { cycles } from "./cycles.ts";
import { arrowViolations } from "./arrows.ts";
import { step } from "./process.ts";

const problems = [...arrowViolations(), ...cycles()];
for (const p of problems) console.error(p);
const results = {
  arrows: problems.length === 0,
  lint: step("oxlint", ["--quiet", "packages", "examples", "scripts", "benchmarks"]),
  types: step("tsc", ["-p", "tsconfig.tests.json"]),
};
for (const [name, ok] of Object.entries(results)) console.log(`${ok ? "ok  " : "FAIL"} ${name}`);
if (Object.values(results).includes(false)) process.exit(1);
