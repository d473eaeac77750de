import type { Ex, Storage } from "./expr.ts";

/**
 * The imperative layer of the loop IR: for algorithms that are no nest (sorting, factorisations). Expressions are those
 * of `expr.ts`; variables are mutable and stand in expressions as parameters.
 */
export type Statement =
  | { readonly kind: "set"; readonly variable: Ex; readonly value: Ex }
  /** Reads an element into a variable: unlike a load expression it stays where it is. */
  | { readonly kind: "load"; readonly variable: Ex; readonly slot: number; readonly storage: Storage; readonly position: Ex }
  | { readonly kind: "store"; readonly slot: number; readonly storage: Storage; readonly position: Ex; readonly value: Ex }
  /** `variable` runs from `from` up to, but not including, `to`. */
  | { readonly kind: "for"; readonly variable: Ex; readonly from: Ex; readonly to: Ex; readonly body: readonly Statement[] }
  | { readonly kind: "while"; readonly condition: readonly Statement[]; readonly test: Ex; readonly body: readonly Statement[] }
  | { readonly kind: "if"; readonly test: Ex; readonly then: readonly Statement[]; readonly otherwise: readonly Statement[] };

export interface Routine {
  /** The variables `begin` and `end`: the range of independent tasks (rows) of this call. */
  readonly begin: Ex;
  readonly end: Ex;
  readonly tasks: number;
  /** How many tasks one call may take. */
  readonly chunk: number;
  readonly variables: readonly Ex[];
  readonly body: readonly Statement[];
}
