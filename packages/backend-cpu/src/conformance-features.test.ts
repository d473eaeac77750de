import { describe } from "vitest";
import { backendConformance } from "../../testing/src/conformance.ts";
import { cpu } from "./index.ts";

// What engines may lack changes neither what there is nor the results.
describe("without relaxed SIMD", () => backendConformance(() => cpu({ relaxedSimd: false })));
describe("without revectorisation", () => backendConformance(() => cpu({ revectorize: false })));
