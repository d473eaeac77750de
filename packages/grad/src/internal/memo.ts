import { isTracer, type Jaxpr, type NDArray } from "@traceform/core";

/** Results of a transformation of jaxprs, kept as long as the jaxpr lives. */
export class JaxprMemo<T extends object> {
  readonly #table = new WeakMap<Jaxpr, Map<string, T>>();

  get(jaxpr: Jaxpr, key: string, make: () => T): T {
    let byKey = this.#table.get(jaxpr);
    if (byKey === undefined) this.#table.set(jaxpr, (byKey = new Map()));
    let value = byKey.get(key);
    if (value === undefined) {
      value = make();
      // A tracer dies with its trace, so a result that closes over one serves this call only.
      const { consts } = value as { readonly consts?: readonly NDArray[] };
      if (!consts?.some(isTracer)) byKey.set(key, value);
    }
    return value;
  }
}

export function bits(flags: readonly boolean[]): string {
  let text = "";
  for (const f of flags) text += f ? "1" : "0";
  return text;
}

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

export function or(a: readonly boolean[], b: readonly boolean[]): boolean[] {
  return a.map((x, i) => x || b[i]);
}

/** Cuts a list into pieces of the given lengths; what is left over comes last. */
export function splitList<T>(xs: readonly T[], ...lengths: readonly number[]): T[][] {
  let from = 0;
  const pieces = lengths.map((n) => xs.slice(from, (from += n)));
  pieces.push(xs.slice(from));
  return pieces;
}
