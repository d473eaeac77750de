import type { Ex, Exprs } from "../expr.ts";
import { besselTables } from "./bessel-tables.ts";
import { constants, copySign, fmax, fmin, leading, like, parts, polynomial, visible } from "./common.ts";
import { exp64, log1pOf64, log64 } from "./exp64.ts";
import { log32 } from "./fast32.ts";
import { gammaTables } from "./gamma-tables.ts";
import { type Pair, product, quickSum, sum } from "./pair.ts";
import { expOfPair, logPair, powPositive } from "./power.ts";
import { sin32, tan32 } from "./trig32.ts";
import { sin64, tan64 } from "./trig64.ts";

// Special functions in either precision. erf and erfc after fdlibm (s_erf.c, Sun Microsystems, 1993); the gamma family by
// polynomials about the zeros, steps of the recurrence and Stirling's series.

const logOf = (e: Exprs, x: Ex): Ex => (x.type === "f64" ? log64(e, x) : log32(e, x));
const sinOf = (e: Exprs, x: Ex): Ex => (x.type === "f64" ? sin64(e, x) : sin32(e, x));
const tanOf = (e: Exprs, x: Ex): Ex => (x.type === "f64" ? tan64(e, x) : tan32(e, x));

/** erf on [0, 0.84375) as x + x * ratio(x^2). */
function erfSmall(e: Exprs, z: Ex): Ex {
  const p = polynomial(
    e,
    z,
    [
      1.28379167095512558561e-1, -3.2504210724700149937e-1, -2.84817495755985104766e-2, -5.77027029648944159157e-3,
      -2.37630166566501626084e-5,
    ],
  );
  const q = polynomial(
    e,
    z,
    [
      1, 3.97917223959155352819e-1, 6.50222499887672944485e-2, 5.08130628187576562776e-3, 1.32494738004321644526e-4,
      -3.9602282787753681232e-6,
    ],
  );
  return e.div(p, q);
}
const erx = 8.45062911510467529297e-1;
/** erf(x) - erx on [0.84375, 1.25), by s = |x| - 1. */
function erfMiddle(e: Exprs, s: Ex): Ex {
  const p = polynomial(
    e,
    s,
    [
      -2.36211856075265944077e-3, 4.14856118683748331666e-1, -3.72207876035701323847e-1, 3.18346619901161753674e-1,
      -1.10894694282396677476e-1, 3.54783043256182359371e-2, -2.166375594868790843e-3,
    ],
  );
  const q = polynomial(
    e,
    s,
    [
      1, 1.06420880400844228286e-1, 5.40397917702171048937e-1, 7.18286544141962662868e-2, 1.26171219808761642112e-1,
      1.36370839120290507362e-2, 1.1984499846799107417e-2,
    ],
  );
  return e.div(p, q);
}
/** erfc(a) for a >= 1.25. */
function erfcTail(e: Exprs, a: Ex): Ex {
  const c = constants(e, a);
  const s = e.div(c(1), e.mul(a, a));
  const near = e.div(
    polynomial(
      e,
      s,
      [
        -9.86494403484714822705e-3, -6.93858572707181764372e-1, -1.05586262253232909814e1, -6.23753324503260060396e1,
        -1.62396669462573470355e2, -1.84605092906711035994e2, -8.12874355063065934246e1, -9.81432934416914548592,
      ],
    ),
    polynomial(
      e,
      s,
      [
        1, 1.96512716674392571292e1, 1.376577541435190426e2, 4.34565877475229228821e2, 6.45387271733267880336e2,
        4.29008140027567833386e2, 1.08635005541779435134e2, 6.57024977031928170135, -6.04244152148580987438e-2,
      ],
    ),
  );
  const far = e.div(
    polynomial(
      e,
      s,
      [
        -9.86494292470009928597e-3, -7.99283237680523006574e-1, -1.77579549177547519889e1, -1.60636384855821916062e2,
        -6.37566443368389627722e2, -1.02509513161107724954e3, -4.83519191608651397019e2,
      ],
    ),
    polynomial(
      e,
      s,
      [
        1, 3.03380607434824582924e1, 3.25792512996573918826e2, 1.53672958608443695994e3, 3.19985821950859553908e3,
        2.55305040643316442583e3, 4.74528541206955367215e2, -2.24409524465858183362e1,
      ],
    ),
  );
  const ratio = e.select(e.lt(a, c(1 / 0.35)), near, far);
  // exp(-a^2 - 0.5625 + ratio) with the square split, so that its rounding does not reach the exponent.
  const z = leading(e, a);
  const exact = e.sub(e.mul(e.neg(z), z), c(0.5625));
  const small = e.add(e.mul(e.sub(z, a), e.add(z, a)), ratio);
  return e.div(expOfPair(e, quickSum(e, exact, small)), a);
}

