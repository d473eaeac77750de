export { bits, uniform, type UniformOptions } from "./bits.ts";
export {
  bernoulli,
  exponential,
  gumbel,
  laplace,
  logistic,
  normal,
  rademacher,
  type SampleOptions,
  truncatedNormal,
} from "./distributions.ts";
export { clone, foldIn, type Key, key, keyData, keyDType, PRNGKey, split, wrapKeyData } from "./keys.ts";
export { multivariateNormal, type MultivariateNormalOptions, orthogonal } from "./matrices.ts";
export {
  categorical,
  type CategoricalOptions,
  choice,
  type ChoiceOptions,
  permutation,
  type PermutationOptions,
  randint,
} from "./select.ts";
