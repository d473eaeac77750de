import type { View } from "./program.ts";

/** An array that a kernel writes row by row, with the stages in which it does so and in which it reads it last. */
export interface RowArray {
  readonly view: View;
  readonly bytes: number;
  /** -1 for one that is there before the kernel runs. */
  readonly written: number;
  /** Infinite for one that others read. */
  readonly lastRead: number;
  /** Whether every element is read at its own place only. */
  readonly aligned: boolean;
  /** Whether nothing is stored after it in the stage that writes it, so that all values of the stage have been read by then. */
  readonly storedLast: boolean;
}

/**
 * Which arrays that only the kernel itself reads can live in the memory of one of its results: for a softmax of a product, the
 * product, its masked form and its exponentials are all gone when the result is written, element by element. Rows are
 * independent, so this is a matter of the stages alone.
 */
export function shareRowMemory(arrays: readonly RowArray[]): Map<View, View> {
  const shared = new Map<View, View>();
  const guests = new Map<RowArray, RowArray[]>();
  for (const result of arrays) if (result.lastRead === Infinity) guests.set(result, [result]);
  for (const a of arrays) {
    if (a.lastRead === Infinity) continue;
    for (const [result, others] of guests) {
      if (result.bytes !== a.bytes || !others.every((b) => apart(a, b))) continue;
      others.push(a);
      shared.set(a.view, result.view);
      break;
    }
  }
  return shared;
}

/** Whether one of them is no longer needed when the other is written. */
function apart(a: RowArray, b: RowArray): boolean {
  return before(a, b) || before(b, a);
}

function before(a: RowArray, b: RowArray): boolean {
  return a.lastRead < b.written || (a.lastRead === b.written && a.aligned && b.storedLast && a.written < b.written);
}
