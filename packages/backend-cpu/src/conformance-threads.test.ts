import { describe } from "vitest";
import { backendConformance } from "../../testing/src/conformance.ts";
import { cpu } from "./index.ts";

// With a small grain nearly every kernel is shared by threads.
describe("three threads", () => backendConformance(() => cpu({ threads: 3, grain: 32 })));
describe("one thread", () => backendConformance(() => cpu({ threads: 1 })));
