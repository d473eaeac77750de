import type { Ex, Exprs } from "../expr.ts";
import { byPairs, copySign, type ElementFunction, polynomial } from "./common.ts";
import type { Pair } from "./pair.ts";

// Single precision forms of the functions that inner loops use most: few operations, no branches. Bounds are stated in
// docs/numerics.md and tested in `numerics.test.ts` of the backend.

/** 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits. */
const magic = 12582912;
const ln2Hi = 0.693359375;
const ln2Lo = -2.1219444e-4;

/** The smaller of x and a bound, and the larger; NaN stays. One instruction each where minimum is several. */
export function atMost(e: Exprs, x: Ex, bound: number): Ex {
  return e.op("pmin", x.type, [x, e.f32(bound)]);
}
export function atLeast(e: Exprs, x: Ex, bound: number): Ex {
  return e.op("pmax", x.type, [x, e.f32(bound)]);
}

/**
 * x = n * ln2 + r with |r| <= ln2 / 2. `raw` is n with the magic number's bits above it, which end in nine zeros. Where x is a multiple
 * of something known earlier, n need not wait for it.
 */
export function reduceExp(e: Exprs, x: Ex, early: { x: Ex; times: number } = { x: x, times: 1 }): { raw: Ex; r: Ex } {
  const t = e.fma(early.x, e.f32(early.times * Math.LOG2E), e.f32(magic));
  const n = e.sub(t, e.f32(magic));
  const r = e.fma(n, e.f32(-ln2Lo), e.fma(n, e.f32(-ln2Hi), x));
  return { raw: e.bitcast("i32", t), r };
}
/** expm1(r) on the reduced range. Polynomial of Cephes expf (Moshier, 1989). */
export function expm1Reduced(e: Exprs, r: Ex): Ex {
  const rr = e.mul(r, r);
  const p = byPairs(e, r, rr, [5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.98756915e-4]);
  return e.fma(rr, p, r);
}
/**
 * exp(r) on the reduced range, by a polynomial of least error (weighted least squares by Lawson's iteration) whose error is 0.08 units
 * of the last place.
 */
export function expReduced(e: Exprs, r: Ex): Ex {
  const rr = e.mul(r, r);
  const p = byPairs(e, r, rr, [0.5, 0.166665181517601, 0.04166620597243309, 0.008368917740881443, 0.0013950528809800744]);
  return e.add(e.fma(rr, p, r), e.f32(1));
}
/** 2^n of `raw`; the bits of the magic number leave at the top, those of half of it too. */
export function power(e: Exprs, raw: Ex): Ex {
  return e.bitcast("f32", e.shl(e.add(raw, e.i32(127)), 23));
}
/** x * 2^n for n in [-252, 254], in two steps so that neither factor overflows. */
export function scale(e: Exprs, x: Ex, raw: Ex): Ex {
  const half = e.shrS(raw, 1);
  return e.mul(e.mul(x, power(e, half)), power(e, e.sub(raw, half)));
}

/**
 * y, or 0 where x is below a bound from which on the result rounds to 0. Processors take many times as long for products that fall
 * below the smallest normal number: masked softmaxes are full of them.
 */
export function orNothing(e: Exprs, x: Ex, bound: number, y: Ex): Ex {
  return e.select(e.lt(x, e.f32(bound)), e.f32(0), y);
}

export function exp32(e: Exprs, x: Ex, largest = 89): Ex {
  const { raw, r } = reduceExp(e, atLeast(e, atMost(e, x, largest), -104));
  // ln(2^-150) = -103.972077...
  return scale(e, orNothing(e, x, -103.97207641601562, expReduced(e, r)), raw);
}

function exp2of32(e: Exprs, x: Ex): Ex {
  const y = atLeast(e, atMost(e, x, 129), -151);
  const t = e.add(y, e.f32(magic));
  const r = e.mul(e.sub(y, e.sub(t, e.f32(magic))), e.f32(Math.LN2));
  return scale(e, orNothing(e, x, -150, expReduced(e, r)), e.bitcast("i32", t));
}

function expm1of32(e: Exprs, x: Ex): Ex {
  const { raw, r } = reduceExp(e, atLeast(e, atMost(e, x, 89), -30));
  const m = expm1Reduced(e, r);
  const factor = power(e, raw);
  const near = e.fma(factor, m, e.sub(factor, e.f32(1)));
  const y = e.select(e.gt(x, e.f32(40)), scale(e, e.add(m, e.f32(1)), raw), near);
  return e.select(e.eq(x, e.f32(0)), x, y);
}

