import { type ArrayLike, asArray, isNDArray, type NDArray, scalar, treeMap, ValueError } from "@traceform/core";
import { add, convertElementType, div, fullLike, gt, mul, neg, pow, select, sqrt, sub } from "@traceform/lax";
import {
  type GradientTransformation,
  globalNorm,
  inDType,
  type ScalarOrSchedule,
  scaleTree,
  stateless,
  treeMapMany,
} from "./transform.ts";

const zerosLike = <P>(tree: P): P => treeMap((x: ArrayLike) => fullLike(x, 0), tree);
const start = (): NDArray => scalar(0, "int32");
const next = (count: NDArray): NDArray => add(count, 1);

/** Multiplies updates by a constant. */
export function scale(factor: number): GradientTransformation {
  return stateless((updates) => scaleTree(updates, factor));
}

/** Multiplies updates by a function of the step count, which starts at 0. */
export function scaleBySchedule(schedule: (count: NDArray) => ArrayLike): GradientTransformation {
  return {
    init: () => ({ count: start() }),
    update(updates, state) {
      const { count } = state as { count: NDArray };
      return [scaleTree(updates, schedule(count)), { count: next(count) }];
    },
  };
}

/** Multiplies updates by `-learningRate`, so that adding them descends. */
export function scaleByLearningRate(learningRate: ScalarOrSchedule): GradientTransformation {
  if (typeof learningRate === "function") return scaleBySchedule((count) => neg(asArray(learningRate(count))));
  return stateless((updates) => scaleTree(updates, isNDArray(learningRate) ? neg(learningRate) : -learningRate));
}

export interface AdamOptions {
  readonly b1?: number;
  readonly b2?: number;
  readonly eps?: number;
  /** Added under the root, which matters when differentiating through the optimizer. */
  readonly epsRoot?: number;
}

interface AdamState<P> {
  readonly count: NDArray;
  readonly mu: P;
  readonly nu: P;
}

/** Adam's rescaling by bias-corrected moments. @see Kingma & Ba (2015), "Adam: a method for stochastic optimization" */
export function scaleByAdam(options: AdamOptions = {}): GradientTransformation {
  const { b1 = 0.9, b2 = 0.999, eps = 1e-8, epsRoot = 0 } = options;
  return {
    init: (params) => ({ count: start(), mu: zerosLike(params), nu: zerosLike(params) }),
    update<P>(updates: P, state: object): [P, AdamState<P>] {
      const old = state as AdamState<P>;
      const count = next(old.count);
      const correction = (b: number): NDArray => sub(1, pow(scalar(b, "float32"), convertElementType(count, "float32")));
      const c1 = correction(b1);
      const c2 = correction(b2);
      const [scaled, mu, nu] = treeMapMany(
        3,
        (g, m, v) => {
          const mu = add(mul(m, b1), mul(g, 1 - b1));
          const nu = add(mul(v, b2), mul(mul(g, g), 1 - b2));
          const muHat = div(mu, inDType(c1, g));
          const nuHat = div(nu, inDType(c2, g));
          return [div(muHat, add(sqrt(epsRoot === 0 ? nuHat : add(nuHat, epsRoot)), eps)), mu, nu];
        },
        updates,
        old.mu,
        old.nu,
      );
      return [scaled, { count, mu, nu }];
    },
  };
}

/** A decaying sum of past updates: momentum. @see Sutskever et al. (2013) for the Nesterov form */
export function trace(options: { readonly decay: number; readonly nesterov?: boolean }): GradientTransformation {
  const { decay, nesterov = false } = options;
  const accumulate = <P>(updates: P, sum: P): P => treeMap((g: NDArray, t: NDArray) => add(g, mul(t, decay)), updates, sum);
  return {
    init: (params) => ({ trace: zerosLike(params) }),
    update<P>(updates: P, state: object): [P, { trace: P }] {
      const sum = accumulate(updates, (state as { trace: P }).trace);
      return [nesterov ? accumulate(updates, sum) : sum, { trace: sum }];
    },
  };
}

/** Adds `weightDecay · params` to the updates. @throws {ValueError} when `update` is called without parameters */
export function addDecayedWeights(weightDecay: number): GradientTransformation {
  return stateless((updates, params) => {
    if (params === undefined) {
      throw new ValueError("addDecayedWeights", { message: "needs the parameters", fix: "call update(grads, state, params)" });
    }
    return treeMap((g: NDArray, p: NDArray) => add(g, mul(p, weightDecay)), updates, params);
  });
}

/** Scales all updates down together when their global norm exceeds `maxNorm`. @see Pascanu et al. (2013) */
export function clipByGlobalNorm(maxNorm: number): GradientTransformation {
  return stateless((updates) => {
    const norm = globalNorm(updates);
    const factor = select(gt(norm, maxNorm), div(maxNorm, norm), fullLike(norm, 1));
    return scaleTree(updates, factor);
  });
}