export function erf(e: Exprs, x: Ex): Ex {
  const c = constants(e, x);
  const a = e.unary("abs", x);
  const small = e.add(a, e.mul(a, erfSmall(e, e.mul(a, a))));
  const middle = e.add(c(erx), erfMiddle(e, e.sub(a, c(1))));
  const large = e.sub(c(1), erfcTail(e, fmin(e, a, c(6))));
  // The ratio of a small number would be flushed to zero before the number is.
  const tiny = x.type === "f32" ? e.select(e.lt(a, c(2 ** -30)), e.mul(a, c(2 / Math.sqrt(Math.PI))), small) : small;
  return copySign(e, e.select(e.lt(a, c(0.84375)), tiny, e.select(e.lt(a, c(1.25)), middle, large)), x);
}

export function erfc(e: Exprs, x: Ex): Ex {
  const c = constants(e, x);
  const a = e.unary("abs", x);
  const positive = e.gt(x, c(0));
  const ratio = erfSmall(e, e.mul(a, a));
  const tiny = e.sub(c(1), e.add(x, e.mul(x, ratio)));
  const quarter = e.sub(c(0.5), e.add(e.sub(x, c(0.5)), e.mul(x, ratio)));
  const small = e.select(e.lt(x, c(0.25)), tiny, quarter);
  const m = erfMiddle(e, e.sub(a, c(1)));
  const middle = e.select(positive, e.sub(c(1 - erx), m), e.add(c(1), e.add(c(erx), m)));
  const t = erfcTail(e, fmin(e, a, c(30)));
  const large = e.select(positive, t, e.sub(c(2), t));
  return e.select(e.lt(a, c(0.84375)), small, e.select(e.lt(a, c(1.25)), middle, large));
}

/**
 * The inverse of erf: Giles' single precision estimate, then two Newton steps on erf, or on erfc near the ends,
 * where 1 - |x| is exact. @see Giles (2012), "Approximating the erfinv function"
 */
export function erfInv64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const w = e.neg(log1pOf64(e, e.neg(e.mul(x, x))));
  const central = polynomial(
    e,
    e.sub(w, e.f64(2.5)),
    [
      1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-6, -3.5233877e-6, 3.43273939e-7,
      2.81022636e-8,
    ],
  );
  const tail = polynomial(
    e,
    e.sub(e.unary("sqrt", w), e.f64(3)),
    [
      2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844, 0.00134934322, 0.000100950558,
      -0.000200214257,
    ],
  );
  // Giles' tail ends with single precision; beyond, erfc(y) = exp(-y^2) / (y sqrt(pi)) (1 - 1 / (2 y^2) + …), solved twice.
  const logRest = e.add(w, e.f64(Math.LN2));
  const first = e.sub(logRest, e.mul(e.f64(0.5), log64(e, e.mul(e.f64(Math.PI), fmax(e, logRest, e.f64(1))))));
  const square = fmax(e, first, e.f64(1));
  const correction = e.add(e.mul(e.f64(0.5), log64(e, e.mul(e.f64(Math.PI), square))), e.div(e.f64(0.5), square));
  const far = e.unary("sqrt", fmax(e, e.sub(logRest, correction), e.f64(0)));
  const estimate = e.select(e.lt(w, e.f64(5)), central, tail);
  let y = e.select(e.lt(w, e.f64(15)), e.mul(estimate, a), far);
  const near = e.lt(a, e.f64(0.5));
  const rest = e.sub(e.f64(1), a);
  for (let i = 0; i < 2; i++) {
    const error = e.select(near, e.sub(erf(e, y), a), e.sub(rest, erfc(e, y)));
    const slope = e.mul(e.f64(2 / Math.sqrt(Math.PI)), exp64(e, e.neg(e.mul(y, y))));
    const step = e.div(error, slope);
    // Halley's correction: the second derivative of erf is -2y times the first.
    y = e.sub(y, e.div(step, e.add(e.f64(1), e.mul(y, step))));
  }
  const edge = e.select(e.eq(a, e.f64(1)), e.f64(Infinity), e.select(e.gt(a, e.f64(1)), e.f64(NaN), y));
  return copySign(e, edge, x);
}

