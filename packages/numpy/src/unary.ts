import { type ArrayLike, dtypeKind, isComplex, isFloat, isInexact, type NDArray, scalar } from "@traceform/core";
import * as lax from "@traceform/lax";
import { inexact, toArray } from "./internal/promote.ts";
import { onFloat, onInexact, onNumeric, type Unary } from "./internal/ufunc.ts";

// Elementwise functions of one array. The dtype rules are in internal/ufunc.ts.

/** Sine of radians. */
export const sin: Unary = /* @__PURE__ */ onInexact("sin", lax.sin);
/** Cosine of radians. */
export const cos: Unary = /* @__PURE__ */ onInexact("cos", lax.cos);
/** Tangent of radians. */
export const tan: Unary = /* @__PURE__ */ onInexact("tan", lax.tan);
/** Inverse sine; NaN outside [-1, 1]. */
export const arcsin: Unary = /* @__PURE__ */ onInexact("arcsin", lax.asin);
/** Inverse cosine; NaN outside [-1, 1]. */
export const arccos: Unary = /* @__PURE__ */ onInexact("arccos", lax.acos);
/** Inverse tangent. */
export const arctan: Unary = /* @__PURE__ */ onInexact("arctan", lax.atan);
/** Hyperbolic sine. */
export const sinh: Unary = /* @__PURE__ */ onInexact("sinh", lax.sinh);
/** Hyperbolic cosine. */
export const cosh: Unary = /* @__PURE__ */ onInexact("cosh", lax.cosh);
/** Hyperbolic tangent. */
export const tanh: Unary = /* @__PURE__ */ onInexact("tanh", lax.tanh);
/** Inverse hyperbolic sine. */
export const arcsinh: Unary = /* @__PURE__ */ onInexact("arcsinh", lax.asinh);
/** Inverse hyperbolic cosine; NaN below 1. */
export const arccosh: Unary = /* @__PURE__ */ onInexact("arccosh", lax.acosh);
/** Inverse hyperbolic tangent; NaN outside [-1, 1]. */
export const arctanh: Unary = /* @__PURE__ */ onInexact("arctanh", lax.atanh);
export { arcsin as asin, arccos as acos, arctan as atan, arcsinh as asinh, arccosh as acosh, arctanh as atanh };
/** `e^x`. */
export const exp: Unary = /* @__PURE__ */ onInexact("exp", lax.exp);
/** `2^x`. */
export const exp2: Unary = /* @__PURE__ */ onInexact("exp2", lax.exp2);
/** `e^x - 1`, accurate near 0. */
export const expm1: Unary = /* @__PURE__ */ onInexact("expm1", lax.expm1);
/** Natural logarithm. */
export const log: Unary = /* @__PURE__ */ onInexact("log", lax.log);
/** `log(1 + x)`, accurate near 0. */
export const log1p: Unary = /* @__PURE__ */ onInexact("log1p", lax.log1p);
/** Logarithm to the base 2. */
export const log2: Unary = /* @__PURE__ */ onInexact("log2", (x) => lax.div(lax.log(x), Math.LN2));
/** Logarithm to the base 10. */
export const log10: Unary = /* @__PURE__ */ onInexact("log10", (x) => lax.div(lax.log(x), Math.LN10));
/** Square root; NaN for negative numbers. */
export const sqrt: Unary = /* @__PURE__ */ onInexact("sqrt", lax.sqrt);
/** Cube root. */
export const cbrt: Unary = /* @__PURE__ */ onInexact("cbrt", lax.cbrt);
/** `1 / x`. */
export const reciprocal: Unary = /* @__PURE__ */ onInexact("reciprocal", lax.reciprocal);
/** Radians to degrees. */
export const rad2deg: Unary = /* @__PURE__ */ onInexact("rad2deg", (x) => lax.mul(x, 180 / Math.PI));
/** Degrees to radians. */
export const deg2rad: Unary = /* @__PURE__ */ onInexact("deg2rad", (x) => lax.mul(x, Math.PI / 180));
export { rad2deg as degrees, deg2rad as radians };
/** The nearest integer, halves to even; always floating-point. */
export const rint: Unary = /* @__PURE__ */ onInexact("rint", (x) => lax.round(x, "TO_NEAREST_EVEN"));

