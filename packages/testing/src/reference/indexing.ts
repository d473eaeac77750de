import { type DType, isFloat } from "@traceform/core";
import { combiner } from "./elementwise.ts";
import { identityOf } from "./reduce.ts";
import { build, type Element, flatIndex, forEachIndex, reader, type RefArray, rounder, stridesOf } from "./values.ts";

interface GatherDimensions {
  readonly offsetDims: readonly number[];
  readonly collapsedSliceDims: readonly number[];
  readonly startIndexMap: readonly number[];
  readonly operandBatchingDims: readonly number[];
  readonly startIndicesBatchingDims: readonly number[];
}

export interface GatherParams {
  readonly dimensionNumbers: GatherDimensions;
  readonly sliceSizes: readonly number[];
  readonly mode: string;
  readonly fillValue: number | null;
}

/** What `fill` puts where an index is out of bounds: NaN, the least signed integer, the greatest unsigned one, true. */
function defaultFill(dtype: DType): Element {
  if (isFloat(dtype)) return NaN;
  if (dtype === "complex64" || dtype === "complex128") return { re: NaN, im: NaN };
  if (dtype === "bool") return 1;
  return identityOf((dtype as string).startsWith("u") ? "min" : "max", dtype);
}

/** Positions of the index array's axes other than the trailing index vector, in order. */
const batchAxes = (indices: RefArray): number[] => indices.shape.slice(0, -1).map((_, d) => d);

/** The definition of XLA's Gather. */
export function gather(x: RefArray, indices: RefArray, p: GatherParams, shape: readonly number[]): RefArray {
  const { offsetDims, collapsedSliceDims, startIndexMap, operandBatchingDims, startIndicesBatchingDims } = p.dimensionNumbers;
  const at = reader(x);
  const indexAt = reader(indices);
  const outBatch = shape.map((_, d) => d).filter((d) => !offsetDims.includes(d));
  const windowDims = x.shape.map((_, d) => d).filter((d) => !collapsedSliceDims.includes(d) && !operandBatchingDims.includes(d));
  const axes = batchAxes(indices);
  const fill = p.fillValue ?? defaultFill(x.dtype);
  return build(shape, x.dtype, (index) => {
    const batch = axes.map((_, i) => index[outBatch[i]]);
    const start = x.shape.map(() => 0);
    startIndexMap.forEach((d, k) => (start[d] = Number(indexAt([...batch, k]))));
    operandBatchingDims.forEach((d, k) => (start[d] = batch[startIndicesBatchingDims[k]]));
    for (let d = 0; d < start.length; d++) {
      const last = x.shape[d] - p.sliceSizes[d];
      if (p.mode === "fill" && (start[d] < 0 || start[d] > last)) return fill;
      start[d] = Math.min(Math.max(start[d], 0), last);
    }
    windowDims.forEach((d, k) => (start[d] += index[offsetDims[k]]));
    return at(start);
  });
}

interface ScatterDimensions {
  readonly updateWindowDims: readonly number[];
  readonly insertedWindowDims: readonly number[];
  readonly scatterDimsToOperandDims: readonly number[];
  readonly operandBatchingDims: readonly number[];
  readonly scatterIndicesBatchingDims: readonly number[];
}

export interface ScatterParams {
  readonly dimensionNumbers: ScatterDimensions;
  readonly mode: string;
}

const combiners: Record<string, string> = {
  "scatter-add": "add",
  "scatter-mul": "mul",
  "scatter-min": "min",
  "scatter-max": "max",
};

/** The definition of XLA's Scatter; updates are applied in row-major order. */
export function scatter(name: string, x: RefArray, indices: RefArray, updates: RefArray, p: ScatterParams): RefArray {
  const { updateWindowDims, insertedWindowDims, scatterDimsToOperandDims, operandBatchingDims, scatterIndicesBatchingDims } =
    p.dimensionNumbers;
  const values = [...x.values];
  const strides = stridesOf(x.shape);
  const indexAt = reader(indices);
  const round = rounder(x.dtype);
  const combine = name === "scatter" ? null : combiner(combiners[name], x.dtype);
  const axes = batchAxes(indices);
  const outBatch = updates.shape.map((_, d) => d).filter((d) => !updateWindowDims.includes(d));
  const windowDims = x.shape.map((_, d) => d).filter((d) => !insertedWindowDims.includes(d) && !operandBatchingDims.includes(d));
  const windowSizes = x.shape.map(() => 1);
  windowDims.forEach((d, k) => (windowSizes[d] = updates.shape[updateWindowDims[k]]));
  forEachIndex(updates.shape, (index, flat) => {
    const batch = axes.map((_, i) => index[outBatch[i]]);
    const start = x.shape.map(() => 0);
    scatterDimsToOperandDims.forEach((d, k) => (start[d] = Number(indexAt([...batch, k]))));
    operandBatchingDims.forEach((d, k) => (start[d] = batch[scatterIndicesBatchingDims[k]]));
    for (let d = 0; d < start.length; d++) {
      const last = x.shape[d] - windowSizes[d];
      if (p.mode === "clip") start[d] = Math.min(Math.max(start[d], 0), last);
      else if (start[d] < 0 || start[d] > last) return;
    }
    windowDims.forEach((d, k) => (start[d] += index[updateWindowDims[k]]));
    const at = flatIndex(start, strides);
    const update = updates.values[flat];
    values[at] = combine === null ? update : round(combine(values[at], update));
  });
  return { ...x, values };
}
