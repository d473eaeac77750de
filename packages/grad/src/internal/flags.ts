/** One flag for each of `n` results from one flag for all, or from a list. */
export function spread(flags: boolean | readonly boolean[], n: number): readonly boolean[] {
  return typeof flags === "boolean" ? new Array<boolean>(n).fill(flags) : flags;
}

/** The elements whose flag is set. */
export function pick<T>(xs: readonly T[], flags: readonly boolean[]): T[] {
  return xs.filter((_, i) => flags[i]);
}

/** The elements whose flag is not set. */
export function drop<T>(xs: readonly T[], flags: readonly boolean[]): T[] {
  return xs.filter((_, i) => !flags[i]);
}

/** Puts `xs` in the places whose flag is set and `ys` in the others. */
export function merge<T, U>(flags: readonly boolean[], xs: readonly T[], ys: readonly U[]): (T | U)[] {
  let i = 0;
  let j = 0;
  return flags.map((f) => (f ? xs[i++] : ys[j++]));
}

/** Puts `xs` in the places whose flag is set and `null` in the others. */
export function place<T>(flags: readonly boolean[], xs: readonly T[]): (T | null)[] {
  let i = 0;
  return flags.map((f) => (f ? xs[i++] : null));
}

export function not(flags: readonly boolean[]): boolean[] {
  return flags.map((f) => !f);
}
