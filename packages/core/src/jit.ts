import type { Aval } from "./avals.ts";
import { dceJaxpr, type DceRule } from "./dce.ts";
import type { Jaxpr } from "./jaxpr.ts";
import { dceRule, definePrimitive, type Primitive, stepsRule, type StepsRule } from "./primitive.ts";

/** A function compiled as a whole, as an equation: `jit[name jaxpr] consts… args…`. */
export interface JitParams {
  readonly name: string;
  readonly jaxpr: Jaxpr;
  /** For each operand, whether its memory may be given to the results. */
  readonly donated: readonly boolean[];
  readonly inline: boolean;
  readonly keepUnused: boolean;
}

const dce: DceRule = (usedOutputs, eqn) => {
  const params = eqn.params as unknown as JitParams;
  const { jaxpr, usedInputs } = dceJaxpr(params.jaxpr, usedOutputs);
  return {
    usedInputs,
    eqn: {
      ...eqn,
      invars: eqn.invars.filter((_, i) => usedInputs[i]),
      outvars: eqn.outvars.filter((_, i) => usedOutputs[i]),
      params: { ...params, jaxpr, donated: params.donated.filter((_, i) => usedInputs[i]) },
    },
  };
};

/**
 * The primitive that `jit` binds. It lives in core because every transformation has a rule for it; the staging, the
 * options and the caches are the `jit` package's.
 */
export const jitP: Primitive<JitParams> = definePrimitive<JitParams>("jit", {
  abstractEval: (_avals: readonly Aval[], { jaxpr }) => ({ avals: jaxpr.outAvals, effects: [...jaxpr.effects] }),
  rules: { [dceRule]: dce, [stepsRule]: ((args, { jaxpr }, run) => run(jaxpr, args)) satisfies StepsRule<JitParams> },
  hiddenParams: ["donated", "inline", "keepUnused"],
});
