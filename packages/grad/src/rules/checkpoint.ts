import {
  type Atom,
  bind,
  dceJaxpr,
  type Eqn,
  evalJaxpr,
  invariant,
  Jaxpr,
  JaxprRewriter,
  jitP,
  type JitParams,
  Literal,
  makeAval,
  type NDArray,
  Var,
} from "@traceform/core";
import { type CheckpointParams, checkpointP, type CheckpointPolicy, type ScanParams, scanP } from "@traceform/lax";
import { withoutKnownEffects } from "../internal/effects.ts";
import { bits, drop, merge, not, pick, place, splitList } from "../internal/memo.ts";
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
  /** known operands -> (known results, values that are kept). */
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
  const { keeping, without, saved } = divide(jaxpr, not(unknowns), policy);
  const numOuts = jaxpr.outvars.length;
  const withSaved = new Jaxpr([], jaxpr.invars, keeping, [...jaxpr.outvars, ...saved], jaxpr.effects);
  const split = context.partialEvalJaxpr(withSaved, unknowns);
  invariant(!split.unknownOut.slice(numOuts).includes(true), "a value that a checkpoint keeps is not known");
  const unknownOut = split.unknownOut.slice(0, numOuts);
  const knownVars = drop(jaxpr.invars, unknowns);
  const unknownVars = pick(jaxpr.invars, unknowns);
  const keep = [...knownVars.map(() => false), ...saved.map(() => false), ...unknownVars.map(() => true)];
  const rest = withoutKnownEffects(
    new Jaxpr([], [...knownVars, ...saved, ...unknownVars], without, jaxpr.outvars),
    keep,
    "checkpoint",
  );
  const { jaxpr: again, usedInputs } = dceJaxpr(rest, unknownOut, keep);
  const usedOperands = usedInputs.slice(0, knownVars.length);
  const usedSaved = usedInputs.slice(knownVars.length, knownVars.length + saved.length);
  const wanted = [...drop(unknownOut, unknownOut).map(() => true), ...usedSaved];
  const { jaxpr: known } = dceJaxpr(
    split.known,
    split.known.outvars.map((_, i) => wanted[i] ?? false),
    split.known.invars.map(() => true),
  );
  return { known, unknownOut, again, usedOperands };
}

/** The equations of a checkpointed jaxpr, for the values that are kept. */
interface Divided {
  /** All of them; loops also return what is kept of their steps. */
  readonly keeping: Eqn[];
  /** Those that are left when the kept values are given; loops take what is kept of their steps. */
  readonly without: Eqn[];
  readonly saved: Var[];
  readonly known: ReadonlySet<Atom>;
}

/**
 * Finds what is kept: results on known values that the policy names, or whose effects must not repeat, in the steps of loops too.
 * Without policy and effects nothing is.
 */
function divide(jaxpr: Jaxpr, knownIn: readonly boolean[], policy: CheckpointPolicy | null): Divided {
  const known = new Set<Atom>(pick(jaxpr.invars, knownIn));
  const isKnown = (a: Atom): boolean => a instanceof Literal || known.has(a);
  if (policy === null && jaxpr.effects.size === 0) return { keeping: [...jaxpr.eqns], without: [...jaxpr.eqns], saved: [], known };
  const keeping: Eqn[] = [];
  const without: Eqn[] = [];
  const saved: Var[] = [];
  for (const eqn of jaxpr.eqns) {
    const all = eqn.invars.every(isKnown);
    if (all) for (const v of eqn.outvars) known.add(v);
    if (all && (eqn.effects.size > 0 || policy?.(eqn.primitive, eqn.params))) {
      keeping.push(eqn);
      saved.push(...eqn.outvars);
    } else if ((eqn.primitive as unknown) === scanP) {
      const loop = divideScan(eqn, eqn.invars.map(isKnown), policy);
      keeping.push(loop.keeping);
      without.push(loop.without);
      saved.push(...loop.saved);
      eqn.outvars.forEach((v, i) => {
        if (loop.knownOut[i]) known.add(v);
      });
    } else {
      keeping.push(eqn);
      without.push(eqn);
    }
  }
  return { keeping, without, saved, known };
}

/** A loop that returns what is kept of its steps, stacked, and the loop that takes it. */
function divideScan(
  eqn: Eqn,
  knownIn: readonly boolean[],
  policy: CheckpointPolicy | null,
): { keeping: Eqn; without: Eqn; saved: Var[]; knownOut: boolean[] } {
  const p = eqn.params as unknown as ScanParams;
  const { jaxpr: body, numCarry, numConsts } = p;
  const [consts, init, xs] = splitList(knownIn, numConsts, numCarry);
  // Which carries stay known from one step to the next.
  let carry: readonly boolean[] = init;
  let steps: Divided;
  let outs: boolean[];
  for (;;) {
    const { known, ...rest } = divide(body, [...consts, ...carry, ...xs], policy ?? keepNothing);
    steps = { ...rest, known };
    outs = body.outvars.map((a) => a instanceof Literal || known.has(a));
    const next = carry.map((c, i) => c && outs[i]);
    if (next.every((c, i) => c === carry[i])) break;
    carry = next;
  }
  const knownOut = [...carry, ...outs.slice(numCarry)];
  if (steps.without.length === steps.keeping.length && steps.saved.length === 0) {
    return { keeping: eqn, without: eqn, saved: [], knownOut };
  }
  const saved = steps.saved.map(({ aval }) => new Var(makeAval([p.length, ...aval.shape], aval.dtype, { varying: aval.varying })));
  const keptBody = new Jaxpr([], body.invars, steps.keeping, [...body.outvars, ...steps.saved]);
  const restBody = new Jaxpr([], [...body.invars, ...steps.saved], steps.without, body.outvars);
  return {
    keeping: { ...eqn, outvars: [...eqn.outvars, ...saved], params: { ...p, jaxpr: keptBody } },
    without: { ...eqn, invars: [...eqn.invars, ...saved], params: { ...p, jaxpr: restBody }, effects: restBody.effects },
    saved,
    knownOut,
  };
}
const keepNothing: CheckpointPolicy = () => false;

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
  const operands = [...pick(knownArgs, plan.usedOperands), ...outs.slice(numKnown), ...pick(args, unknowns)];
  const unknownOuts = context.stage(checkpointP as never, operands, { ...p, jaxpr: plan.again });
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
