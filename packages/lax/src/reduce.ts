import {
  type ArrayLike,
  asArray,
  type Aval,
  bind,
  bind1,
  canonicalAxis,
  checkDType,
  definePrimitive,
  type DType,
  DTypeError,
  isInteger,
  type Jaxpr,
  type NDArray,
  type Primitive,
  ShapeError,
  ValueError,
} from "@traceform/core";
import { bits, checkAxes, checkDTypeSet, type DTypeSet, numeric, ordered, result } from "./internal/infer.ts";
import { beside, canonicalAxes } from "./internal/operands.ts";
import { reducer } from "./internal/reducer.ts";

export interface ReduceParams {
  /** Distinct, ascending, non-negative. */
  readonly axes: readonly number[];
}

function without(shape: readonly number[], axes: readonly number[]): number[] {
  return shape.filter((_, i) => !axes.includes(i));
}

/** A reduction of one operand over `axes`. An empty reduction gives the identity of the operation. */
function reducePrimitive(name: string, fn: string, set: DTypeSet): Primitive<ReduceParams> {
  return definePrimitive<ReduceParams>(name, {
    abstractEval: ([x], { axes }) => {
      checkDTypeSet(fn, "x", x, set);
      checkAxes(fn, axes, x.ndim, { x });
      return [result(without(x.shape, axes), x.dtype, [x])];
    },
  });
}

export const reduceSumP: Primitive<ReduceParams> = /* @__PURE__ */ reducePrimitive("reduce_sum", "reduceSum", numeric);
export const reduceProdP: Primitive<ReduceParams> = /* @__PURE__ */ reducePrimitive("reduce_prod", "reduceProd", numeric);
export const reduceMaxP: Primitive<ReduceParams> = /* @__PURE__ */ reducePrimitive("reduce_max", "reduceMax", ordered);
export const reduceMinP: Primitive<ReduceParams> = /* @__PURE__ */ reducePrimitive("reduce_min", "reduceMin", ordered);
export const reduceAndP: Primitive<ReduceParams> = /* @__PURE__ */ reducePrimitive("reduce_and", "reduceAnd", bits);
export const reduceOrP: Primitive<ReduceParams> = /* @__PURE__ */ reducePrimitive("reduce_or", "reduceOr", bits);
export const reduceXorP: Primitive<ReduceParams> = /* @__PURE__ */ reducePrimitive("reduce_xor", "reduceXor", bits);

export interface ArgReduceParams {
  /** Exactly one axis. */
  readonly axes: readonly number[];
  readonly indexDtype: DType;
}
function argReducePrimitive(name: string): Primitive<ArgReduceParams> {
  return definePrimitive<ArgReduceParams>(name, {
    abstractEval: ([x], { axes, indexDtype }) => {
      checkDTypeSet(name, "x", x, ordered);
      checkAxes(name, axes, x.ndim, { x });
      if (axes.length !== 1)
        throw new ShapeError(name, {
          message: "reduces exactly one axis",
          operands: { x, axes },
          fix: "name one axis, or ravel the array",
        });
      if (x.shape[axes[0]] === 0) {
        throw new ShapeError(name, {
          message: `axis ${axes[0]} is empty and has no extreme element`,
          operands: { x },
          fix: "give the axis at least one element",
        });
      }
      if (!isInteger(indexDtype))
        throw new DTypeError(name, { message: "indexDtype must be an integer dtype", fix: 'pass "int32"' });
      return [result(without(x.shape, axes), indexDtype, [x], false)];
    },
  });
}
export const argmaxP: Primitive<ArgReduceParams> = /* @__PURE__ */ argReducePrimitive("argmax");
export const argminP: Primitive<ArgReduceParams> = /* @__PURE__ */ argReducePrimitive("argmin");

export interface GeneralReduceParams {
  readonly dimensions: readonly number[];
  /** (accumulators, elements) -> accumulators, all scalars. */
  readonly jaxpr: Jaxpr;
}
/** Operands: the arrays, then as many scalar initial values. */
export const reduceP: Primitive<GeneralReduceParams> = /* @__PURE__ */ definePrimitive<GeneralReduceParams>("reduce", {
  abstractEval: (avals, { dimensions }) => {
    const arrays = avals.slice(0, avals.length / 2);
    checkAxes("reduce", dimensions, arrays[0].ndim, { x: arrays[0] });
    return arrays.map((x: Aval, i) =>
      result(without(x.shape, dimensions), x.dtype, [x], x.weakType && avals[arrays.length + i].weakType),
    );
  },
});

function reduceWith(primitive: Primitive<ReduceParams>, fn: string, x: ArrayLike, axes?: readonly number[] | number): NDArray {
  const a = asArray(x);
  return bind1(primitive, [a], { axes: canonicalAxes(fn, axes, a.ndim).sort((i, j) => i - j) });
}

