import type { Program } from "@traceform/compiler";

/** Where the pointers of each kind of buffer begin in the table that a program is run with, and the table's length. */
export function tableLayout(program: Program): {
  readonly argument: number;
  readonly result: number;
  readonly constant: number;
  readonly length: number;
} {
  const result = program.arguments.length;
  const constant = result + program.results.length;
  return { argument: 0, result, constant, length: constant + program.constants.length };
}
