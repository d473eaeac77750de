import { type Aval, type Inputs, type NDArray } from "@traceform/core";
import { flatten, flattenArrays, nameOf } from "./internal/trees.ts";
import { linearizeFlat } from "./linearize.ts";

/** One array that reverse-mode differentiation of a function keeps for the backward pass. */
export interface SavedResidual {
  readonly aval: Aval;
  /** The position of the argument's leaf that it is, among the leaves of all arguments; `null` for what was computed. */
  readonly argument: number | null;
}

/**
 * What reverse-mode differentiation of `f` at these arguments keeps for the backward pass: to see what `checkpoint` and its
 * policies do. Scalars that are known when tracing cost nothing and are not listed.
 */
export function savedResiduals<A extends unknown[], R>(f: (...args: A) => R, ...args: Inputs<A>): SavedResidual[] {
  const name = nameOf("savedResiduals", f);
  const [values, inTree] = flattenArrays(name, [...(args as readonly unknown[])]);
  const flat = flatten(name, f as (...xs: never[]) => unknown, inTree);
  const { residuals } = linearizeFlat(name, (inputs) => flat(inputs), values);
  return residuals.map((x: NDArray): SavedResidual => {
    const argument = values.indexOf(x);
    return { aval: x.aval, argument: argument < 0 ? null : argument };
  });
}

/** Prints what `savedResiduals` finds, one array a line. */
export function printSavedResiduals<A extends unknown[], R>(f: (...args: A) => R, ...args: Inputs<A>): void {
  for (const { aval, argument } of savedResiduals(f, ...args)) {
    console.log(`${aval} ${argument === null ? "computed" : `from argument leaf ${argument}`}`);
  }
}
