import type { Program } from "@traceform/compiler";
import { type Aval, isComplex } from "@traceform/core";

/**
 * Where the pointers of each kind of buffer begin in the table that a program is run with, where it puts those for a host step,
 * and the table's length.
 */
export function tableLayout(program: Program): {
  readonly argument: number;
  readonly result: number;
  readonly constant: number;
  readonly host: number;
  readonly length: number;
} {
  const result = program.arguments.length;
  const constant = result + program.results.length;
  const host = constant + program.constants.length;
  return { argument: 0, result, constant, host, length: host + hostPointers(program) };
}

/** The most pointers that a host step takes. */
function hostPointers({ hosts }: Program): number {
  const planes = (avals: readonly Aval[]): number => avals.reduce((n, a) => n + (isComplex(a.dtype) ? 2 : 1), 0);
  return hosts.reduce((most, { inAvals, outAvals }) => Math.max(most, planes(inAvals) + planes(outAvals)), 0);
}
