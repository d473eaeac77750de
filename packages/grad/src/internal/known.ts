import { type NDArray, TransformError } from "@traceform/core";
import { isLinear, type LinearOperand } from "../rule.ts";

/** The operand of a product that must not be linear too. @throws {TransformError} when it is */
export function known(x: NDArray | LinearOperand, primitive: string): NDArray {
  if (!isLinear(x)) return x;
  throw new TransformError("transpose", {
    message: `the function is not linear: ${primitive} has two operands that depend on its input`,
    fix: "transpose linear functions only; differentiate others with vjp",
  });
}
