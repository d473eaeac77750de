import { type ArrayLike, asArray, bind1, definePrimitive, type NDArray, type Primitive, ShapeError } from "@traceform/core";
import { checkAxes, checkIndices, result } from "./internal/infer.ts";
import { concatenate, expandDims } from "./shape.ts";

/** JAX's (XLA's) description of a gather. The index vector is the last axis of the indices. */
export interface GatherDimensionNumbers {
  /** Axes of the result that run over a slice. */
  readonly offsetDims: readonly number[];
  /** Axes of the operand, of slice size 1, that the result lacks. */
  readonly collapsedSliceDims: readonly number[];
  /** Component `k` of an index vector is a start along axis `startIndexMap[k]` of the operand. */
  readonly startIndexMap: readonly number[];
  /** Axes of the operand that are batch axes together with `startIndicesBatchingDims` of the indices. */
  readonly operandBatchingDims: readonly number[];
  readonly startIndicesBatchingDims: readonly number[];
}
/** What an index out of bounds reads: the nearest slice that fits, the fill value, or anything at all. */
export type GatherMode = "clip" | "fill" | "promise_in_bounds";
export const GatherScatterMode: {
  readonly CLIP: "clip";
  readonly FILL_OR_DROP: "fill";
  readonly PROMISE_IN_BOUNDS: "promise_in_bounds";
} = /* @__PURE__ */ Object.freeze({ CLIP: "clip", FILL_OR_DROP: "fill", PROMISE_IN_BOUNDS: "promise_in_bounds" });

export interface GatherParams {
  readonly dimensionNumbers: GatherDimensionNumbers;
  readonly sliceSizes: readonly number[];
  readonly mode: GatherMode;
  /** For mode `fill`; null means NaN, or the smallest integer (largest when unsigned), or true. */
  readonly fillValue: number | null;
  readonly indicesAreSorted: boolean;
  readonly uniqueIndices: boolean;
}

export const gatherP: Primitive<GatherParams> = /* @__PURE__ */ definePrimitive<GatherParams>("gather", {
  hiddenParams: ["indicesAreSorted", "uniqueIndices"],
  abstractEval: (avals, { dimensionNumbers: d, sliceSizes }) => {
    const fn = "gather";
    const [x, indices] = avals;
    checkIndices(fn, indices, d.startIndexMap.length);
    checkAxes(fn, d.startIndexMap, x.ndim, { x, indices });
    checkAxes(fn, [...d.collapsedSliceDims, ...d.operandBatchingDims], x.ndim, { x, indices });
    if (sliceSizes.length !== x.ndim || !sliceSizes.every((n, i) => n >= 0 && n <= x.shape[i])) {
      throw new ShapeError(fn, {
        message: "sliceSizes must be within the sizes of x",
        operands: { x, sliceSizes },
        fix: "give one size for each axis of x, none larger than it",
      });
    }
    for (const i of [...d.collapsedSliceDims, ...d.operandBatchingDims]) {
      if (sliceSizes[i] > 1) {
        throw new ShapeError(fn, {
          message: `axis ${i} is collapsed and needs slice size 1`,
          operands: { x, sliceSizes },
          fix: "give 1 as its slice size, or leave it out of collapsedSliceDims",
        });
      }
    }
    d.operandBatchingDims.forEach((i, k) => {
      if (x.shape[i] !== indices.shape[d.startIndicesBatchingDims[k]]) {
        throw new ShapeError(fn, {
          message: "batching axes must have equal sizes",
          operands: { x, indices },
          fix: "pair axes of one size in operandBatchingDims and startIndicesBatchingDims",
        });
      }
    });
    const window = sliceSizes.filter((_, i) => !d.collapsedSliceDims.includes(i) && !d.operandBatchingDims.includes(i));
    const batch = indices.shape.slice(0, -1);
    const ndim = window.length + batch.length;
    if (d.offsetDims.length !== window.length) {
      throw new ShapeError(fn, {
        message: `offsetDims must name ${window.length} axes of the result`,
        operands: { x, indices, sliceSizes, offsetDims: d.offsetDims },
        fix: "name one axis of the result for each axis of x that is neither collapsed nor batched",
      });
    }
    checkAxes(fn, d.offsetDims, ndim, { x, indices });
    let b = 0;
    let w = 0;
    const shape = Array.from({ length: ndim }, (_, i) => (d.offsetDims.includes(i) ? window[w++] : batch[b++]));
    return [result(shape, x.dtype, avals, x.weakType)];
  },
});

export interface GatherOptions {
  readonly mode?: GatherMode;
  readonly fillValue?: number | null;
  readonly indicesAreSorted?: boolean;
  readonly uniqueIndices?: boolean;
}

/** The batching axes may be left out. */
export type GatherDimensionNumbersLike = Omit<GatherDimensionNumbers, "operandBatchingDims" | "startIndicesBatchingDims"> &
  Partial<GatherDimensionNumbers>;

/**
 * Slices of `sliceSizes` from `x` at the places that `startIndices` names; the index vector is its last axis.
 * Indices are promised to be in bounds unless `mode` says otherwise.
 * @see https://www.tensorflow.org/xla/operation_semantics#gather
 */
export function gather(
  x: ArrayLike,
  startIndices: ArrayLike,
  dimensionNumbers: GatherDimensionNumbersLike,
  sliceSizes: readonly number[],
  options: GatherOptions = {},
): NDArray {
  const mode = options.mode ?? "promise_in_bounds";
  return bind1(gatherP, [asArray(x), asArray(startIndices)], {
    dimensionNumbers: {
      offsetDims: dimensionNumbers.offsetDims,
      collapsedSliceDims: dimensionNumbers.collapsedSliceDims,
      startIndexMap: dimensionNumbers.startIndexMap,
      operandBatchingDims: dimensionNumbers.operandBatchingDims ?? [],
      startIndicesBatchingDims: dimensionNumbers.startIndicesBatchingDims ?? [],
    },
    sliceSizes,
    mode,
    fillValue: mode === "fill" ? (options.fillValue ?? null) : null,
    indicesAreSorted: options.indicesAreSorted ?? false,
    uniqueIndices: options.uniqueIndices ?? false,
  });
}

/** Elements of `x` at integer arrays of one shape, one for each of `axes`; those axes become the shape of the indices, first. */
export function indexTake(x: ArrayLike, indices: readonly ArrayLike[], axes: readonly number[]): NDArray {
  const a = asArray(x);
  const vectors = indices.map((i) => expandDims(asArray(i), [-1]));
  const batch = vectors[0].ndim - 1;
  return gather(
    a,
    concatenate(vectors, batch),
    {
      offsetDims: Array.from({ length: a.ndim - axes.length }, (_, i) => batch + i),
      collapsedSliceDims: [...axes].sort((p, q) => p - q),
      startIndexMap: axes,
    },
    a.shape.map((n, i) => (axes.includes(i) ? 1 : n)),
  );
}
