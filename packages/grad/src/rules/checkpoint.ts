import {
  bind,
  dceJaxpr,
  type Eqn,
  evalJaxpr,
  Jaxpr,
  JaxprRewriter,
  jitP,
  type JitParams,
  Literal,
  type NDArray,
  type Var,
} from "@traceform/core";
import { type CheckpointParams, checkpointP, type CheckpointPolicy } from "@traceform/lax";
import { withoutKnownEffects } from "../internal/effects.ts";
import { bits, drop, merge, pick, place } from "../internal/memo.ts";
import { transposeThrough } from "../internal/through.ts";
import {
  isLinear,
  type JvpEntry,
  jvpEntry,
  type PartialEvalContext,
  type PartialEvalEntry,
  partialEvalEntry,
  type TransposeEntry,
  transposeEntry,
} from "../rule.ts";

export const checkpointJvps = (): JvpEntry[] => [
  jvpEntry(checkpointP, (primals, tangents, params, { jvpJaxpr }) => {
    const nonzero = tangents.map((t) => t !== null);
    const { jaxpr, consts, nonzeroOut } = jvpJaxpr(params.jaxpr, nonzero, false);
    const outs = bind(checkpointP, [...consts, ...primals, ...(pick(tangents, nonzero) as NDArray[])], { ...params, jaxpr });
    const n = params.jaxpr.outvars.length;
    return [outs.slice(0, n), place(nonzeroOut, outs.slice(n))];
  }),
];

interface Recomputation {
  /** known operands -> (known results, values that the policy keeps). */
  readonly known: Jaxpr;
  readonly unknownOut: readonly boolean[];
  /** (known operands still needed, kept values, unknown operands) -> unknown results. */
  readonly again: Jaxpr;
  readonly usedOperands: readonly boolean[];
}

const plans = new WeakMap<Jaxpr, Map<string, { policy: CheckpointPolicy | null; plan: Recomputation }>>();

function planFor(p: CheckpointParams, unknowns: readonly boolean[], context: PartialEvalContext): Recomputation {
  let byKey = plans.get(p.jaxpr);
  if (byKey === undefined) plans.set(p.jaxpr, (byKey = new Map()));
  const key = bits(unknowns);
  const found = byKey.get(key);
  if (found !== undefined && found.policy === p.policy) return found.plan;
  const plan = makePlan(p, unknowns, context);
  byKey.set(key, { policy: p.policy, plan });
  return plan;
}

/** Jitted functions put in place of their calls, so that a policy sees what they compute. */
const inlined: JaxprRewriter = /* @__PURE__ */ new JaxprRewriter((p) =>
  (p as unknown) === jitP ? (args, params) => evalJaxpr((params as unknown as JitParams).jaxpr, [], args) : undefined,
);

function makePlan(p: CheckpointParams, unknowns: readonly boolean[], context: PartialEvalContext): Recomputation {
  const { policy } = p;
  const jaxpr = policy === null ? p.jaxpr : inlined.rewrite(p.jaxpr);
  const saved = savedEqns(jaxpr, unknowns, policy);
  const savedVars = saved.flatMap((e) => e.outvars);
  const numOuts = jaxpr.outvars.length;
  const withSaved = new Jaxpr([], jaxpr.invars, jaxpr.eqns, [...jaxpr.outvars, ...savedVars], jaxpr.effects);
  const split = context.partialEvalJaxpr(withSaved, unknowns);
  const unknownOut = split.unknownOut.slice(0, numOuts);
  const wanted = split.known.outvars.length - split.residuals.length;
  const { jaxpr: known } = dceJaxpr(
    split.known,
    split.known.outvars.map((_, i) => i < wanted),
    split.known.invars.map(() => true),
  );
  const isSaved = new Set<Eqn>(saved);
  const invars = [...drop(jaxpr.invars, unknowns), ...savedVars, ...pick(jaxpr.invars, unknowns)];
  const isUnknown = invars.map((_, i) => i >= invars.length - unknowns.filter(Boolean).length);
  const rest = withoutKnownEffects(
    new Jaxpr(
      [],
      invars,
      jaxpr.eqns.filter((e) => !isSaved.has(e)),
      jaxpr.outvars,
    ),
    isUnknown,
    "checkpoint",
  );
  const { jaxpr: again, usedInputs } = dceJaxpr(rest, unknownOut, isUnknown);
  return { known, unknownOut, again, usedOperands: usedInputs };
}

/** The equations on known values whose results are kept: by the policy, or because their effects must not repeat. */
function savedEqns(jaxpr: Jaxpr, unknowns: readonly boolean[], policy: CheckpointPolicy | null): Eqn[] {
  if (policy === null && jaxpr.effects.size === 0) return [];
  const known = new Set<Var>(drop(jaxpr.invars, unknowns));
  const saved: Eqn[] = [];
  for (const eqn of jaxpr.eqns) {
    if (!eqn.invars.every((a) => a instanceof Literal || known.has(a))) continue;
    for (const v of eqn.outvars) known.add(v);
    if (eqn.effects.size > 0 || policy?.(eqn.primitive, eqn.params)) saved.push(eqn);
  }
  return saved;
}

function partialEvalCheckpoint(
  args: readonly NDArray[],
  unknowns: readonly boolean[],
  p: CheckpointParams,
  context: PartialEvalContext,
): NDArray[] {
  const plan = planFor(p, unknowns, context);
  const knownArgs = drop(args, unknowns);
  const outs = evalJaxpr(plan.known, [], knownArgs);
  const numKnown = plan.unknownOut.filter((u) => !u).length;
  const operands = [...knownArgs, ...outs.slice(numKnown), ...pick(args, unknowns)];
  const unknownOuts = context.stage(checkpointP as never, pick(operands, plan.usedOperands), { ...p, jaxpr: plan.again });
  return merge(plan.unknownOut, unknownOuts, outs.slice(0, numKnown));
}

export const checkpointPartialEvals = (): PartialEvalEntry[] => [partialEvalEntry(checkpointP, partialEvalCheckpoint)];

export const checkpointTransposes = (): TransposeEntry[] => [
  transposeEntry(checkpointP, (cts, operands, params, context) => {
    const linear = operands.map(isLinear);
    const nonzero = cts.map((ct) => ct !== null);
    const { jaxpr, consts, nonzeroOut } = transposeThrough(params.jaxpr, linear, nonzero, context);
    const args = [...consts, ...(drop(operands, linear) as NDArray[]), ...(pick(cts, nonzero) as NDArray[])];
    const outs = bind(checkpointP, args, { ...params, policy: null, jaxpr });
    return merge(
      linear,
      place(nonzeroOut, outs),
      operands.map(() => null),
    ) as (NDArray | null)[];
  }),
];
