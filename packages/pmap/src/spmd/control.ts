import type { Eqn, Jaxpr } from "@traceform/core";
import type { CondParams, ScanParams, WhileParams } from "@traceform/lax";
import { type Cut, meet, sameCut, uncut } from "./factors.ts";

// How loops, branches and calls are laid out, in terms of how the jaxprs inside are.

/** The layouts of a jaxpr's results from those of its operands. */
export type Propagate = (jaxpr: Jaxpr, cuts: readonly Cut[]) => Cut[];

/** The layouts of the operands with which an equation runs, and of its results. */
export interface ControlPlan {
  readonly operands: readonly Cut[];
  readonly results: readonly Cut[];
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

/** The layout that a carry keeps from step to step: what all steps have in common. */
function settled(start: readonly Cut[], step: (carry: readonly Cut[]) => readonly Cut[]): readonly Cut[] {
  let carry = start;
  for (;;) {
    const after = step(carry);
    const next = carry.map((c, i) => meet(c, after[i]));
    if (next.every((c, i) => sameCut(c, carry[i]))) return carry;
    carry = next;
  }
}

export function planScan({ jaxpr, numConsts, numCarry }: ScanParams, cuts: readonly Cut[], propagate: Propagate): ControlPlan {
  const consts = cuts.slice(0, numConsts);
  // Steps come one after the other, so every device has all of them.
  const xs = cuts.slice(numConsts + numCarry).map((c): Cut => [[], ...c.slice(1)]);
  const step = (carry: readonly Cut[]): Cut[] => propagate(jaxpr, [...consts, ...carry, ...xs.map((c) => c.slice(1))]);
  const carry = settled(cuts.slice(numConsts, numConsts + numCarry), (c) => step(c).slice(0, numCarry));
  const ys = step(carry).slice(numCarry);
  return { operands: [...consts, ...carry, ...xs], results: [...carry, ...ys.map((c): Cut => [[], ...c])] };
}

export function planWhile(p: WhileParams, cuts: readonly Cut[], propagate: Propagate): ControlPlan {
  const first = p.condNconsts + p.bodyNconsts;
  const consts = cuts.slice(0, first);
  const carry = settled(cuts.slice(first), (c) => propagate(p.bodyJaxpr, [...consts.slice(p.condNconsts), ...c]));
  return { operands: [...consts, ...carry], results: carry };
}

export function planCond({ branches }: CondParams, [, ...cuts]: readonly Cut[], propagate: Propagate): ControlPlan {
  const outs = branches.map((b) => propagate(b, cuts));
  return { operands: [uncut(0), ...cuts], results: outs[0].map((c, i) => outs.map((o) => o[i]).reduce(meet, c)) };
}
