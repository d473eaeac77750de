import { type ArrayLike, DTypeError, dtypeKind, isInexact, isInteger, type NDArray, scalar } from "@traceform/core";
import * as lax from "@traceform/lax";
import { broadcastAll, isScalar, promote, promoteInexact, promoteNumeric, toArray } from "./internal/promote.ts";
import { type Binary, binary, binaryInexact, binaryNumeric, binaryOrBool } from "./internal/ufunc.ts";
import { truth } from "./internal/truth.ts";

// Elementwise functions of two arrays, which broadcast and promote by JAX's rules. The dtype rules of families are in
// internal/ufunc.ts.

/** `x + y`; or for bools. */
export const add: Binary = /* @__PURE__ */ binaryOrBool("add", lax.add, lax.bitwiseOr);
/** `x - y`. Not defined for bools. */
export const subtract: Binary = /* @__PURE__ */ binary("subtract", lax.sub);
/** `x * y`; and for bools. */
export const multiply: Binary = /* @__PURE__ */ binaryOrBool("multiply", lax.mul, lax.bitwiseAnd);
/** `x / y`, always floating-point. */
export const divide: Binary = /* @__PURE__ */ binaryInexact("divide", lax.div);
export { divide as trueDivide };
/** The larger of both; NaN if either is. */
export const maximum: Binary = /* @__PURE__ */ binary("maximum", lax.max);
/** The smaller of both; NaN if either is. */
export const minimum: Binary = /* @__PURE__ */ binary("minimum", lax.min);
/** The larger of both; the other one where one is NaN. */
export const fmax: Binary = /* @__PURE__ */ binary("fmax", (x, y) => lax.select(wins(lax.gt(x, y), y), x, y));
/** The smaller of both; the other one where one is NaN. */
export const fmin: Binary = /* @__PURE__ */ binary("fmin", (x, y) => lax.select(wins(lax.lt(x, y), y), x, y));
/** The angle of the point (x2, x1). */
export const arctan2: Binary = /* @__PURE__ */ binaryInexact("arctan2", lax.atan2);
export { arctan2 as atan2 };
/** The next representable number after `x` towards `y`. */
export const nextafter: Binary = /* @__PURE__ */ binaryInexact("nextafter", lax.nextafter);
/** `sqrt(x² + y²)` without overflow. */
export const hypot: Binary = /* @__PURE__ */ binaryInexact("hypot", (x, y) => {
  const [a, b] = [lax.abs(x), lax.abs(y)];
  const most = lax.max(a, b);
  const least = lax.min(a, b);
  const isZero = lax.eq(most, 0);
  const safe = lax.select(isZero, scalar(1, x.dtype), most);
  const h = lax.select(isZero, most, lax.mul(most, lax.sqrt(lax.add(1, lax.square(lax.div(least, safe))))));
  return lax.select(lax.eq(most, Infinity), scalar(Infinity, x.dtype), h);
});
/** `|x|` with the sign of `y`. */
export const copysign: Binary = /* @__PURE__ */ binaryInexact("copysign", (x, y) => {
  // 1 / -0 is -Infinity: comparing sees the sign of zeros too.
  const negative = lax.lt(lax.select(lax.eq(y, 0), lax.div(scalar(1, y.dtype), y), y), 0);
  return lax.mul(lax.abs(x), lax.select(negative, lax.fullLike(y, -1), lax.fullLike(y, 1)));
});
/** 0 below zero, `y` at zero, 1 above; NaN stays. */
export const heaviside: Binary = /* @__PURE__ */ binaryInexact("heaviside", (x, y) => {
  const step = lax.select(lax.lt(x, 0), lax.fullLike(x, 0), lax.select(lax.gt(x, 0), lax.fullLike(x, 1), x));
  return lax.select(lax.eq(x, 0), y, step);
});

/** `x == y`, as bool. */
export const equal: Binary = /* @__PURE__ */ binary("equal", lax.eq);
/** `x != y`, as bool. */
export const notEqual: Binary = /* @__PURE__ */ binary("notEqual", lax.ne);
/** `x < y`, as bool. */
export const less: Binary = /* @__PURE__ */ binary("less", lax.lt);
/** `x <= y`, as bool. */
export const lessEqual: Binary = /* @__PURE__ */ binary("lessEqual", lax.le);
/** `x > y`, as bool. */
export const greater: Binary = /* @__PURE__ */ binary("greater", lax.gt);
/** `x >= y`, as bool. */
export const greaterEqual: Binary = /* @__PURE__ */ binary("greaterEqual", lax.ge);

