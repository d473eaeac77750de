export { adam, adamw, type AdamWOptions, sgd, type SgdOptions } from "./optimizers.ts";
export {
  addDecayedWeights,
  type AdamOptions,
  clipByGlobalNorm,
  scale,
  scaleByAdam,
  scaleByLearningRate,
  scaleBySchedule,
  trace,
} from "./scaling.ts";
export {
  constantSchedule,
  cosineDecaySchedule,
  exponentialDecay,
  type ExponentialDecayOptions,
  joinSchedules,
  linearSchedule,
  piecewiseConstantSchedule,
  type PolynomialOptions,
  polynomialSchedule,
  warmupCosineDecaySchedule,
  type WarmupCosineOptions,
} from "./schedules.ts";
export {
  applyUpdates,
  chain,
  globalNorm,
  type GradientTransformation,
  identity,
  type OptState,
  type ScalarOrSchedule,
  type Schedule,
  stateless,
} from "./transform.ts";
