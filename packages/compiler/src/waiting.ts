import { type Access, accesses, conflict } from "./accesses.ts";
import type { Step } from "./program.ts";

/**
 * Puts off the steps that need what a meeting with other members of a fleet brings, until there is nothing else to do: while it is waited for, the rest of
 * the program runs, so the gradients of one layer are exchanged during the backward pass of the layers before it.
 *
 * All members have one program, so they come to their meetings in one order.
 */
export function postponeWaiting(steps: readonly Step[]): readonly Step[] {
  const inner = steps.map(withPostponedBodies);
  if (!inner.some(meets)) return inner;
  const out: Step[] = [];
  for (let rest = inner; rest.length > 0;) {
    /** What waits for the meetings of this round. */
    const late: Step[] = [];
    /** Of these meetings, and of what waits for them. */
    const pending: Access[] = [];
    for (const step of rest) {
      const own = accesses(step);
      const waits = pending.some((p) => conflict(p, own)) || (calls(step) && late.some(calls));
      (waits ? late : out).push(step);
      if (waits || meets(step)) pending.push(own);
    }
    rest = late;
  }
  return out;
}

function withPostponedBodies(step: Step): Step {
  switch (step.kind) {
    case "loop":
      return { ...step, condition: postponeWaiting(step.condition), body: postponeWaiting(step.body) };
    case "branch":
      return { ...step, branches: step.branches.map(postponeWaiting) };
    default:
      return step;
  }
}

const meets = (step: Step): boolean => step.kind === "host" && step.meets;

/** Whether there are calls of functions in it that users wrote: these stay in their order. */
function calls(step: Step): boolean {
  switch (step.kind) {
    case "host":
      return !step.meets;
    case "loop":
      return [...step.condition, ...step.body].some(calls);
    case "branch":
      return step.branches.flat().some(calls);
    default:
      return false;
  }
}