/** `-x`. */
export const negative: Unary = /* @__PURE__ */ onNumeric("negative", lax.neg);
/** -1, 0 or 1 with the sign of `x`. */
export const sign: Unary = /* @__PURE__ */ onNumeric("sign", lax.sign);
/** The largest integer not above `x`; the dtype stays. */
export const floor: Unary = /* @__PURE__ */ onFloat(lax.floor);
/** The smallest integer not below `x`; the dtype stays. */
export const ceil: Unary = /* @__PURE__ */ onFloat(lax.ceil);
/** `x` without its fraction; the dtype stays. */
export const trunc: Unary = /* @__PURE__ */ onFloat((x) => lax.select(lax.lt(x, 0), lax.ceil(x), lax.floor(x)));

/** `|x|`; the magnitude of complex numbers. Bools and unsigned integers are returned as they are. */
export function abs(x: ArrayLike): NDArray {
  const a = toArray(x);
  const kind = dtypeKind(a.dtype);
  return kind === "bool" || kind === "uint" ? a : lax.abs(a);
}
export { abs as absolute };

/** `x * x`; int32 for bools. */
export function square(x: ArrayLike): NDArray {
  const a = toArray(x);
  return a.dtype === "bool" ? lax.convertElementType(a, "int32") : lax.square(a);
}

/** `x` as an array. */
export function positive(x: ArrayLike): NDArray {
  return toArray(x);
}

/** Rounds to `decimals` places, halves to even. Integers stay integers: -1 decimals rounds to tens. */
export function round(x: ArrayLike, decimals = 0): NDArray {
  const a = onNumeric("round", (v) => v)(x);
  if (!isInexact(a.dtype)) {
    if (decimals >= 0) return a;
    const factor = 10 ** -decimals;
    const tens = lax.round(lax.div(inexact("round", a), factor), "TO_NEAREST_EVEN");
    return lax.mul(lax.convertElementTypeWeak(tens, a.dtype, a.aval.weakType), factor);
  }
  if (isComplex(a.dtype)) return lax.complex(round(lax.real(a), decimals), round(lax.imag(a), decimals));
  if (decimals === 0) return lax.round(a, "TO_NEAREST_EVEN");
  const factor = 10 ** Math.abs(decimals);
  // Halves are computed in float32: the scaled value would overflow or lose the digits to be kept.
  const wide = a.dtype === "float16" || a.dtype === "bfloat16" ? lax.convertElementType(a, "float32") : a;
  const scaled = decimals > 0 ? lax.mul(wide, factor) : lax.div(wide, factor);
  const rounded = lax.round(scaled, "TO_NEAREST_EVEN");
  const result = decimals > 0 ? lax.div(rounded, factor) : lax.mul(rounded, factor);
  return lax.convertElementTypeWeak(result, a.dtype, a.aval.weakType);
}
export { round as around };

/** Whether elements are neither NaN nor infinite. True for integers. */
export function isfinite(x: ArrayLike): NDArray {
  const a = toArray(x);
  if (isFloat(a.dtype)) return lax.isFinite(a);
  if (isComplex(a.dtype)) return lax.bitwiseAnd(lax.isFinite(lax.real(a)), lax.isFinite(lax.imag(a)));
  return lax.full(a.shape, true);
}

/** Whether elements are infinite. False for integers. */
export function isinf(x: ArrayLike): NDArray {
  const a = toArray(x);
  if (isFloat(a.dtype)) return lax.eq(lax.abs(a), Infinity);
  if (isComplex(a.dtype)) return lax.bitwiseOr(isinf(lax.real(a)), isinf(lax.imag(a)));
  return lax.full(a.shape, false);
}

/** Whether elements are NaN. False for integers. */
export function isnan(x: ArrayLike): NDArray {
  const a = toArray(x);
  return isInexact(a.dtype) ? lax.ne(a, a) : lax.full(a.shape, false);
}

