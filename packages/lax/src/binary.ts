import {
  type ArrayLike,
  asArray,
  bind1,
  definePrimitive,
  type DType,
  DTypeError,
  isInteger,
  type NDArray,
  type Primitive,
} from "@traceform/core";
import {
  anyDType,
  bits,
  checkDTypeSet,
  checkSameDType,
  type DTypeSet,
  elementwiseShape,
  floating,
  inexact,
  integral,
  nameOperands,
  type NoParams,
  noParams,
  numeric,
  ordered,
  real,
  result,
  standard,
} from "./internal/infer.ts";
import { beside, binary } from "./internal/operands.ts";

/**
 * An elementwise primitive of `arity` operands of one dtype in `set`, of equal shapes or scalars. The result has
 * their dtype unless `out` names another.
 */
function naryPrimitive(name: string, arity: number, set: DTypeSet, out?: DType): Primitive<NoParams> {
  return definePrimitive<NoParams>(name, {
    abstractEval: (avals) => {
      checkArity(name, avals.length, arity);
      const [x] = avals;
      checkDTypeSet(name, "lhs", x, set);
      checkSameDType(name, avals);
      // Interned avals make the common case, equal types, one comparison.
      if (out === undefined && avals.every((a) => a === x)) return [x];
      return [result(elementwiseShape(name, avals), out ?? x.dtype, avals)];
    },
  });
}

function checkArity(name: string, got: number, arity: number): void {
  if (got !== arity) throw new Error(`${name} takes ${arity} operands, got ${got}`);
}

export const addP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("add", 2, numeric);
export const subP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("sub", 2, numeric);
export const mulP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("mul", 2, numeric);
export const divP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("div", 2, numeric);
export const remP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("rem", 2, real);
export const maxP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("max", 2, standard);
export const minP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("min", 2, standard);
export const atan2P: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("atan2", 2, inexact);
export const nextafterP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("nextafter", 2, floating);
export const igammaP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("igamma", 2, floating);
export const igammacP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("igammac", 2, floating);
export const polygammaP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("polygamma", 2, floating);
export const zetaP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("zeta", 2, floating);
export const andP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("and", 2, bits);
export const orP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("or", 2, bits);
export const xorP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("xor", 2, bits);
export const shiftLeftP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("shift_left", 2, integral);
export const shiftRightLogicalP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("shift_right_logical", 2, integral);
export const shiftRightArithmeticP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("shift_right_arithmetic", 2, integral);
export const eqP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("eq", 2, anyDType, "bool");
export const neP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("ne", 2, anyDType, "bool");
export const ltP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("lt", 2, ordered, "bool");
export const leP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("le", 2, ordered, "bool");
export const gtP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("gt", 2, ordered, "bool");
export const geP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("ge", 2, ordered, "bool");
export const betaincP: Primitive<NoParams> = /* @__PURE__ */ naryPrimitive("regularized_incomplete_beta", 3, floating);

export const powP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("pow", {
  abstractEval: (avals) => {
    const [x, y] = avals;
    checkDTypeSet("pow", "x", x, inexact);
    if (y.dtype !== x.dtype && !isInteger(y.dtype)) {
      throw new DTypeError("pow", {
        message: "the exponent must have the dtype of the base, or be an integer",
        operands: nameOperands(avals),
        fix: "convert one operand with convertElementType, or use the function of @traceform/numpy, which promotes",
      });
    }
    return [result(elementwiseShape("pow", avals), x.dtype, avals)];
  },
});

/** `x + y`. */
export function add(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(addP, x, y);
}
/** `x - y`. */
export function sub(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(subP, x, y);
}
/** `x * y`. */
export function mul(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(mulP, x, y);
}
/** `x / y`; integers truncate towards zero, and division by zero gives all ones (-1). */
export function div(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(divP, x, y);
}
/** The remainder of `div`, with the sign of `x`; `x` when `y` is an integer 0. */
export function rem(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(remP, x, y);
}
/** The larger of both; NaN if either is. Complex numbers compare lexicographically. */
export function max(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(maxP, x, y);
}
/** The smaller of both; NaN if either is. Complex numbers compare lexicographically. */
export function min(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(minP, x, y);
}
/** The angle of the point `(y, x)`, first operand `y`. */
export function atan2(y: ArrayLike, x: ArrayLike): NDArray {
  return binary(atan2P, y, x);
}
/** The next representable number after `x` in the direction of `y`. */
export function nextafter(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(nextafterP, x, y);
}
/** Regularised lower incomplete gamma function P(a, x). */
export function igamma(a: ArrayLike, x: ArrayLike): NDArray {
  return binary(igammaP, a, x);
}
/** Regularised upper incomplete gamma function Q(a, x). */
export function igammac(a: ArrayLike, x: ArrayLike): NDArray {
  return binary(igammacP, a, x);
}
/** The m-th derivative of digamma at x. */
export function polygamma(m: ArrayLike, x: ArrayLike): NDArray {
  return binary(polygammaP, m, x);
}
/** Hurwitz zeta function. */
export function zeta(x: ArrayLike, q: ArrayLike): NDArray {
  return binary(zetaP, x, q);
}
/** `x^y` for inexact `x`; `y` has the same dtype or is an integer. */
export function pow(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(powP, x, y);
}
/** Bitwise (integers) or logical (booleans) and. */
export function bitwiseAnd(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(andP, x, y);
}
/** Bitwise (integers) or logical (booleans) or. */
export function bitwiseOr(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(orP, x, y);
}
/** Bitwise (integers) or logical (booleans) exclusive or. */
export function bitwiseXor(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(xorP, x, y);
}
/** `x << y`; 0 when `y` is not below the number of bits. */
export function shiftLeft(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(shiftLeftP, x, y);
}
/** `x >>> y`, filling with zeros; 0 when `y` is not below the number of bits. */
export function shiftRightLogical(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(shiftRightLogicalP, x, y);
}
/** `x >> y`, filling with the sign bit. */
export function shiftRightArithmetic(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(shiftRightArithmeticP, x, y);
}
/** `x == y`, as bool. NaN equals nothing. */
export function eq(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(eqP, x, y);
}
/** `x != y`, as bool. */
export function ne(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(neP, x, y);
}
/** `x < y`, as bool. */
export function lt(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(ltP, x, y);
}
/** `x <= y`, as bool. */
export function le(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(leP, x, y);
}
/** `x > y`, as bool. */
export function gt(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(gtP, x, y);
}
/** `x >= y`, as bool. */
export function ge(x: ArrayLike, y: ArrayLike): NDArray {
  return binary(geP, x, y);
}
/** Regularised incomplete beta function I_x(a, b). Three operands of one floating-point dtype. */
export function betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike): NDArray {
  const like = asArray(x);
  return bind1(betaincP, [beside(a, like.dtype), beside(b, like.dtype), like], noParams);
}
