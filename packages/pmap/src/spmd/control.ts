import type { Aval, Eqn, Jaxpr } from "@traceform/core";
import type { CondParams, ScanParams, WhileParams } from "@traceform/lax";
import { type Cut, isCut, meet, sameCut, uncut } from "./factors.ts";

// How loops, branches and calls are laid out, in terms of how the jaxprs inside are.

/** The layouts of a jaxpr's results from those of its operands. */
export type Propagate = (jaxpr: Jaxpr, cuts: readonly Cut[]) => Cut[];

/** The layouts of the operands with which an equation runs, and of its results. */
export interface ControlPlan {
  readonly operands: readonly Cut[];
  readonly results: readonly Cut[];
  /** What is laid out otherwise inside, if it has to be: carries after a step, and results of branches. */
  readonly moves: readonly Move[];
}

/** A value that is cut in one way and needed in another. */
export interface Move {
  readonly what: string;
  readonly aval: Aval;
  readonly from: Cut;
  readonly to: Cut;
}

/** The jaxpr of an equation that is nothing but a call. */
export function calledJaxpr({ primitive, params }: Eqn): Jaxpr | null {
  const named = calls.get(primitive.name);
  return named === undefined ? null : (params[named] as Jaxpr);
}

const calls: ReadonlyMap<string, string> = new Map([
  ["jit", "jaxpr"],
  ["checkpoint", "jaxpr"],
  ["custom_jvp_call", "callJaxpr"],
  ["custom_vjp_call", "callJaxpr"],
  ["custom_vmap_call", "callJaxpr"],
]);

/**
 * The layout that a carry keeps from step to step: what all steps have in common. What starts whole, as zeros do, starts as steps cut it:
 * every device has its part.
 */
function settled(start: readonly Cut[], step: (carry: readonly Cut[]) => readonly Cut[]): readonly Cut[] {
  const repeat = (from: readonly Cut[], next: (c: Cut, after: Cut) => Cut): readonly Cut[] => {
    const after = step(from);
    const carry = from.map((c, i) => next(c, after[i]));
    return carry.every((c, i) => sameCut(c, from[i])) ? from : repeat(carry, next);
  };
  return repeat(
    repeat(start, (c, after) => (isCut(c) ? c : after)),
    meet,
  );
}

/** The layout of a value that is cut in one of two ways, or whole on every device. */
const either = (a: Cut, b: Cut): Cut => (isCut(a) && isCut(b) ? meet(a, b) : isCut(a) ? a : b);

export function planScan({ jaxpr, numConsts, numCarry }: ScanParams, cuts: readonly Cut[], propagate: Propagate): ControlPlan {
  const consts = cuts.slice(0, numConsts);
  // Steps come one after the other, so every device has all of them.
  const xs = cuts.slice(numConsts + numCarry).map((c): Cut => [[], ...c.slice(1)]);
  const step = (carry: readonly Cut[]): Cut[] => propagate(jaxpr, [...consts, ...carry, ...xs.map((c) => c.slice(1))]);
  const carry = settled(cuts.slice(numConsts, numConsts + numCarry), (c) => step(c).slice(0, numCarry));
  const after = step(carry);
  return {
    operands: [...consts, ...carry, ...xs],
    results: [...carry, ...after.slice(numCarry).map((c): Cut => [[], ...c])],
    moves: carries(carry, after, jaxpr.outAvals),
  };
}

export function planWhile(p: WhileParams, cuts: readonly Cut[], propagate: Propagate): ControlPlan {
  const first = p.condNconsts + p.bodyNconsts;
  const consts = cuts.slice(0, first);
  const step = (c: readonly Cut[]): readonly Cut[] => propagate(p.bodyJaxpr, [...consts.slice(p.condNconsts), ...c]);
  const carry = settled(cuts.slice(first), step);
  return { operands: [...consts, ...carry], results: carry, moves: carries(carry, step(carry), p.bodyJaxpr.outAvals) };
}

const carries = (carry: readonly Cut[], after: readonly Cut[], avals: readonly Aval[]): Move[] =>
  carry.map((to, i) => ({ what: `carry ${i}, after a step`, aval: avals[i], from: after[i], to }));

export function planCond({ branches }: CondParams, [, ...cuts]: readonly Cut[], propagate: Propagate): ControlPlan {
  const outs = branches.map((b) => propagate(b, cuts));
  const results = outs[0].map((c, i) => outs.map((o) => o[i]).reduce(either, c));
  const moves = outs.flatMap((out, b) =>
    out.map((from, i) => ({ what: `result ${i} of branch ${b}`, aval: branches[b].outAvals[i], from, to: results[i] })),
  );
  return { operands: [uncut(0), ...cuts], results, moves };
}
