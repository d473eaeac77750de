import { bits, constvarsToInvars, evalJaxpr, type Jaxpr, JaxprMemo, type NDArray, splitList, traceToJaxpr } from "@traceform/core";
import type { TransposeContext } from "../rule.ts";
import { drop, pick } from "./flags.ts";

const transposed = new JaxprMemo<{
  readonly jaxpr: Jaxpr;
  readonly consts: readonly NDArray[];
  readonly nonzeroOut: readonly boolean[];
}>();

/**
 * The transpose of a jaxpr that is linear in the operands `linear` marks, however it mixes them with others: computes what the
 * linear part needs from the nonlinear operands, then goes backward through it.
 * (consts, nonlinear operands, nonzero cotangents) -> cotangents of the linear operands.
 */
export function transposeThrough(
  jaxpr: Jaxpr,
  linear: readonly boolean[],
  nonzero: readonly boolean[],
  context: TransposeContext,
  instantiateOut = false,
): {
  readonly jaxpr: Jaxpr;
  readonly consts: readonly NDArray[];
  readonly nonzeroOut: readonly boolean[];
} {
  return transposed.get(jaxpr, `${bits(linear)}:${bits(nonzero)}:${instantiateOut}`, () => {
    const { known, unknown, residuals } = context.partialEvalJaxpr(jaxpr, linear, true);
    const numLinear = linear.filter(Boolean).length;
    const t = context.transposeJaxpr(
      unknown,
      [...residuals.map(() => false), ...new Array<boolean>(numLinear).fill(true)],
      nonzero,
      instantiateOut,
    );
    const others = drop(jaxpr.inAvals, linear);
    const cts = pick(jaxpr.outAvals, nonzero);
    const traced = traceToJaxpr(
      (...args) => {
        const [extra, nonlinear, ct] = splitList(args, t.consts.length, others.length);
        return evalJaxpr(t.jaxpr, [], [...extra, ...evalJaxpr(known, [], nonlinear), ...ct]);
      },
      [...t.consts.map((c) => c.aval), ...others, ...cts],
      "transpose",
    );
    return { jaxpr: constvarsToInvars(traced.jaxpr), consts: t.consts, nonzeroOut: t.nonzeroOut };
  });
}
