import { type ArrayLike, asArray, type NDArray, treeFlatten, treeLeaves, treeMap, treeUnflatten } from "@traceform/core";
import { add as laxAdd, convertElementType, mul as laxMul, reduceSum, sqrt, square } from "@traceform/lax";

/** What an optimizer remembers between steps: a pytree of arrays, to be passed on and never looked into. */
export type OptState = object;

/**
 * A gradient transformation in the shape of Optax: `init` makes the state for parameters, `update` turns gradients into
 * updates. Both are pure, so they may be jitted, vmapped and differentiated. `P` is any pytree of arrays.
 */
export interface GradientTransformation {
  init<P>(params: P): OptState;
  update<P>(updates: P, state: OptState, params?: P): [updates: P, state: OptState];
}

/** A learning rate, or a function from the step count (int32[]) to one. */
export type Schedule = (count: NDArray) => ArrayLike;
export type ScalarOrSchedule = number | NDArray | Schedule;

/** A transformation without state. */
export function stateless(update: <P>(updates: P, params: P | undefined) => P): GradientTransformation {
  return {
    init: () => [],
    update: (updates, state, params) => [update(updates, params), state],
  };
}

/** Applies transformations one after the other; the state is the list of theirs. */
export function chain(...transforms: readonly GradientTransformation[]): GradientTransformation {
  return {
    init: (params) => transforms.map((t) => t.init(params)),
    update(updates, state, params) {
      const states = state as readonly OptState[];
      let current = updates;
      const next = transforms.map((t, i) => {
        const [u, s] = t.update(current, states[i], params);
        current = u;
        return s;
      });
      return [current, next];
    },
  };
}

/** Changes nothing. */
export function identity(): GradientTransformation {
  return stateless((updates) => updates);
}

/** New parameters: `params + updates`, in the dtype of the parameters. */
export function applyUpdates<P>(params: P, updates: P): P {
  return treeMap(
    (p: NDArray, u: NDArray) => convertElementType(laxAdd(p, convertElementType(u, p.dtype)), p.dtype),
    params,
    updates,
  );
}

/** √(Σ |x|²) over all leaves: float32[]. */
export function globalNorm(tree: unknown): NDArray {
  const sums = treeLeaves(tree).map((x) => reduceSum(square(asArray(x as ArrayLike))));
  return sqrt(sums.reduce((a, b) => laxAdd(a, b)));
}

/** Multiplies every leaf by a factor, a number or a scalar array. */
export function scaleTree<P>(tree: P, factor: ArrayLike): P {
  return treeMap((x: NDArray) => laxMul(x, inDType(factor, x)), tree);
}

/** A scalar in the dtype of `like`; numbers adopt it by themselves. */
export function inDType(factor: ArrayLike, like: NDArray): ArrayLike {
  return typeof factor === "object" ? convertElementType(factor, like.dtype) : factor;
}

/** Maps leaves to several results each: one tree for each of the results. */
export function treeMapMany<P>(count: number, fn: (...leaves: NDArray[]) => NDArray[], tree: P, ...rest: readonly P[]): P[] {
  const [first, treedef] = treeFlatten(tree);
  const others = rest.map((r) => treeLeaves(r));
  const results = first.map((x, i) => fn(x as NDArray, ...others.map((o) => o[i] as NDArray)));
  return Array.from(
    { length: count },
    (_, k) =>
      treeUnflatten(
        treedef,
        results.map((r) => r[k]),
      ) as P,
  );
}
