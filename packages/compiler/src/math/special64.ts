import type { Ex, Exprs } from "../expr.ts";
import { copySign, fmin, polynomial } from "./common.ts";
import { exp64, log1pOf64, log64 } from "./exp64.ts";
import { tan64, sin64 } from "./trig64.ts";
import { besselTables } from "./bessel-tables.ts";

// Special functions in double precision. erf and erfc after fdlibm (s_erf.c, Sun Microsystems, 1993); the gamma
// family by Lanczos' approximation (g = 7, n = 9; Godfrey, 2001), as XLA has it.

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
  const s = e.div(e.f64(1), e.mul(a, a));
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
  const ratio = e.select(e.lt(a, e.f64(1 / 0.35)), near, far);
  // exp(-a^2) with the square split, so that its rounding does not reach the exponent.
  const z = e.bitcast("f64", e.and(e.bitcast("i64", a), e.constant("i64", -0x100000000n)));
  const first = exp64(e, e.sub(e.mul(e.neg(z), z), e.f64(0.5625)));
  const second = exp64(e, e.add(e.mul(e.sub(z, a), e.add(z, a)), ratio));
  return e.div(e.mul(first, second), a);
}

export function erf64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const small = e.add(a, e.mul(a, erfSmall(e, e.mul(a, a))));
  const middle = e.add(e.f64(erx), erfMiddle(e, e.sub(a, e.f64(1))));
  const large = e.sub(e.f64(1), erfcTail(e, fmin(e, a, e.f64(6))));
  return copySign(e, e.select(e.lt(a, e.f64(0.84375)), small, e.select(e.lt(a, e.f64(1.25)), middle, large)), x);
}

export function erfc64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const positive = e.gt(x, e.f64(0));
  const ratio = erfSmall(e, e.mul(a, a));
  const tiny = e.sub(e.f64(1), e.add(x, e.mul(x, ratio)));
  const quarter = e.sub(e.f64(0.5), e.add(e.sub(x, e.f64(0.5)), e.mul(x, ratio)));
  const small = e.select(e.lt(x, e.f64(0.25)), tiny, quarter);
  const m = erfMiddle(e, e.sub(a, e.f64(1)));
  const middle = e.select(positive, e.sub(e.f64(1 - erx), m), e.add(e.f64(1), e.add(e.f64(erx), m)));
  const t = erfcTail(e, fmin(e, a, e.f64(30)));
  const large = e.select(positive, t, e.sub(e.f64(2), t));
  return e.select(e.lt(a, e.f64(0.84375)), small, e.select(e.lt(a, e.f64(1.25)), middle, large));
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
  let y = e.mul(e.select(e.lt(w, e.f64(5)), central, tail), a);
  const near = e.lt(a, e.f64(0.5));
  const rest = e.sub(e.f64(1), a);
  for (let i = 0; i < 2; i++) {
    const error = e.select(near, e.sub(erf64(e, y), a), e.sub(rest, erfc64(e, y)));
    const slope = e.mul(e.f64(2 / Math.sqrt(Math.PI)), exp64(e, e.neg(e.mul(y, y))));
    const step = e.div(error, slope);
    // Halley's correction: the second derivative of erf is -2y times the first.
    y = e.sub(y, e.div(step, e.add(e.f64(1), e.mul(y, step))));
  }
  const edge = e.select(e.eq(a, e.f64(1)), e.f64(Infinity), e.select(e.gt(a, e.f64(1)), e.f64(NaN), y));
  return e.select(e.lt(a, e.f64(1e-300)), x, copySign(e, edge, x));
}

const lanczos: readonly number[] = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
  -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];
const g = 7;

/** The Lanczos sum at z and, for digamma, its derivative. */
function lanczosSum(e: Exprs, z: Ex): { sum: Ex; slope: Ex } {
  let sum = e.f64(lanczos[0]!);
  let slope = e.f64(0);
  for (let i = 1; i < lanczos.length; i++) {
    const d = e.add(z, e.f64(i));
    const t = e.div(e.f64(lanczos[i]!), d);
    sum = e.add(sum, t);
    slope = e.sub(slope, e.div(t, d));
  }
  return { sum, slope };
}

