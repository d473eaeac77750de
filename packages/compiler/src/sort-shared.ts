import { sortDigit, type SortPass, type View } from "./program.ts";
import type { Scope } from "./scope.ts";
import type { Order } from "./sort-routines.ts";

/** What a sort gives: its keys, and what moved with them. */
export interface Sorted {
  readonly keys: View;
  readonly payload: View;
}

type Pass = Pick<SortPass, "step" | "rows" | "n" | "payload"> & Partial<Pick<SortPass, "keep" | "shift" | "zeros">>;

function launch(scope: Scope, pass: Pass, pointers: readonly (View | null)[]): void {
  const { block } = scope.lowering.target;
  const { step, rows, n } = pass;
  if (rows * n === 0) return;
  const args = pointers.filter((v) => v !== null);
  const rest = { keep: block, shift: 0, zeros: false, ...pass };
  scope.launch({ kind: "sort", name: `sort.${step}`, block, ...rest, slots: args.length, flops: rows * n * 8 }, args);
}

/**
 * Stable sort of rows of keys, in memory that workers share: short rows in one block, long ones by a digit at a time, from the least
 * significant one on, of which all blocks are counted before any key moves.
 *
 * @see Satish, Harris & Garland (2009), "Designing efficient sorting algorithms for manycore GPUs"
 */
export function sortShared(scope: Scope, order: Order, keys: View, given: View | null): Sorted {
  const { rows, n, bits, zeros } = order;
  const { lowering } = scope;
  const { block } = lowering.target;
  const numbers = (): View => lowering.temporary(rows * n * 4);
  const moves = order.payload !== "none";
  if (n <= block) {
    const sorted = numbers();
    const payload = moves ? numbers() : null;
    launch(scope, { step: "block", rows, n, keep: n, payload: order.payload, zeros }, [keys, given, sorted, payload]);
    return { keys: sorted, payload: payload ?? keys };
  }
  const passes = Math.max(1, Math.ceil(bits / sortDigit));
  const blocks = Math.ceil(n / block);
  const counts = lowering.temporary(rows * blocks * 2 ** sortDigit * 4);
  let from: Sorted = { keys, payload: given ?? keys };
  let spare: { readonly keys: View | null; readonly payload: View | null } = { keys: null, payload: null };
  for (let pass = 0; pass < passes; pass++) {
    const shift = pass * sortDigit;
    const payload = pass === 0 ? order.payload : moves ? "given" : "none";
    const own = { rows, n, shift, payload, zeros };
    launch(scope, { ...own, step: "count" }, [from.keys, counts]);
    launch(scope, { ...own, step: "offsets", n: blocks * 2 ** sortDigit }, [counts]);
    // What is given may not be written over.
    const to = { keys: spare.keys ?? numbers(), payload: moves ? (spare.payload ?? numbers()) : null };
    launch(scope, { ...own, step: "move" }, [from.keys, counts, payload === "given" ? from.payload : null, to.keys, to.payload]);
    spare = { keys: from.keys, payload: pass === 0 ? null : from.payload };
    from = { keys: to.keys, payload: to.payload ?? from.payload };
  }
  return from;
}

/** The places of the `count` least keys of each row, in rows of their own: those of each block, of these again, and so on. */
export function selectShared(scope: Scope, rows: number, n: number, count: number, keys: View): View {
  const { lowering } = scope;
  const { block } = lowering.target;
  let places: View | null = null;
  for (;;) {
    const blocks = Math.ceil(n / block);
    const length = (blocks - 1) * count + Math.min(n - (blocks - 1) * block, count);
    const best = lowering.temporary(rows * length * 4);
    const next = lowering.temporary(rows * length * 4);
    const payload = places === null ? "places" : "given";
    launch(scope, { step: "block", rows, n, keep: count, payload }, [keys, places, best, next]);
    if (blocks === 1) return next;
    [keys, places, n] = [best, next, length];
  }
}
