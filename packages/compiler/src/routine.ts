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
  | LanesLoop
  | { readonly kind: "while"; readonly condition: readonly Statement[]; readonly test: Ex; readonly body: readonly Statement[] }
  | { readonly kind: "if"; readonly test: Ex; readonly then: readonly Statement[]; readonly otherwise: readonly Statement[] };

/**
 * A `for` whose iterations are independent, so that emitters run several at once on the lanes of vectors. Loads and stores in
 * the body are at positions that step by one element with `variable`, or do not depend on it; tests and inner loops do not
 * depend on it either. Variables set in the body to what depends on it hold a value for each lane and end with the loop,
 * except `sums`: the body only adds to those, and afterwards they hold what they held before plus all that was added, in
 * any order.
 */
export interface LanesLoop {
  readonly kind: "lanes";
  readonly variable: Ex;
  readonly from: Ex;
  readonly to: Ex;
  readonly sums: readonly Ex[];
  /** How many groups of four elements one pass should take. */
  readonly groups: 1 | 2 | 4;
  readonly body: readonly Statement[];
}

export interface Routine {
  /** Equal keys are equal code: kernels that differ in their pointers only are emitted once. */
  readonly key?: string;
  /** The variables `begin` and `end`: the range of independent tasks (rows) of this call. */
  readonly begin: Ex;
  readonly end: Ex;
  readonly tasks: number;
  /** How many tasks one call may take. */
  readonly chunk: number;
  readonly variables: readonly Ex[];
  readonly body: readonly Statement[];
}
