import { type ArrayLike, isComplex, isInexact, isNDArray, type NDArray, sameShape, scalar } from "@traceform/core";
import * as lax from "@traceform/lax";
import { broadcastAll, convertAll, promote, toArray } from "./internal/promote.ts";
import { isfinite, isinf, isnan } from "./unary.ts";

export interface CloseOptions {
  readonly rtol?: number;
  readonly atol?: number;
  readonly equalNan?: boolean;
}

/** Whether `|x - y| <= atol + rtol * |y|` elementwise. Infinities equal themselves; NaN only with `equalNan`. */
export function isclose(x: ArrayLike, y: ArrayLike, options: CloseOptions = {}): NDArray {
  const [a, b] = promote("isclose", [x, y]);
  if (!isInexact(a.dtype)) {
    // Integers are compared as floats: their tolerance is one.
    if (a.dtype === "bool") return lax.eq(a, b);
    return isclose(lax.convertElementType(a, "float32"), lax.convertElementType(b, "float32"), options);
  }
  const real = isComplex(a.dtype) ? "float32" : a.dtype;
  const rtol = scalar(options.rtol ?? 1e-5, real);
  const atol = scalar(options.atol ?? 1e-8, real);
  const near = lax.le(lax.abs(lax.sub(a, b)), lax.add(atol, lax.mul(rtol, lax.abs(b))));
  const infinite = lax.bitwiseOr(isinf(a), isinf(b));
  const out = lax.select(infinite, lax.eq(a, b), lax.bitwiseAnd(near, lax.bitwiseAnd(isfinite(a), isfinite(b))));
  return options.equalNan ? lax.bitwiseOr(out, lax.bitwiseAnd(isnan(a), isnan(b))) : out;
}

/** Whether all elements are close: a bool scalar. See `isclose`. */
export function allclose(x: ArrayLike, y: ArrayLike, options?: CloseOptions): NDArray {
  return lax.reduceAnd(isclose(x, y, options));
}

/** Whether both have the same shape and equal elements: a bool scalar. */
export function arrayEqual(
  x: ArrayLike,
  y: ArrayLike,
  options: { readonly equalNan?: boolean; readonly equalNaN?: boolean } = {},
): NDArray {
  const [p, q] = [toArray(x), toArray(y)];
  if (!sameShape(p.shape, q.shape)) return scalar(false, "bool");
  const [a, b] = convertAll([p, q]);
  const equal = lax.eq(a, b);
  const nans = (options.equalNan ?? options.equalNaN) && isInexact(a.dtype);
  return lax.reduceAnd(nans ? lax.bitwiseOr(equal, lax.bitwiseAnd(isnan(a), isnan(b))) : equal);
}

/** Whether the shapes broadcast together and the elements are equal: a bool scalar. */
export function arrayEquiv(x: ArrayLike, y: ArrayLike): NDArray {
  const [a, b] = convertAll([x, y]);
  try {
    const [p, q] = broadcastAll("arrayEquiv", [a, b]);
    return lax.reduceAnd(lax.eq(p, q));
  } catch {
    return scalar(false, "bool");
  }
}

/** Whether `x` is a JavaScript scalar or an array without axes. */
export function isscalar(x: unknown): boolean {
  if (isNDArray(x)) return x.ndim === 0;
  return typeof x === "number" || typeof x === "boolean" || typeof x === "bigint";
}
/** Whether the dtype is complex. */
export function iscomplexobj(x: ArrayLike): boolean {
  return isComplex(toArray(x).dtype);
}
/** Whether the dtype is not complex. */
export function isrealobj(x: ArrayLike): boolean {
  return !iscomplexobj(x);
}