/** Stirling's series: B_2k / (2k (2k - 1)), the coefficients of x^(1 - 2k). @see Abramowitz & Stegun 6.1.41 */
const stirling: readonly number[] = [
  1 / 12,
  -1 / 360,
  1 / 1260,
  -1 / 1680,
  1 / 1188,
  -691 / 360360,
  1 / 156,
  -3617 / 122400,
  43867 / 244188,
  -174611 / 125400,
];

/**
 * log(gamma(x)) for x >= 8: (x - 1/2) (log(x) - 1) + (log(2 pi) - 1) / 2 + the series. The first product is large beside
 * the sum, so both its factors are exact.
 */
function lgammaPair(e: Exprs, x: Ex): Pair {
  const c = constants(e, x);
  const log = logPair(e, x);
  const less = quickSum(e, log.hi, c(-1));
  const main = product(e, e.sub(x, c(0.5)), less.hi);
  const low = e.add(main.lo, e.mul(e.sub(x, c(0.5)), e.add(less.lo, log.lo)));
  const inverse = e.div(c(1), x);
  const square = e.mul(inverse, inverse);
  const series = e.mul(inverse, polynomial(e, square, visible(x, stirling, 1 / 64, 1 / 12)));
  const sum = quickSum(e, main.hi, c(0.5 * (Math.log(2 * Math.PI) - 1)));
  return { hi: sum.hi, lo: e.add(series, e.add(sum.lo, low)) };
}
function lgammaLarge(e: Exprs, x: Ex): Ex {
  const { hi, lo } = lgammaPair(e, x);
  return e.select(e.eq(hi, like(e, x, Infinity)), hi, e.add(hi, lo));
}

/** (x - 1) (x - 2) … down to the factor between 2 and 3, and that factor's own place: x less an integer, in [2, 3). */
function stepsDown(e: Exprs, x: Ex, limit: number): { readonly base: Ex; readonly steps: readonly { on: Ex; factor: Ex }[] } {
  const c = constants(e, x);
  const steps = Array.from({ length: limit - 3 }, (_, i) => ({
    on: e.ge(x, c(3 + i)),
    factor: e.sub(x, c(1 + i)),
  }));
  let base = x;
  for (const { on, factor } of steps) base = e.select(on, factor, base);
  return { base, steps };
}

/** log(gamma(x)) for x > 0, with small relative errors at the zeros 1 and 2, too. */
function lgammaPositive(e: Exprs, x: Ex): Ex {
  const c = constants(e, x);
  const { base, steps } = stepsDown(e, fmin(e, x, c(8)), 8);
  const products = steps.reduce((p, { on, factor }) => e.select(on, e.mul(p, factor), p), c(1));
  const tiny = e.lt(x, c(0.65));
  const w = e.sub(base, c(2));
  const aboutTwo = e.mul(w, polynomial(e, w, visible(x, gammaTables.aboutTwo, 1, 0.3)));
  const u = e.select(tiny, x, e.sub(x, c(1)));
  const aboutOne = e.mul(u, polynomial(e, u, visible(x, gammaTables.aboutOne, 0.66, 0.3)));
  // Below 0.65 gamma(x) is gamma(1 + x) / x, from 3 on a product.
  const log = logOf(e, e.select(tiny, x, products));
  // Adding the logarithm of 1 gives the zero at 1 its sign.
  const small = e.select(tiny, e.sub(aboutOne, log), e.add(aboutOne, log));
  const middle = e.select(e.lt(x, c(1.4)), small, e.add(aboutTwo, log));
  return e.select(e.lt(x, c(8)), middle, lgammaLarge(e, fmax(e, x, c(8))));
}

