import type { NDArray } from "./ndarray.ts";

/** What an argument of a transformed function accepts: where an array goes, a number goes too. */
export type Input<T> = [NDArray] extends [T] ? T | number : T;
export type Inputs<A extends readonly unknown[]> = { [K in keyof A]: Input<A[K]> };
