import { type Eqn, makeAval, type NDArray, type Primitive } from "@traceform/core";
import {
  convertElementType,
  dynamicSliceP,
  dynamicUpdateSliceP,
  type GatherParams,
  gatherP,
  gt,
  indexInDim,
  bitwiseOr,
  lt,
  type ScatterParams,
  scatterAddP,
  scatterMaxP,
  scatterMinP,
  scatterMulP,
  scatterP,
} from "@traceform/lax";
import { type CheckSite, internSite, slotFor } from "./error.ts";

/** One axis that indices go along: the indices, int[...batch], and the greatest that is within bounds. */
interface IndexedAxis {
  readonly axis: number;
  readonly indices: NDArray;
  readonly greatest: number;
}

export interface IndexCheck {
  readonly failed: NDArray;
  readonly site: CheckSite;
  readonly values: readonly NDArray[];
}

/** The positions of indices are their last axis. */
function columns(indices: NDArray, axes: readonly number[], greatest: (axis: number) => number): IndexedAxis[] {
  return axes.map((axis, k) => ({ axis, indices: indexInDim(indices, k, indices.ndim - 1, false), greatest: greatest(axis) }));
}

function starts(shape: readonly number[], sizes: readonly number[], indices: readonly NDArray[]): IndexedAxis[] {
  return shape.map((n, axis) => ({ axis, indices: indices[axis], greatest: n - sizes[axis] }));
}

type AxesOf = (args: readonly NDArray[], params: never) => IndexedAxis[];

const scatterAxes = ([x, indices, updates]: readonly NDArray[], { dimensionNumbers: d }: ScatterParams): IndexedAxis[] => {
  const windows = updates.shape.filter((_, i) => d.updateWindowDims.includes(i));
  const batching: readonly number[] = (d as { readonly operandBatchingDims?: readonly number[] }).operandBatchingDims ?? [];
  const sizeOf = (axis: number): number => {
    if (d.insertedWindowDims.includes(axis) || batching.includes(axis)) return 1;
    const before = x.shape.filter((_, i) => i < axis && !d.insertedWindowDims.includes(i) && !batching.includes(i)).length;
    return windows[before];
  };
  return columns(indices, d.scatterDimsToOperandDims, (axis) => x.shape[axis] - sizeOf(axis));
};

const indexing: ReadonlyMap<unknown, AxesOf> = /* @__PURE__ */ new Map<unknown, AxesOf>([
  [
    gatherP,
    ([x, indices]: readonly NDArray[], { dimensionNumbers, sliceSizes }: GatherParams) =>
      columns(indices, dimensionNumbers.startIndexMap, (axis) => x.shape[axis] - sliceSizes[axis]),
  ],
  [
    dynamicSliceP,
    ([x, ...at]: readonly NDArray[], { sliceSizes }: { sliceSizes: readonly number[] }) => starts(x.shape, sliceSizes, at),
  ],
  [dynamicUpdateSliceP, ([x, update, ...at]: readonly NDArray[]) => starts(x.shape, update.shape, at)],
  ...[scatterP, scatterAddP, scatterMulP, scatterMinP, scatterMaxP].map((p: Primitive<ScatterParams>) => [p, scatterAxes] as const),
]);

const indexAval = /* @__PURE__ */ makeAval([], "int32");

/** The slot for what these messages show: the index. */
export function indexSlot({ primitive }: Eqn): string | null {
  return indexing.has(primitive) ? slotFor([indexAval]) : null;
}

/** What may go out of bounds in an equation: one check for each axis that it indexes. */
export function indexChecks(eqn: Eqn, args: readonly NDArray[]): IndexCheck[] {
  const axes = indexing.get(eqn.primitive)?.(args, eqn.params as never) ?? [];
  const at = eqn.source?.frame ?? null;
  const { shape } = eqn.invars[0].aval;
  return axes.map(({ axis, indices, greatest }) => {
    const place = `array of shape [${shape.join(",")}]`;
    const bounds = `is out of bounds for axis ${axis} with size ${shape[axis]}`;
    const site = internSite(JSON.stringify(["index", place, axis, at]), (code) => ({
      code,
      category: "index",
      at,
      slot: indexSlot(eqn),
      describe: (values) =>
        `out-of-bounds indexing for ${place}: index ${values === null ? "" : `${values[0].itemSync()} `}${bounds}.`,
    }));
    const failed = bitwiseOr(lt(indices, 0), gt(indices, greatest));
    return { failed, site, values: [convertElementType(indices, "int32")] };
  });
}
