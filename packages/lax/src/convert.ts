import {
  type ArrayLike,
  asArray,
  bind1,
  checkDType,
  complexDType,
  ConcreteArray,
  definePrimitive,
  type DType,
  DTypeError,
  dtypeKind,
  dtypeName,
  isComplex,
  isFloat,
  isInteger,
  itemsize,
  type NDArray,
  type Primitive,
  realDType,
  scalar,
  ShapeError,
  type Sharding,
  ValueError,
} from "@traceform/core";
import {
  checkDTypeSet,
  checkSameDType,
  complexOnly,
  elementwiseShape,
  floating,
  inexact,
  type NoParams,
  noParams,
  result,
} from "./internal/infer.ts";
import { pair, unary } from "./internal/operands.ts";

export interface ConvertElementTypeParams {
  readonly newDtype: DType;
  readonly weakType: boolean;
  readonly sharding: Sharding | null;
}
export const convertElementTypeP: Primitive<ConvertElementTypeParams> = /* @__PURE__ */ definePrimitive<ConvertElementTypeParams>(
  "convert_element_type",
  {
    hiddenParams: ["sharding"],
    abstractEval: ([x], { newDtype, weakType }) => {
      if ((dtypeKind(x.dtype) === "extended" || dtypeKind(newDtype) === "extended") && x.dtype !== newDtype) {
        throw new DTypeError("convertElementType", {
          message: `there is no conversion to ${dtypeName(newDtype)}`,
          operands: { x },
          fix: "wrap or unwrap PRNG keys with wrapKeyData and keyData of @traceform/random",
        });
      }
      return [result(x.shape, newDtype, [x], weakType)];
    },
  },
);

/**
 * `x` with another dtype. Float to integer saturates (NaN is 0), integer to integer wraps, anything to bool is `!= 0`,
 * complex to real drops the imaginary part. Returns `x` itself when nothing changes.
 */
export function convertElementType(x: ArrayLike, dtype: DType): NDArray {
  const a = asArray(x);
  return convertElementTypeWeak(a, checkDType("convertElementType", dtype), false);
}

/** `convertElementType` that also sets the weak type: what promotion uses. */
export function convertElementTypeWeak(x: NDArray, dtype: DType, weakType: boolean): NDArray {
  if (x.dtype === dtype && x.aval.weakType === weakType) return x;
  return constant(x, dtype, weakType) ?? bind1(convertElementTypeP, [x], { newDtype: dtype, weakType, sharding: null });
}

/** A converted scalar constant is a constant. Conversions that round towards integers are left to the backend. */
function constant(x: NDArray, dtype: DType, weakType: boolean): NDArray | null {
  if (!(x instanceof ConcreteArray) || x.scalarValue === undefined || x.isDisposed) return null;
  if (dtype === x.dtype || isFloat(dtype) || (isComplex(dtype) && !isComplex(x.dtype))) {
    return isComplex(x.dtype) && dtype !== x.dtype ? null : scalar(x.scalarValue, dtype, weakType);
  }
  return isInteger(dtype) && x.dtype === "bool" ? scalar(Number(x.scalarValue), dtype, weakType) : null;
}

export interface BitcastConvertTypeParams {
  readonly newDtype: DType;
}
export const bitcastConvertTypeP: Primitive<BitcastConvertTypeParams> = /* @__PURE__ */ definePrimitive<BitcastConvertTypeParams>(
  "bitcast_convert_type",
  {
    abstractEval: ([x], { newDtype }) => {
      const fn = "bitcastConvertType";
      for (const d of [x.dtype, newDtype]) {
        const kind = dtypeKind(d);
        if (kind === "complex" || kind === "extended" || (kind === "bool" && x.dtype !== newDtype)) {
          throw new DTypeError(fn, {
            message: `the bits of ${dtypeName(d)} have no other reading`,
            operands: { x },
            fix: "give a dtype of numbers",
          });
        }
      }
      const from = itemsize(x.dtype);
      const to = itemsize(newDtype);
      if (from === to) return [result(x.shape, newDtype, [x], false)];
      if (from > to) return [result([...x.shape, from / to], newDtype, [x], false)];
      if (x.shape.at(-1) !== to / from) {
        throw new ShapeError(fn, {
          message: `the last axis must have size ${to / from} to become ${dtypeName(newDtype)}`,
          operands: { x },
          fix: "reshape x so that its last axis holds the parts of one element",
        });
      }
      return [result(x.shape.slice(0, -1), newDtype, [x], false)];
    },
  },
);

