import { bind1, isComplex, type NDArray, type Primitive, type StandardDType } from "@traceform/core";
import {
  absP,
  acoshP,
  acosP,
  asinhP,
  asinP,
  atan2P,
  atanhP,
  atanP,
  cbrtP,
  ceilP,
  clampP,
  conj,
  convertElementType,
  cos,
  cosh,
  coshP,
  cosP,
  digamma,
  digammaP,
  div,
  divP,
  eq,
  erfcP,
  erfInvP,
  erfP,
  exp,
  exp2P,
  expm1P,
  expP,
  floorP,
  full,
  gt,
  integerPowP,
  lgammaP,
  log1pP,
  logisticP,
  logP,
  lt,
  maxP,
  minP,
  mul,
  nextafterP,
  polygamma,
  powP,
  real,
  remP,
  roundP,
  rsqrt,
  rsqrtP,
  select,
  sign,
  signP,
  sin,
  sinh,
  sinhP,
  sinP,
  sqrtP,
  square,
  stopGradientP,
  sub,
  tanhP,
  tanP,
} from "@traceform/lax";
import { fit } from "../../internal/zeros.ts";
import type { Tangent } from "../../rule.ts";
import { type JetContext, type JetEntry, jetEntry } from "../rule.ts";
import {
  build,
  convolve,
  derivative,
  exponential,
  integral,
  logarithm,
  minus,
  over,
  plus,
  power,
  product,
  quotient,
  scaled,
  type Series,
  shifted,
  slopes,
  times,
  value,
} from "../series.ts";

/** A rule from the series of the operands; the first coefficient is what the primitive itself computes. */
function series<P>(
  primitive: Primitive<P>,
  rule: (first: NDArray, inputs: readonly Series[], params: P, context: JetContext) => readonly Tangent[],
): JetEntry {
  return jetEntry(primitive, (inputs, params, context) => {
    const out = bind1(primitive, inputs.map(value), params);
    // Scalar operands take part in arrays of coefficients, so series have one shape.
    const same = inputs.map((s) => s.map((c) => (c === null ? null : fit(c, out.shape))));
    return [rule(out, same, params, context)];
  });
}

/** The derivative is zero wherever it exists. */
function steps<P>(primitive: Primitive<P>): JetEntry {
  return series(primitive, (y, [x]) => [y, ...x.slice(1).map(() => null)]);
}

/** `y' = (a + b y + c y²) x'`: exponentials and tangents. */
function riccati<P>(primitive: Primitive<P>, a: number, b: number, c: number): JetEntry {
  return series(primitive, (first, [x]) => {
    const y: Tangent[] = [first];
    const w: Tangent[] = [];
    for (let k = 1; k < x.length; k++) {
      const own = plus(times(y[k - 1], b), c === 0 ? null : times(convolve(y, y, k - 1), c));
      w.push(k === 1 && a !== 0 ? plus(own, like(first, a)) : own);
      y.push(over(slopes(x, w, k), k));
    }
    return y;
  });
}
/** `s' = c x'` and `c' = ± s x'`: sine and cosine, circular or hyperbolic. */
function pairOf(x: Series, s0: NDArray, c0: NDArray, factor: 1 | -1): [Tangent[], Tangent[]] {
  const s: Tangent[] = [s0];
  const c: Tangent[] = [c0];
  for (let k = 1; k < x.length; k++) {
    const next = over(slopes(x, c, k), k);
    c.push(over(times(slopes(x, s, k), factor), k));
    s.push(next);
  }
  return [s, c];
}

/** `y' = slope(x) x'`, the slope a series of one coefficient fewer. */
function integrated<P>(primitive: Primitive<P>, slope: (x: Series) => Series): JetEntry {
  return series(primitive, (y, [x]) => integral(y, product(derivative(x), slope(x.slice(0, -1)))));
}

const squared = (x: Series): Tangent[] => product(x, x);
const inverseRoot = (x: Series): Tangent[] => power(x, -0.5, rsqrt(value(x)));
/** by - x */
const from = (by: number, x: Series): Tangent[] => shifted(scaled(x, -1), by);

