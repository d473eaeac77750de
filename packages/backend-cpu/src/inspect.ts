import type { ExecutableInfo } from "@traceform/core";
import { programCost, programKernels, programText, type Program } from "@traceform/compiler";

/** What an executable says about itself. */
export function describeProgram(program: Program): ExecutableInfo {
  return {
    text: programText(program),
    segments: [{ kind: "device", kernels: programKernels(program) }],
    cost: programCost(program),
  };
}
