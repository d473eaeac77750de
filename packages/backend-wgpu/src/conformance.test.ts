import { itemsize, isComplex, type StandardDType } from "@traceform/core";
import { backendConformance } from "../../testing/src/conformance.ts";
import { wgpu } from "./index.ts";

/** WebGPU has no numbers of 64 bits. */
const isWide = (dtype: StandardDType): boolean => itemsize(dtype) / (isComplex(dtype) ? 2 : 1) > 4;

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
];
const wide: readonly StandardDType[] = ["float64", "int64", "uint64"];
const conversions = dtypes.flatMap((from) => wide.map((to) => `convert: ${from} to ${to}`));

// Kernels of the usual size have a suite of their own (`conformance-full.test.ts`): the tests' GPU takes long to compile them.
backendConformance(() => wgpu({ schedule: "tiny" }), {
  only: (_, dtype) => !isWide(dtype),
  // WGSL allows it, and the driver of the tests does it.
  flushesSubnormals: true,
  skip: Object.fromEntries([...conversions, "argmax: int64 indices"].map((name) => [name, "WebGPU has no numbers of 64 bits"])),
});
