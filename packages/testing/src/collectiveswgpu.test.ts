import { setDefaultBackend } from "@traceform/core";
import { wgpu } from "@traceform/backend-wgpu";
import { describe } from "vitest";
import { collectiveConformance } from "./collectives.ts";

describe("two WebGPU devices on one adapter", () => {
  const start = async () => setDefaultBackend(await wgpu({ devices: 2, schedule: "tiny" })).devices;
  collectiveConformance(start, { dtypes: ["float32", "int32", "uint32", "bool"] });
});