/** `x & y` for integers and bools. */
export const bitwiseAnd: Binary = /* @__PURE__ */ binary("bitwiseAnd", lax.bitwiseAnd);
/** `x | y` for integers and bools. */
export const bitwiseOr: Binary = /* @__PURE__ */ binary("bitwiseOr", lax.bitwiseOr);
/** `x ^ y` for integers and bools. */
export const bitwiseXor: Binary = /* @__PURE__ */ binary("bitwiseXor", lax.bitwiseXor);
/** `x << y`. */
export const leftShift: Binary = /* @__PURE__ */ binaryNumeric("leftShift", lax.shiftLeft);
/** `x >> y`, keeping the sign of signed integers. */
export const rightShift: Binary = /* @__PURE__ */ binaryNumeric("rightShift", (x, y) =>
  dtypeKind(x.dtype) === "uint" ? lax.shiftRightLogical(x, y) : lax.shiftRightArithmetic(x, y),
);
export { leftShift as bitwiseLeftShift, rightShift as bitwiseRightShift };
/** Whether both are not 0. */
export const logicalAnd: Binary = (x, y) => bitwiseAnd(truth(x), truth(y));
/** Whether either is not 0. */
export const logicalOr: Binary = (x, y) => bitwiseOr(truth(x), truth(y));
/** Whether exactly one is not 0. */
export const logicalXor: Binary = (x, y) => bitwiseXor(truth(x), truth(y));

/** The quotient rounded down. Integer division by 0 gives -1 (all ones). */
export const floorDivide: Binary = /* @__PURE__ */ binaryNumeric("floorDivide", (x, y) => {
  const kind = dtypeKind(x.dtype);
  if (kind === "uint") return lax.div(x, y);
  if (kind !== "int") return floatDivmod(x, y)[0];
  const q = lax.div(x, y);
  const lower = lax.bitwiseAnd(lax.ne(lax.sign(x), lax.sign(y)), lax.ne(lax.rem(x, y), 0));
  return lax.select(lower, lax.sub(q, 1), q);
});

/** The remainder with the sign of the divisor. Integers: 0 where the divisor is 0. */
export const remainder: Binary = /* @__PURE__ */ binaryNumeric("remainder", (x, y0) => {
  const y = nonzeroDivisor(y0);
  const r = lax.rem(x, y);
  const fix = lax.bitwiseAnd(lax.ne(lax.lt(r, 0), lax.lt(y, 0)), lax.ne(r, 0));
  return lax.select(fix, lax.add(r, y), r);
});
export { remainder as mod };

/** The remainder with the sign of the dividend. Integers: 0 where the divisor is 0. */
export const fmod: Binary = /* @__PURE__ */ binaryNumeric("fmod", (x, y) => lax.rem(x, nonzeroDivisor(y)));

function nonzeroDivisor(y: NDArray): NDArray {
  return isInexact(y.dtype) ? y : lax.select(lax.eq(y, 0), lax.fullLike(y, 1), y);
}

/** `floorDivide` and `remainder` together. */
export function divmod(x: ArrayLike, y: ArrayLike): [quotient: NDArray, remainder: NDArray] {
  const [a, b] = promoteNumeric("divmod", [x, y]);
  return isInexact(a.dtype) ? floatDivmod(a, b) : [floorDivide(a, b), remainder(a, b)];
}

function floatDivmod(x: NDArray, y: NDArray): [NDArray, NDArray] {
  const r = lax.rem(x, y);
  // By zero the remainder is NaN, but the quotient is an infinity with the sign of x.
  const q = lax.div(lax.select(lax.eq(y, 0), x, lax.sub(x, r)), y);
  const fix = lax.bitwiseAnd(lax.ne(r, 0), lax.ne(lax.sign(y), lax.sign(r)));
  return [lax.round(lax.select(fix, lax.sub(q, 1), q)), lax.select(fix, lax.add(r, y), r)];
}

/**
 * `x^y`. A JavaScript integer exponent multiplies repeatedly, which is exact and has simple derivatives. Integers to
 * integer powers stay integers.
 */
export function power(x: ArrayLike, y: ArrayLike): NDArray {
  if (typeof y === "number" && Number.isInteger(y) && !isScalar(x)) {
    const a = toArray(x);
    return lax.integerPow(a.dtype === "bool" ? lax.convertElementType(a, "int32") : a, y);
  }
  const base = isScalar(x) ? null : toArray(x);
  const exponent = isScalar(y) ? null : toArray(y);
  // An inexact base with an integer exponent needs no conversion, and keeps the sign of negative bases.
  if (base !== null && exponent !== null && isInexact(base.dtype) && isInteger(exponent.dtype)) {
    const [a, b] = broadcastAll("power", [base, exponent]);
    return lax.pow(a, b);
  }
  const [a, b] = promoteNumeric("power", [base ?? x, exponent ?? y]);
  return isInexact(a.dtype) ? lax.pow(a, b) : integerPower(a, b);
}
export { power as pow };

