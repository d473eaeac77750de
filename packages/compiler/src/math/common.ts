import type { Ex, Exprs, ScalarType } from "../expr.ts";

/** An element function over expressions of one float type. */
export type ElementFunction = (e: Exprs, x: Ex) => Ex;

/** A constant of the operand's type. */
export function like(e: Exprs, x: Ex, value: number): Ex {
  return e.constant(x.type, value);
}

/** Constants of the operand's type. */
export function constants(e: Exprs, x: Ex): (value: number) => Ex {
  return (value) => like(e, x, value);
}
/** The integers that are as wide as a float. */
export function bitsOf(x: Ex): ScalarType {
  return x.type === "f32" ? "i32" : "i64";
}
/** A number of double precision in two parts, given as such, as two parts in the operand's precision. */
export function parts(e: Exprs, x: Ex, high: number, low: number): readonly [Ex, Ex] {
  if (x.type === "f64") return [like(e, x, high), like(e, x, low)];
  const near = Math.fround(high);
  return [like(e, x, near), like(e, x, high - near + low)];
}
/** The leading digits of x, so few that its square is exact, and has room for a bit or two. */
export function leading(e: Exprs, x: Ex): Ex {
  const bits = bitsOf(x);
  return e.bitcast(x.type, e.and(e.bitcast(bits, x), e.constant(bits, bits === "i64" ? -0x100000000n : -0x2000)));
}
/** The terms of a polynomial that the operand's precision can see, where the argument is at most `radius` and the value about `size`. */
export function visible(x: Ex, coefs: readonly number[], radius: number, size: number): readonly number[] {
  if (x.type === "f64") return coefs;
  const last = coefs.findLastIndex((c, i) => Math.abs(c) * radius ** i > size * 2 ** -29);
  return coefs.slice(0, last + 1);
}

/** Horner's scheme; coefficients from the constant term up. */
export function polynomial(e: Exprs, x: Ex, coefs: readonly number[]): Ex {
  let y = like(e, x, coefs[coefs.length - 1]!);
  for (let i = coefs.length - 2; i >= 0; i--) y = e.fma(y, x, like(e, x, coefs[i]!));
  return y;
}

/**
 * As many operations, of which fewer wait for each other: pairs of terms first (Estrin). `xx` is x * x. Coefficients from the
 * constant term up.
 */
export function byPairs(e: Exprs, x: Ex, xx: Ex, coefs: readonly number[]): Ex {
  const pair = (i: number): Ex => {
    const low = like(e, x, coefs[i]!);
    return i + 1 < coefs.length ? e.fma(like(e, x, coefs[i + 1]!), x, low) : low;
  };
  let i = (coefs.length - 1) & ~1;
  let y = pair(i);
  for (i -= 2; i >= 0; i -= 2) y = e.fma(y, xx, pair(i));
  return y;
}

/** The magnitude of `x` with the sign of `s`. */
export function copySign(e: Exprs, x: Ex, s: Ex): Ex {
  return e.op("copysign", x.type, [x, s]);
}

export function fmin(e: Exprs, a: Ex, b: Ex): Ex {
  return e.op("min", a.type, [a, b]);
}
export function fmax(e: Exprs, a: Ex, b: Ex): Ex {
  return e.op("max", a.type, [a, b]);
}

/** 1.5 * 2^52: adding it to a small integral f64 leaves the integer in the low bits. */
const magic = 6755399441055744;

/** An integral f64 with |k| < 2^31, as i64, by bits alone: there is no vector instruction for it. */
export function smallToInt(e: Exprs, k: Ex): Ex {
  return e.sub(e.bitcast("i64", e.add(k, e.f64(magic))), e.bitcast("i64", e.f64(magic)));
}
/** A small i64 as f64, by bits. */
export function smallToFloat(e: Exprs, k: Ex): Ex {
  return e.sub(e.bitcast("f64", e.add(k, e.bitcast("i64", e.f64(magic)))), e.f64(magic));
}

/** `x * 2^k` for an integral f64 `k` in [-2100, 2000], in two steps so that neither factor overflows. */
export function scale64(e: Exprs, x: Ex, k: Ex): Ex {
  const half = e.unary("floor", e.mul(k, e.f64(0.5)));
  const power = (n: Ex): Ex => e.bitcast("f64", e.shl(e.add(smallToInt(e, n), e.constant("i64", 1023)), 52));
  return e.mul(e.mul(x, power(half)), power(e.sub(k, half)));
}
