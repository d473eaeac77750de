export {
  checkpoint,
  checkpointName,
  type CheckpointOptions,
  type CheckpointPolicy,
  type CustomJvp,
  customJvp,
  type CustomVjp,
  customVjp,
  type CustomVjpPrimal,
  type CustomVjpPrimals,
  linearCall,
  type OrZero,
  checkpoint as remat,
  stopGradient,
  type SymbolicZerosOption,
} from "@traceform/lax";
export { checkGrads, type CheckGradsOptions, checkJvp, checkVjp } from "./check.ts";
export { type CheckpointPolicies, checkpointPolicies } from "./checkpoint.ts";
export { closureConvert, customGradient, fwdAndBwd } from "./closures.ts";
export { grad, type GradOptions, type ScalarOutput, valueAndGrad } from "./grad.ts";
export { hessian, jacfwd, type Jacobian, jacobian, jacrev } from "./jacobian.ts";
export { jvpJaxpr, JVPTrace, JVPTracer } from "./jvp.ts";
export { linearizeFlat, type Linearized } from "./linearize.ts";
export { linearTranspose, type ShapeDType } from "./linearTranspose.ts";
export { partialEvalJaxpr, PartialEvalTrace, PartialEvalTracer } from "./partialEval.ts";
export {
  type InstantiatedJvpRule,
  isLinear,
  type JvpContext,
  type JvpJaxpr,
  type JvpRule,
  LinearOperand,
  type PartialEvalContext,
  type PartialEvalJaxpr,
  type PartialEvalRule,
  type SymbolicJvpRule,
  type Tangent,
  type TransposeContext,
  type TransposedJaxpr,
  type TransposeRule,
} from "./rule.ts";
export { printSavedResiduals, type SavedResidual, savedResiduals } from "./residuals.ts";
export { jvpRules, partialEvalRules, transposeRules } from "./rules/index.ts";
export { backwardPass, transposeJaxpr } from "./transpose.ts";
export type { ArgnumsOf, Gradient, Gradients } from "./types.ts";
export { type Cotangents, jvp, linearize, linearizeWithAux, type Pullback, type Pushforward, vjp, vjpWithAux } from "./vjp.ts";
