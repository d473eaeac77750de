import {
  type ArrayLike,
  asArray,
  bind,
  bind1,
  currentTrace,
  dceRule,
  definePrimitive,
  isEager,
  type Jaxpr,
  type NDArray,
  type Params,
  type Primitive,
  stepsRule,
  treeFlatten,
  treeMap,
  treeUnflatten,
} from "@traceform/core";
import { traceBody } from "./internal/bodies.ts";
import { dceCheckpoint } from "./internal/dce.ts";
import { checkpointSteps } from "./internal/steps.ts";

/**
 * Decides for each equation of a checkpointed function whether its results may be kept for the backward pass
 * (true) or are computed again (false).
 */
export type CheckpointPolicy = (primitive: Primitive<never>, params: Params) => boolean;

export interface CheckpointParams {
  readonly jaxpr: Jaxpr;
  /** `null` keeps nothing. */
  readonly policy: CheckpointPolicy | null;
  readonly preventCse: boolean;
}
/** Operands: closed-over values, then the flattened arguments. */
export const checkpointP: Primitive<CheckpointParams> = /* @__PURE__ */ definePrimitive<CheckpointParams>("checkpoint", {
  rules: { [dceRule]: dceCheckpoint, [stepsRule]: checkpointSteps },
  hiddenParams: ["preventCse"],
  abstractEval: (_avals, { jaxpr }) => ({
    avals: jaxpr.outAvals,
    effects: [...jaxpr.effects],
  }),
});

export interface CheckpointOptions {
  /** What may be kept all the same; `null`, the default, is nothing. */
  readonly policy?: CheckpointPolicy | null;
  /**
   * Keeps a compiler from merging what is computed again with what was computed before, which would undo the checkpoint. `false` is
   * for those who know that nothing can be merged, as inside the body of a `scan`.
   */
  readonly preventCse?: boolean;
  /** Positions of arguments that are no arrays: functions, flags, options. The function sees them as they are. */
  readonly staticArgnums?: number | readonly number[];
}

/**
 * A function whose intermediate values are not kept for differentiation but computed again in the backward pass:
 * memory for time. `policy` names exceptions.
 */
export function checkpoint<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  options: CheckpointOptions = {},
): (...args: A) => R {
  const name = fn.name || "checkpoint";
  return (...args) => {
    if (isEager(currentTrace())) return fn(...args);
    const fixed = [options.staticArgnums ?? []].flat().map((i) => (i < 0 ? i + args.length : i));
    const [leaves, inTree] = treeFlatten(args.filter((_, i) => !fixed.includes(i)));
    const flat = leaves.map((x) => asArray(x as ArrayLike));
    const body = traceBody(
      name,
      (...xs) => {
        let k = 0;
        return (fn as unknown as (...all: unknown[]) => unknown)(...args.map((x, i) => (fixed.includes(i) ? x : xs[k++])));
      },
      inTree,
      flat.map((x) => x.aval),
    );
    const outs = bind(checkpointP, [...body.consts, ...flat], {
      jaxpr: body.jaxpr,
      policy: options.policy ?? null,
      preventCse: options.preventCse ?? true,
    });
    return treeUnflatten(body.outTree, outs) as R;
  };
}

export interface NameParams {
  readonly name: string;
}
/** The identity, with a name that checkpoint policies can see. */
export const nameP: Primitive<NameParams> = /* @__PURE__ */ definePrimitive<NameParams>("name", { abstractEval: ([x]) => [x] });

/** The pytree unchanged; its arrays carry a name that checkpoint policies can see. */
export function checkpointName<T>(x: T, name: string): T {
  return treeMap((leaf: never): NDArray => bind1(nameP, [asArray(leaf)], { name }), x);
}
