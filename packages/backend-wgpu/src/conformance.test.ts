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
    ...missing("loops of unknown length need values of the GPU on the host", {
      while: ["no iteration", "until a bound"],
      callback: ["the condition of a loop, and its body"],
      betainc: ["values"],
      igamma: ["values"],
      igammac: ["values"],
      linalg: [
        ...["", " of NaN", " of a graded matrix", " of equal eigenvalues", " of large and of small numbers", " of rank one"].map(
          (what) => `eigh${what}`,
        ),
        ...["", " of NaN", " of equal singular values", " of large and of small numbers", " of rank one"].map(
          (what) => `svd${what}`,
        ),
        "eigh of zeros",
        "svd of zeros",
        "svd, full matrices",
      ],
    }),
    ...missing("branches need values of the GPU on the host", {
      cond: ["both branches"],
      switch: ["clamps its index"],
      callback: ["of a conditional only the branch that is taken"],
    }),
    ...missing("programs cannot call out to JavaScript yet", {
      callback: [
        "arrays of every dtype come and go",
        "between kernels that make and take its values",
        "carries that stay in place wait until they were seen",
        "in a loop, in order, whether its result is used or not",
      ],
    }),
  },
});
