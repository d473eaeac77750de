import {
  type ArrayLike,
  asArray,
  bind1,
  definePrimitive,
  type DType,
  isInteger,
  type NDArray,
  type Primitive,
  realDType,
  refuseTracedIntegers,
  ValueError,
} from "@traceform/core";
import {
  bits,
  checkDTypeSet,
  type DTypeSet,
  floating,
  inexact,
  integral,
  type NoParams,
  numeric,
  result,
} from "./internal/infer.ts";
import { unary } from "./internal/operands.ts";

/** An elementwise primitive of one operand: dtype in `set`; the result has the same dtype unless `out` says otherwise. */
function unaryPrimitive(name: string, set: DTypeSet, out?: (dtype: DType) => DType): Primitive<NoParams> {
  return definePrimitive<NoParams>(name, {
    abstractEval: ([x]) => {
      checkDTypeSet(name, "x", x, set);
      const dtype = out === undefined ? x.dtype : out(x.dtype);
      return [dtype === x.dtype ? x : result(x.shape, dtype, [x])];
    },
  });
}

export const negP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("neg", numeric);
export const signP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("sign", numeric);
export const absP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("abs", numeric, realDType);
export const squareP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("square", numeric);
export const floorP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("floor", floating);
export const ceilP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("ceil", floating);
export const isFiniteP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("is_finite", floating, () => "bool");
export const expP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("exp", inexact);
export const exp2P: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("exp2", inexact);
export const expm1P: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("expm1", inexact);
export const logP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("log", inexact);
export const log1pP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("log1p", inexact);
export const sqrtP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("sqrt", inexact);
export const rsqrtP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("rsqrt", inexact);
export const cbrtP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("cbrt", floating);
export const sinP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("sin", inexact);
export const cosP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("cos", inexact);
export const tanP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("tan", inexact);
export const asinP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("asin", inexact);
export const acosP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("acos", inexact);
export const atanP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("atan", inexact);
export const sinhP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("sinh", inexact);
export const coshP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("cosh", inexact);
export const tanhP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("tanh", inexact);
export const asinhP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("asinh", inexact);
export const acoshP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("acosh", inexact);
export const atanhP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("atanh", inexact);
export const logisticP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("logistic", inexact);
export const erfP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("erf", floating);
export const erfcP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("erfc", floating);
export const erfInvP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("erf_inv", floating);
export const lgammaP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("lgamma", floating);
export const digammaP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("digamma", floating);
export const besselI0eP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("bessel_i0e", floating);
export const besselI1eP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("bessel_i1e", floating);
export const notP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("not", bits);
export const populationCountP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("population_count", integral);
export const clzP: Primitive<NoParams> = /* @__PURE__ */ unaryPrimitive("clz", integral);

export type RoundingMethod = "AWAY_FROM_ZERO" | "TO_NEAREST_EVEN";
export interface RoundParams {
  readonly roundingMethod: RoundingMethod;
}
export const roundP: Primitive<RoundParams> = /* @__PURE__ */ definePrimitive<RoundParams>("round", {
  abstractEval: ([x]) => {
    checkDTypeSet("round", "x", x, floating);
    return [x];
  },
});

export interface IntegerPowParams {
  readonly y: number;
}
export const integerPowP: Primitive<IntegerPowParams> = /* @__PURE__ */ definePrimitive<IntegerPowParams>("integer_pow", {
  abstractEval: ([x], { y }) => {
    checkDTypeSet("integerPow", "x", x, numeric);
    if (!Number.isInteger(y)) {
      refuseTracedIntegers("integerPow", "the exponent", [y]);
      throw new ValueError("integerPow", { message: `the exponent must be an integer, got ${y}`, fix: "use pow" });
    }
    if (y < 0 && isInteger(x.dtype)) {
      throw new ValueError("integerPow", {
        message: "integers cannot be raised to a negative power",
        operands: { x, y },
        fix: 'convert x with convertElementType(x, "float32")',
      });
    }
    return [x];
  },
});

