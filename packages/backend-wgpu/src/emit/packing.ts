import {
  type Axis,
  dependsOn,
  extentOf,
  type Index,
  type Nest,
  type Routine,
  type Statement,
  type Store,
} from "@traceform/compiler";
import { elementsOfWord } from "./values.ts";

/**
 * How a kernel writes elements of less than a word, several of which share one. Invocations go through the elements of whole words
 * (`whole`), so many positions each; or change parts of words that nobody else writes (`own`); or change parts of words
 * that others change too, atomically (`atomic`). `null` where it writes none.
 */
export type Packing = "whole" | "own" | "atomic" | null;

/** Whether a pointer of the kernel is the beginning of a word, whenever the kernel runs. */
export type Aligned = (slot: number) => boolean;

/** A walk through elements: so many of them, one after the other, are an invocation's. */
export interface Walk {
  readonly packing: Packing;
  /** Elements of an invocation. */
  readonly lanes: number;
  /** The axes, in the order in which their product's positions are neighbours in memory. */
  readonly axes: readonly Axis[];
}

export const isShort = (s: Pick<Store, "storage">): boolean => elementsOfWord(s.storage) > 1;
export const shortStores = (nest: Nest): readonly Store[] => nest.stages.flatMap((s) => s.stores.filter(isShort));

/** The most elements of a word among those that are stored. */
export const mostOfWord = (stores: readonly Store[]): number => Math.max(1, ...stores.map((s) => elementsOfWord(s.storage)));

/** Whether what an index adds to those of `axes` is whole words, the same for all positions of those. */
function isUniform({ c, terms }: Index, axes: readonly Axis[], count: number): boolean {
  return (
    c % count === 0 &&
    terms.every(
      ({ atom, coef }) =>
        (atom.axis !== null && axes.includes(atom.axis)) || (coef % count === 0 && !axes.some((a) => dependsOn(atom, a))),
    )
  );
}
const coefficient = ({ terms }: Index, axis: Axis): number => terms.find((t) => t.atom.axis === axis)?.coef ?? 0;

/**
 * Whether positions of the product of `axes`, in their order, are neighbours in memory as far as words go: words have
 * positions that follow on one another, the first of which is a multiple of what a word has.
 */
export function isDense({ index, storage }: Store, axes: readonly Axis[]): boolean {
  const count = elementsOfWord(storage);
  if (!isUniform(index, axes, count)) return false;
  let run = 1;
  for (const axis of axes.toReversed()) {
    const coef = coefficient(index, axis);
    // After whole words anything may follow that is whole words.
    if (axis.extent > 1 && coef !== run && !(run % count === 0 && coef % count === 0)) return false;
    run *= axis.extent;
  }
  return true;
}

/** How a nest whose invocations are positions of the axes `parallel` writes. */
export function walkOf(nest: Nest, parallel: readonly Axis[], aligned: Aligned): Walk {
  const stores = shortStores(nest);
  const plain = (packing: Packing): Walk => ({ packing, lanes: 1, axes: parallel });
  if (stores.length === 0) return plain(null);
  if (!stores.every((s) => aligned(s.slot))) return plain("atomic");
  if (!nest.serial && nest.stages.every((s) => s.axes.length === 0)) {
    // The order in which the first of the stores goes through memory.
    const axes = [...parallel].sort((a, b) => coefficient(stores[0].index, b) - coefficient(stores[0].index, a));
    if (stores.every((s) => s.guard === null && isDense(s, axes))) return { packing: "whole", lanes: mostOfWord(stores), axes };
  }
  const inside = [...nest.outer, ...nest.stages.flatMap((s) => s.axes)];
  return plain(stores.every((s) => ownsWords(s, parallel, inside)) ? "own" : "atomic");
}

/** Whether the words of different positions of the axes differ: those begin at multiples of a step that no position's elements exceed. */
function ownsWords({ index, storage }: Store, parallel: readonly Axis[], all: readonly Axis[]): boolean {
  const moving = parallel.filter((a) => a.extent > 1);
  if (moving.length === 0) return true;
  const step = moving.reduce((g, a) => gcd(g, Math.abs(coefficient(index, a))), 0);
  const inner = index.terms.filter(({ atom }) => !moving.some((a) => atom.axis === a));
  let span = 0;
  for (const { atom, coef } of inner) {
    if (atom.axis === null) {
      if (coef % step !== 0 || all.some((a) => dependsOn(atom, a))) return false;
    } else if (coef < 0) return false;
    else span += coef * (atom.axis.extent - 1);
  }
  const first = ((index.c % step) + step) % step;
  return step > 0 && step % elementsOfWord(storage) === 0 && first + span < step;
}

function gcd(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/** How stores write for which invocations go along `axes`, from one word to the next, at each position of the axes `others`. */
export function packingAlong(stores: readonly Store[], axes: readonly Axis[], others: readonly Axis[], aligned: Aligned): Packing {
  const short = stores.filter(isShort);
  if (short.length === 0) return null;
  const whole = short.every((s) => {
    const ends = extentOf(axes) % elementsOfWord(s.storage) === 0 || extentOf(others) === 1;
    return ends && s.guard === null && aligned(s.slot) && isDense(s, axes);
  });
  return whole ? "whole" : "atomic";
}

/** How a routine writes: its tasks may write anywhere. */
export function routinePacking({ body, tasks }: Routine, aligned: Aligned): Packing {
  const slots = shortSlots(body);
  return slots.size === 0 ? null : tasks === 1 && [...slots].every(aligned) ? "own" : "atomic";
}
export function shortSlots(body: readonly Statement[], found: Set<number> = new Set()): Set<number> {
  for (const s of body) {
    if (s.kind === "store" && isShort(s)) found.add(s.slot);
    if ("body" in s) shortSlots(s.body, found);
    if (s.kind === "while") shortSlots(s.condition, found);
    if (s.kind === "if") [s.then, s.otherwise].forEach((b) => shortSlots(b, found));
  }
  return found;
}
