import {
  type ArrayLike,
  asArray,
  bind1,
  canonicalAxis,
  type DType,
  dtypeKind,
  type NDArray,
  type Primitive,
  scalar,
} from "@traceform/core";
import { type NoParams, noParams } from "./infer.ts";

/**
 * A JavaScript scalar beside an array takes its dtype: numbers beside inexact dtypes, integral ones beside integers.
 * What does not fit (2.5 beside int32) keeps its own dtype, so that the primitive's error names both.
 */
function scalarBeside(value: number | bigint | boolean, dtype: DType): NDArray {
  const kind = dtypeKind(dtype);
  const fits =
    kind === "float" || kind === "complex"
      ? true
      : kind === "int" || kind === "uint"
        ? typeof value !== "number" || Number.isInteger(value)
        : kind === "bool"
          ? typeof value === "boolean"
          : false;
  return fits ? scalar(value, dtype, true) : asArray(value);
}

function isScalar(x: ArrayLike): x is number | bigint | boolean {
  return typeof x !== "object";
}

/** Both operands as arrays; a JavaScript scalar adopts the dtype of the other one. */
export function pair(x: ArrayLike, y: ArrayLike): [NDArray, NDArray] {
  if (isScalar(y)) {
    const a = asArray(x);
    return [a, scalarBeside(y, a.dtype)];
  }
  const b = asArray(y);
  return [isScalar(x) ? scalarBeside(x, b.dtype) : asArray(x), b];
}

/** `x` as an array; a JavaScript scalar adopts `dtype`. */
export function beside(x: ArrayLike, dtype: DType): NDArray {
  return isScalar(x) ? scalarBeside(x, dtype) : asArray(x);
}

export function unary(primitive: Primitive<NoParams>, x: ArrayLike): NDArray {
  return bind1(primitive, [asArray(x)], noParams);
}

export function binary(primitive: Primitive<NoParams>, x: ArrayLike, y: ArrayLike): NDArray {
  return bind1(primitive, pair(x, y), noParams);
}

/** Axes as sorted-as-given non-negative numbers; all of them when `axes` is missing. */
export function canonicalAxes(fn: string, axes: readonly number[] | number | null | undefined, ndim: number): number[] {
  if (axes === null || axes === undefined) return Array.from({ length: ndim }, (_, i) => i);
  if (typeof axes === "number") return [canonicalAxis(fn, axes, ndim)];
  return axes.map((axis) => canonicalAxis(fn, axis, ndim));
}
