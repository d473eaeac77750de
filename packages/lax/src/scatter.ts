import { type ArrayLike, asArray, bind1, definePrimitive, type NDArray, type Primitive, ShapeError } from "@traceform/core";
import { neg } from "./unary.ts";
import type { GatherMode } from "./gather.ts";
import {
  anyDType,
  checkAxes,
  checkDTypeSet,
  checkIndices,
  checkSameDType,
  type DTypeSet,
  ordered,
  result,
  standard,
} from "./internal/infer.ts";
import { beside } from "./internal/operands.ts";

/** JAX's (XLA's) description of a scatter. The index vector is the last axis of the indices. */
export interface ScatterDimensionNumbers {
  /** Axes of the updates that run over a window of the operand. */
  readonly updateWindowDims: readonly number[];
  /** Axes of the operand that the updates lack (window size 1). */
  readonly insertedWindowDims: readonly number[];
  /** Component `k` of an index vector is a start along axis `scatterDimsToOperandDims[k]` of the operand. */
  readonly scatterDimsToOperandDims: readonly number[];
  readonly operandBatchingDims: readonly number[];
  readonly scatterIndicesBatchingDims: readonly number[];
}
/** What becomes of an update out of bounds: moved to where it fits, dropped (`fill`), or anything at all. */
export type ScatterMode = GatherMode;

export interface ScatterParams {
  readonly dimensionNumbers: ScatterDimensionNumbers;
  readonly indicesAreSorted: boolean;
  readonly uniqueIndices: boolean;
  readonly mode: ScatterMode;
}

/** Operands: x, indices, updates. The result has the type of x. */
function scatterPrimitive(name: string, fn: string, set: DTypeSet): Primitive<ScatterParams> {
  return definePrimitive<ScatterParams>(name, {
    hiddenParams: ["indicesAreSorted", "uniqueIndices"],
    abstractEval: (avals, { dimensionNumbers: d }) => {
      const [x, indices, updates] = avals;
      checkDTypeSet(fn, "x", x, set);
      checkSameDType(fn, [x, updates]);
      checkIndices(fn, indices, d.scatterDimsToOperandDims.length);
      const operands = { x, indices, updates };
      checkAxes(fn, d.scatterDimsToOperandDims, x.ndim, operands);
      checkAxes(fn, [...d.insertedWindowDims, ...d.operandBatchingDims], x.ndim, operands);
      checkAxes(fn, d.updateWindowDims, updates.ndim, operands);
      const windowAxes = x.shape
        .map((_, i) => i)
        .filter((i) => !d.insertedWindowDims.includes(i) && !d.operandBatchingDims.includes(i));
      if (windowAxes.length !== d.updateWindowDims.length) {
        throw new ShapeError(fn, {
          message: `updateWindowDims must name ${windowAxes.length} axes of the updates`,
          operands,
          fix: "name one axis of the updates for each axis of x that is neither inserted nor batched",
        });
      }
      const batch = updates.shape.filter((_, i) => !d.updateWindowDims.includes(i));
      if (batch.join() !== indices.shape.slice(0, -1).join()) {
        throw new ShapeError(fn, {
          message: "the other axes of the updates must be those of the indices without the last",
          operands,
          fix: "give one update for each vector of indices",
        });
      }
      d.updateWindowDims.forEach((u, k) => {
        if (updates.shape[u] > x.shape[windowAxes[k]]) {
          throw new ShapeError(fn, {
            message: `axis ${u} of the updates is longer than axis ${windowAxes[k]} of x`,
            operands,
            fix: "cut the updates to the size of x",
          });
        }
      });
      return [result(x.shape, x.dtype, avals, x.weakType)];
    },
  });
}

export const scatterP: Primitive<ScatterParams> = /* @__PURE__ */ scatterPrimitive("scatter", "scatter", anyDType);
export const scatterAddP: Primitive<ScatterParams> = /* @__PURE__ */ scatterPrimitive("scatter-add", "scatterAdd", standard);
export const scatterMulP: Primitive<ScatterParams> = /* @__PURE__ */ scatterPrimitive("scatter-mul", "scatterMul", standard);
export const scatterMinP: Primitive<ScatterParams> = /* @__PURE__ */ scatterPrimitive("scatter-min", "scatterMin", ordered);
export const scatterMaxP: Primitive<ScatterParams> = /* @__PURE__ */ scatterPrimitive("scatter-max", "scatterMax", ordered);

