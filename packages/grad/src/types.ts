import type { ArgumentAt, NDArray, PositionOption } from "@traceform/core";

/** The gradient of an argument: the type of the argument, with numbers as arrays. */
export type Gradient<T> = [NDArray] extends [T] ? NDArray : [T] extends [number | bigint] ? NDArray : T;

/** The gradients of the arguments at `N`, a position or a list of positions. */
export type Gradients<A extends readonly unknown[], N extends number | readonly number[]> = N extends readonly number[]
  ? { -readonly [K in keyof N]: Gradient<ArgumentAt<A, N[K] & number>> }
  : Gradient<ArgumentAt<A, N & number>>;

/** `argnums` that name arguments of `A`. */
export interface ArgnumsOf<A extends readonly unknown[], N> {
  readonly argnums?: PositionOption<A, N>;
}