/** The distance of |x| to the nearest integer. */
function fromInteger(e: Exprs, a: Ex): Ex {
  const c = constants(e, a);
  const fraction = e.sub(a, e.unary("floor", a));
  return e.select(e.gt(fraction, c(0.5)), e.sub(c(1), fraction), fraction);
}

/** log(|gamma(x)|); +inf at the poles. Negative arguments by reflection. @see Abramowitz & Stegun 6.1.17 */
export function lgamma(e: Exprs, x: Ex): Ex {
  const c = constants(e, x);
  const a = e.unary("abs", x);
  const positive = lgammaPositive(e, a);
  const sine = sinOf(e, e.mul(c(Math.PI), fromInteger(e, a)));
  // gamma(-a) = -pi / (a sin(pi a) gamma(a))
  const mirrored = e.sub(logOf(e, e.div(c(Math.PI), e.mul(a, sine))), positive);
  // Near zero a sin(pi a) underflows, and is not needed.
  const small = e.neg(logOf(e, a));
  const below = e.select(e.lt(a, c(2 ** -60)), small, e.select(e.eq(sine, c(0)), c(Infinity), mirrored));
  const y = e.select(e.gt(x, c(0)), positive, below);
  const infinite = e.or(e.eq(a, c(Infinity)), e.eq(a, c(0)));
  return e.select(infinite, c(Infinity), y);
}

/** B_2k / 2k, the coefficients of -x^(-2k) in digamma's asymptotic series. @see Abramowitz & Stegun 6.3.18 */
const digammaSeries: readonly number[] = [
  1 / 12,
  -1 / 120,
  1 / 252,
  -1 / 240,
  1 / 132,
  -691 / 32760,
  1 / 12,
  -3617 / 8160,
  43867 / 14364,
  -174611 / 6600,
];
/** From here on the asymptotic series has the digits of a double. */
const digammaFar = 10;

/** digamma for x > 0. */
function digammaPositive(e: Exprs, x: Ex): Ex {
  const c = constants(e, x);
  // Sums of 1 / (x - k), as one fraction.
  const { base, steps } = stepsDown(e, fmin(e, x, c(digammaFar)), digammaFar);
  let over = c(0);
  let under = c(1);
  for (const { on, factor } of steps) {
    over = e.select(on, e.add(e.mul(over, factor), under), over);
    under = e.select(on, e.mul(under, factor), under);
  }
  const tiny = e.lt(x, c(1));
  const sum = e.div(e.select(tiny, c(-1), over), e.select(tiny, x, under));
  const { rootHigh, rootLow, aboutRoot } = gammaTables;
  const [high, low] = parts(e, x, rootHigh, rootLow);
  const place = e.select(tiny, e.add(x, c(1)), base);
  const shift = e.select(tiny, e.sub(high, c(1)), high);
  const fromRoot = e.sub(e.rounded(e.sub(e.select(tiny, x, base), shift)), low);
  const near = e.add(e.mul(fromRoot, polynomial(e, e.sub(place, c(2)), visible(x, aboutRoot, 1, 0.5))), sum);
  const inverse = e.div(c(1), x);
  const square = e.mul(inverse, inverse);
  const series = e.add(e.mul(c(0.5), inverse), e.mul(square, polynomial(e, square, visible(x, digammaSeries, 0.01, 0.1))));
  const far = e.sub(logOf(e, x), series);
  return e.select(e.lt(x, c(digammaFar)), near, far);
}

/** The derivative of lgamma; NaN at the poles. Negative arguments by reflection. @see Abramowitz & Stegun 6.3.7 */
export function digamma(e: Exprs, x: Ex): Ex {
  const c = constants(e, x);
  const negative = e.lt(x, c(0));
  const a = e.unary("abs", x);
  const positive = digammaPositive(e, a);
  // psi(-a) = psi(a) + 1 / a + pi / tan(pi a); the nearest integer is taken off first: the cotangent has period one.
  const shifted = e.sub(a, e.unary("nearest", a));
  const mirrored = e.add(positive, e.add(e.div(c(1), a), e.div(c(Math.PI), tanOf(e, e.mul(c(Math.PI), shifted)))));
  // 1 / a and the cotangent are 2 / a there, and may overflow by themselves.
  const small = e.div(c(1), a);
  const pole = e.and(e.le(x, c(0)), e.eq(x, e.unary("floor", x)));
  const below = e.select(e.lt(a, c(2 ** -60)), small, mirrored);
  return e.select(pole, c(NaN), e.select(negative, below, positive));
}

