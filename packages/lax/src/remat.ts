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
import { varyingLike } from "./internal/infer.ts";

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
  abstractEval: (avals, { jaxpr }) => ({
    avals: jaxpr.outAvals.map((a) => varyingLike(a, avals)),
    effects: [...jaxpr.effects],
  }),
});

export interface CheckpointOptions {
  readonly policy?: CheckpointPolicy | null;
  readonly preventCse?: boolean;
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
    const [leaves, inTree] = treeFlatten([...args]);
    const flat = leaves.map((x) => asArray(x as ArrayLike));
    const body = traceBody(
      name,
      fn as unknown as (...args: unknown[]) => unknown,
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
