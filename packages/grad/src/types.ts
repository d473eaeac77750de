import type { NDArray } from "@traceform/core";

/** The gradient of an argument: the type of the argument, with numbers as arrays. */
export type Gradient<T> = [NDArray] extends [T] ? NDArray : [T] extends [number | bigint] ? NDArray : T;

/** The gradients of the arguments at `N`, a position or a list of positions. */
export type Gradients<A extends readonly unknown[], N extends number | readonly number[]> = N extends readonly number[]
  ? { -readonly [K in keyof N]: Gradient<A[N[K] & keyof A]> }
  : Gradient<A[N & keyof A]>;
