import { setDefaultBackend } from "@traceform/core";
import { requestAdapter, wgpu } from "@traceform/backend-wgpu";
import { describe } from "vitest";
import { collectiveConformance } from "./collectives.ts";

describe("two WebGPU devices on one adapter", () => {
  const start = async () => setDefaultBackend(await wgpu({ devices: 2, schedule: "tiny" })).devices;
  collectiveConformance(start, { dtypes: ["float32", "int32", "uint32", "bool"] });
});
describe("two WebGPU devices with memory of their own", () => {
  const start = async () => {
    const adapter = [await requestAdapter(), await requestAdapter()];
    return setDefaultBackend(await wgpu({ adapter, schedule: "tiny" })).devices;
  };
  collectiveConformance(start, { dtypes: ["float32", "int32", "uint32", "bool"] });
});
