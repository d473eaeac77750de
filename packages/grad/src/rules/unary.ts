import { bind1, isComplex, type NDArray, scalar } from "@traceform/core";
import {
  absP,
  acosP,
  acoshP,
  add,
  asinP,
  asinhP,
  atanP,
  atanhP,
  besselI0eP,
  besselI1eP,
  cbrtP,
  ceilP,
  clzP,
  conj,
  cos,
  coshP,
  cosh,
  cosP,
  digammaP,
  div,
  erfcP,
  erfInvP,
  erfP,
  exp,
  exp2P,
  expm1P,
  expP,
  floorP,
  integerPow,
  integerPowP,
  isFiniteP,
  lgammaP,
  digamma,
  log1pP,
  logistic,
  logisticP,
  logP,
  mul,
  neg,
  negP,
  notP,
  polygamma,
  populationCountP,
  real,
  roundP,
  rsqrt,
  rsqrtP,
  sign,
  signP,
  sin,
  sinh,
  sinhP,
  sinP,
  sqrtP,
  square,
  squareP,
  sub,
  tanhP,
  tanP,
  eq,
  select,
  besselI0e,
  besselI1e,
  gt,
  abs,
} from "@traceform/lax";
import { elementwise, zeroDerivative } from "../internal/entries.ts";
import { type JvpEntry, jvpEntry, type TransposeEntry, transposeEntry } from "../rule.ts";

const sqrtPi = Math.sqrt(Math.PI);

/** `1` where `x` is 0, so that a division by it is defined; what it multiplies is 0 there. */
export function replaceZero(x: NDArray): NDArray {
  return select(eq(x, 0), scalar(1, x.dtype), x);
}

/** Real: the sign, 0 at 0. Complex: `Re(conj(x) dx) / |x|`. */
function absTangent(dx: NDArray, out: NDArray, x: NDArray): NDArray {
  if (!isComplex(x.dtype)) return mul(dx, sign(x));
  return div(real(mul(dx, conj(x))), replaceZero(out));
}

/** d/dx I1e(x) = I0e(x) - I1e(x) (sign(x) + 1/x), and 1/2 at 0. */
function besselI1eTangent(dx: NDArray, out: NDArray, x: NDArray): NDArray {
  const safe = select(eq(x, 0), scalar(1, x.dtype), x);
  const slope = sub(besselI0e(safe), mul(besselI1e(safe), add(sign(safe), integerPow(safe, -1))));
  return mul(dx, select(gt(abs(x), 0), slope, select(eq(x, 0), scalar(0.5, x.dtype), out)));
}

export const unaryJvps = (): JvpEntry[] => [
  elementwise(negP, (dx) => neg(dx)),
  elementwise(expP, (dx, y) => mul(dx, y)),
  elementwise(exp2P, (dx, y) => mul(dx, mul(y, Math.LN2))),
  elementwise(expm1P, (dx, y) => mul(dx, add(y, 1))),
  elementwise(logP, (dx, _y, x) => div(dx, x)),
  elementwise(log1pP, (dx, _y, x) => div(dx, add(x, 1))),
  elementwise(sqrtP, (dx, y) => mul(dx, div(0.5, y))),
  elementwise(rsqrtP, (dx, y, x) => mul(dx, mul(div(y, x), -0.5))),
  elementwise(cbrtP, (dx, y) => mul(dx, mul(integerPow(y, -2), 1 / 3))),
  elementwise(squareP, (dx, _y, x) => mul(dx, mul(x, 2))),
  elementwise(sinP, (dx, _y, x) => mul(dx, cos(x))),
  elementwise(cosP, (dx, _y, x) => mul(dx, neg(sin(x)))),
  elementwise(tanP, (dx, y) => mul(dx, add(square(y), 1))),
  elementwise(asinP, (dx, _y, x) => mul(dx, rsqrt(sub(1, square(x))))),
  elementwise(acosP, (dx, _y, x) => mul(dx, neg(rsqrt(sub(1, square(x)))))),
  elementwise(atanP, (dx, _y, x) => div(dx, add(square(x), 1))),
  elementwise(sinhP, (dx, _y, x) => mul(dx, cosh(x))),
  elementwise(coshP, (dx, _y, x) => mul(dx, sinh(x))),
  elementwise(tanhP, (dx, y) => mul(dx, mul(add(y, 1), sub(1, y)))),
  elementwise(asinhP, (dx, _y, x) => mul(dx, rsqrt(add(square(x), 1)))),
  elementwise(acoshP, (dx, _y, x) => mul(dx, rsqrt(sub(square(x), 1)))),
  elementwise(atanhP, (dx, _y, x) => div(dx, mul(add(x, 1), sub(1, x)))),
  elementwise(logisticP, (dx, y, x) => mul(dx, mul(y, logistic(neg(x))))),
  elementwise(erfP, (dx, _y, x) => mul(dx, mul(exp(neg(square(x))), 2 / sqrtPi))),
  elementwise(erfcP, (dx, _y, x) => mul(dx, mul(exp(neg(square(x))), -2 / sqrtPi))),
  elementwise(erfInvP, (dx, y) => mul(dx, mul(exp(square(y)), sqrtPi / 2))),
  elementwise(lgammaP, (dx, _y, x) => mul(dx, digamma(x))),
  elementwise(digammaP, (dx, _y, x) => mul(dx, polygamma(scalar(1, x.dtype), x))),
  elementwise(besselI0eP, (dx, y, x) => mul(dx, sub(besselI1e(x), mul(sign(x), y)))),
  elementwise(besselI1eP, besselI1eTangent),
  elementwise(absP, absTangent),
  jvpEntry(integerPowP, ([x], [dx], { y }) => {
    const out = bind1(integerPowP, [x], { y });
    if (dx === null || y === 0) return [[out], [null]];
    return [[out], [y === 1 ? dx : mul(dx, mul(y === 2 ? x : integerPow(x, y - 1), y))]];
  }),
  zeroDerivative(signP),
  zeroDerivative(floorP),
  zeroDerivative(ceilP),
  zeroDerivative(roundP),
  zeroDerivative(isFiniteP),
  zeroDerivative(notP),
  zeroDerivative(populationCountP),
  zeroDerivative(clzP),
];

export const unaryTransposes = (): TransposeEntry[] => [transposeEntry(negP, ([ct]) => [neg(ct!)])];