/** Bernoulli numbers B_2j over (2j)!, by mpmath. */
const eulerMaclaurin: readonly number[] = [
  0.0833333333333333287, -0.00138888888888888894, 0.0000330687830687830642, -8.26719576719576754e-7, 2.08767569878681002e-8,
  -5.28419013868749322e-10, 1.33825365306846805e-11, -3.38968029632258272e-13, 8.58606205627784517e-15, -2.17486869855806192e-16,
  5.50900282836022953e-18, -1.39544646858125247e-19,
];
/** Terms of Hurwitz' series that are added one by one before the asymptotic expansion. */
const directTerms = 9;

/** The Hurwitz zeta function, sum over k >= 0 of (q + k)^-s, by Euler-Maclaurin summation; NaN for s < 1 or q < 0. */
export function zeta(e: Exprs, s: Ex, q: Ex): Ex {
  return scaledZeta(e, s, q, null);
}
/** exp(plus) times zeta(s, q). */
function scaledZeta(e: Exprs, s: Ex, q: Ex, plus: Pair | null): Ex {
  const c = constants(e, s);
  const exponent = e.neg(s);
  const pole = e.or(e.eq(s, c(1)), e.and(e.le(q, c(0)), e.eq(q, e.unary("floor", q))));
  const outside = e.or(e.lt(s, c(1)), e.lt(q, c(0)));
  const y =
    s.type === "f64"
      ? eulerMaclaurinSum(e, s, q, (x) => powPositive(e, x, exponent, { plus }))
      : singleZeta(e, s, q, exponent, plus);
  return e.select(pole, c(Infinity), e.select(outside, c(NaN), y));
}
/** Small powers are taken 2^60 times as large, so that none of them is flushed to zero before their sum is. */
function singleZeta(e: Exprs, s: Ex, q: Ex, exponent: Ex, plus: Pair | null): Ex {
  const first = powPositive(e, q, exponent, { plus });
  const small = e.lt(first, e.f32(2 ** -30));
  const [high, low] = parts(e, s, 60 * Math.LN2, 0);
  const more = sum(e, e.select(small, high, e.f32(0)), plus?.hi ?? e.f32(0));
  const scaled = { hi: more.hi, lo: e.add(e.add(more.lo, e.select(small, low, e.f32(0))), plus?.lo ?? e.f32(0)) };
  const y = eulerMaclaurinSum(e, s, q, (x, rest) => powPositive(e, x, exponent, { plus: scaled, rest }));
  const sized = e.mul(y, e.select(small, e.f32(2 ** -60), e.f32(1)));
  // Far out the sum is its integral, and the terms are too small to be numbers.
  const less = e.sub(s, e.f32(1));
  const finite = e.lt(q, e.f32(Infinity));
  const integral = e.select(finite, e.div(powPositive(e, q, e.neg(less), { plus }), less), e.f32(NaN));
  return e.select(e.gt(q, e.f32(2 ** 40)), integral, e.select(e.eq(first, e.f32(Infinity)), first, sized));
}
/** `power` is that of x, and of what rounding x has lost. */
function eulerMaclaurinSum(e: Exprs, s: Ex, q: Ex, power: (x: Ex, rest: Ex) => Ex): Ex {
  const c = constants(e, s);
  const wide = s.type === "f64";
  const from = (k: number): Ex => {
    const { hi, lo } = sum(e, q, c(k));
    return power(wide ? e.add(q, c(k)) : hi, lo);
  };
  let total = power(q, c(0));
  // Double precision has digits to spare; single keeps what the additions lose.
  let lost = c(0);
  const add = (x: Ex): void => {
    if (wide) total = e.add(total, x);
    else {
      const next = sum(e, total, x);
      lost = e.add(lost, next.lo);
      total = next.hi;
    }
  };
  for (let k = 1; k < directTerms; k++) add(from(k));
  const a = e.add(q, c(directTerms));
  const last = from(directTerms);
  add(e.div(e.mul(last, a), e.sub(s, c(1))));
  add(e.mul(last, c(0.5)));
  // s (s + 1) … (s + 2j - 2) a^(-s - 2j + 1), from one j to the next. Where s is large no power is left; the products would overflow.
  const factor = wide ? s : fmin(e, s, c(1e9));
  let term = e.div(e.mul(factor, last), a);
  const inverseSquare = e.div(c(1), e.mul(a, a));
  eulerMaclaurin.forEach((b, j) => {
    add(e.mul(term, c(b)));
    term = e.mul(e.mul(term, e.mul(e.add(factor, c(2 * j + 1)), e.add(factor, c(2 * j + 2)))), inverseSquare);
  });
  return wide ? total : e.add(total, lost);
}

