import { addDecayedWeights, type AdamOptions, scaleByAdam, scaleByLearningRate, trace } from "./scaling.ts";
import { chain, type GradientTransformation, type ScalarOrSchedule } from "./transform.ts";

export interface SgdOptions {
  readonly momentum?: number;
  readonly nesterov?: boolean;
}

/** Stochastic gradient descent, with momentum when asked for. */
export function sgd(learningRate: ScalarOrSchedule, options: SgdOptions = {}): GradientTransformation {
  const { momentum, nesterov } = options;
  const step = scaleByLearningRate(learningRate);
  return momentum === undefined ? step : chain(trace({ decay: momentum, nesterov }), step);
}

/**
 * Adam.
 *
 * @example
 * ```ts
 * const optimizer = adam(1e-3);
 * let state = optimizer.init(params);
 * const [updates, next] = optimizer.update(grads, state, params);
 * params = applyUpdates(params, updates);
 * ```
 */
export function adam(learningRate: ScalarOrSchedule, options: AdamOptions = {}): GradientTransformation {
  return chain(scaleByAdam(options), scaleByLearningRate(learningRate));
}

export interface AdamWOptions extends AdamOptions {
  readonly weightDecay?: number;
}

/** Adam with decoupled weight decay. @see Loshchilov & Hutter (2019) */
export function adamw(learningRate: ScalarOrSchedule, options: AdamWOptions = {}): GradientTransformation {
  const { weightDecay = 1e-4 } = options;
  return chain(scaleByAdam(options), addDecayedWeights(weightDecay), scaleByLearningRate(learningRate));
}