/** 1 - Euler's constant, then (-1)^k (zeta(k) - 1) / k for k = 2, 3, …, by mpmath. */
const nearTwo: readonly number[] = [
  0.422784335098467139, 0.322467033424113218, -0.0673523010531980951, 0.0205808084277845479, -0.00738555102867398527,
  0.00289051033074152329, -0.00119275391170326098, 0.000509669524743042422, -0.00022315475845357938, 0.0000994575127818085337,
  -0.0000449262367381331417, 0.0000205072127756706916, -9.4394882752683959e-6, 4.3748667899074878e-6, -2.03921575380136624e-6,
  9.55141213040741983e-7, -4.49246919876456604e-7, 2.12071848055546659e-7, -1.00432248239680996e-7, 4.76981016936398057e-8,
  -2.27110946089431649e-8, 1.08386592148969541e-8, -5.18347504197004666e-9, 2.48367454380247832e-9, -1.19214014058609121e-9,
  5.73136724167886201e-10, -2.75952288512423315e-10, 1.33047643742444895e-10, -6.42296456383810002e-11, 3.10442477473222728e-11,
];

/**
 * log(gamma(x)) on [0.5, 2.5], without the cancellation that the zeros at 1 and 2 cause elsewhere:
 * log(gamma(2 + w)) = (1 - Euler) w + sum over k >= 2 of (zeta(k) - 1) (-w)^k / k. @see Abramowitz & Stegun 6.1.33
 */
function lgammaNear(e: Exprs, x: Ex): Ex {
  const upper = e.ge(x, e.f64(1.5));
  const w = e.sub(x, e.select(upper, e.f64(2), e.f64(1)));
  const s = e.mul(w, polynomial(e, w, nearTwo));
  return e.select(upper, s, e.sub(s, log1pOf64(e, w)));
}

/** log(|gamma(x)|); +inf at the poles. */
export function lgamma64(e: Exprs, x: Ex): Ex {
  const reflected = e.lt(x, e.f64(0.5));
  const z = e.select(reflected, e.neg(x), e.sub(x, e.f64(1)));
  const { sum } = lanczosSum(e, z);
  const t = e.add(z, e.f64(g + 0.5));
  const logT = e.add(e.f64(Math.log(g + 0.5)), log1pOf64(e, e.div(z, e.f64(g + 0.5))));
  // (z + 1/2 - t / log t) log t keeps large arguments finite.
  const main = e.add(
    e.f64(0.5 * Math.log(2 * Math.PI)),
    e.add(e.mul(e.sub(e.add(z, e.f64(0.5)), e.div(t, logT)), logT), log64(e, sum)),
  );
  const a = e.unary("abs", x);
  const fraction = e.sub(a, e.unary("floor", a));
  const folded = e.select(e.gt(fraction, e.f64(0.5)), e.sub(e.f64(1), fraction), fraction);
  const sine = sin64(e, e.mul(e.f64(Math.PI), folded));
  const logSine = log64(e, sine);
  const mirrored = e.sub(e.sub(e.f64(Math.log(Math.PI)), logSine), main);
  const near = e.lt(e.unary("abs", e.sub(x, e.f64(1.5))), e.f64(1));
  const direct = e.select(near, lgammaNear(e, x), main);
  const y = e.select(reflected, e.select(e.eq(sine, e.f64(0)), e.f64(Infinity), mirrored), direct);
  return e.select(e.eq(a, e.f64(Infinity)), e.f64(Infinity), y);
}