/** The n-th derivative of digamma: (-1)^(n + 1) n! zeta(n + 1, x). NaN unless n is 0, 1, 2, … */
export function polygamma(e: Exprs, n: Ex, x: Ex): Ex {
  const c = constants(e, n);
  const s = e.add(n, c(1));
  const half = e.mul(n, c(0.5));
  const even = e.eq(e.unary("trunc", half), half);
  const y = n.type === "f64" ? e.mul(exp64(e, lgamma(e, s)), zeta(e, s, x)) : scaledZeta(e, s, x, logFactorial(e, n));
  const order = e.and(e.ge(n, c(0)), e.eq(n, e.unary("floor", n)));
  return e.select(e.eq(n, c(0)), digamma(e, x), e.select(order, e.select(even, e.neg(y), y), c(NaN)));
}
/** log(n!) in two parts: single precision has neither the range nor the digits for the factorial. */
function logFactorial(e: Exprs, n: Ex): Pair {
  const c = constants(e, n);
  const large = lgammaPair(e, fmax(e, e.add(n, c(1)), c(8)));
  let factorial = c(1);
  for (const [i, f] of [2, 6, 24, 120, 720].entries()) factorial = e.select(e.eq(n, c(i + 2)), c(f), factorial);
  const small = logPair(e, factorial);
  const below = e.lt(n, c(7));
  return { hi: e.select(below, small.hi, large.hi), lo: e.select(below, small.lo, large.lo) };
}

/** A polynomial on one of three intervals, about its middle: `tables` from the nearest to zero to the farthest. */
function piecewise(e: Exprs, a: Ex, tables: readonly (readonly number[])[]): Ex {
  const c = constants(e, a);
  const [first, second] = [e.lt(a, c(besselTables.ends[0]!)), e.lt(a, c(besselTables.ends[1]!))];
  const pick = ([p, q, r]: readonly number[]): Ex => e.select(first, c(p!), e.select(second, c(q!), c(r!)));
  const t = e.sub(a, pick(besselTables.middles));
  const ends = [0, ...besselTables.ends];
  const pieces = tables.map((coefs, i) => visible(a, coefs, (ends[i + 1]! - ends[i]!) / 2, 0.1));
  const terms = Math.max(...pieces.map((coefs) => coefs.length));
  let y = c(0);
  for (let i = terms - 1; i >= 0; i--) y = e.add(e.mul(y, t), pick(pieces.map((coefs) => coefs[i] ?? 0)));
  return y;
}
/** exp(-a) I_n(a) for a > 8. */
function besselFar(e: Exprs, a: Ex, coefs: readonly number[]): Ex {
  const c = constants(e, a);
  return e.div(polynomial(e, e.sub(e.div(c(8), a), c(0.5)), visible(a, coefs, 0.5, 0.4)), e.unary("sqrt", a));
}

/** exp(-|x|) I_0(x) */
export function i0e(e: Exprs, x: Ex): Ex {
  const c = constants(e, x);
  const a = e.unary("abs", x);
  return e.select(e.le(a, c(8)), piecewise(e, a, besselTables.i0Near), besselFar(e, a, besselTables.i0Far));
}
/** exp(-|x|) I_1(x) */
export function i1e(e: Exprs, x: Ex): Ex {
  const c = constants(e, x);
  const a = e.unary("abs", x);
  const near = e.mul(a, piecewise(e, a, besselTables.i1Near));
  return copySign(e, e.select(e.le(a, c(8)), near, besselFar(e, a, besselTables.i1Far)), x);
}
