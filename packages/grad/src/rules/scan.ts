import {
  bind,
  bits,
  constvarsToInvars,
  dceJaxpr,
  evalJaxpr,
  invariant,
  Jaxpr,
  JaxprMemo,
  Literal,
  makeAval,
  type NDArray,
  or,
  splitList,
  traceToJaxpr,
  Var,
} from "@traceform/core";
import { add, type ScanParams, scanP } from "@traceform/lax";
import { drop, merge, pick, place } from "../internal/flags.ts";
import { instantiate } from "../internal/zeros.ts";
import {
  isLinear,
  type JvpContext,
  type JvpEntry,
  jvpEntry,
  type JvpJaxpr,
  type PartialEvalContext,
  type PartialEvalEntry,
  partialEvalEntry,
  type PartialEvalJaxpr,
  type Tangent,
  type TransposeEntry,
  transposeEntry,
  type TransposedJaxpr,
} from "../rule.ts";

const reordered = new JaxprMemo<{ readonly jaxpr: Jaxpr }>();

/** Which carries have a tangent after any number of iterations, and the body differentiated for that. */
function carryFixpoint(
  p: ScanParams,
  nonzero: readonly boolean[],
  context: JvpContext,
): { body: JvpJaxpr; carry: readonly boolean[] } {
  const [consts, init, xs] = splitList(nonzero, p.numConsts, p.numCarry);
  const numYs = p.jaxpr.outvars.length - p.numCarry;
  let carry: readonly boolean[] = init;
  for (;;) {
    const body = context.jvpJaxpr(p.jaxpr, [...consts, ...carry, ...xs], [...carry, ...new Array<boolean>(numYs).fill(false)]);
    const next = or(carry, body.nonzeroOut.slice(0, p.numCarry));
    if (next.every((x, i) => x === carry[i])) return { body, carry };
    carry = next;
  }
}

/** (extra, consts, carry, xs, dconsts, dcarry, dxs) -> (extra, consts, dconsts, carry, dcarry, xs, dxs), results likewise. */
function jvpBody(body: JvpJaxpr, p: ScanParams, nonzero: readonly boolean[]): Jaxpr {
  const { jaxpr } = body;
  return reordered.get(jaxpr, `${p.numConsts},${p.numCarry},${bits(nonzero)}`, () => {
    const [nzConsts, nzCarry] = splitList(nonzero, p.numConsts, p.numCarry);
    const count = (flags: readonly boolean[]): number => flags.filter(Boolean).length;
    const numXs = nonzero.length - p.numConsts - p.numCarry;
    const [extra, consts, carry, xs, dconsts, dcarry, dxs] = splitList(
      jaxpr.invars,
      body.consts.length,
      p.numConsts,
      p.numCarry,
      numXs,
      count(nzConsts),
      count(nzCarry),
    );
    const numYs = p.jaxpr.outvars.length - p.numCarry;
    const [carryOut, ys, dcarryOut, dys] = splitList(jaxpr.outvars, p.numCarry, numYs, count(nzCarry));
    const invars = [...extra, ...consts, ...dconsts, ...carry, ...dcarry, ...xs, ...dxs];
    return { jaxpr: new Jaxpr([], invars, jaxpr.eqns, [...carryOut, ...dcarryOut, ...ys, ...dys], jaxpr.effects) };
  }).jaxpr;
}

export const scanJvps = (): JvpEntry[] => [
  jvpEntry(scanP, (primals, tangents, p, context) => {
    const { body, carry: nzCarry } = carryFixpoint(
      p,
      tangents.map((t) => t !== null),
      context,
    );
    const [consts, init, xs] = splitList(primals, p.numConsts, p.numCarry);
    const [dconsts, dinit, dxs] = splitList(tangents, p.numConsts, p.numCarry);
    const present = (ts: readonly Tangent[]): NDArray[] => ts.filter((t) => t !== null);
    const dcarry = pick(
      dinit.map((t, i) => (nzCarry[i] ? instantiate(t, init[i].aval) : null)),
      nzCarry,
    ) as NDArray[];
    const nonzero = [...dconsts.map((t) => t !== null), ...nzCarry, ...dxs.map((t) => t !== null)];
    const dc = present(dconsts);
    const args = [...body.consts, ...consts, ...dc, ...init, ...dcarry, ...xs, ...present(dxs)];
    const outs = bind(scanP, args, {
      ...p,
      jaxpr: jvpBody(body, p, nonzero),
      numConsts: body.consts.length + consts.length + dc.length,
      numCarry: init.length + dcarry.length,
    });
    const numYs = p.jaxpr.outvars.length - p.numCarry;
    const [carryOut, dcarryOut, ys, dys] = splitList(outs, p.numCarry, dcarry.length, numYs);
    return [
      [...carryOut, ...ys],
      [...place(nzCarry, dcarryOut), ...place(body.nonzeroOut.slice(p.numCarry), dys)],
    ];
  }),
];

