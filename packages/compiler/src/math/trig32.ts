import type { Ex, Exprs } from "../expr.ts";
import { polynomial } from "./common.ts";
import { cosReduced, sinReduced } from "./fast32.ts";
import { type Pair, product, quickSum } from "./pair.ts";

// Circular functions in single precision alone, for devices that have no other.

/** The leading 34 bits of pi/2 in two parts of 17, so that products with numbers below 2^7 are exact, and 24 more. */
const parts = [1.5707855224609375, 1.0804273188114166e-5, 6.07709993438732e-11] as const;
/** Beyond it quotients by pi/2 have more than 7 bits. */
const nearLimit = 200;

/** x = n pi/2 + hi + lo, for finite x. Large operands are reduced by a helper that the emitter supplies. */
function reduce(e: Exprs, x: Ex): { n: Ex; r: Pair } {
  const big = e.gt(e.unary("abs", x), e.f32(nearLimit));
  const small = e.select(big, e.f32(0), x);
  const k = e.unary("nearest", e.mul(small, e.f32(2 / Math.PI)));
  const first = e.rounded(e.sub(small, e.mul(k, e.f32(parts[0]))));
  const second = e.mul(k, e.f32(parts[1]));
  const rest = e.rounded(e.sub(first, second));
  const lost = e.sub(e.rounded(e.sub(first, rest)), second);
  const { hi, lo } = quickSum(e, rest, e.sub(lost, e.mul(k, e.f32(parts[2]))));
  return {
    n: e.select(big, e.op("quo_pio2", "i32", [x]), e.op("trunc_s", "i32", [k])),
    r: { hi: e.select(big, e.op("rem_pio2", "f32", [x]), hi), lo: e.select(big, e.op("tail_pio2", "f32", [x]), lo) },
  };
}

/** sin(x), or cos(x) a quarter further. */
function circular(e: Exprs, x: Ex, quarter: number): Ex {
  const { n, r } = reduce(e, x);
  const m = quarter === 0 ? n : e.add(n, e.i32(quarter));
  const odd = e.ne(e.and(m, e.i32(1)), e.i32(0));
  const y = e.select(odd, cosReduced(e, r.hi, e.mul(r.hi, r.lo)), sinReduced(e, r.hi, r.lo));
  const flipped = e.bitcast("f32", e.xor(e.bitcast("i32", y), e.shl(e.and(m, e.i32(2)), 30)));
  const finite = e.select(e.lt(e.unary("abs", x), e.f32(Infinity)), flipped, e.f32(NaN));
  return quarter === 0 ? e.select(e.eq(x, e.f32(0)), x, finite) : finite;
}
export const sin32 = (e: Exprs, x: Ex): Ex => circular(e, x, 0);
export const cos32 = (e: Exprs, x: Ex): Ex => circular(e, x, 1);

/** (tan(r) - r) / r^3 for |r| <= pi/4 as a polynomial in r^2, by mpmath's `chebyfit`. */
const tanTerms: readonly number[] = [
  0.3333333403, 0.1333322346, 0.05399609764, 0.02160833553, 0.01000678382, 0.001114366181, 0.003885034863,
];

/** tan(r) in two parts, or -1 / tan(r) by one step of Newton's method. */
export function tan32(e: Exprs, x: Ex): Ex {
  const { n, r } = reduce(e, x);
  const z = e.mul(r.hi, r.hi);
  const more = e.fma(e.mul(r.hi, z), polynomial(e, z, tanTerms), e.mul(r.lo, e.add(e.f32(1), z)));
  const t = quickSum(e, r.hi, more);
  const inverse = e.rounded(e.div(e.f32(-1), t.hi));
  const back = product(e, inverse, t.hi);
  const rest = e.add(e.add(e.rounded(e.add(e.f32(1), back.hi)), back.lo), e.mul(inverse, t.lo));
  const odd = e.ne(e.and(n, e.i32(1)), e.i32(0));
  const y = e.select(odd, e.fma(inverse, rest, inverse), e.add(t.hi, t.lo));
  const finite = e.select(e.lt(e.unary("abs", x), e.f32(Infinity)), y, e.f32(NaN));
  return e.select(e.eq(x, e.f32(0)), x, finite);
}
