import type { NDArray } from "./ndarray.ts";

/** What an argument of a transformed function accepts: where an array goes, a number goes too. */
export type Input<T> = [NDArray] extends [T] ? T | number : T;
export type Inputs<A extends readonly unknown[]> = { [K in keyof A]: Input<A[K]> };

type Negative<N extends number> = `-${N}` extends `${infer M extends number}` ? M : never;
type FromFront<A extends readonly unknown[]> = {
  [K in Exclude<keyof A, keyof (readonly unknown[])>]: K extends `${infer N extends number}` ? N : never;
}[Exclude<keyof A, keyof (readonly unknown[])>];
type FromEnd<A extends readonly unknown[], Seen extends readonly unknown[] = []> = A extends readonly [unknown, ...infer Rest]
  ? Negative<[...Seen, 0]["length"]> | FromEnd<Rest, [...Seen, 0]>
  : never;

/** The positions of the arguments `A`: 0, 1, … and, from the end, -1, -2, …; any number where there is no end to them. */
export type Positions<A extends readonly unknown[]> = number extends A["length"] ? number : FromFront<A> | FromEnd<Required<A>>;

/** What `N`, an option that names arguments, may be: positions that exist, or a number that only the run knows. */
export type PositionOption<A extends readonly unknown[], N> = number extends (N extends readonly (infer E)[] ? E : N)
  ? unknown
  : Positions<A> | readonly Positions<A>[] | undefined;

/** The argument at a position that may count from the end. */
export type ArgumentAt<A extends readonly unknown[], N extends number> = `${N}` extends `-${infer M extends number}`
  ? FromLast<Required<A>, M>
  : A[N & keyof A];
type FromLast<A extends readonly unknown[], M extends number, Seen extends readonly unknown[] = [0]> = A extends readonly [
  ...infer Before,
  infer Last,
]
  ? Seen["length"] extends M
    ? Last
    : FromLast<Before, M, [...Seen, 0]>
  : never;

/** An `E` for all of a tree of arrays, or a tree of the same containers with an `E`, or a tree in its turn, for each of them. */
export type TreePrefix<T, E> =
  | E
  | ([NDArray] extends [T]
      ? never // An array, or whatever becomes one.
      : T extends NDArray | number | boolean | bigint | string | ((...args: never[]) => unknown)
        ? never
        : T extends object
          ? { readonly [K in keyof T]: TreePrefix<T[K], E> }
          : never);