/** How the residuals of a split loop body travel from the loop over known values to the loop over unknown ones. */
interface SplitScan {
  /** (known consts, carry, xs) -> (known carry, known ys, stacked residuals). */
  readonly known: Jaxpr;
  /** known consts -> residuals that are the same in every iteration, computed once. */
  readonly invariant: Jaxpr;
  /** (invariant residuals, unknown consts, unknown carry, unknown xs, stacked residuals) -> unknown results. */
  readonly unknown: Jaxpr;
  /** For each stacked residual the known `x` that it is, or -1 when the known loop returns it. */
  readonly forwardedXs: readonly number[];
}

const splits = new WeakMap<PartialEvalJaxpr, SplitScan>();

/** The results of a body after the first ones, as far as they depend on its first operands alone, and what computes them. */
function fixedResults(body: Jaxpr, numConsts: number, from: number, context: PartialEvalContext): [isFixed: boolean[], Jaxpr] {
  const consts = body.invars.slice(0, numConsts);
  const wanted = (isFixed: readonly boolean[]): boolean[] => body.outvars.map((_, i) => i >= from && isFixed[i - from]);
  const all = consts.map(() => true);
  if (body.effects.size === 0) {
    const split = context.partialEvalJaxpr(body, [...consts.map(() => false), ...body.invars.slice(numConsts).map(() => true)]);
    const isFixed = split.unknownOut.slice(from).map((u) => !u);
    const knownOuts = pick(
      wanted(isFixed),
      split.unknownOut.map((u) => !u),
    );
    const used = [...knownOuts, ...split.residuals.map(() => false)];
    return [isFixed, dceJaxpr(split.known, used, all).jaxpr];
  }
  // What has effects happens in every iteration, and whatever depends on it with it.
  const fixed = new Set<Var>(consts);
  const eqns = body.eqns.filter(({ effects, invars, outvars }) => {
    const moves = effects.size === 0 && invars.every((a) => a instanceof Literal || fixed.has(a));
    if (moves) for (const v of outvars) fixed.add(v);
    return moves;
  });
  const isFixed = body.outvars.slice(from).map((v) => v instanceof Literal || fixed.has(v));
  const outvars = pick(body.outvars, wanted(isFixed));
  return [
    isFixed,
    dceJaxpr(
      new Jaxpr([], consts, eqns, outvars),
      outvars.map(() => true),
      all,
    ).jaxpr,
  ];
}

function splitScan(
  split: PartialEvalJaxpr,
  numConsts: number,
  numCarry: number,
  ukConsts: number,
  ukCarry: number,
  context: PartialEvalContext,
): SplitScan {
  let result = splits.get(split);
  if (result !== undefined) return result;
  const { known, unknown, residuals } = split;
  const xs = known.invars.slice(numConsts + numCarry);
  const numOuts = known.outvars.length - residuals.length;
  const residualVars = known.outvars.slice(numOuts);
  const [isFixed, invariantResiduals] = fixedResults(known, numConsts, numOuts, context);
  const stacked = drop(residualVars, isFixed);
  const forwardedXs = stacked.map((v) => (v instanceof Var ? xs.indexOf(v) : -1));
  const returned = stacked.filter((_, i) => forwardedXs[i] < 0);
  const [resVars, ukConstVars, ukCarryVars, ukXVars] = splitList(unknown.invars, residuals.length, ukConsts, ukCarry);
  const all = (n: number): boolean[] => new Array<boolean>(n).fill(true);
  result = {
    known: dceJaxpr(
      new Jaxpr([], known.invars, known.eqns, [...known.outvars.slice(0, numOuts), ...returned], known.effects),
      all(numOuts + returned.length),
      all(known.invars.length),
    ).jaxpr,
    invariant: invariantResiduals,
    unknown: new Jaxpr(
      [],
      [...pick(resVars, isFixed), ...ukConstVars, ...ukCarryVars, ...ukXVars, ...drop(resVars, isFixed)],
      unknown.eqns,
      unknown.outvars,
      unknown.effects,
    ),
    forwardedXs,
  };
  splits.set(split, result);
  return result;
}

function partialEvalScan(
  args: readonly NDArray[],
  unknowns: readonly boolean[],
  p: ScanParams,
  context: PartialEvalContext,
): NDArray[] {
  const numYs = p.jaxpr.outvars.length - p.numCarry;
  const [ukConsts, ukInit, ukXs] = splitList(unknowns, p.numConsts, p.numCarry);
  let ukCarry: readonly boolean[] = ukInit;
  let split: PartialEvalJaxpr;
  for (;;) {
    split = context.partialEvalJaxpr(
      p.jaxpr,
      [...ukConsts, ...ukCarry, ...ukXs],
      [...ukCarry, ...new Array<boolean>(numYs).fill(false)],
    );
    const next = or(ukCarry, split.unknownOut.slice(0, p.numCarry));
    if (next.every((x, i) => x === ukCarry[i])) break;
    ukCarry = next;
  }
  const [consts, init, xs] = splitList(args, p.numConsts, p.numCarry);
  const knownConsts = drop(consts, ukConsts);
  const knownInit = drop(init, ukCarry);
  const knownXs = drop(xs, ukXs);
  const unknownConsts = pick(consts, ukConsts);
  const unknownInit = pick(init, ukCarry);
  const s = splitScan(split, knownConsts.length, knownInit.length, unknownConsts.length, unknownInit.length, context);

  const knownOuts = context.known(scanP as never, [...knownConsts, ...knownInit, ...knownXs], {
    ...p,
    jaxpr: s.known,
    numConsts: knownConsts.length,
    numCarry: knownInit.length,
  });
  const numKnownYs = split.unknownOut.slice(p.numCarry).filter((u) => !u).length;
  const [carryOut, ys, returned] = splitList(knownOuts, knownInit.length, numKnownYs);
  const invariantResiduals = evalJaxpr(s.invariant, [], knownConsts);
  let k = 0;
  const stacked = s.forwardedXs.map((i) => (i >= 0 ? knownXs[i] : returned[k++]));
  const unknownOuts = context.stage(
    scanP as never,
    [...invariantResiduals, ...unknownConsts, ...unknownInit, ...pick(xs, ukXs), ...stacked],
    { ...p, jaxpr: s.unknown, numConsts: invariantResiduals.length + unknownConsts.length, numCarry: unknownInit.length },
  );
  return merge(split.unknownOut, unknownOuts, [...carryOut, ...ys]);
}

