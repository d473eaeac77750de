import { BackendError } from "@traceform/core";
import type { Command } from "./words.ts";

/** The largest count of elements: MPI has a C int for it. */
export const mostElements: number = 2 ** 31 - 1;

/**
 * How many elements of the first of some sizes that will do a number of bytes is, and that size.
 * @throws {BackendError} when there are too many for one call
 */
export function countOf(command: Command, bytes: number, sizes: readonly number[]): readonly [count: number, size: number] {
  for (const size of sizes) if (bytes % size === 0 && bytes / size <= mostElements) return [bytes / size, size];
  throw new BackendError(command, {
    message: `a call of MPI takes at most ${mostElements} elements, and this one has ${bytes} bytes`,
    fix: "exchange the array in several parts, cut along its first axis",
  });
}
