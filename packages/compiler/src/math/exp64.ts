import type { Ex, Exprs } from "../expr.ts";
import { copySign, fmax, fmin, polynomial, scale64, smallToFloat } from "./common.ts";
import type { Pair } from "./pair.ts";

// Exponentials and logarithms in double precision, after fdlibm (Sun Microsystems, 1993: e_exp.c, s_expm1.c,
// e_log.c, s_log1p.c), with the branches turned into selects.

const log2e = 1.4426950408889634;
const ln2Hi = 6.9314718036912381649e-1;
const ln2Lo = 1.90821492927058770002e-10;

/** exp(r) for |r| <= ln2 / 2 given as hi - lo. */
function expReduced(e: Exprs, hi: Ex, lo: Ex): Ex {
  const r = e.sub(hi, lo);
  const t = e.mul(r, r);
  const p = polynomial(
    e,
    t,
    [
      1.66666666666666019037e-1, -2.77777777770155933842e-3, 6.61375632143793436117e-5, -1.6533902205465251539e-6,
      4.13813679705723846039e-8,
    ],
  );
  const c = e.sub(r, e.mul(t, p));
  const q = e.div(e.mul(r, c), e.sub(e.f64(2), c));
  return e.sub(e.f64(1), e.sub(e.sub(lo, q), hi));
}

export function exp64(e: Exprs, x: Ex): Ex {
  return expScaled(e, x, null, 0);
}

/** 2^power * exp(x + low) for a `low` that is small where x is between -750 and 720; null is none. */
function expScaled(e: Exprs, x: Ex, low: Ex | null, power: number): Ex {
  const y = fmin(e, fmax(e, x, e.f64(-750)), e.f64(720));
  const k = e.unary("nearest", e.mul(y, e.f64(log2e)));
  const hi = e.sub(y, e.mul(k, e.f64(ln2Hi)));
  const part = e.mul(k, e.f64(ln2Lo));
  const lo = low === null ? part : e.sub(part, e.select(e.eq(x, y), low, e.f64(0)));
  return scale64(e, expReduced(e, hi, lo), power === 0 ? k : e.add(k, e.f64(power)));
}

/** exp(hi + lo) with the error of exp alone. */
export function expOfPair64(e: Exprs, { hi, lo }: Pair): Ex {
  return expScaled(e, hi, lo, 0);
}

/** exp(x) / (1 + exp(x)), which keeps the smallest values. It is 1 long before 60. */
export function logistic64(e: Exprs, x: Ex): Ex {
  const t = exp64(e, fmin(e, x, e.f64(60)));
  return e.div(t, e.add(e.f64(1), t));
}

export function exp2of64(e: Exprs, x: Ex): Ex {
  const y = fmin(e, fmax(e, x, e.f64(-1100)), e.f64(1030));
  const k = e.unary("nearest", y);
  return scale64(e, expReduced(e, e.mul(e.sub(y, k), e.f64(Math.LN2)), e.f64(0)), k);
}

export function expm1of64(e: Exprs, x: Ex): Ex {
  const y = fmin(e, fmax(e, x, e.f64(-50)), e.f64(50));
  const k = e.unary("nearest", e.mul(y, e.f64(log2e)));
  const hi = e.sub(y, e.mul(k, e.f64(ln2Hi)));
  const lo = e.mul(k, e.f64(ln2Lo));
  const r = e.sub(hi, lo);
  const c = e.sub(e.sub(hi, r), lo);
  const half = e.mul(e.f64(0.5), r);
  const square = e.mul(r, half);
  const q = polynomial(
    e,
    square,
    [
      1, -3.33333333333331316428e-2, 1.58730158725481460165e-3, -7.93650757867487942473e-5, 4.00821782732936239552e-6,
      -2.01099218183624371326e-7,
    ],
  );
  const t = e.sub(e.f64(3), e.mul(q, half));
  const s = e.mul(square, e.div(e.sub(q, t), e.sub(e.f64(6), e.mul(r, t))));
  // expm1(r + c) = r - (r * (s - c) - c - square)
  const m = e.sub(r, e.sub(e.sub(e.mul(r, e.sub(s, c)), c), square));
  const power = scale64(e, e.f64(1), k);
  const small = e.add(e.mul(power, m), e.sub(power, e.f64(1)));
  const zeroKept = e.select(e.eq(x, e.f64(0)), x, small);
  return e.select(e.gt(x, e.f64(40)), exp64(e, x), e.select(e.lt(x, e.f64(-40)), e.f64(-1), zeroKept));
}

/** x = 2^k * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); k as f64. */
export function splitExponent64(e: Exprs, x: Ex): { k: Ex; f: Ex } {
  const tiny = e.lt(x, e.f64(2 ** -1022));
  const bits = e.bitcast("i64", e.select(tiny, e.mul(x, e.f64(2 ** 54)), x));
  const above = e.sub(bits, e.constant("i64", 0x3fe6a09e00000000n));
  const exponent = e.shrS(above, 52);
  const f = e.sub(e.bitcast("f64", e.sub(bits, e.shl(exponent, 52))), e.f64(1));
  const k = smallToFloat(e, exponent);
  return { k: e.select(tiny, e.sub(k, e.f64(54)), k), f };
}

