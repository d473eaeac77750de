import type { ArrayLike, NDArray, ScalarValue } from "@traceform/core";

/** Keys of an object whose values are JavaScript scalars. */
type ScalarKeys<T> = { [K in keyof T]-?: T[K] extends ScalarValue ? K : never }[keyof T];

/** A pytree as traced code sees it and as a loop returns it: scalars have become arrays, everything else is unchanged. */
export type Arrays<C> = C extends ScalarValue
  ? NDArray
  : C extends NDArray
    ? C
    : C extends readonly unknown[]
      ? { [K in keyof C]: Arrays<C[K]> }
      : C extends object
        ? [ScalarKeys<C>] extends [never]
          ? C
          : { [K in keyof C]: Arrays<C[K]> }
        : C;

/** A pytree as a body may return it: where an array is expected, whatever becomes one. */
export type Returned<C> = C extends ScalarValue | NDArray
  ? ArrayLike
  : C extends readonly unknown[]
    ? { readonly [K in keyof C]: Returned<C[K]> }
    : C extends object
      ? { readonly [K in keyof C]: Returned<C[K]> }
      : C;
