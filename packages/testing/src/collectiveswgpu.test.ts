import { setDefaultBackend, type StandardDType } from "@traceform/core";
import { requestAdapter, wgpu } from "@traceform/backend-wgpu";
import { describe } from "vitest";
import { collectiveConformance } from "./collectives.ts";

const dtypes: readonly StandardDType[] = [
  "float32",
  "float16",
  "bfloat16",
  "int8",
  "int16",
  "int32",
  "uint8",
  "uint16",
  "uint32",
  "bool",
  "complex64",
];

describe("two WebGPU devices on one adapter", () => {
  const start = async () => setDefaultBackend(await wgpu({ devices: 2, schedule: "tiny" })).devices;
  collectiveConformance(start, { dtypes });
});
describe("two WebGPU devices with memory of their own", () => {
  const start = async () => {
    const adapter = [await requestAdapter(), await requestAdapter()];
    return setDefaultBackend(await wgpu({ adapter, schedule: "tiny" })).devices;
  };
  collectiveConformance(start, { dtypes });
});