/** An exponent, which may be an integer, among floats. */
function exponent(y: NDArray, like: NDArray): NDArray {
  return y.dtype === like.dtype ? y : convertElementType(y, like.dtype as StandardDType);
}

function wholePower(x: Series, n: number): Tangent[] {
  if (n === 1) return [...x];
  const half = wholePower(x, Math.floor(n / 2));
  const even = product(half, half);
  return n % 2 === 0 ? even : product(even, x);
}

/** `f(x(t))` from the derivatives of f at x(0), each divided by the factorial of its order. */
function composed(first: NDArray, x: Series, derivatives: (n: number) => NDArray): Tangent[] {
  const moving: Series = [null, ...x.slice(1)];
  let powers: Series = moving;
  const sum: Tangent[] = [first, ...x.slice(1).map(() => null)];
  for (let n = 1; n < x.length; n++) {
    const factor = derivatives(n);
    for (let k = n; k < x.length; k++) sum[k] = plus(sum[k], times(powers[k], factor));
    powers = build(x.length, (k) => convolve(powers, moving, k));
  }
  return sum;
}

/** lgamma from `m = 0`, digamma from `m = 1`: derivative n is polygamma of order n + m - 1. */
function gammaSeries(first: NDArray, x: Series, m: number): Tangent[] {
  let factorial = 1;
  return composed(first, x, (n) => {
    factorial *= n;
    const order = n + m - 1;
    return div(order === 0 ? digamma(value(x)) : polygamma(like(value(x), order), value(x)), factorial);
  });
}
/** `n` in the shape and dtype of `x`. */
function like(x: NDArray, n: number): NDArray {
  return full(x.shape, n, x.dtype as StandardDType);
}

/** Of two values the chosen one's coefficients; of equal ones the mean, as the derivative of max has it. */
function chosen(primitive: Primitive<Readonly<Record<never, never>>>, better: typeof gt): JetEntry {
  return series(primitive, (out, [a, b]) => {
    const [x, y] = [value(a), value(b)];
    const weight = select(eq(x, y), like(x, 0.5), select(better(x, y), like(x, 1), like(x, 0)));
    return [out, ...a.slice(1).map((c, k) => plus(times(c, weight), times(b[k + 1], sub(1, weight))))];
  });
}