/** Sum over `axes` (all by default). Numeric dtypes; the empty sum is 0. */
export function reduceSum(x: ArrayLike, axes?: readonly number[] | number): NDArray {
  return reduceWith(reduceSumP, "reduceSum", x, axes);
}
/** Product over `axes` (all by default). Numeric dtypes; the empty product is 1. */
export function reduceProd(x: ArrayLike, axes?: readonly number[] | number): NDArray {
  return reduceWith(reduceProdP, "reduceProd", x, axes);
}
/** Maximum over `axes` (all by default); NaN if any element is. The empty maximum is the lowest value. */
export function reduceMax(x: ArrayLike, axes?: readonly number[] | number): NDArray {
  return reduceWith(reduceMaxP, "reduceMax", x, axes);
}
/** Minimum over `axes` (all by default); NaN if any element is. The empty minimum is the highest value. */
export function reduceMin(x: ArrayLike, axes?: readonly number[] | number): NDArray {
  return reduceWith(reduceMinP, "reduceMin", x, axes);
}
/** Bitwise or logical and over `axes` (all by default). */
export function reduceAnd(x: ArrayLike, axes?: readonly number[] | number): NDArray {
  return reduceWith(reduceAndP, "reduceAnd", x, axes);
}
/** Bitwise or logical or over `axes` (all by default). */
export function reduceOr(x: ArrayLike, axes?: readonly number[] | number): NDArray {
  return reduceWith(reduceOrP, "reduceOr", x, axes);
}
/** Bitwise or logical exclusive or over `axes` (all by default). */
export function reduceXor(x: ArrayLike, axes?: readonly number[] | number): NDArray {
  return reduceWith(reduceXorP, "reduceXor", x, axes);
}

/** Index of the first largest element along `axis`; of the first NaN if there is one. */
export function argmax(x: ArrayLike, axis: number, indexDtype: DType = "int32"): NDArray {
  const a = asArray(x);
  return bind1(argmaxP, [a], {
    axes: [canonicalAxis("argmax", axis, a.ndim)],
    indexDtype: checkDType("argmax", indexDtype),
  });
}
/** Index of the first smallest element along `axis`; of the first NaN if there is one. */
export function argmin(x: ArrayLike, axis: number, indexDtype: DType = "int32"): NDArray {
  const a = asArray(x);
  return bind1(argminP, [a], {
    axes: [canonicalAxis("argmin", axis, a.ndim)],
    indexDtype: checkDType("argmin", indexDtype),
  });
}

/**
 * Reduces over `dimensions` with any associative function of two scalars, e.g. `reduce(x, 0, add, [1])`.
 * With lists of arrays and initial values the function takes and returns lists.
 */
export function reduce(
  operands: ArrayLike,
  initValues: ArrayLike,
  computation: (acc: NDArray, x: NDArray) => ArrayLike,
  dimensions: readonly number[],
): NDArray;
export function reduce(
  operands: readonly NDArray[],
  initValues: readonly ArrayLike[],
  computation: (acc: NDArray[], x: NDArray[]) => readonly ArrayLike[],
  dimensions: readonly number[],
): NDArray[];
export function reduce(
  operands: ArrayLike | readonly NDArray[],
  initValues: ArrayLike | readonly ArrayLike[],
  computation: (acc: never, x: never) => ArrayLike | readonly ArrayLike[],
  dimensions: readonly number[],
): NDArray | NDArray[] {
  const many = Array.isArray(operands) && Array.isArray(initValues);
  const arrays = many ? (operands as readonly NDArray[]).map((x) => asArray(x)) : [asArray(operands as ArrayLike)];
  const inits = (many ? (initValues as readonly ArrayLike[]) : [initValues as ArrayLike]).map((v, i) => beside(v, arrays[i].dtype));
  if (arrays.length !== inits.length) {
    throw new ValueError("reduce", {
      message: `got ${arrays.length} arrays and ${inits.length} initial values`,
      fix: "give one initial value for each array",
    });
  }
  const axes = canonicalAxes("reduce", dimensions, arrays[0].ndim).sort((i, j) => i - j);
  const { jaxpr, named } = reducer("reduce", arrays, inits, computation, many);
  // The common monoids have primitives of their own, which backends and derivatives know better.
  if (named !== null && arrays.length === 1) {
    const primitive = {
      add: reduceSumP,
      mul: reduceProdP,
      max: reduceMaxP,
      min: reduceMinP,
      and: reduceAndP,
      or: reduceOrP,
      xor: reduceXorP,
    }[named.name];
    const reduced = bind1(primitive, [arrays[0]], { axes });
    return named.identity ? reduced : bind1(named.primitive, [inits[0], reduced], {});
  }
  const outs = bind(reduceP, [...arrays, ...inits], { dimensions: axes, jaxpr });
  return many ? outs : outs[0];
}
