import { type Aval, bind, evalJaxpr, Jaxpr, type NDArray, traceToJaxpr, Var } from "@traceform/core";
import { full, randomWrapP } from "@traceform/lax";

/** A jaxpr whose leading operands are the arrays that it closes over. */
export interface Closed {
  readonly jaxpr: Jaxpr;
  readonly consts: readonly NDArray[];
}

/** Gives transformed branches the same leading operands: what any of them closes over. */
export function shareConsts(branches: readonly Closed[]): { jaxprs: Jaxpr[]; consts: NDArray[] } {
  const consts = branches.flatMap((b) => b.consts);
  if (consts.length === 0) return { jaxprs: branches.map((b) => b.jaxpr), consts };
  let before = 0;
  const jaxprs = branches.map(({ jaxpr, consts: own }) => {
    const at = before;
    before += own.length;
    const leading = consts.map((c, i) => (i >= at && i < at + own.length ? jaxpr.invars[i - at] : new Var(c.aval)));
    return new Jaxpr([], [...leading, ...jaxpr.invars.slice(own.length)], jaxpr.eqns, jaxpr.outvars, jaxpr.effects);
  });
  return { jaxprs, consts };
}

/** Any value of a type, for residuals that another branch would have computed. */
function placeholder(aval: Aval): NDArray {
  const { dtype } = aval;
  if (typeof dtype === "string") return full(aval.shape, 0, dtype);
  return bind(randomWrapP, [full([...aval.shape, ...dtype.physicalShape], 0, dtype.physicalDtype)], { impl: dtype })[0];
}

/**
 * Places for what the branches of a conditional return beside their results: each branch has its own values, the conditional
 * returns one list. Values of one type share a place between branches.
 */
export function shareSlots(values: readonly (readonly Aval[])[]): {
  readonly slots: readonly Aval[];
  /** For each value of each branch, its place. */
  readonly slotsOf: readonly (readonly number[])[];
} {
  const slots: Aval[] = [];
  const slotsOf = values.map((avals) => {
    const taken = new Set<number>();
    return avals.map((aval) => {
      let slot = slots.findIndex((a, i) => a === aval && !taken.has(i));
      if (slot < 0) slot = slots.push(aval) - 1;
      taken.add(slot);
      return slot;
    });
  });
  return { slots, slotsOf };
}

/** A branch whose last `count` results go to their places; it fills the other places with anything. */
export function fillSlots(branch: Jaxpr, count: number, slots: readonly Aval[], slotsOf: readonly number[]): Jaxpr {
  const numOuts = branch.outvars.length - count;
  return traceToJaxpr(
    (...args) => {
      const outs = evalJaxpr(branch, [], args);
      const filled = slots.map((aval, s) => {
        const i = slotsOf.indexOf(s);
        return i < 0 ? placeholder(aval) : outs[numOuts + i];
      });
      return [...outs.slice(0, numOuts), ...filled];
    },
    branch.inAvals,
    "cond",
  ).jaxpr;
}