export interface ScatterOptions {
  readonly indicesAreSorted?: boolean;
  readonly uniqueIndices?: boolean;
  /** Default `fill`: updates out of bounds are dropped. */
  readonly mode?: ScatterMode;
}
/** The batching axes may be left out. */
export type ScatterDimensionNumbersLike = Omit<ScatterDimensionNumbers, "operandBatchingDims" | "scatterIndicesBatchingDims"> &
  Partial<ScatterDimensionNumbers>;

function scatterWith(
  primitive: Primitive<ScatterParams>,
  x: ArrayLike,
  indices: ArrayLike,
  updates: ArrayLike,
  dimensionNumbers: ScatterDimensionNumbersLike,
  options: ScatterOptions = {},
): NDArray {
  const a = asArray(x);
  return bind1(primitive, [a, asArray(indices), beside(updates, a.dtype)], {
    dimensionNumbers: {
      updateWindowDims: dimensionNumbers.updateWindowDims,
      insertedWindowDims: dimensionNumbers.insertedWindowDims,
      scatterDimsToOperandDims: dimensionNumbers.scatterDimsToOperandDims,
      operandBatchingDims: dimensionNumbers.operandBatchingDims ?? [],
      scatterIndicesBatchingDims: dimensionNumbers.scatterIndicesBatchingDims ?? [],
    },
    indicesAreSorted: options.indicesAreSorted ?? false,
    uniqueIndices: options.uniqueIndices ?? false,
    mode: options.mode ?? "fill",
  });
}

/**
 * `x` with the updates written at the places that `indices` names. Which of several updates of one place wins is not defined.
 * @see https://www.tensorflow.org/xla/operation_semantics#scatter
 */
export function scatter(
  x: ArrayLike,
  indices: ArrayLike,
  updates: ArrayLike,
  dimensionNumbers: ScatterDimensionNumbersLike,
  options?: ScatterOptions,
): NDArray {
  return scatterWith(scatterP, x, indices, updates, dimensionNumbers, options);
}

/**
 * `x` with the updates added at the places that `indices` names, duplicates in index order.
 * @see https://www.tensorflow.org/xla/operation_semantics#scatter
 */
export function scatterAdd(
  x: ArrayLike,
  indices: ArrayLike,
  updates: ArrayLike,
  dimensionNumbers: ScatterDimensionNumbersLike,
  options?: ScatterOptions,
): NDArray {
  return scatterWith(scatterAddP, x, indices, updates, dimensionNumbers, options);
}

/**
 * `x` multiplied by the updates at the places that `indices` names.
 * @see https://www.tensorflow.org/xla/operation_semantics#scatter
 */
export function scatterMul(
  x: ArrayLike,
  indices: ArrayLike,
  updates: ArrayLike,
  dimensionNumbers: ScatterDimensionNumbersLike,
  options?: ScatterOptions,
): NDArray {
  return scatterWith(scatterMulP, x, indices, updates, dimensionNumbers, options);
}

/**
 * The smaller of `x` and the updates at the places that `indices` names.
 * @see https://www.tensorflow.org/xla/operation_semantics#scatter
 */
export function scatterMin(
  x: ArrayLike,
  indices: ArrayLike,
  updates: ArrayLike,
  dimensionNumbers: ScatterDimensionNumbersLike,
  options?: ScatterOptions,
): NDArray {
  return scatterWith(scatterMinP, x, indices, updates, dimensionNumbers, options);
}

/**
 * The larger of `x` and the updates at the places that `indices` names.
 * @see https://www.tensorflow.org/xla/operation_semantics#scatter
 */
export function scatterMax(
  x: ArrayLike,
  indices: ArrayLike,
  updates: ArrayLike,
  dimensionNumbers: ScatterDimensionNumbersLike,
  options?: ScatterOptions,
): NDArray {
  return scatterWith(scatterMaxP, x, indices, updates, dimensionNumbers, options);
}

/** `x` with the updates subtracted at the places that `indices` names. */
export function scatterSub(
  x: ArrayLike,
  indices: ArrayLike,
  updates: ArrayLike,
  dimensionNumbers: ScatterDimensionNumbersLike,
  options?: ScatterOptions,
): NDArray {
  const a = asArray(x);
  return scatterWith(scatterAddP, a, indices, neg(beside(updates, a.dtype)), dimensionNumbers, options);
}
