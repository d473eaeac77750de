import { describe } from "vitest";
import { backendConformance } from "../../testing/src/conformance.ts";
import { cpu, type CpuOptions } from "./index.ts";

// Features that engines may lack, or that users may switch off, change neither results nor what there is. With a small grain
// nearly every kernel is shared by threads.
const configurations: readonly (readonly [string, CpuOptions])[] = [
  ["as the engine allows", {}],
  ["every kernel shared by three threads", { threads: 3, grain: 32 }],
  ["compiled for speed at once", { warmUp: 0 }],
  ["without threads", { threads: 1 }],
  ["without relaxed SIMD", { relaxedSimd: false }],
  ["without revectorisation", { revectorize: false }],
];

describe.each(configurations)("%s", (_name, options) => backendConformance(() => cpu(options)));