/** Whether elements are positive infinity. */
export function isposinf(x: ArrayLike): NDArray {
  const a = toArray(x);
  return isFloat(a.dtype) ? lax.eq(a, Infinity) : lax.full(a.shape, false);
}

/** Whether elements are negative infinity. */
export function isneginf(x: ArrayLike): NDArray {
  const a = toArray(x);
  return isFloat(a.dtype) ? lax.eq(a, -Infinity) : lax.full(a.shape, false);
}

/** Whether elements are 0 or false. */
export function logicalNot(x: ArrayLike): NDArray {
  const a = toArray(x);
  return a.dtype === "bool" ? lax.bitwiseNot(a) : lax.eq(a, 0);
}

/** `~x` for integers, `!x` for bools. */
export function bitwiseNot(x: ArrayLike): NDArray {
  return lax.bitwiseNot(toArray(x));
}
export { bitwiseNot as bitwiseInvert, bitwiseNot as invert };

/** The number of bits set in `|x|`, in the dtype of `x`. */
export function bitwiseCount(x: ArrayLike): NDArray {
  const a = toArray(x);
  return lax.convertElementType(lax.populationCount(dtypeKind(a.dtype) === "int" ? lax.abs(a) : a), "uint8");
}

/** The real part; real arrays are returned as they are. */
export function real(x: ArrayLike): NDArray {
  const a = toArray(x);
  return isComplex(a.dtype) ? lax.real(a) : a;
}

/** The imaginary part; zeros for real arrays. */
export function imag(x: ArrayLike): NDArray {
  const a = toArray(x);
  return isComplex(a.dtype) ? lax.imag(a) : lax.fullLike(a, 0);
}

/** The complex conjugate; real arrays are returned as they are. */
export function conj(x: ArrayLike): NDArray {
  const a = toArray(x);
  return isComplex(a.dtype) ? lax.conj(a) : a;
}
export { conj as conjugate };

/** The angle of complex numbers in radians (or degrees); 0 or π for real ones. */
export function angle(z: ArrayLike, options: { readonly deg?: boolean } = {}): NDArray {
  const a = inexact("angle", z);
  const [re, im] = isComplex(a.dtype) ? [lax.real(a), lax.imag(a)] : [a, lax.fullLike(a, 0)];
  const radians = lax.atan2(im, re);
  return options.deg ? rad2deg(radians) : radians;
}

/** Whether elements have no imaginary part. */
export function isreal(x: ArrayLike): NDArray {
  const a = toArray(x);
  return isComplex(a.dtype) ? lax.eq(lax.imag(a), 0) : lax.full(a.shape, true);
}

/** Whether elements have an imaginary part. */
export function iscomplex(x: ArrayLike): NDArray {
  const a = toArray(x);
  return isComplex(a.dtype) ? lax.ne(lax.imag(a), 0) : lax.full(a.shape, false);
}

/** Whether the sign bit is set (also for -0 and NaN). */
export function signbit(x: ArrayLike): NDArray {
  const a = toArray(x);
  const kind = dtypeKind(a.dtype);
  if (kind === "int") return lax.lt(a, 0);
  if (kind !== "float") return lax.full(a.shape, false);
  const bits = { float16: "int16", bfloat16: "int16", float32: "int32", float64: "int64" } as const;
  return lax.lt(lax.bitcastConvertType(a, bits[a.dtype as keyof typeof bits]), 0);
}

/** `|x|` as floating-point. */
export const fabs: Unary = /* @__PURE__ */ onInexact("fabs", lax.abs);

/**
 * `sin(πx) / (πx)`, 1 at 0. Derivatives at 0 come from the Maclaurin series, because the quotient has none there.
 */
export function sinc(x: ArrayLike): NDArray {
  const a = inexact("sinc", x);
  const isZero = lax.eq(a, 0);
  const px = lax.mul(a, Math.PI);
  const safe = lax.select(isZero, scalar(1, a.dtype), px);
  return lax.select(isZero, sincSeries(0)(px), lax.div(lax.sin(safe), safe));
}

