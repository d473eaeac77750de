export {
  celu,
  elu,
  gelu,
  glu,
  hardSigmoid,
  hardSilu,
  hardSwish,
  hardTanh,
  leakyRelu,
  logSigmoid,
  mish,
  relu,
  relu6,
  selu,
  sigmoid,
  silu,
  softplus,
  softSign,
  squareplus,
  swish,
  tanh,
} from "./activations.ts";
export { type AttentionOptions, dotProductAttention } from "./attention.ts";
export * as initializers from "./initializers.ts";
export type { FanAxes, Initializer, VarianceScalingOptions } from "./initializers.ts";
export {
  logsumexp,
  type LogsumexpOptions,
  logSoftmax,
  oneHot,
  type OneHotOptions,
  softmax,
  type SoftmaxOptions,
  standardize,
  type StandardizeOptions,
} from "./normalization.ts";
