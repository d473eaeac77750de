import type { Ex, Exprs } from "../expr.ts";
import { copySign, polynomial } from "./common.ts";
import {
  atLeast,
  atMost,
  expm1Reduced,
  expReduced,
  log1pOfPair32,
  log32,
  logEdges,
  logReduced,
  orNothing,
  power,
  reduceExp,
  scale,
  splitExponent32,
} from "./fast32.ts";
import { type Pair, product, quickSum } from "./pair.ts";

// Functions made of exponentials and logarithms, in single precision alone: for devices that have no other. Where one rounding
// more would show, intermediate results are pairs. Bounds are tested in `numerics.test.ts` of the WebGPU backend.

/** exp(hi + lo) with the error of exp alone. */
export function expOfPair32(e: Exprs, { hi, lo }: Pair): Ex {
  const x = atLeast(e, atMost(e, hi, 89), -104);
  const { raw, r } = reduceExp(e, x);
  const near = e.add(r, e.select(e.eq(x, hi), lo, e.f32(0)));
  return scale(e, orNothing(e, hi, -103.97207641601562, expReduced(e, near)), raw);
}

/** exp(a) / 4 as u (1 + m) and exp(-a) / 4, for 0 <= a; from 89.5 on their double overflows. */
function halves(e: Exprs, a: Ex): { u: Ex; m: Ex; inverse: Ex } {
  const { raw, r } = reduceExp(e, atMost(e, a, 89.5));
  const m = expm1Reduced(e, r);
  const u = power(e, e.sub(raw, e.i32(2)));
  return { u, m, inverse: e.div(e.f32(1 / 16), e.mul(u, e.add(e.f32(1), m))) };
}

/** 1/3!, 1/5!, …: sinh(x) = x + x^3 / 3! + …, for |x| < 1. */
const sinhSeries: readonly number[] = [1 / 6, 1 / 120, 1 / 5040, 1 / 362_880, 1 / 39_916_800];

export function sinh32(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const z = e.mul(a, a);
  const small = e.fma(e.mul(z, a), polynomial(e, z, sinhSeries), a);
  const { u, m, inverse } = halves(e, a);
  const half = e.add(u, e.sub(e.mul(u, m), inverse));
  const y = e.select(e.lt(a, e.f32(1)), small, e.add(half, half));
  return e.select(e.ne(x, x), x, copySign(e, y, x));
}
export function cosh32(e: Exprs, x: Ex): Ex {
  const { u, m, inverse } = halves(e, e.unary("abs", x));
  const half = e.add(u, e.add(e.mul(u, m), inverse));
  return e.select(e.ne(x, x), x, e.add(half, half));
}

/** From here on the root of x^2 + 1 and of x^2 - 1 is x. */
const far = 4096;

/** log(2x). */
function logOfTwice(e: Exprs, x: Ex): Ex {
  const { k, f } = splitExponent32(e, x);
  return logEdges(e, x, logReduced(e, e.add(k, e.f32(1)), f, null));
}

/** log1p(x + x^2 / (1 + sqrt(1 + x^2))) */
export function asinh32(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const z = e.mul(a, a);
  const more = e.div(z, e.add(e.f32(1), e.unary("sqrt", e.add(e.f32(1), z))));
  const y = log1pOfPair32(e, quickSum(e, a, more));
  const kept = e.select(e.lt(a, e.f32(2 ** -13)), a, y);
  return e.select(e.ne(x, x), x, copySign(e, e.select(e.gt(a, e.f32(far)), logOfTwice(e, a), kept), x));
}

/** Below 2 by x - 1, with the root in two parts. */
export function acosh32(e: Exprs, x: Ex): Ex {
  const t = e.sub(x, e.f32(1));
  const plus = quickSum(e, e.f32(2), t);
  const square = product(e, t, plus.hi);
  const root = e.rounded(e.unary("sqrt", square.hi));
  const back = product(e, root, root);
  const rest = e.add(e.sub(e.rounded(e.sub(square.hi, back.hi)), back.lo), e.add(square.lo, e.mul(t, plus.lo)));
  const low = e.select(e.gt(root, e.f32(0)), e.div(rest, e.add(root, root)), e.f32(0));
  const both = quickSum(e, root, t);
  const near = log1pOfPair32(e, { hi: both.hi, lo: e.add(both.lo, low) });
  const middle = log32(e, e.add(x, e.unary("sqrt", e.mul(t, e.add(x, e.f32(1))))));
  const y = e.select(e.lt(x, e.f32(2)), near, e.select(e.lt(x, e.f32(far)), middle, logOfTwice(e, x)));
  return e.select(e.lt(x, e.f32(1)), e.f32(NaN), y);
}

/** log1p(2x / (1 - x)) / 2 */
export function atanh32(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const d = e.sub(e.f32(1), a);
  const twice = e.add(a, a);
  const small = quickSum(e, twice, e.div(e.mul(twice, a), d));
  const quotient = e.rounded(e.div(twice, d));
  const back = product(e, quotient, d);
  const rest = e.div(e.sub(e.rounded(e.sub(twice, back.hi)), back.lo), d);
  const under = e.lt(a, e.f32(0.5));
  const one = e.eq(a, e.f32(1));
  const lo = e.select(under, small.lo, e.select(one, e.f32(0), rest));
  const y = e.mul(e.f32(0.5), log1pOfPair32(e, { hi: e.select(under, small.hi, quotient), lo }));
  return copySign(e, e.select(one, e.f32(Infinity), e.select(e.lt(a, e.f32(2 ** -13)), a, y)), x);
}

/** The exponent is divided by three, and three steps of Newton's method follow, the last with an exact cube. */
export function cbrt32(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  // Cubes stay clear of over- and underflow.
  const [tiny, huge] = [e.lt(a, e.f32(2 ** -60)), e.gt(a, e.f32(2 ** 90))];
  const scaled = e.mul(a, e.select(tiny, e.f32(2 ** 60), e.select(huge, e.f32(2 ** -60), e.f32(1))));
  const third = e.op("div_s", "i32", [e.bitcast("i32", scaled), e.i32(3)]);
  let t = e.bitcast("f32", e.add(third, e.i32(709_958_130)));
  for (let i = 0; i < 3; i++) t = e.sub(t, e.mul(e.f32(1 / 3), e.sub(t, e.div(scaled, e.mul(t, t)))));
  t = e.rounded(t);
  const square = product(e, t, t);
  const cube = product(e, square.hi, t);
  const rest = e.add(e.rounded(e.sub(cube.hi, scaled)), e.add(cube.lo, e.mul(square.lo, t)));
  const y = e.sub(t, e.div(rest, e.mul(e.f32(3), square.hi)));
  const back = e.select(tiny, e.f32(2 ** -20), e.select(huge, e.f32(2 ** 20), e.f32(1)));
  const plain = e.or(e.eq(a, e.f32(0)), e.eq(e.lt(a, e.f32(Infinity)), e.constant("bool", 0)));
  return e.select(plain, x, copySign(e, e.mul(y, back), x));
}
