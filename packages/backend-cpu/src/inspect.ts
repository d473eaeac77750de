import type { ExecutableInfo } from "@traceform/core";
import { programCost, programSegments, programText, type Program } from "@traceform/compiler";

/** What an executable says about itself. */
export function describeProgram(program: Program): ExecutableInfo {
  return {
    text: programText(program),
    segments: programSegments(program),
    cost: programCost(program),
  };
}