/** `-x`; wraps for unsigned integers and for the smallest signed one. Numeric dtypes. */
export function neg(x: ArrayLike): NDArray {
  return unary(negP, x);
}
/** -1, 0 or 1 with the sign of `x`; NaN for NaN, -0 for -0; `x / |x|` for complex numbers. */
export function sign(x: ArrayLike): NDArray {
  return unary(signP, x);
}
/** `|x|`; the magnitude, of real dtype, for complex numbers. */
export function abs(x: ArrayLike): NDArray {
  return unary(absP, x);
}
/** `x * x`. */
export function square(x: ArrayLike): NDArray {
  return unary(squareP, x);
}
/** The largest integer not above `x`. Floating-point dtypes. */
export function floor(x: ArrayLike): NDArray {
  return unary(floorP, x);
}
/** The smallest integer not below `x`. Floating-point dtypes. */
export function ceil(x: ArrayLike): NDArray {
  return unary(ceilP, x);
}
/** Whether `x` is neither NaN nor infinite: bool of the same shape. */
export function isFinite(x: ArrayLike): NDArray {
  return unary(isFiniteP, x);
}
/** `e^x`. */
export function exp(x: ArrayLike): NDArray {
  return unary(expP, x);
}
/** `2^x`. */
export function exp2(x: ArrayLike): NDArray {
  return unary(exp2P, x);
}
/** `e^x - 1`, accurate near 0. */
export function expm1(x: ArrayLike): NDArray {
  return unary(expm1P, x);
}
/** Natural logarithm; NaN for negative, -Infinity for 0. */
export function log(x: ArrayLike): NDArray {
  return unary(logP, x);
}
/** `log(1 + x)`, accurate near 0. */
export function log1p(x: ArrayLike): NDArray {
  return unary(log1pP, x);
}
/** Square root; NaN for negative. */
export function sqrt(x: ArrayLike): NDArray {
  return unary(sqrtP, x);
}
/** `1 / sqrt(x)`. */
export function rsqrt(x: ArrayLike): NDArray {
  return unary(rsqrtP, x);
}
/** Cube root, defined for negative numbers too. */
export function cbrt(x: ArrayLike): NDArray {
  return unary(cbrtP, x);
}
/** Sine of radians. */
export function sin(x: ArrayLike): NDArray {
  return unary(sinP, x);
}
/** Cosine of radians. */
export function cos(x: ArrayLike): NDArray {
  return unary(cosP, x);
}
/** Tangent of radians. */
export function tan(x: ArrayLike): NDArray {
  return unary(tanP, x);
}
/** Inverse sine; NaN outside [-1, 1]. */
export function asin(x: ArrayLike): NDArray {
  return unary(asinP, x);
}
/** Inverse cosine; NaN outside [-1, 1]. */
export function acos(x: ArrayLike): NDArray {
  return unary(acosP, x);
}
/** Inverse tangent. */
export function atan(x: ArrayLike): NDArray {
  return unary(atanP, x);
}
/** Hyperbolic sine. */
export function sinh(x: ArrayLike): NDArray {
  return unary(sinhP, x);
}
/** Hyperbolic cosine. */
export function cosh(x: ArrayLike): NDArray {
  return unary(coshP, x);
}
/** Hyperbolic tangent. */
export function tanh(x: ArrayLike): NDArray {
  return unary(tanhP, x);
}
/** Inverse hyperbolic sine. */
export function asinh(x: ArrayLike): NDArray {
  return unary(asinhP, x);
}
/** Inverse hyperbolic cosine; NaN below 1. */
export function acosh(x: ArrayLike): NDArray {
  return unary(acoshP, x);
}
/** Inverse hyperbolic tangent; NaN outside [-1, 1]. */
export function atanh(x: ArrayLike): NDArray {
  return unary(atanhP, x);
}
/** The sigmoid `1 / (1 + e^-x)`. */
export function logistic(x: ArrayLike): NDArray {
  return unary(logisticP, x);
}
/** Error function. */
export function erf(x: ArrayLike): NDArray {
  return unary(erfP, x);
}
/** `1 - erf(x)`, accurate for large `x`. */
export function erfc(x: ArrayLike): NDArray {
  return unary(erfcP, x);
}
/** Inverse of `erf`. */
export function erfInv(x: ArrayLike): NDArray {
  return unary(erfInvP, x);
}
/** `log |Γ(x)|`. */
export function lgamma(x: ArrayLike): NDArray {
  return unary(lgammaP, x);
}
/** Derivative of `log Γ`. */
export function digamma(x: ArrayLike): NDArray {
  return unary(digammaP, x);
}
/** Modified Bessel function of order 0, scaled by `e^-|x|`. */
export function besselI0e(x: ArrayLike): NDArray {
  return unary(besselI0eP, x);
}
/** Modified Bessel function of order 1, scaled by `e^-|x|`. */
export function besselI1e(x: ArrayLike): NDArray {
  return unary(besselI1eP, x);
}
/** `~x` for integers, `!x` for booleans. */
export function bitwiseNot(x: ArrayLike): NDArray {
  return unary(notP, x);
}
/** The number of bits set, in the dtype of `x`. */
export function populationCount(x: ArrayLike): NDArray {
  return unary(populationCountP, x);
}
/** The number of leading zero bits, in the dtype of `x`. */
export function clz(x: ArrayLike): NDArray {
  return unary(clzP, x);
}
/** Rounds to the nearest integer; halves away from zero (JAX's default) or to even. Floating-point dtypes. */
export function round(x: ArrayLike, roundingMethod: RoundingMethod = "AWAY_FROM_ZERO"): NDArray {
  return bind1(roundP, [asArray(x)], { roundingMethod });
}
/** `x^y` for a JavaScript integer `y`, by repeated squaring. @throws {ValueError} for integer `x` and negative `y` */
export function integerPow(x: ArrayLike, y: number): NDArray {
  return bind1(integerPowP, [asArray(x)], { y });
}
/** `1 / x`. */
export function reciprocal(x: ArrayLike): NDArray {
  return bind1(integerPowP, [asArray(x)], { y: -1 });
}
