import { bind, bits, dceJaxpr, Jaxpr, JaxprMemo, type NDArray, or, splitList, TransformError, Var } from "@traceform/core";
import { type WhileParams, whileP } from "@traceform/lax";
import { drop, merge, pick, place } from "../internal/flags.ts";
import { withoutKnownEffects } from "../internal/effects.ts";
import { instantiate } from "../internal/zeros.ts";
import {
  type JvpContext,
  type JvpEntry,
  jvpEntry,
  type JvpJaxpr,
  type PartialEvalContext,
  type PartialEvalEntry,
  partialEvalEntry,
  type TransposeEntry,
  transposeEntry,
} from "../rule.ts";

const memo = new JaxprMemo<{ readonly jaxpr: Jaxpr }>();

function carryFixpoint(
  p: WhileParams,
  consts: readonly boolean[],
  init: readonly boolean[],
  context: JvpContext,
): { body: JvpJaxpr; carry: readonly boolean[] } {
  let carry = init;
  for (;;) {
    const body = context.jvpJaxpr(p.bodyJaxpr, [...consts, ...carry], carry);
    const next = or(carry, body.nonzeroOut);
    if (next.every((x, i) => x === carry[i])) return { body, carry };
    carry = next;
  }
}

/** (extra, consts, carry, dconsts, dcarry) -> (extra, consts, dconsts, carry, dcarry). */
function jvpBody(body: JvpJaxpr, numConsts: number, numCarry: number, numDconsts: number): Jaxpr {
  const { jaxpr } = body;
  return memo.get(jaxpr, `${numConsts},${numCarry},${numDconsts}`, () => {
    const [extra, consts, carry, dconsts, dcarry] = splitList(jaxpr.invars, body.consts.length, numConsts, numCarry, numDconsts);
    return {
      jaxpr: new Jaxpr([], [...extra, ...consts, ...dconsts, ...carry, ...dcarry], jaxpr.eqns, jaxpr.outvars, jaxpr.effects),
    };
  }).jaxpr;
}

/** The condition, which looks at the primal carry only, with operands for the tangents. */
function jvpCond(cond: Jaxpr, carry: readonly Var[], nonzero: readonly boolean[]): Jaxpr {
  return memo.get(cond, bits(nonzero), () => ({
    jaxpr: new Jaxpr(
      [],
      [...cond.invars, ...pick(carry, nonzero).map((v) => new Var(v.aval))],
      cond.eqns,
      cond.outvars,
      cond.effects,
    ),
  })).jaxpr;
}

export const whileJvps = (): JvpEntry[] => [
  jvpEntry(whileP, (primals, tangents, p, context) => {
    const [condConsts, consts, init] = splitList(primals, p.condNconsts, p.bodyNconsts);
    const [, dconsts, dinit] = splitList(tangents, p.condNconsts, p.bodyNconsts);
    const { body, carry } = carryFixpoint(
      p,
      dconsts.map((t) => t !== null),
      dinit.map((t) => t !== null),
      context,
    );
    const present = dconsts.filter((t) => t !== null);
    const dcarry = pick(
      init.map((x, i) => (carry[i] ? instantiate(dinit[i], x.aval) : null)),
      carry,
    ) as NDArray[];
    const outs = bind(whileP, [...condConsts, ...body.consts, ...consts, ...present, ...init, ...dcarry], {
      condNconsts: p.condNconsts,
      condJaxpr: jvpCond(p.condJaxpr, p.condJaxpr.invars.slice(p.condNconsts), carry),
      bodyNconsts: body.consts.length + consts.length + present.length,
      bodyJaxpr: jvpBody(body, consts.length, init.length, present.length),
    });
    return [outs.slice(0, init.length), place(carry, outs.slice(init.length))];
  }),
];

/**
 * The part of the loop that computes known carries runs now, when the condition is known. The unknown carries need the
 * whole loop, known part included: its intermediate values cannot be kept, because their number is not known.
 */
function partialEvalWhile(
  args: readonly NDArray[],
  unknowns: readonly boolean[],
  p: WhileParams,
  context: PartialEvalContext,
): NDArray[] {
  const [ukCondConsts, ukConsts, ukInit] = splitList(unknowns, p.condNconsts, p.bodyNconsts);
  const [condConsts, consts, init] = splitList(args, p.condNconsts, p.bodyNconsts);
  let carry: readonly boolean[] = ukInit;
  let body = context.partialEvalJaxpr(p.bodyJaxpr, [...ukConsts, ...carry], carry);
  for (;;) {
    const next = or(carry, body.unknownOut);
    if (next.every((x, i) => x === carry[i])) break;
    carry = next;
    body = context.partialEvalJaxpr(p.bodyJaxpr, [...ukConsts, ...carry], carry);
  }
  const cond = context.partialEvalJaxpr(p.condJaxpr, [...ukCondConsts, ...carry]);
  if (cond.unknownOut[0] || carry.every(Boolean)) return context.stage(whileP as never, args, p as never);
  // The known part has had its effects.
  const rest: WhileParams = {
    ...p,
    condJaxpr: withoutKnownEffects(p.condJaxpr, [...ukCondConsts, ...carry], "whileLoop"),
    bodyJaxpr: withoutKnownEffects(p.bodyJaxpr, [...ukConsts, ...carry], "whileLoop"),
  };
  const staged = context.stage(whileP as never, args, rest as never);
  const numKnown = carry.filter((u) => !u).length;
  const bodyJaxpr = memo.get(body.known, "known", () => {
    const { jaxpr } = dceJaxpr(
      body.known,
      body.known.outvars.map((_, i) => i < numKnown),
      body.known.invars.map(() => true),
    );
    return { jaxpr };
  }).jaxpr;
  const knownConsts = drop(consts, ukConsts);
  const knownCondConsts = drop(condConsts, ukCondConsts);
  const outs = context.known(whileP as never, [...knownCondConsts, ...knownConsts, ...drop(init, carry)], {
    condNconsts: knownCondConsts.length,
    condJaxpr: cond.known,
    bodyNconsts: knownConsts.length,
    bodyJaxpr,
  });
  return merge(carry, pick(staged, carry), outs);
}

export const whilePartialEvals = (): PartialEvalEntry[] => [partialEvalEntry(whileP, partialEvalWhile)];

export const whileTransposes = (): TransposeEntry[] => [
  transposeEntry(whileP, () => {
    throw new TransformError("whileLoop", {
      message:
        "reverse-mode differentiation does not work for whileLoop, or foriLoop with traced bounds, because the number of iterations is not known",
      fix: "use scan, or foriLoop with JavaScript numbers as bounds, or forward mode: jvp, jacfwd",
    });
  }),
];
