import {
  type Atom,
  bind,
  bits,
  dceJaxpr,
  type Eqn,
  evalJaxpr,
  invariant,
  Jaxpr,
  JaxprRewriter,
  jitP,
  type JitParams,
  joinEffects,
  Literal,
  makeAval,
  type NDArray,
  splitList,
  Var,
} from "@traceform/core";
import {
  type CheckpointParams,
  checkpointP,
  type CheckpointPolicy,
  type CondParams,
  condP,
  type ScanParams,
  scanP,
} from "@traceform/lax";
import { fillSlots, shareSlots } from "../internal/branches.ts";
import { withoutKnownEffects } from "../internal/effects.ts";
import { drop, merge, not, pick, place } from "../internal/flags.ts";
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
 * Finds what is kept: results on known values that the policy names, or whose effects must not repeat, in the steps of loops and the branches of conditionals too.
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
      continue;
    }
    const inner = insides.get(eqn.primitive)?.(eqn, eqn.invars.map(isKnown), policy ?? keepNothing);
    keeping.push(inner?.keeping ?? eqn);
    without.push(inner?.without ?? eqn);
    saved.push(...(inner?.saved ?? []));
    eqn.outvars.forEach((v, i) => {
      if (inner?.knownOut[i]) known.add(v);
    });
  }
  return { keeping, without, saved, known };
}

/** An equation that also returns what is kept of its inside, and one that takes it. */
interface DividedEqn {
  readonly keeping: Eqn;
  readonly without: Eqn;
  readonly saved: readonly Var[];
  readonly knownOut: readonly boolean[];
}

/** A loop: what is kept of its steps is stacked. */
function divideScan(eqn: Eqn, knownIn: readonly boolean[], policy: CheckpointPolicy): DividedEqn {
  const p = eqn.params as unknown as ScanParams;
  const { jaxpr: body, numCarry, numConsts } = p;
  const [consts, init, xs] = splitList(knownIn, numConsts, numCarry);
  // Which carries stay known from one step to the next.
  let carry: readonly boolean[] = init;
  let steps: Divided;
  let outs: boolean[];
  for (;;) {
    const { known, ...rest } = divide(body, [...consts, ...carry, ...xs], policy);
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

/**
 * A conditional whose index is known: what is kept of its branches has places that they share, and a branch fills those it does not
 * need.
 */
function divideCond(eqn: Eqn, [knownIndex, ...knownIn]: readonly boolean[], policy: CheckpointPolicy): DividedEqn | undefined {
  if (!knownIndex) return undefined;
  const { branches } = eqn.params as unknown as CondParams;
  const parts = branches.map((b) => divide(b, knownIn, policy));
  const knownOut = eqn.outvars.map((_, i) =>
    parts.every(({ known }, k) => branches[k].outvars[i] instanceof Literal || known.has(branches[k].outvars[i])),
  );
  if (parts.every((part) => part.without.length === part.keeping.length && part.saved.length === 0)) {
    return { keeping: eqn, without: eqn, saved: [], knownOut };
  }
  const { slots, slotsOf } = shareSlots(parts.map((part) => part.saved.map((v) => v.aval)));
  const saved = slots.map((aval) => new Var(aval));
  const keptBranches = parts.map(({ keeping, saved: own }, k) => {
    const kept = new Jaxpr([], branches[k].invars, keeping, [...branches[k].outvars, ...own]);
    return fillSlots(kept, own.length, slots, slotsOf[k]);
  });
  const restBranches = parts.map(({ without, saved: own }, k) => {
    const given = slots.map((aval, s) => own[slotsOf[k].indexOf(s)] ?? new Var(aval));
    return new Jaxpr([], [...branches[k].invars, ...given], without, branches[k].outvars);
  });
  return {
    keeping: { ...eqn, outvars: [...eqn.outvars, ...saved], params: { branches: keptBranches } },
    without: {
      ...eqn,
      invars: [...eqn.invars, ...saved],
      params: { branches: restBranches },
      effects: joinEffects(restBranches.map((b) => b.effects)),
    },
    saved,
    knownOut,
  };
}

/** The primitives inside of which a policy looks. That of a `while` cannot be kept: how many steps it has is not known. */
const insides: ReadonlyMap<unknown, (eqn: Eqn, knownIn: readonly boolean[], policy: CheckpointPolicy) => DividedEqn | undefined> =
  /* @__PURE__ */ new Map<unknown, (eqn: Eqn, knownIn: readonly boolean[], policy: CheckpointPolicy) => DividedEqn | undefined>([
    [scanP, divideScan],
    [condP, divideCond],
  ]);
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
