import type { Aval, NDArray, Params, Primitive } from "@traceform/core";

/**
 * What an operation does along each axis, as the letters of an einsum: axes of operands and results with one factor are cut
 * together. `null` is an axis that every device must have whole. A factor that no result has is reduced.
 *
 * @see Shardy's sharding rules, and Xu et al. (2021), "GSPMD: general and scalable parallelization for ML computation graphs"
 */
export interface Factors {
  readonly operands: readonly (readonly Factor[])[];
  readonly results: readonly (readonly Factor[])[];
  /** How partial results are joined, when a factor that is cut is reduced. */
  readonly reduce?: "psum" | "pmax" | "pmin";
  /** The parameters of the operation on shards of these shapes. */
  readonly localize?: (operands: readonly (readonly number[])[], results: readonly (readonly number[])[]) => Params;
  /** Operands that are joined with what is reduced, so that they count once: they are zero on all devices but one. */
  readonly once?: readonly number[];
  /** For an operation that addresses elements of its first operand along some axes, which may stay cut. */
  readonly addressed?: Addressed;
  /** Of a factor, the size that must be divisible by the number of shards, where it is not that of its axes. */
  readonly grain?: ReadonlyMap<number, number>;
  /** What to do where an axis is cut that must be whole, if there is more to say than how to lay it out otherwise. */
  readonly fix?: string;
}
export type Factor = number | null;

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** What a device has of an axis: elements from `first` on, of `size` in all. */
export interface Owned {
  readonly first: NDArray;
  readonly size: number;
}
/**
 * An operation that reads or writes elements of its first operand where indices say. Each device does so with those that it has: what is
 * read is zero elsewhere, and added up (a factor of the operand alone); what is written stays where it is (a factor of the result too).
 */
export interface Addressed {
  readonly axes: readonly number[];
  /** What a device has of the result, from its shards; `owned` tells which of the axes are cut. */
  run(args: readonly NDArray[], owned: ReadonlyMap<number, Owned>): NDArray;
}

export type FactorRule<P = Params> = (operands: readonly Aval[], results: readonly Aval[], params: P) => Factors;
export type FactorEntry = readonly [primitive: Primitive<never>, rule: FactorRule<never>];

export function factors<P>(primitive: Primitive<P>, rule: FactorRule<P>): FactorEntry {
  return [primitive as unknown as Primitive<never>, rule as FactorRule<never>];
}

/** The mesh axes along which each axis of an array is cut. */
export type Cut = readonly (readonly string[])[];

export const uncut = (ndim: number): Cut => new Array<readonly string[]>(ndim).fill([]);
export const isCut = (cut: Cut): boolean => cut.some((names) => names.length > 0);
export const sameNames = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((x, i) => x === b[i]);
export const sameCut = (a: Cut, b: Cut): boolean => a.every((names, d) => sameNames(names, b[d]));
/** What two layouts of one array have in common. */
export const meet = (a: Cut, b: Cut): Cut => a.map((names, d) => (sameNames(names, b[d]) ? names : []));

/** How an operation runs on shards. */
export interface Plan {
  /** How the operands must be cut. */
  readonly operands: readonly Cut[];
  readonly results: readonly Cut[];
  /** The mesh axes along which partial results are joined. */
  readonly reduced: readonly string[];
}

/**
 * Chooses along which mesh axes the factors of an operation are cut: as in the largest operand that cuts them, and then as results are
 * wanted.
 */
export function plan(
  f: Factors,
  avals: readonly Aval[],
  cuts: readonly Cut[],
  sizeOf: (names: readonly string[]) => number,
  wanted: readonly (Cut | null)[] = [],
): Plan {
  const chosen = new Map<number, readonly string[]>();
  const arrays = [...f.operands, ...f.results];
  const isReduced = (x: number): boolean => f.results.length > 0 && !f.results.some((xs) => xs.includes(x));
  /** Whether two factors need mesh axes of their own. */
  const apart = (a: number, b: number): boolean =>
    isReduced(a) || isReduced(b) || arrays.some((xs) => xs.includes(a) && xs.includes(b));
  const choose = (cut: Cut, axes: readonly Factor[]): void =>
    cut.forEach((names, d) => {
      const factor = axes[d];
      if (factor === null || names.length === 0 || chosen.has(factor)) return;
      if ([...chosen].some(([other, taken]) => names.some((n) => taken.includes(n)) && apart(factor, other))) return;
      if ((f.grain?.get(factor) ?? 0) % sizeOf(names) !== 0) return;
      chosen.set(factor, names);
    });
  const order = avals.map((_, i) => i).sort((a, b) => avals[b].size - avals[a].size);
  for (const i of order) choose(cuts[i], f.operands[i]);
  wanted.forEach((cut, i) => choose(cut ?? [], f.results[i]));
  const cutOf = (xs: readonly Factor[]): Cut => xs.map((x) => (x === null ? [] : (chosen.get(x) ?? [])));
  return {
    operands: f.operands.map(cutOf),
    results: f.results.map(cutOf),
    reduced: [...chosen].flatMap(([factor, names]) => (isReduced(factor) ? names : [])),
  };
}
