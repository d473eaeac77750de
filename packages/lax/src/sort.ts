import {
  type ArrayLike,
  asArray,
  bind,
  canonicalAxis,
  definePrimitive,
  type NDArray,
  type Primitive,
  refuseTracedIntegers,
  sameShape,
  ShapeError,
  ValueError,
} from "@traceform/core";
import { checkAxes, checkDTypeSet, nameOperands, ordered, result, standard } from "./internal/infer.ts";

export interface SortParams {
  readonly dimension: number;
  readonly isStable: boolean;
  /** The first `numKeys` operands are compared, lexicographically; the others are permuted with them. */
  readonly numKeys: number;
}
export const sortP: Primitive<SortParams> = /* @__PURE__ */ definePrimitive<SortParams>("sort", {
  abstractEval: (avals, { dimension, numKeys }) => {
    const [first] = avals;
    checkAxes("sort", [dimension], first.ndim, { x: first });
    if (!(numKeys >= 1 && numKeys <= avals.length)) {
      throw new ValueError("sort", {
        message: `numKeys must be between 1 and ${avals.length}, got ${numKeys}`,
        fix: "pass how many of the operands are compared",
      });
    }
    for (let i = 0; i < numKeys; i++) checkDTypeSet("sort", "key", avals[i], standard);
    if (!avals.every((a) => sameShape(a.shape, first.shape))) {
      throw new ShapeError("sort", {
        message: "operands must have equal shapes",
        operands: nameOperands(avals),
        fix: "broadcast them first",
      });
    }
    return avals;
  },
});

export interface TopKParams {
  readonly k: number;
  readonly axis: number;
}
/** Results: the values, largest first, and their indices as int32. */
export const topKP: Primitive<TopKParams> = /* @__PURE__ */ definePrimitive<TopKParams>("top_k", {
  abstractEval: ([x], { k, axis }) => {
    checkDTypeSet("topK", "x", x, ordered);
    checkAxes("topK", [axis], x.ndim, { x });
    if (!(Number.isInteger(k) && k >= 0 && k <= x.shape[axis])) {
      refuseTracedIntegers("topK", "k", [k]);
      throw new ValueError("topK", {
        message: `k must be an integer in [0, ${x.shape[axis]}], got ${k}`,
        operands: { x },
        fix: "give a k of at most the size of the last axis",
      });
    }
    const shape = x.shape.map((n, i) => (i === axis ? k : n));
    return [result(shape, x.dtype, [x]), result(shape, "int32", [x], false)];
  },
});

export interface SortOptions {
  readonly isStable?: boolean;
  readonly numKeys?: number;
}

/** Sorts along one axis, ascending, NaN last. Several operands are sorted together by the first `numKeys` of them. */
export function sort(operands: readonly NDArray[], dimension?: number, options?: SortOptions): NDArray[];
export function sort(operand: ArrayLike, dimension?: number, options?: SortOptions): NDArray;
export function sort(operand: ArrayLike | readonly NDArray[], dimension = -1, options: SortOptions = {}): NDArray | NDArray[] {
  const many = Array.isArray(operand) && operand.length > 0 && typeof operand[0] === "object" && "aval" in operand[0];
  const arrays = many ? (operand as readonly NDArray[]).map((x) => asArray(x)) : [asArray(operand as ArrayLike)];
  const outs = bind(sortP, arrays, {
    dimension: canonicalAxis("sort", dimension, arrays[0].ndim),
    isStable: options.isStable ?? true,
    numKeys: options.numKeys ?? 1,
  });
  return many ? outs : outs[0];
}

/** Sorts `keys` along an axis and permutes `values` the same way. */
export function sortKeyVal(keys: ArrayLike, values: ArrayLike, dimension = -1, isStable = true): [keys: NDArray, values: NDArray] {
  const k = asArray(keys);
  const [ks, vs] = bind(sortP, [k, asArray(values)], {
    dimension: canonicalAxis("sortKeyVal", dimension, k.ndim),
    isStable,
    numKeys: 1,
  });
  return [ks, vs];
}

/** The `k` largest elements along an axis (the last by default), largest first, and their int32 indices. NaN is largest. */
export function topK(
  x: ArrayLike,
  k: number,
  options: { readonly axis?: number } | number = {},
): [values: NDArray, indices: NDArray] {
  const a = asArray(x);
  const axis = (typeof options === "number" ? options : options.axis) ?? -1;
  const [values, indices] = bind(topKP, [a], { k, axis: canonicalAxis("topK", axis, a.ndim) });
  return [values, indices];
}