/** The derivative of lgamma; NaN at the poles. */
export function digamma64(e: Exprs, x: Ex): Ex {
  const reflected = e.lt(x, e.f64(0.5));
  const z = e.select(reflected, e.neg(x), e.sub(x, e.f64(1)));
  const { sum, slope } = lanczosSum(e, z);
  const t = e.add(z, e.f64(g + 0.5));
  const logT = e.add(e.f64(Math.log(g + 0.5)), log1pOf64(e, e.div(z, e.f64(g + 0.5))));
  const main = e.sub(e.add(logT, e.div(slope, sum)), e.div(e.f64(g), t));
  // The nearest integer is taken off first: the cotangent has period one.
  const shifted = e.add(x, e.unary("floor", e.add(e.unary("abs", x), e.f64(0.5))));
  const mirrored = e.sub(main, e.div(e.f64(Math.PI), tan64(e, e.mul(e.f64(Math.PI), shifted))));
  const pole = e.and(e.le(x, e.f64(0)), e.eq(x, e.unary("floor", x)));
  return e.select(pole, e.f64(NaN), e.select(reflected, mirrored, main));
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
export function zeta64(e: Exprs, s: Ex, q: Ex): Ex {
  const power = (x: Ex): Ex => exp64(e, e.neg(e.mul(s, log64(e, x))));
  let sum = power(q);
  for (let k = 1; k < directTerms; k++) sum = e.add(sum, power(e.add(q, e.f64(k))));
  const a = e.add(q, e.f64(directTerms));
  const last = power(a);
  sum = e.add(sum, e.div(e.mul(last, a), e.sub(s, e.f64(1))));
  sum = e.add(sum, e.mul(last, e.f64(0.5)));
  // s (s + 1) … (s + 2j - 2) a^(-s - 2j + 1), from one j to the next.
  let term = e.div(e.mul(s, last), a);
  const inverseSquare = e.div(e.f64(1), e.mul(a, a));
  eulerMaclaurin.forEach((c, j) => {
    sum = e.add(sum, e.mul(term, e.f64(c)));
    term = e.mul(e.mul(term, e.mul(e.add(s, e.f64(2 * j + 1)), e.add(s, e.f64(2 * j + 2)))), inverseSquare);
  });
  const pole = e.or(e.eq(s, e.f64(1)), e.and(e.le(q, e.f64(0)), e.eq(q, e.unary("floor", q))));
  const outside = e.or(e.lt(s, e.f64(1)), e.lt(q, e.f64(0)));
  return e.select(pole, e.f64(Infinity), e.select(outside, e.f64(NaN), sum));
}

/** The n-th derivative of digamma: (-1)^(n + 1) n! zeta(n + 1, x). NaN unless n is 0, 1, 2, … */
export function polygamma64(e: Exprs, n: Ex, x: Ex): Ex {
  const s = e.add(n, e.f64(1));
  const half = e.mul(n, e.f64(0.5));
  const even = e.eq(e.unary("trunc", half), half);
  const y = e.mul(exp64(e, lgamma64(e, s)), zeta64(e, s, x));
  const order = e.and(e.ge(n, e.f64(0)), e.eq(n, e.unary("floor", n)));
  return e.select(e.eq(n, e.f64(0)), digamma64(e, x), e.select(order, e.select(even, e.neg(y), y), e.f64(NaN)));
}

/** Clenshaw's recurrence for sum(c[i] * T_i(t / 2)), the first coefficient halved. */
function chebyshev(e: Exprs, t: Ex, coefs: readonly number[]): Ex {
  let b1 = e.f64(0);
  let b2 = e.f64(0);
  for (let i = coefs.length - 1; i > 0; i--) {
    const b0 = e.add(e.sub(e.mul(t, b1), b2), e.f64(coefs[i]!));
    b2 = b1;
    b1 = b0;
  }
  return e.add(e.sub(e.mul(e.mul(t, e.f64(0.5)), b1), b2), e.f64(coefs[0]! / 2));
}

/** exp(-|x|) * I_n(x) for n = 0, 1. */
function besselScaled(e: Exprs, x: Ex, near: readonly number[], far: readonly number[]): Ex {
  const a = e.unary("abs", x);
  const low = chebyshev(e, e.sub(e.mul(a, e.f64(0.5)), e.f64(2)), near);
  const high = e.div(chebyshev(e, e.sub(e.div(e.f64(32), a), e.f64(2)), far), e.unary("sqrt", a));
  return e.select(e.le(a, e.f64(8)), low, high);
}
export function i0e64(e: Exprs, x: Ex): Ex {
  return besselScaled(e, x, besselTables.i0Near, besselTables.i0Far);
}
export function i1e64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const low = e.mul(a, besselScaled(e, fmin(e, a, e.f64(8)), besselTables.i1Near, besselTables.i1Far));
  const high = besselScaled(e, x, besselTables.i1Near, besselTables.i1Far);
  return copySign(e, e.select(e.le(a, e.f64(8)), low, high), x);
}