/** log(1 + f) + correction + k * ln2. */
function logReduced(e: Exprs, k: Ex, f: Ex, correction: Ex): Ex {
  const square = e.mul(e.mul(f, f), e.f64(0.5));
  const s = e.div(f, e.add(f, e.f64(2)));
  const z = e.mul(s, s);
  const r = e.mul(
    z,
    polynomial(
      e,
      z,
      [
        6.66666666666673513e-1, 3.999999999940941908e-1, 2.857142874366239149e-1, 2.222219843214978396e-1, 1.818357216161805012e-1,
        1.531383769920937332e-1, 1.479819860511658591e-1,
      ],
    ),
  );
  const low = e.add(e.mul(s, e.add(square, r)), e.add(e.mul(k, e.f64(ln2Lo)), correction));
  return e.add(e.add(e.sub(low, square), f), e.mul(k, e.f64(ln2Hi)));
}

/** The values of log at the ends of its domain: -inf at zero, NaN below, x itself at +inf and NaN. */
function logEdges(e: Exprs, x: Ex, y: Ex): Ex {
  const zero = like0(e, x);
  const negative = e.select(e.lt(x, zero), e.constant(x.type, NaN), e.constant(x.type, -Infinity));
  const finite = e.select(e.gt(x, zero), y, negative);
  return e.select(e.or(e.eq(x, e.constant(x.type, Infinity)), e.ne(x, x)), x, finite);
}
function like0(e: Exprs, x: Ex): Ex {
  return e.constant(x.type, 0);
}

export function log64(e: Exprs, x: Ex): Ex {
  const { k, f } = splitExponent64(e, x);
  return logEdges(e, x, logReduced(e, k, f, e.f64(0)));
}

export function log1pOf64(e: Exprs, x: Ex): Ex {
  const u = e.add(x, e.f64(1));
  const split = splitExponent64(e, u);
  const near = e.and(e.gt(x, e.f64(-0.2928)), e.lt(x, e.f64(0.4142)));
  const k = e.select(near, e.f64(0), split.k);
  const f = e.select(near, x, split.f);
  // What rounding 1 + x lost, relative to u.
  const lost = e.select(e.gt(x, e.f64(1)), e.sub(e.f64(1), e.sub(u, x)), e.sub(x, e.sub(u, e.f64(1))));
  const c = e.select(near, e.f64(0), e.div(lost, u));
  const y = logEdges(e, u, logReduced(e, k, f, c));
  // Keeps tiny values and the sign of zero.
  return e.select(e.lt(e.unary("abs", x), e.f64(2 ** -54)), x, y);
}

/** sinh: by expm1, which keeps the small values. */
export function sinh64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const t = expm1of64(e, fmin(e, a, e.f64(30)));
  const ratio = e.div(t, e.add(t, e.f64(1)));
  const small = e.mul(e.f64(0.5), e.sub(e.add(t, t), e.mul(t, ratio)));
  const middle = e.mul(e.f64(0.5), e.add(t, ratio));
  const large = expScaled(e, a, null, -1);
  return copySign(e, e.select(e.lt(a, e.f64(1)), small, e.select(e.lt(a, e.f64(22)), middle, large)), x);
}

export function cosh64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const w = exp64(e, fmin(e, a, e.f64(30)));
  const middle = e.add(e.mul(e.f64(0.5), w), e.div(e.f64(0.5), w));
  return e.select(e.lt(a, e.f64(22)), middle, expScaled(e, a, null, -1));
}

export function tanh64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const up = expm1of64(e, e.mul(e.f64(2), fmin(e, a, e.f64(25))));
  const large = e.sub(e.f64(1), e.div(e.f64(2), e.add(up, e.f64(2))));
  const down = expm1of64(e, e.mul(e.f64(-2), fmin(e, a, e.f64(2))));
  const small = e.div(e.neg(down), e.add(down, e.f64(2)));
  return copySign(e, e.select(e.ge(a, e.f64(1)), large, small), x);
}

export function asinh64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const t = e.mul(a, a);
  const y = log1pOf64(e, e.add(a, e.div(t, e.add(e.f64(1), e.unary("sqrt", e.add(e.f64(1), t))))));
  const large = e.add(log64(e, a), e.f64(Math.LN2));
  return copySign(e, e.select(e.gt(a, e.f64(2 ** 28)), large, y), x);
}

export function acosh64(e: Exprs, x: Ex): Ex {
  const t = e.sub(x, e.f64(1));
  const near = log1pOf64(e, e.add(t, e.unary("sqrt", e.add(e.add(t, t), e.mul(t, t)))));
  const root = e.unary("sqrt", e.sub(e.mul(x, x), e.f64(1)));
  const middle = log64(e, e.sub(e.add(x, x), e.div(e.f64(1), e.add(x, root))));
  const large = e.add(log64(e, x), e.f64(Math.LN2));
  const y = e.select(e.lt(x, e.f64(2)), near, e.select(e.lt(x, e.f64(2 ** 28)), middle, large));
  return e.select(e.lt(x, e.f64(1)), e.f64(NaN), y);
}

export function atanh64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const d = e.sub(e.f64(1), a);
  const twice = e.add(a, a);
  const small = e.add(twice, e.div(e.mul(twice, a), d));
  const argument = e.select(e.lt(a, e.f64(0.5)), small, e.div(twice, d));
  return copySign(e, e.mul(e.f64(0.5), log1pOf64(e, argument)), x);
}

/** cbrt: a logarithmic estimate, then one Newton step, which squares its error away. */
export function cbrt64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const t = exp64(e, e.mul(log64(e, a), e.f64(1 / 3)));
  const better = e.sub(t, e.div(e.sub(e.mul(e.mul(t, t), t), a), e.mul(e.f64(3), e.mul(t, t))));
  const plain = e.or(e.eq(a, e.f64(0)), e.eq(a, e.f64(Infinity)));
  return copySign(e, e.select(plain, a, better), x);
}