/** The k-th derivative of sin(x)/x at 0, whatever `x` is; differentiating it gives the next one. */
function sincSeries(k: number): (x: NDArray) => NDArray {
  const value = k % 2 === 1 ? 0 : (k % 4 === 0 ? 1 : -1) / (k + 1);
  const f = lax.customJvp((x: NDArray) => lax.fullLike(x, value));
  f.defjvp(([x], [dx]) => [f(x), lax.mul(sincSeries(k + 1)(x), dx)]);
  return f;
}

/** Fraction and integer part, both with the sign of `x`. Infinities have a NaN fraction, as in JAX. */
export function modf(x: ArrayLike): [fraction: NDArray, whole: NDArray] {
  const a = inexact("modf", x);
  const whole = trunc(a);
  return [lax.sub(a, whole), whole];
}

/** Mantissa in [0.5, 1) and exponent (int32) with `x = mantissa * 2^exponent`; zeros, NaN and infinities have exponent 0. */
export function frexp(x: ArrayLike): [mantissa: NDArray, exponent: NDArray] {
  const a = inexact("frexp", x);
  const wide = a.dtype === "float64" ? a : lax.convertElementType(a, "float32");
  const f =
    wide.dtype === "float64"
      ? ({ ints: "int64", mantissa: 52, mask: 0x7ff, bias: 1022 } as const)
      : ({ ints: "int32", mantissa: 23, mask: 0xff, bias: 126 } as const);
  // Subnormals are scaled into the normal range first.
  const tiny = lax.lt(lax.abs(wide), f.mantissa === 23 ? 2 ** -126 : 2 ** -1022);
  const scale = f.mantissa + 2;
  const normal = lax.select(tiny, lax.mul(wide, 2 ** scale), wide);
  const bits = lax.bitcastConvertType(normal, f.ints);
  const exponent = lax.bitwiseAnd(lax.shiftRightLogical(bits, f.mantissa), f.mask);
  const keep = lax.bitwiseNot(lax.shiftLeft(lax.fullLike(bits, f.mask), f.mantissa));
  const half = lax.bitcastConvertType(
    lax.bitwiseOr(lax.bitwiseAnd(bits, keep), lax.shiftLeft(lax.fullLike(bits, f.bias), f.mantissa)),
    wide.dtype,
  );
  const plain = lax.bitwiseOr(lax.eq(wide, 0), lax.bitwiseNot(lax.isFinite(wide)));
  const e = lax.sub(exponent, lax.select(tiny, lax.fullLike(exponent, f.bias + scale), lax.fullLike(exponent, f.bias)));
  return [
    lax.convertElementType(lax.select(plain, wide, half), a.dtype),
    lax.convertElementType(lax.select(plain, lax.fullLike(e, 0), e), "int32"),
  ];
}

/** NaN and infinities replaced: by 0, the largest and the lowest finite number unless given. */
export function nanToNum(
  x: ArrayLike,
  options: { readonly nan?: ArrayLike; readonly posinf?: ArrayLike | null; readonly neginf?: ArrayLike | null } = {},
): NDArray {
  const a = toArray(x);
  if (isComplex(a.dtype)) return lax.complex(nanToNum(lax.real(a), options), nanToNum(lax.imag(a), options));
  if (!isFloat(a.dtype)) return a;
  const largest = { float16: 65504, bfloat16: 3.3895313892515355e38, float32: 3.4028234663852886e38, float64: Number.MAX_VALUE };
  const max = largest[a.dtype as keyof typeof largest];
  const value = (v: ArrayLike | null | undefined, missing: number): NDArray => {
    const w = v ?? missing;
    return typeof w === "object" ? lax.convertElementType(toArray(w), a.dtype) : scalar(w, a.dtype, true);
  };
  const noNan = lax.select(lax.ne(a, a), value(options.nan, 0), a);
  const noPos = lax.select(lax.eq(a, Infinity), value(options.posinf, max), noNan);
  return lax.select(lax.eq(a, -Infinity), value(options.neginf, -max), noPos);
}
