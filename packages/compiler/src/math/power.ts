import type { Ex, Exprs } from "../expr.ts";
import { bitsOf, like, constants, fmax, fmin, polynomial } from "./common.ts";
import { expOfPair64, splitExponent64 } from "./exp64.ts";
import { expOfPair32 } from "./exp32.ts";
import { splitExponent32 } from "./fast32.ts";
import { type Pair, product, quickSum, sum } from "./pair.ts";

// Logarithms in two parts and powers, of numbers of either precision.

/** 1/5, 1/7, … 1/29: from the third term on, the series of atanh(s) / s in s^2; the rest is below 2^-75, or 2^-37 of five. */
const atanhTail: readonly number[] = Array.from({ length: 13 }, (_, k) => 1 / (2 * k + 5));

interface Precision {
  readonly split: (e: Exprs, x: Ex) => { readonly k: Ex; readonly f: Ex };
  /** ln2 in two parts, of which products with exponents are exact. */
  readonly ln2: readonly [number, number];
  /** What the number next to 1/3 lacks of it. */
  readonly third: number;
  readonly tail: readonly number[];
  readonly exp: (e: Exprs, x: Pair) => Ex;
}
const double: Precision = {
  split: splitExponent64,
  ln2: [6.9314718036912381649e-1, 1.90821492927058770002e-10],
  third: 1.850371707708594e-17,
  tail: atanhTail,
  exp: expOfPair64,
};
const single: Precision = {
  split: splitExponent32,
  ln2: [0.693359375, -2.1219444e-4],
  third: 1 / 3 - Math.fround(1 / 3),
  tail: atanhTail.slice(0, 5),
  exp: expOfPair32,
};
const precisionOf = (x: Ex): Precision => (x.type === "f64" ? double : single);

/**
 * log(x) for positive finite x, with an error below 2^-64 of it (2^-33 in single precision): log(2^k (1 + f)) = k ln2 +
 * 2 atanh(f / (2 + f)), where the leading two terms of the series are pairs.
 */
export function logPair(e: Exprs, x: Ex): Pair {
  const c = constants(e, x);
  const { split, ln2, third: lack, tail } = precisionOf(x);
  const { k, f } = split(e, x);
  const d = quickSum(e, c(2), f);
  const sh = e.rounded(e.div(f, d.hi));
  const q = product(e, sh, d.hi);
  const sl = e.div(e.sub(e.rounded(e.sub(e.rounded(e.sub(f, q.hi)), q.lo)), e.mul(sh, d.lo)), d.hi);
  const z = product(e, sh, sh);
  const zl = e.add(z.lo, e.mul(e.add(sh, sh), sl));
  // r = s^2 / 3 + s^4 (1/5 + …)
  const third = product(e, z.hi, c(1 / 3));
  const thirdLow = e.add(third.lo, e.add(e.mul(z.hi, c(lack)), e.mul(zl, c(1 / 3))));
  const r = quickSum(e, third.hi, e.mul(e.mul(z.hi, z.hi), polynomial(e, z.hi, tail)));
  const rl = e.add(r.lo, thirdLow);
  // atanh(s) = s + s r, doubled; k ln2 is at least twice that unless k = 0.
  const twice = e.add(sh, sh);
  const p = product(e, twice, r.hi);
  const pl = e.add(p.lo, e.add(e.mul(twice, rl), e.mul(e.add(sl, sl), r.hi)));
  const first = quickSum(e, e.mul(k, c(ln2[0])), twice);
  const second = quickSum(e, first.hi, p.hi);
  const low = e.add(e.add(first.lo, second.lo), e.add(pl, e.add(e.add(sl, sl), e.mul(k, c(ln2[1])))));
  return quickSum(e, second.hi, low);
}

/** exp(hi + lo) with the error of exp alone. */
export function expOfPair(e: Exprs, x: Pair): Ex {
  return precisionOf(x.hi).exp(e, x);
}

/** What else is known about a power: exp(plus) (x + rest)^y. */
interface PowerDetails {
  readonly plus?: Pair | null;
  readonly rest?: Ex;
}

/** x^y for positive finite x, by a logarithm in two parts, so that the error does not grow with the exponent. */
export function powPositive(e: Exprs, x: Ex, y: Ex, { plus = null, rest }: PowerDetails = {}): Ex {
  const log = logPair(e, x);
  // Far beyond what any power needs, and products with logarithms do not overflow.
  const most = x.type === "f64" ? 1e300 : 1e30;
  const { hi, lo } = product(e, fmin(e, fmax(e, y, like(e, x, -most)), like(e, x, most)), log.hi);
  const low = e.add(lo, e.mul(y, rest === undefined ? log.lo : e.add(log.lo, e.div(rest, x))));
  if (plus === null) return expOfPair(e, { hi, lo: low });
  const both = sum(e, hi, plus.hi);
  return expOfPair(e, { hi: both.hi, lo: e.add(e.add(both.lo, low), plus.lo) });
}
/** x^y with the special values of IEEE 754. */
export function pow(e: Exprs, x: Ex, y: Ex): Ex {
  return powSpecial(e, x, y, powPositive(e, e.unary("abs", x), y));
}

/** The result of pow from |x|^y: the sign, and the special values of IEEE 754. */
export function powSpecial(e: Exprs, x: Ex, y: Ex, magnitude: Ex): Ex {
  const { type } = x;
  const c = (v: number): Ex => e.constant(type, v);
  const [zero, one, inf] = [c(0), c(1), c(Infinity)];
  const a = e.unary("abs", x);
  const isInt = e.eq(e.unary("trunc", y), y);
  const halfY = e.mul(y, c(0.5));
  const odd = e.and(isInt, e.ne(e.unary("trunc", halfY), halfY));
  // At zero and infinity the logarithm is infinite and only signs matter.
  const grows = e.eq(e.gt(a, one), e.gt(y, zero));
  const extreme = e.or(e.or(e.eq(a, zero), e.eq(a, inf)), e.eq(e.unary("abs", y), inf));
  let out = e.select(extreme, e.select(grows, inf, zero), magnitude);
  const bits = bitsOf(x);
  out = e.select(e.and(e.lt(e.bitcast(bits, x), e.constant(bits, 0)), odd), e.neg(out), out);
  const badBase = e.and(e.and(e.lt(x, zero), e.ne(a, inf)), e.eq(isInt, e.constant("bool", 0)));
  out = e.select(badBase, c(NaN), out);
  out = e.select(e.and(e.eq(a, one), e.eq(e.unary("abs", y), inf)), one, out);
  out = e.select(e.or(e.ne(x, x), e.ne(y, y)), e.add(x, y), out);
  return e.select(e.or(e.eq(y, zero), e.eq(x, one)), one, out);
}
