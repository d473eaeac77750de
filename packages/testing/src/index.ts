export { type ConformanceCase, type Operand } from "./conformance/case.ts";
export { difference, type Tolerance, ulp } from "./conformance/compare.ts";
export { makeInput, random } from "./conformance/inputs.ts";
export { type Golden, goldenDifference, type GoldenTolerance } from "./golden.ts";
export { referenceBackend } from "./reference/backend.ts";
export { referenceRules } from "./reference/interpret.ts";