/** x = 2^k * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)). */
export function splitExponent32(e: Exprs, x: Ex): { k: Ex; f: Ex } {
  const tiny = e.lt(x, e.f32(2 ** -126));
  const bits = e.bitcast("i32", e.select(tiny, e.mul(x, e.f32(2 ** 23)), x));
  const exponent = e.shrS(e.sub(bits, e.i32(0x3f3504f3)), 23);
  const f = e.sub(e.bitcast("f32", e.sub(bits, e.shl(exponent, 23))), e.f32(1));
  const k = e.op("from_s", "f32", [exponent]);
  return { k: e.select(tiny, e.sub(k, e.f32(23)), k), f };
}
/** log(1 + f) + c + k * ln2. Polynomial of Cephes logf. */
export function logReduced(e: Exprs, k: Ex, f: Ex, c: Ex | null): Ex {
  const z = e.mul(f, f);
  const p = polynomial(
    e,
    f,
    [
      3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1, -1.2420140846e-1, 1.167699874e-1,
      -1.151461031e-1, 7.0376836292e-2,
    ],
  );
  let y = e.mul(e.mul(f, z), p);
  y = e.fma(k, e.f32(ln2Lo), y);
  if (c !== null) y = e.add(y, c);
  y = e.fma(z, e.f32(-0.5), y);
  return e.fma(k, e.f32(ln2Hi), e.add(f, y));
}
export function logEdges(e: Exprs, x: Ex, y: Ex): Ex {
  const outside = e.select(e.lt(x, e.f32(0)), e.f32(NaN), e.f32(-Infinity));
  const inside = e.select(e.gt(x, e.f32(0)), y, outside);
  // +inf and NaN are their own logarithms.
  return e.select(e.lt(x, e.f32(Infinity)), inside, x);
}
export function log32(e: Exprs, x: Ex): Ex {
  const { k, f } = splitExponent32(e, x);
  return logEdges(e, x, logReduced(e, k, f, null));
}
export function log1pOf32(e: Exprs, x: Ex): Ex {
  return log1pOfSum(e, x, null);
}
/** log1p(hi + lo), for hi clear of zero. */
export function log1pOfPair32(e: Exprs, { hi, lo }: Pair): Ex {
  return log1pOfSum(e, hi, lo);
}
function log1pOfSum(e: Exprs, x: Ex, low: Ex | null): Ex {
  const u = e.add(x, e.f32(1));
  const s = splitExponent32(e, u);
  const near = e.and(e.gt(x, e.f32(-0.2928)), e.lt(x, e.f32(0.4142)));
  const k = e.select(near, e.f32(0), s.k);
  const f = e.select(near, x, s.f);
  const lost = e.select(e.gt(x, e.f32(1)), e.sub(e.f32(1), e.sub(u, x)), e.sub(x, e.sub(u, e.f32(1))));
  const c =
    low === null
      ? e.select(near, e.f32(0), e.div(lost, u))
      : e.select(e.lt(u, e.f32(Infinity)), e.div(e.add(e.select(near, e.f32(0), lost), low), u), e.f32(0));
  return e.select(e.lt(e.unary("abs", x), e.f32(2 ** -25)), x, logEdges(e, u, logReduced(e, k, f, c)));
}

/**
 * -expm1(t) / (expm1(t) + 2) for t = -2|x|, which is 1 from 9.1 on. With t = n ln2 + r both are divided by 2^n: then the
 * numerator is rounded once, and the divisor, from the unrounded parts, once. The sign of x comes and goes as a bit.
 */
function tanh32(e: Exprs, x: Ex): Ex {
  const sign = e.i32(-0x80000000);
  const bits = e.bitcast("i32", x);
  const a = atLeast(e, e.bitcast("f32", e.or(bits, sign)), -9.1);
  const { raw, r } = reduceExp(e, e.add(a, a), { x: a, times: 2 });
  const inverse = e.bitcast("f32", e.shl(e.sub(e.i32(127), raw), 23));
  const m = expm1Reduced(e, r);
  const [over, under] = [e.sub(e.sub(inverse, e.f32(1)), m), e.add(m, e.add(inverse, e.f32(1)))];
  return e.bitcast("f32", e.or(e.bitcast("i32", e.div(over, under)), e.and(bits, sign)));
}

/** exp(x) / (1 + exp(x)), which keeps the smallest values. It is 1 long before 30. */
function logistic32(e: Exprs, x: Ex): Ex {
  const t = exp32(e, x, 30);
  return e.div(t, e.add(e.f32(1), t));
}

/**
 * x = n * pi/2 + r, reduced in double precision: 33 bits of pi/2 make the first product exact. Beyond 10^6 the emitter's
 * exact reduction takes over.
 */
