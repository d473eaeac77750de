import { asArray, type ArrayLike, type NDArray, ShapeError, ValueError } from "@traceform/core";
import { expandDims, full, lt, scatterAdd, scatterMax, scatterMin, scatterMul, select, fullLike } from "@traceform/lax";
import { iinfo } from "./dtypes.ts";
import { max } from "./reductions.ts";

export interface SegmentOptions {
  /** How many segments there are; by default one more than the largest id, which must then be concrete. */
  readonly numSegments?: number;
}

type Scatter = typeof scatterAdd;

function segment(
  fn: string,
  scatter: Scatter,
  identity: (x: NDArray) => number,
  data: ArrayLike,
  ids: ArrayLike,
  options: SegmentOptions,
): NDArray {
  const [x, i] = [asArray(data), asArray(ids)];
  if (i.ndim !== 1 || x.ndim < 1 || i.shape[0] !== x.shape[0]) {
    throw new ShapeError(fn, {
      message: "segment ids are a vector as long as the first axis of the data",
      operands: { data: x, ids: i },
      fix: "give one id for each row of the data",
    });
  }
  const count = options.numSegments ?? Number(max(i).itemSync()) + 1;
  if (!Number.isInteger(count) || count < 0)
    throw new ValueError(fn, {
      message: `numSegments is a count, got ${count}`,
      fix: "pass a non-negative integer as numSegments",
    });
  const start = full([count, ...x.shape.slice(1)], identity(x), x.dtype);
  // A negative id names no segment; counting it from the end would be wrong.
  const places = select(lt(i, 0), fullLike(i, count), i);
  const window = x.shape.slice(1).map((_, d) => d + 1);
  const numbers = {
    updateWindowDims: window,
    insertedWindowDims: [0],
    scatterDimsToOperandDims: [0],
    operandBatchingDims: [],
    scatterIndicesBatchingDims: [],
  };
  return scatter(start, expandDims(places, [1]), x, numbers, { mode: "fill" });
}

const least = (x: NDArray): number => (/int/.test(String(x.dtype)) ? Number(iinfo(x.dtype as "int32").min) : -Infinity);
const greatest = (x: NDArray): number => (/int/.test(String(x.dtype)) ? Number(iinfo(x.dtype as "int32").max) : Infinity);

/** Sums of the rows of `data` that share an id: [n, ...s] and int[n] -> [numSegments, ...s]. Negative ids are dropped. */
export function segmentSum(data: ArrayLike, segmentIds: ArrayLike, options: SegmentOptions = {}): NDArray {
  return segment("segmentSum", scatterAdd, () => 0, data, segmentIds, options);
}

/** Products of the rows that share an id; 1 for an empty segment. */
export function segmentProd(data: ArrayLike, segmentIds: ArrayLike, options: SegmentOptions = {}): NDArray {
  return segment("segmentProd", scatterMul, () => 1, data, segmentIds, options);
}

/** Maxima of the rows that share an id; -Infinity, or the least integer, for an empty segment. */
export function segmentMax(data: ArrayLike, segmentIds: ArrayLike, options: SegmentOptions = {}): NDArray {
  return segment("segmentMax", scatterMax, least, data, segmentIds, options);
}

/** Minima of the rows that share an id; Infinity, or the greatest integer, for an empty segment. */
export function segmentMin(data: ArrayLike, segmentIds: ArrayLike, options: SegmentOptions = {}): NDArray {
  return segment("segmentMin", scatterMin, greatest, data, segmentIds, options);
}
