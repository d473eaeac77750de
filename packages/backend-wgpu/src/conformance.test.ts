import type { StandardDType } from "@traceform/core";
import { backendConformance } from "../../testing/src/conformance.ts";
import { wgpu } from "./index.ts";

const dtypes: readonly StandardDType[] = ["float32", "int32", "uint32", "bool"];

/** The cases of a family that the backend does not have yet, by one reason. */
function missing(reason: string, families: Readonly<Record<string, readonly string[]>>): Record<string, string> {
  const skip: Record<string, string> = {};
  for (const [family, cases] of Object.entries(families)) for (const c of cases) skip[`${family}: ${c}`] = reason;
  return skip;
}

const absent = ["float64", "float16", "bfloat16", "int8", "int16", "int64", "uint8", "uint16", "uint64"];

backendConformance(() => wgpu(), {
  only: (_, dtype) => dtypes.includes(dtype),
  // WGSL allows it, and the driver of the tests does it.
  flushesSubnormals: true,
  skip: {
    ...missing("the dtype of a result is not there yet", {
      convert: dtypes.flatMap((from) => absent.map((to) => `${from} to ${to}`)),
      argmax: ["int64 indices"],
      sort: ["two keys"],
      complex: ["from parts"],
      fft: ["short", "one", "powers of two", "mixed radices", "large primes", "long", "two axes, odd", "three axes"].map(
        (what) => `real, ${what}`,
      ),
      linalg: ["eig", "eig of NaN", "eig of a cycle"],
    }),
  },
});