/** Powers of integers by repeated squaring; exponents count modulo 64 and negative ones give what their low bits give. */
function integerPower(x: NDArray, y: NDArray): NDArray {
  const [zero, one] = [scalar(0, x.dtype), scalar(1, x.dtype)];
  let base = x;
  let exponent = y;
  let acc = lax.select(lax.bitwiseAnd(lax.eq(x, zero), lax.ne(y, zero)), zero, one);
  for (let bit = 0; bit < 6; bit++) {
    acc = lax.select(lax.ne(lax.bitwiseAnd(exponent, one), zero), lax.mul(acc, base), acc);
    base = lax.mul(base, base);
    exponent = lax.shiftRightLogical(exponent, one);
  }
  return acc;
}

/** `x^y` in floating-point. */
export const floatPower: Binary = /* @__PURE__ */ binaryInexact("floatPower", lax.pow);

/** `log(e^x + e^y)` without overflow. */
export function logaddexp(x: ArrayLike, y: ArrayLike): NDArray {
  const [a, b] = promoteInexact("logaddexp", [x, y]);
  return logSum(a, b);
}

/** `log2(2^x + 2^y)` without overflow. */
export function logaddexp2(x: ArrayLike, y: ArrayLike): NDArray {
  const [a, b] = promoteInexact("logaddexp2", [x, y]);
  return lax.div(logSum(lax.mul(a, Math.LN2), lax.mul(b, Math.LN2)), Math.LN2);
}

// The rule of its own keeps derivatives finite where both operands are infinite.
function logSum(x: NDArray, y: NDArray): NDArray {
  const f = lax.customJvp(function logaddexp(a: NDArray, b: NDArray): NDArray {
    const difference = lax.sub(a, b);
    const far = lax.add(lax.max(a, b), lax.log1p(lax.exp(lax.neg(lax.abs(difference)))));
    return lax.select(lax.ne(difference, difference), lax.add(a, b), far);
  });
  const finite = (v: NDArray): NDArray => lax.select(lax.eq(v, Infinity), lax.fullLike(v, 0), v);
  f.defjvp(([a, b], [da, db]) => {
    const out = f(a, b);
    const weight = (v: NDArray): NDArray => lax.exp(lax.sub(finite(v), finite(out)));
    return [out, lax.add(lax.mul(da, weight(a)), lax.mul(db, weight(b)))];
  });
  return f(x, y);
}

/** `x1 * 2^x2` for integer `x2`. */
export function ldexp(x1: ArrayLike, x2: ArrayLike): NDArray {
  const e = toArray(x2);
  if (isInexact(e.dtype) && typeof x2 === "object") {
    throw new DTypeError("ldexp", {
      message: "the exponent must be an integer",
      operands: { x2: e },
      fix: 'convert it with astype("int32")',
    });
  }
  const [m, p] = promoteInexact("ldexp", [x1, e]);
  // Two steps reach results whose exponent does not fit one factor.
  const half = lax.floor(lax.div(p, 2));
  return lax.mul(lax.mul(m, lax.exp2(half)), lax.exp2(lax.sub(p, half)));
}

/** The greatest common divisor of integers, not negative. */
export function gcd(x: ArrayLike, y: ArrayLike): NDArray {
  const [a, b] = integers("gcd", x, y);
  const shape = a.ndim === 0 ? b.shape : a.shape;
  const full = (v: NDArray): NDArray => lax.convertElementTypeWeak(v.ndim === 0 ? lax.broadcast(v, shape) : v, v.dtype, false);
  const [g] = lax.whileLoop(
    ([, r]: readonly [NDArray, NDArray]) => lax.reduceOr(lax.ne(r, 0)),
    ([p, r]) => [lax.select(lax.ne(r, 0), r, p), lax.select(lax.ne(r, 0), lax.rem(p, r), lax.fullLike(r, 0))],
    [full(magnitude(a)), full(magnitude(b))] as const,
  );
  return g;
}

/** The least common multiple of integers, not negative. */
export function lcm(x: ArrayLike, y: ArrayLike): NDArray {
  const [a, b] = integers("lcm", x, y);
  const d = gcd(a, b);
  const safe = lax.select(lax.eq(d, 0), lax.fullLike(d, 1), d);
  return lax.select(lax.eq(d, 0), lax.fullLike(d, 0), lax.mul(magnitude(a), lax.div(magnitude(b), safe)));
}

function magnitude(x: NDArray): NDArray {
  return dtypeKind(x.dtype) === "uint" ? x : lax.abs(x);
}

function integers(fn: string, x: ArrayLike, y: ArrayLike): NDArray[] {
  const int = (v: ArrayLike): ArrayLike => (typeof v === "number" && Number.isInteger(v) ? BigInt(v) : v);
  const operands = promote(fn, [int(x), int(y)]);
  if (!isInteger(operands[0].dtype)) {
    throw new DTypeError(fn, {
      message: "operands must be integers",
      operands: { lhs: operands[0], rhs: operands[1] },
      fix: 'convert them with astype("int32")',
    });
  }
  return operands;
}

/** Where the first operand is the result: it is better, or the second one is NaN. */
function wins(better: NDArray, y: NDArray): NDArray {
  return isInexact(y.dtype) ? lax.bitwiseOr(better, lax.ne(y, y)) : better;
}
