import { type Aval, bind1, ConcreteArray, float0, isInexact, makeAval, type NDArray, scalar } from "@traceform/core";
import { addP, broadcastInDim, convertElementType, varyTo } from "@traceform/lax";
import type { Tangent } from "../rule.ts";

/** Zeros of the type of `aval`; a float0 array for values without tangents. */
export function zeros(aval: Aval): NDArray {
  if (!isInexact(aval.dtype)) return float0Zeros(aval.shape);
  return varyTo(broadcastInDim(scalar(0, aval.dtype, aval.weakType), aval.shape, []), aval.varying);
}

/** The tangent of an integer array: an array without data. */
export function float0Zeros(shape: readonly number[]): NDArray {
  return ConcreteArray.fromHost({ shape: [...shape, 0], dtype: "bool", bytes: new Uint8Array(0) }, makeAval(shape, float0));
}

/** A tangent as an array of the type of `aval`, varying along the same axes of a mesh. */
export function instantiate(t: Tangent, aval: Aval): NDArray {
  return t === null ? zeros(aval) : varyTo(t, aval.varying);
}

/** Whether values of this type have tangents with data. */
export function hasTangent(aval: Aval): boolean {
  return isInexact(aval.dtype);
}

/** The sum of two tangents of one value. */
export function addTangents(a: Tangent, b: Tangent): Tangent {
  if (a === null) return b;
  if (b === null) return a;
  return bind1(addP, [a, b.dtype === a.dtype ? b : convertElementType(b, a.dtype)], {});
}

/** A tangent of a scalar operand repeated over the shape of the result. */
export function fit(t: NDArray, shape: readonly number[]): NDArray {
  return t.ndim === shape.length ? t : broadcastInDim(t, shape, []);
}
