/**
 * Special functions in double precision, written for clarity and accuracy rather than speed: they are the oracle.
 * Series with positive terms only, continued fractions, and Newton steps on them.
 */

const sqrtPi = Math.sqrt(Math.PI);

/** erf(x) = 2/√π e^{-x²} Σ 2ⁿ x^{2n+1} / (2n+1)!!, all terms of one sign. @see Abramowitz & Stegun 7.1.6 */
export function erf(x: number): number {
  if (Number.isNaN(x)) return NaN;
  if (Math.abs(x) > 6) return Math.sign(x);
  if (Math.abs(x) > 1) return Math.sign(x) * (1 - erfc(Math.abs(x)));
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return sum === 0 ? x * (2 / sqrtPi) : (2 / sqrtPi) * Math.exp(-x * x) * sum;
}

/** Complementary error function: its continued fraction, from the bottom up, for x > 1/2. @see A&S 7.1.14 */
export function erfc(x: number): number {
  if (x < 0.5) return 1 - erf(x);
  if (x > 27.3) return 0;
  let f = x;
  // The fraction converges like exp(-2x √(2n)).
  for (let k = x < 2 ? 3000 : 400; k >= 1; k--) f = x + k / 2 / f;
  return exactExpOfNegativeSquare(x) / (sqrtPi * f);
}

/** e^{-x²} with the square split in two, so that its rounding error is not magnified. */
function exactExpOfNegativeSquare(x: number): number {
  const hi = Math.fround(x);
  const lo = x - hi;
  return Math.exp(-hi * hi) * Math.exp(-lo * (hi + x));
}

/** Inverse of erf: Winitzki's start, then Halley steps. */
export function erfInv(y: number): number {
  if (y === 1 || y === -1) return y * Infinity;
  if (!(y > -1 && y < 1)) return NaN;
  // erf is linear here to the last place, and Winitzki's formula cancels.
  if (Math.abs(y) < 1e-8) return (y * sqrtPi) / 2;
  const a = 0.147;
  const l = Math.log1p(-y * y);
  const t = 2 / (Math.PI * a) + l / 2;
  let x = Math.sign(y) * Math.sqrt(Math.sqrt(t * t - l / a) - t);
  for (let i = 0; i < 4 && x !== 0; i++) {
    const error = Math.abs(y) > 0.9 ? Math.sign(y) * (1 - Math.abs(y) - erfc(Math.abs(x))) : erf(x) - y;
    const step = error / ((2 / sqrtPi) * Math.exp(-x * x));
    x -= step / (1 + x * step);
  }
  return y === 0 ? y : x;
}

// @see P. Godfrey (2001), coefficients for g = 607/128.
const lanczos = [
  0.99999999999999709182, 57.156235665862923517, -59.597960355475491248, 14.136097974741747174, -0.49191381609762019978,
  0.33994649984811888699e-4, 0.46523628927048575665e-4, -0.98374475304879564677e-4, 0.15808870322491248884e-3,
  -0.21026444172410488319e-3, 0.2174396181152126432e-3, -0.16431810653676389022e-3, 0.84418223983852743293e-4,
  -0.2619083840158140867e-4, 0.36899182659531622704e-5,
];

/** log |Γ(x)| by Lanczos' approximation, with reflection for x < 1/2. */
export function lgamma(x: number): number {
  if (Number.isNaN(x)) return NaN;
  if (!Number.isFinite(x)) return Infinity;
  if (x <= 0 && Number.isInteger(x)) return Infinity;
  if (x < 0.5) return Math.log(Math.PI / Math.abs(sinPi(x))) - lgamma(1 - x);
  if (x === 1 || x === 2) return 0;
  // Near the zeros at 1 and 2 the Lanczos form cancels; the Taylor series of log Γ(1 + z) does not.
  if (Math.abs(x - 1) <= 0.5) return lgamma1p(x - 1);
  if (Math.abs(x - 2) < 0.5) return lgamma1p(x - 2) + Math.log1p(x - 2);
  if (x > 1e7) return x * (Math.log(x) - 1) - 0.5 * Math.log(x) + 0.5 * Math.log(2 * Math.PI) + 1 / (12 * x);
  let sum = lanczos[0];
  for (let i = 1; i < lanczos.length; i++) sum += lanczos[i] / (x - 1 + i);
  const t = x - 1 + 607 / 128 + 0.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

/** log Γ(1 + z) = -γ z + Σ_{k≥2} ζ(k) (-z)^k / k for |z| < 1. @see A&S 6.1.33 */
function lgamma1p(z: number): number {
  let sum = 0;
  for (let k = 60; k >= 2; k--) sum += (zetaInt(k) * (-z) ** k) / k;
  return sum - 0.5772156649015328606 * z;
}

const zetas: number[] = [];
function zetaInt(k: number): number {
  return (zetas[k] ??= hurwitzZeta(k, 1));
}

/** Σ_{n≥0} (n + q)^{-s} for s > 1, q > 0, by Euler-Maclaurin. */
export function hurwitzZeta(s: number, q: number): number {
  if (s <= 1) return s === 1 ? Infinity : NaN;
  if (q <= 0) return Number.isInteger(q) ? Infinity : NaN;
  let sum = 0;
  const n = 16;
  for (let i = 0; i < n; i++) sum += (q + i) ** -s;
  const a = q + n;
  sum += a ** (1 - s) / (s - 1) + 0.5 * a ** -s;
  const bernoulli = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6];
  let factor = s;
  let power = a ** (-s - 1);
  let factorial = 2;
  for (let j = 0; j < bernoulli.length; j++) {
    sum += (bernoulli[j] * factor * power) / factorial;
    factor *= (s + 2 * j + 1) * (s + 2 * j + 2);
    power /= a * a;
    factorial *= (2 * j + 3) * (2 * j + 4);
  }
  return sum;
}