function reducePi(e: Exprs, x: Ex): { n: Ex; r: Ex } {
  const wide = e.op("promote", "f64", [x]);
  const big = e.gt(e.unary("abs", wide), e.f64(1e6));
  const t = e.add(e.mul(wide, e.f64(2 / Math.PI)), e.f64(6755399441055744));
  const k = e.sub(t, e.f64(6755399441055744));
  const near = e.sub(e.sub(wide, e.mul(k, e.f64(1.57079632673412561417))), e.mul(k, e.f64(6.07710050650619224932e-11)));
  const r = e.op("demote", "f32", [e.select(big, e.op("rem_pio2", "f64", [wide]), near)]);
  const quotient = e.select(big, e.op("quo_pio2", "f64", [wide]), k);
  return { n: e.op("wrap", "i32", [e.bitcast("i64", e.add(quotient, e.f64(6755399441055744)))]), r };
}
/** Polynomials of Cephes sinf and cosf on |r| <= pi/4; `low` is what r lacks, and r times that. */
export function sinReduced(e: Exprs, r: Ex, low: Ex | null = null): Ex {
  const z = e.mul(r, r);
  const p = polynomial(e, z, [-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4]);
  const cube = e.mul(z, r);
  return low === null ? e.fma(cube, p, r) : e.add(r, e.fma(cube, p, low));
}
export function cosReduced(e: Exprs, r: Ex, low: Ex | null = null): Ex {
  const z = e.mul(r, r);
  const p = polynomial(e, z, [4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5]);
  const y = e.fma(e.mul(z, z), p, e.fma(z, e.f32(-0.5), e.f32(1)));
  return low === null ? y : e.sub(y, low);
}
function circular(e: Exprs, x: Ex, quarter: number): Ex {
  const { n, r } = reducePi(e, x);
  const m = quarter === 0 ? n : e.add(n, e.i32(quarter));
  const odd = e.ne(e.and(m, e.i32(1)), e.i32(0));
  const y = e.select(odd, cosReduced(e, r), sinReduced(e, r));
  const sign = e.shl(e.and(m, e.i32(2)), 30);
  const flipped = e.bitcast("f32", e.xor(e.bitcast("i32", y), sign));
  const finite = e.select(e.lt(e.unary("abs", x), e.f32(Infinity)), flipped, e.f32(NaN));
  return quarter === 0 ? e.select(e.eq(x, e.f32(0)), x, finite) : finite;
}

/**
 * The rational approximation of XLA: odd of degree 9 over even of degree 12. It passes 1 at 3.8532, where erf itself is
 * less than a unit of the last place below it. In double precision, because rounding would cost more than the
 * approximation does.
 */
function erf32(e: Exprs, x: Ex): Ex {
  const limit = 3.8533;
  const y = e.op("promote", "f64", [atLeast(e, atMost(e, x, limit), -limit)]);
  const z = e.mul(y, y);
  const p = polynomial(
    e,
    z,
    [1.128379143519084, 0.18520832239976145, 0.050955695062380861, 0.0034082910107109506, 0.00022905065861350646],
  );
  const q = polynomial(
    e,
    z,
    [
      1, 0.49746925110067538, 0.11098505178285362, 0.014070470171167667, 0.0010179625278914885, 0.000023547966471313185,
      -1.1791602954361697e-7,
    ],
  );
  const ratio = e.op("demote", "f32", [e.div(e.mul(y, p), q)]);
  return copySign(e, e.op("pmin", "f32", [e.unary("abs", ratio), e.f32(1)]), x);
}

/**
 * x times a polynomial in w = -log(1 - x^2), in the middle, or in sqrt(w), by mpmath's `chebyfit`.
 * @see Giles (2012), "Approximating the erfinv function"
 */
function erfInv32(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const w = e.neg(log32(e, e.mul(e.sub(e.f32(1), a), e.add(e.f32(1), a))));
  const middle = polynomial(
    e,
    e.sub(w, e.f32(2.5)),
    [
      1.50140941, 0.24664028, -0.004177393, -0.0012527264, 0.0002183494, -4.97242e-6, -3.4639852e-6, 4.6813136e-7, 2.3335968e-8,
      -8.931926e-9,
    ],
  );
  const tail = polynomial(
    e,
    e.sub(e.unary("sqrt", w), e.f32(3)),
    [
      2.8329768, 1.001675, 0.009445697, -0.0076388661, 0.0056831185, -0.0035891854, 0.0014959677, -7.34079e-5, -0.00031884786,
      0.00012747638,
    ],
  );
  const y = e.mul(e.select(e.lt(w, e.f32(5)), middle, tail), x);
  return e.select(e.eq(a, e.f32(1)), copySign(e, e.f32(Infinity), x), y);
}

export const fast32: Readonly<Record<string, ElementFunction>> = {
  exp: (e, x) => exp32(e, x),
  exp2: exp2of32,
  expm1: expm1of32,
  log: log32,
  log1p: log1pOf32,
  tanh: tanh32,
  logistic: logistic32,
  erf: erf32,
  erf_inv: erfInv32,
  sin: (e, x) => circular(e, x, 0),
  cos: (e, x) => circular(e, x, 1),
};
