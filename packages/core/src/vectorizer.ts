import type { NDArray } from "./ndarray.ts";

/** Runs a function of arrays over the leading axis of its operands: what `vmap` does. */
export type Vectorizer = (fn: (...members: NDArray[]) => readonly NDArray[]) => (...xs: NDArray[]) => readonly NDArray[];

let provided: Vectorizer | null = null;

/**
 * Names the vectorisation that other packages use when they are better for one: Jacobians, which push all basis vectors at
 * once, and `map` with `batchSize`. The umbrella package provides `vmap`; who installs packages singly calls
 * `provideVmap(vmap)`. `null` takes it away.
 */
export function provideVmap(vmap: Vectorizer | null): void {
  provided = vmap;
}

/** The vectorisation that was provided, or `null`. */
export function providedVmap(): Vectorizer | null {
  return provided;
}
