import type { NDArray } from "@traceform/core";
import { add, div, log, mul, neg, sub } from "@traceform/lax";
import type { Tangent } from "../rule.ts";

/**
 * The coefficients of a truncated power series in t: `x(t) = x[0] + x[1] t + x[2] t² + …`. `null` is zero. They are not scaled by
 * factorials, so products are convolutions.
 *
 * Rules follow the recurrences of Griewank & Walther (2008), "Evaluating Derivatives", chapter 13.
 */
export type Series = readonly Tangent[];

/** The coefficient of order zero, which every value has. */
export function value(x: Series): NDArray {
  return x[0]!;
}

export function plus(a: Tangent, b: Tangent): Tangent {
  return a === null ? b : b === null ? a : add(a, b);
}
export function minus(a: Tangent, b: Tangent): Tangent {
  return b === null ? a : a === null ? neg(b) : sub(a, b);
}
export function times(a: Tangent, b: Tangent | number): Tangent {
  if (a === null || b === null || b === 0) return null;
  return b === 1 ? a : mul(a, b);
}
export function over(a: Tangent, b: NDArray | number): Tangent {
  return a === null || b === 1 ? a : div(a, b);
}

/** `sum of a[j] b[k - j]` for j from `from` to `to`. */
export function convolve(a: Series, b: Series, k: number, from = 0, to: number = k, product: typeof times = times): Tangent {
  let sum: Tangent = null;
  for (let j = from; j <= to; j++) sum = plus(sum, product(a[j] ?? null, b[k - j] ?? null));
  return sum;
}

/** `sum of j x[j] w[k - j]` for j from 1 to k: what an equation `y' = w x'` gives for `k y[k]`. */
export function slopes(x: Series, w: Series, k: number): Tangent {
  let sum: Tangent = null;
  for (let j = 1; j <= k; j++) sum = plus(sum, times(times(x[j] ?? null, w[k - j] ?? null), j));
  return sum;
}

/** The coefficients 0 to n - 1 from a rule for each; a rule may read those before. */
export function build(n: number, coefficient: (k: number, before: readonly Tangent[]) => Tangent): Tangent[] {
  const out: Tangent[] = [];
  for (let k = 0; k < n; k++) out.push(coefficient(k, out));
  return out;
}

export function product(a: Series, b: Series): Tangent[] {
  return build(a.length, (k) => convolve(a, b, k));
}

/** a / b, where the coefficient of order zero may be known already. */
export function quotient(a: Series, b: Series, first: Tangent = over(a[0], value(b))): Tangent[] {
  return build(a.length, (k, q) => (k === 0 ? first : over(minus(a[k], convolve(b, q, k, 1)), value(b))));
}

/** The series of the derivative: one coefficient fewer. */
export function derivative(x: Series): Tangent[] {
  return x.slice(1).map((c, k) => times(c, k + 1));
}

/** The series with a value at zero and a derivative. */
export function integral(first: NDArray, slope: Series): Tangent[] {
  return [first, ...slope.map((c, k) => over(c, k + 1))];
}

/** The same coefficient by coefficient. */
export function scaled(x: Series, factor: number): Tangent[] {
  return x.map((c) => times(c, factor));
}
export function shifted(x: Series, by: number): Tangent[] {
  return [add(value(x), by), ...x.slice(1)];
}

/** x^r for a constant r: `x y' = r y x'`. */
export function power(x: Series, r: NDArray | number, first: NDArray): Tangent[] {
  return build(x.length, (k, y) => {
    if (k === 0) return first;
    let sum: Tangent = null;
    for (let j = 1; j <= k; j++) {
      const factor = typeof r === "number" ? r * j - (k - j) : sub(mul(r, j), k - j);
      sum = plus(sum, times(times(x[j], y[k - j]), factor));
    }
    return over(over(sum, k), value(x));
  });
}

/** exp(x): `y' = y x'`. */
export function exponential(x: Series, first: NDArray): Tangent[] {
  return build(x.length, (k, y) => (k === 0 ? first : over(slopes(x, y, k), k)));
}

/** log(x): `y' = x' / x`. */
export function logarithm(x: Series, first: NDArray = log(value(x))): Tangent[] {
  return integral(first, quotient(derivative(x), x));
}
