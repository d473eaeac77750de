/**
 * Something an equation does beside computing its results: a callback, a print, an error value. An equation
 * with effects is never dropped, duplicated or merged; ordered effects also keep their order.
 */
export interface Effect {
  readonly name: string;
  readonly ordered: boolean;
  /** For debugging only: a transformation that runs more than the program asked for (both branches of a `cond`) may repeat it. */
  readonly mayRepeat?: boolean;
  /** Happening again with the same values changes nothing. What is computed again need not do it again. */
  readonly idempotent?: boolean;
}

export type Effects = ReadonlySet<Effect>;

export const noEffects: Effects = new Set<Effect>();

export function joinEffects(sets: Iterable<Iterable<Effect>>): Effects {
  let union: Set<Effect> | null = null;
  for (const set of sets) for (const effect of set) (union ??= new Set()).add(effect);
  return union ?? noEffects;
}
