import type { Jaxpr, NDArray, Params, Primitive } from "@traceform/core";
import type { Entry } from "../rule.ts";
import type { Series } from "./series.ts";

export interface JetContext {
  /** The highest power of t that is kept. */
  readonly order: number;
  /** A jaxpr of series: see `trace.ts`. Memoised. */
  jetJaxpr(jaxpr: Jaxpr, moving: readonly boolean[], instantiate?: readonly boolean[]): JetJaxpr;
  /** Runs a function of arrays on series, under the current trace. */
  run(fn: (inputs: NDArray[]) => readonly NDArray[], inputs: readonly Series[]): Series[];
}

export interface JetJaxpr {
  /** (consts, values, then the coefficients 1 to `order` of each operand that moves) -> (results, coefficients likewise). */
  readonly jaxpr: Jaxpr;
  /** Arrays that custom rules close over; operands of whoever holds the jaxpr. */
  readonly consts: readonly NDArray[];
  /** Which results have coefficients of their own. */
  readonly movingOut: readonly boolean[];
}

/** Series of the operands and parameters in; series of the results out. All have `order + 1` coefficients, `null` is zero. */
export type JetRule<P = Params> = (inputs: readonly Series[], params: P, context: JetContext) => readonly Series[];

/** The symbol under which a library author's primitive may carry its rule; others are differentiated one order at a time. */
export const jetRule: unique symbol = Symbol.for("traceform.rule.jet");

export type JetEntry = Entry<JetRule<never>>;
export function jetEntry<P>(primitive: Primitive<P>, rule: JetRule<P>): JetEntry {
  return [primitive as unknown as Primitive<never>, rule as JetRule<never>];
}