export const elementwiseJets = (): JetEntry[] => [
  ...[signP, floorP, ceilP, stopGradientP, nextafterP].map((p) => steps(p)),
  steps(roundP),
  riccati(expP, 0, 1, 0),
  riccati(exp2P, 0, Math.LN2, 0),
  riccati(expm1P, 1, 1, 0),
  riccati(tanP, 1, 0, 1),
  riccati(tanhP, 1, 0, -1),
  riccati(logisticP, 0, 1, -1),
  series(sinP, (y, [x]) => pairOf(x, y, cos(value(x)), -1)[0]),
  series(cosP, (y, [x]) => pairOf(x, sin(value(x)), y, -1)[1]),
  series(sinhP, (y, [x]) => pairOf(x, y, cosh(value(x)), 1)[0]),
  series(coshP, (y, [x]) => pairOf(x, sinh(value(x)), y, 1)[1]),
  series(divP, (y, [a, b]) => quotient(a, b, y)),
  series(logP, (y, [x]) => logarithm(x, y)),
  series(log1pP, (y, [x]) => logarithm(shifted(x, 1), y)),
  series(sqrtP, (y, [x]) => squareRoot(x, y)),
  series(rsqrtP, (y, [x]) => power(x, -0.5, y)),
  series(cbrtP, (y, [x]) => power(x, 1 / 3, y)),
  series(integerPowP, (first, [x], { y: n }) => {
    if (n === 0) return [first, ...x.slice(1).map(() => null)];
    const y = wholePower(x, Math.abs(n));
    const one: Series = [like(first, 1), ...x.slice(1).map(() => null)];
    return n > 0 ? [first, ...y.slice(1)] : quotient(one, y, first);
  }),
  series(powP, (first, [x, y]) => {
    if (y.slice(1).every((c) => c === null)) return power(x, exponent(value(y), first), first);
    return exponential(product(y, logarithm(x)), first);
  }),
  integrated(asinP, (x) => inverseRoot(from(1, squared(x)))),
  integrated(acosP, (x) => scaled(inverseRoot(from(1, squared(x))), -1)),
  integrated(atanP, (x) => reciprocal(shifted(squared(x), 1))),
  integrated(asinhP, (x) => inverseRoot(shifted(squared(x), 1))),
  integrated(acoshP, (x) => inverseRoot(shifted(squared(x), -1))),
  integrated(atanhP, (x) => reciprocal(from(1, squared(x)))),
  integrated(erfP, (x) => bell(x, 2 / Math.sqrt(Math.PI))),
  integrated(erfcP, (x) => bell(x, -2 / Math.sqrt(Math.PI))),
  // y' = w x' with w = √π/2 exp(y²), whose own coefficients follow from those of y.
  series(erfInvP, (first, [x]) => {
    const y: Tangent[] = [first];
    const z: Tangent[] = [square(first)];
    const w: Tangent[] = [mul(exp(square(first)), Math.sqrt(Math.PI) / 2)];
    for (let k = 1; k < x.length; k++) {
      y.push(over(slopes(x, w, k), k));
      z.push(convolve(y, y, k));
      w.push(over(slopes(z, w, k), k));
    }
    return y;
  }),
  series(lgammaP, (y, [x]) => gammaSeries(y, x, 0)),
  series(digammaP, (y, [x]) => gammaSeries(y, x, 1)),
  // z' = (x y' - y x') / (x² + y²)
  series(atan2P, (z, [y, x]) => {
    const [dy, dx] = [derivative(y), derivative(x)];
    const [y0, x0] = [y.slice(0, -1), x.slice(0, -1)];
    const numerator = product(x0, dy).map((c, k) => minus(c, product(y0, dx)[k]));
    const denominator = squared(x0).map((c, k) => plus(c, squared(y0)[k]));
    return integral(z, quotient(numerator, denominator));
  }),
  // x - n y for the whole number n of times that y goes into x
  series(remP, (out, [x, y]) => {
    const n = truncated(div(value(x), value(y)));
    return [out, ...x.slice(1).map((c, k) => minus(c, times(y[k + 1], n)))];
  }),
  // |z|² = z z̄ for complex z.
  series(absP, (y, [x]) => {
    if (!isComplex(value(x).dtype)) return [y, ...x.slice(1).map((c) => times(c, sign(value(x))))];
    const conjugates = x.map((c) => (c === null ? null : conj(c)));
    return squareRoot(
      product(x, conjugates).map((c) => (c === null ? null : real(c))),
      y,
    );
  }),
  chosen(maxP, gt),
  chosen(minP, lt),
  series(clampP, (y, [low, x, high]) => {
    const [l, v, h] = [value(low), value(x), value(high)];
    const zero = like(v, 0);
    const pick = (c: Tangent, where: NDArray): Tangent => (c === null ? null : select(where, c, zero));
    return [
      y,
      ...x.slice(1).map((c, k) => {
        const inside = pick(pick(c, gt(v, l)), lt(v, h));
        return plus(inside, plus(pick(pick(low[k + 1], lt(v, l)), lt(l, h)), pick(high[k + 1], gt(v, h))));
      }),
    ];
  }),
];

/** y² = x */
function squareRoot(x: Series, first: NDArray): Tangent[] {
  return build(x.length, (k, y) => (k === 0 ? first : over(over(minus(x[k], convolve(y, y, k, 1, k - 1)), 2), first)));
}
function reciprocal(x: Series): Tangent[] {
  return quotient([like(value(x), 1), ...x.slice(1).map(() => null)], x);
}
/** factor exp(-x²) */
function bell(x: Series, factor: number): Tangent[] {
  const exponent = scaled(squared(x), -1);
  return scaled(exponential(exponent, exp(value(exponent))), factor);
}
function truncated(x: NDArray): NDArray {
  return mul(sign(x), floorOf(mul(sign(x), x)));
}
function floorOf(x: NDArray): NDArray {
  return bind1(floorP, [x], {});
}