/** Reads the bits of `x` as another dtype. A narrower one adds a last axis, a wider one consumes it. */
export function bitcastConvertType(x: ArrayLike, newDtype: DType): NDArray {
  return bind1(bitcastConvertTypeP, [asArray(x)], { newDtype: checkDType("bitcastConvertType", newDtype) });
}

export interface ReducePrecisionParams {
  readonly exponentBits: number;
  readonly mantissaBits: number;
}
export const reducePrecisionP: Primitive<ReducePrecisionParams> = /* @__PURE__ */ definePrimitive<ReducePrecisionParams>(
  "reduce_precision",
  {
    abstractEval: ([x], { exponentBits, mantissaBits }) => {
      checkDTypeSet("reducePrecision", "x", x, floating);
      if (!(exponentBits >= 1 && mantissaBits >= 0)) {
        throw new ValueError("reducePrecision", {
          message: "needs exponentBits >= 1 and mantissaBits >= 0",
          fix: "give at least one bit of exponent",
        });
      }
      return [x];
    },
  },
);

/** Rounds `x` to what a float format of the given widths can hold; dtype unchanged. */
export function reducePrecision(x: ArrayLike, exponentBits: number, mantissaBits: number): NDArray {
  return bind1(reducePrecisionP, [asArray(x)], { exponentBits, mantissaBits });
}

export const realP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("real", {
  abstractEval: ([x]) => {
    checkDTypeSet("real", "x", x, complexOnly);
    return [result(x.shape, realDType(x.dtype), [x])];
  },
});
export const imagP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("imag", {
  abstractEval: ([x]) => {
    checkDTypeSet("imag", "x", x, complexOnly);
    return [result(x.shape, realDType(x.dtype), [x])];
  },
});
export interface ConjParams {
  /** The dtype of the operand: a real operand's conjugate is complex, and its transpose real again. */
  readonly inputDtype: DType;
}
export const conjP: Primitive<ConjParams> = /* @__PURE__ */ definePrimitive<ConjParams>("conj", {
  abstractEval: ([x]) => {
    checkDTypeSet("conj", "x", x, inexact);
    return [result(x.shape, complexDType(x.dtype), [x])];
  },
});
export const complexP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("complex", {
  abstractEval: (avals) => {
    const [re] = avals;
    checkDTypeSet("complex", "re", re, { name: "float32 or float64", kinds: ["float"] });
    if (re.dtype !== "float32" && re.dtype !== "float64") {
      throw new DTypeError("complex", {
        message: "parts must be float32 or float64",
        operands: { re },
        fix: 'convert them with astype("float32")',
      });
    }
    checkSameDType("complex", avals);
    return [result(elementwiseShape("complex", avals), complexDType(re.dtype), avals)];
  },
});

/** The real part of a complex array. */
export function real(x: ArrayLike): NDArray {
  return unary(realP, x);
}
/** The imaginary part of a complex array. */
export function imag(x: ArrayLike): NDArray {
  return unary(imagP, x);
}
/** The complex conjugate; always complex. */
export function conj(x: ArrayLike): NDArray {
  const a = asArray(x);
  return bind1(conjP, [a], { inputDtype: a.dtype });
}
/** `re + i·im` of two float32 (float64) arrays: complex64 (complex128). */
export function complex(re: ArrayLike, im: ArrayLike): NDArray {
  return bind1(complexP, pair(re, im), noParams);
}