function sinPi(x: number): number {
  const r = x - 2 * Math.round(x / 2);
  return Math.sin(Math.PI * r);
}

/** ψ(x) by recurrence to x > 12, then the asymptotic series; reflection for x < 0. @see A&S 6.3.18 */
export function digamma(x: number): number {
  if (Number.isNaN(x) || x === -Infinity) return NaN;
  if (x === Infinity) return Infinity;
  if (x <= 0 && Number.isInteger(x)) return NaN;
  if (x < 0) {
    const r = x - Math.round(x);
    return digamma(1 - x) - Math.PI / Math.tan(Math.PI * r);
  }
  let shift = 0;
  let z = x;
  while (z < 12) shift += 1 / z++;
  const w = 1 / (z * z);
  const series = w * (1 / 12 - w * (1 / 120 - w * (1 / 252 - w * (1 / 240 - w * (1 / 132 - (w * 691) / 32760)))));
  return Math.log(z) - 0.5 / z - series - shift;
}

/** ψ^(n)(x) = (-1)^{n+1} n! ζ(n+1, x). */
export function polygamma(n: number, x: number): number {
  if (!Number.isInteger(n) || n < 0) return NaN;
  if (n === 0) return digamma(x);
  return (n % 2 === 0 ? -1 : 1) * Math.exp(lgamma(n + 1)) * hurwitzZeta(n + 1, x);
}

/** e^{-|x|} I_ν(x), ν = 0 or 1: the ascending series below 30 (positive terms), Hankel's expansion above. */
export function besselIe(order: 0 | 1, x: number): number {
  const a = Math.abs(x);
  const sign = order === 1 && x < 0 ? -1 : 1;
  if (Number.isNaN(x)) return NaN;
  if (a === Infinity) return 0;
  if (a < 30) {
    let term = order === 0 ? 1 : a / 2;
    let sum = term;
    for (let k = 1; term > 1e-18 * sum; k++) {
      term *= ((a / 2) * (a / 2)) / (k * (k + order));
      sum += term;
    }
    return sign * sum * Math.exp(-a);
  }
  const mu = 4 * order * order;
  let term = 1;
  let sum = 1;
  for (let k = 1; k < 30; k++) {
    const next = (-term * (mu - (2 * k - 1) ** 2)) / (k * 8 * a);
    if (Math.abs(next) > Math.abs(term)) break;
    term = next;
    sum += term;
  }
  return (sign * sum) / Math.sqrt(2 * Math.PI * a);
}

/** Regularised lower incomplete gamma function P(a, x). @see Numerical Recipes §6.2 */
export function igamma(a: number, x: number): number {
  if (Number.isNaN(a) || Number.isNaN(x) || x < 0 || a <= 0) return NaN;
  if (x === 0) return 0;
  if (x === Infinity) return 1;
  return x < a + 1 ? gammaSeries(a, x) : 1 - gammaFraction(a, x);
}

/** Regularised upper incomplete gamma function Q(a, x). */
export function igammac(a: number, x: number): number {
  if (Number.isNaN(a) || Number.isNaN(x) || x < 0 || a <= 0) return NaN;
  if (x === 0) return 1;
  if (x === Infinity) return 0;
  return x < a + 1 ? 1 - gammaSeries(a, x) : gammaFraction(a, x);
}

function gammaSeries(a: number, x: number): number {
  let term = 1 / a;
  let sum = term;
  for (let n = 1; term > 1e-17 * sum && n < 10000; n++) {
    term *= x / (a + n);
    sum += term;
  }
  return sum * Math.exp(-x + a * Math.log(x) - lgamma(a));
}

function gammaFraction(a: number, x: number): number {
  let b = x + 1 - a;
  let c = 1e300;
  let d = 1 / b;
  let h = d;
  for (let i = 1; i < 10000; i++) {
    const an = -i * (i - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    const delta = d * c;
    h *= delta;
    if (Math.abs(delta - 1) < 1e-16) break;
  }
  return h * Math.exp(-x + a * Math.log(x) - lgamma(a));
}

/** Regularised incomplete beta function I_x(a, b) by its continued fraction. @see Numerical Recipes §6.4 */
export function betainc(a: number, b: number, x: number): number {
  if (Number.isNaN(x) || x < 0 || x > 1 || a <= 0 || b <= 0) return NaN;
  if (x === 0 || x === 1) return x;
  const front = Math.exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(a, b, x)) / a : 1 - (front * betaFraction(b, a, 1 - x)) / b;
}

function betaFraction(a: number, b: number, x: number): number {
  let c = 1;
  let d = 1 / (1 - ((a + b) * x) / (a + 1));
  let h = d;
  for (let m = 1; m < 10000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + even * d);
    c = 1 + even / c;
    h *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + odd * d);
    c = 1 + odd / c;
    const delta = d * c;
    h *= delta;
    if (Math.abs(delta - 1) < 1e-16) break;
  }
  return h;
}
