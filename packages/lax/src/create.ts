import {
  type ArrayLike,
  asArray,
  bind1,
  checkDType,
  ConcreteArray,
  definePrimitive,
  type DType,
  makeAval,
  makeArrayFromCallback,
  type NDArray,
  type Primitive,
  scalar,
} from "@traceform/core";
import { convertElementType, convertElementTypeWeak } from "./convert.ts";
import { checkAxes, checkDTypeSet, checkShape, numeric, result } from "./internal/infer.ts";
import { broadcastInDim } from "./shape.ts";

export interface IotaParams {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly dimension: number;
}
/** No operands. Element `i` along `dimension` is `i`. */
export const iotaP: Primitive<IotaParams> = /* @__PURE__ */ definePrimitive<IotaParams>("iota", {
  abstractEval: (_avals, { shape, dtype, dimension }) => {
    checkShape("iota", shape);
    checkAxes("iota", [dimension], shape.length, { shape });
    const aval = makeAval(shape, dtype);
    checkDTypeSet("iota", "the result", aval, numeric);
    return [result(shape, dtype, [])];
  },
});

/** `0, 1, …, size - 1`. */
export function iota(dtype: DType, size: number): NDArray {
  return bind1(iotaP, [], { shape: [size], dtype: checkDType("iota", dtype), dimension: 0 });
}

/** An array of `shape` in which element `i` along `dimension` is `i`. */
export function broadcastedIota(dtype: DType, shape: readonly number[], dimension: number): NDArray {
  return bind1(iotaP, [], { shape, dtype: checkDType("broadcastedIota", dtype), dimension });
}

/** `fillValue` in every place of `shape`. A number without `dtype` gives a weakly typed float32, as in JAX. */
export function full(shape: readonly number[], fillValue: ArrayLike, dtype?: DType | null): NDArray {
  checkShape("full", shape);
  const value = constant(fillValue, dtype ?? null);
  return shape.length === 0 ? value : broadcastInDim(value, shape, []);
}

function constant(value: ArrayLike, dtype: DType | null): NDArray {
  if (dtype === null) return asArray(value);
  checkDType("full", dtype);
  return typeof value === "object" ? convertElementType(value, dtype) : scalar(value, dtype);
}

/**
 * `fillValue` in the shape of `x`, and in its dtype (and weak type) unless another is given. Where `x` is laid out over processes and the
 * shape is its own, so is the result.
 */
export function fullLike(
  x: ArrayLike,
  fillValue: ArrayLike,
  options: { readonly dtype?: DType | null; readonly shape?: readonly number[] } = {},
): NDArray {
  const a = asArray(x);
  const shape = options.shape ?? a.shape;
  if (a instanceof ConcreteArray && a.isPartial && shape.join() === a.shape.join()) {
    return makeArrayFromCallback(shape, a.sharding, () =>
      fullLike(a, fillValue, { ...options, shape: a.sharding.shardShape(shape) }),
    );
  }
  if (options.dtype) return full(shape, fillValue, options.dtype);
  const value =
    typeof fillValue === "object"
      ? convertElementTypeWeak(asArray(fillValue), a.dtype, a.aval.weakType)
      : scalar(fillValue, a.dtype, a.aval.weakType);
  return shape.length === 0 ? value : broadcastInDim(value, shape, []);
}

/** An array whose values do not matter: zeros here. */
export function empty(shape: readonly number[], dtype: DType = "float32"): NDArray {
  return full(shape, 0, dtype);
}

/** The dtype of anything array-like. */
export function dtype(x: ArrayLike): DType {
  return asArray(x).dtype;
}
