import { type Eqn, type Jaxpr, type NDArray, type Primitive } from "@traceform/core";
import type { CheckSite } from "./error.ts";
import type { Plan, State } from "./state.ts";

/** What a rule of an equation that holds jaxprs may do. */
export interface Context {
  readonly plan: Plan;
  /** (state, operands) -> (state, results). Memoised. */
  checked(jaxpr: Jaxpr): Jaxpr;
  /**
   * Runs a function of arrays with its checks. What depends on the arguments after the first `numPrimals`, which are tangents, is
   * not looked at: the state must not depend on them.
   */
  run(fn: (...args: NDArray[]) => readonly NDArray[], args: readonly NDArray[], numPrimals: number, state: State): Outcome;
}

export type Outcome = readonly [state: State, outs: readonly NDArray[]];
/** An equation with checks: the state and its operands in, the state and its results out. */
export type CheckRule = (state: State, args: readonly NDArray[], eqn: Eqn, context: Context) => Outcome;

export function rule<P>(
  primitive: Primitive<P>,
  apply: (state: State, args: readonly NDArray[], params: P, context: Context, eqn: Eqn) => Outcome,
): readonly [Primitive<never>, CheckRule] {
  return [
    primitive as unknown as Primitive<never>,
    (state, args, eqn, context) => apply(state, args, eqn.params as P, context, eqn),
  ];
}

/** Takes the state off the front of results. */
export function split(outs: readonly NDArray[], { plan }: Context): Outcome {
  return [plan.take(outs), outs.slice(plan.size)];
}

export function slotValues({ slot }: CheckSite, values: readonly NDArray[]): ReadonlyMap<string, readonly NDArray[]> {
  return new Map(slot === null ? [] : [[slot, values]]);
}