export const scanPartialEvals = (): PartialEvalEntry[] => [partialEvalEntry(scanP, partialEvalScan)];

const transposedBodies = new JaxprMemo<{ readonly jaxpr: Jaxpr }>();

/**
 * The body of the transposed loop:
 * (extra, nonlinear consts, [sums for linear consts, cotangents of the carry], cotangents of ys, nonlinear xs)
 * -> ([sums, cotangents of the carry], cotangents of linear xs).
 */
function transposeBody(
  t: TransposedJaxpr,
  numNonlinearConsts: number,
  numLinearConsts: number,
  numCarry: number,
  numYs: number,
): Jaxpr {
  const { jaxpr } = t;
  return transposedBodies.get(jaxpr, `${numNonlinearConsts},${numLinearConsts},${numCarry},${numYs}`, () => {
    const numXs = jaxpr.invars.length - t.consts.length - numNonlinearConsts - numCarry - numYs;
    const [extra, consts, xs, cts, ctYs] = splitList(jaxpr.inAvals, t.consts.length, numNonlinearConsts, numXs, numCarry);
    const sums = jaxpr.outAvals.slice(0, numLinearConsts);
    const traced = traceToJaxpr(
      (...args) => {
        const [e, c, acc, ct, cy, x] = splitList(args, extra.length, consts.length, sums.length, cts.length, ctYs.length);
        const outs = evalJaxpr(jaxpr, [], [...e, ...c, ...x, ...ct, ...cy]);
        return [...acc.map((a, i) => add(a, outs[i])), ...outs.slice(sums.length)];
      },
      [...extra, ...consts, ...sums, ...cts, ...ctYs, ...xs],
      "transpose of scan",
    );
    return { jaxpr: constvarsToInvars(traced.jaxpr) };
  }).jaxpr;
}

export const scanTransposes = (): TransposeEntry[] => [
  transposeEntry(scanP, (cts, operands, p, { transposeJaxpr }) => {
    const [consts, init, xs] = splitList(operands, p.numConsts, p.numCarry);
    const linConsts = consts.map(isLinear);
    const linXs = xs.map(isLinear);
    // The carry is linear throughout, also where it starts from known zeros.
    const linear = [...linConsts, ...init.map(() => true), ...linXs];
    const ctYs = cts.slice(p.numCarry);
    const nzYs = ctYs.map((ct) => ct !== null);
    const t = transposeJaxpr(p.jaxpr, linear, [...init.map(() => true), ...nzYs], true);
    const numLinear = linConsts.filter(Boolean).length;
    invariant(t.nonzeroOut.every(Boolean), "a loop is transposed with respect to a carry that has no cotangents");
    const nonlinearConsts = drop(consts, linConsts) as NDArray[];
    const nonlinearXs = drop(xs, linXs) as NDArray[];
    const presentYs = pick(ctYs, nzYs) as NDArray[];
    const body = transposeBody(t, nonlinearConsts.length, numLinear, p.numCarry, presentYs.length);
    const sums = pick(consts, linConsts).map((c) => instantiate(null, c.aval));
    const ctCarry = cts
      .slice(0, p.numCarry)
      .map((ct, i) =>
        instantiate(ct, makeAval(init[i].aval.shape, init[i].aval.dtype, { varying: p.jaxpr.outvars[i].aval.varying })),
      );
    const outs = bind(scanP, [...t.consts, ...nonlinearConsts, ...sums, ...ctCarry, ...presentYs, ...nonlinearXs], {
      ...p,
      jaxpr: body,
      reverse: !p.reverse,
      numConsts: t.consts.length + nonlinearConsts.length,
      numCarry: numLinear + p.numCarry,
    });
    const [ctConsts, ctInit, ctXs] = splitList(outs, numLinear, p.numCarry);
    return [...place(linConsts, ctConsts), ...init.map((x, i) => (isLinear(x) ? ctInit[i] : null)), ...place(linXs, ctXs)];
  }),
];
