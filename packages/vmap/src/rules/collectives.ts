import { bind, bind1, fromTyped, type NDArray, type Primitive, scalar } from "@traceform/core";
import {
  add,
  type AllGatherParams,
  allGatherInvariantP,
  allGatherP,
  allToAllP,
  type AllToAllParams,
  axisIndexP,
  type CollectiveParams,
  concatenate,
  fullLike,
  gather,
  iota,
  mul,
  pmaxP,
  pminP,
  ppermuteP,
  psumP,
  pvaryP,
  reduceMax,
  reduceMin,
  reduceScatterP,
  type ReduceScatterParams,
  reduceSum,
  reshape,
  sliceInDim,
} from "@traceform/lax";
import { moveAxis, toFront } from "../internal/axes.ts";
import { type BatchContext, type BatchDim, type BatchEntry, type BatchRule, type Beyond, entry } from "../rule.ts";

type Result = ReturnType<BatchRule>;
type Groups = readonly (readonly number[])[];

/** Up to how many runs of members are taken by slices. */
const mostSlices = 64;

/** Member i of the result is member `rows[i]` of `x` along axis 0, and zeros where there is no such member. */
function takeRows(x: NDArray, rows: readonly number[]): NDArray {
  const n = x.shape[0];
  const runs: { from: number; length: number }[] = [];
  for (const row of rows) {
    const last = runs.at(-1);
    if (last !== undefined && (row >= n ? last.from >= n : row === last.from + last.length)) last.length++;
    else runs.push({ from: row, length: 1 });
  }
  if (runs.length <= mostSlices) {
    const parts = runs.map(({ from, length }) =>
      from < n ? sliceInDim(x, from, from + length) : fullLike(x, 0, { shape: [length, ...x.shape.slice(1)] }),
    );
    return parts.length === 1 ? parts[0] : concatenate(parts, 0);
  }
  return gather(
    x,
    fromTyped(Int32Array.from(rows), [rows.length, 1], "int32"),
    { offsetDims: x.shape.slice(1).map((_, i) => i + 1), collapsedSliceDims: [0], startIndexMap: [0] },
    [1, ...x.shape.slice(1)],
    { mode: "fill", fillValue: 0, indicesAreSorted: false, uniqueIndices: false },
  );
}

/**
 * A collective within groups of positions: the batch is put in the order of the groups, each of which is a batch of
 * its own, on which `whole` works.
 */
function inGroups(
  args: readonly NDArray[],
  groups: Groups,
  size: number,
  whole: (members: readonly NDArray[], size: number) => Result,
): Result {
  const outs: NDArray[][] = groups.map((group) => {
    const members = args.map((x) => takeRows(x, group));
    const [ys, ds] = whole(members, group.length);
    return ys.map((y, i) => toFront(y, ds[i], group.length));
  });
  const order = groups.flat();
  const back = Array.from({ length: size }, (_, i) => order.indexOf(i));
  const joined = outs[0].map((_, i) =>
    takeRows(
      concatenate(
        outs.map((o) => o[i]),
        0,
      ),
      back,
    ),
  );
  return [joined, joined.map(() => 0)];
}

/**
 * A collective on all members of the batch, which come along axis 0, those of other processes too; of what differs between members this
 * process keeps its own.
 */
function onAll(
  args: readonly NDArray[],
  dims: readonly BatchDim[],
  { axisSize, beyond }: BatchContext,
  whole: (xs: readonly NDArray[], size: number) => Result,
): Result {
  const n = axisSize * (beyond?.count ?? 1);
  const all = args.map((x, i) => {
    const dim = dims[i];
    if (beyond === null || dim === null) return toFront(x, dim, n);
    return merge(beyond.gather(toFront(x, dim, axisSize)), 0);
  });
  const [outs, at] = whole(all, n);
  if (beyond === null) return [outs, at];
  const own = (x: NDArray, dim: number): NDArray => sliceInDim(x, beyond.index * axisSize, (beyond.index + 1) * axisSize, 1, dim);
  return [outs.map((x, i) => (at[i] === null ? x : own(x, at[i]))), at];
}

/**
 * A reduction over named axes. Over the batch's own name it reduces the batch axis, and what is the same for all
 * members goes through `shared`; other names are left to the traces further out.
 */
function reduction(
  primitive: Primitive<CollectiveParams>,
  op: "sum" | "max" | "min",
  reduce: (x: NDArray, axes: readonly number[]) => NDArray,
  shared: (x: NDArray, size: number) => NDArray,
): BatchEntry {
  return entry(primitive, (args, dims, params, context) => {
    const { axisName, axisSize, beyond } = context;
    if (axisName === null || !params.axes.includes(axisName)) return [bind(primitive, args, params), dims];
    const { axisIndexGroups } = params;
    if (axisIndexGroups !== null) {
      return onAll(args, dims, context, (xs, n) =>
        inGroups(xs, axisIndexGroups, n, (members) => [members.map((x) => reduce(x, [0])), members.map(() => null)]),
      );
    }
    const here = args.map((x, i) => {
      const dim = dims[i];
      if (dim === null) return shared(x, axisSize * (beyond?.count ?? 1));
      // One member is its own sum, in the memory where it is.
      return axisSize === 1 ? reshape(x, x.shape.toSpliced(dim, 1)) : reduce(x, [dim]);
    });
    const differing = here.filter((_, i) => dims[i] !== null);
    const everywhere = beyond === null || differing.length === 0 ? differing : beyond.reduce(op, differing);
    const reduced = here.map((x, i) => (dims[i] === null ? x : everywhere.shift()!));
    const axes = params.axes.filter((a) => a !== axisName);
    return [axes.length === 0 ? reduced : bind(primitive, reduced, { ...params, axes }), reduced.map(() => null)];
  });
}

/** A collective that moves data along one named axis, whose name is the batch's. */
interface Moving<P> {
  /** The parameters for an array with the batch in front: the axes that they name are others. */
  readonly shift: (params: P) => Partial<P>;
  /** On an array with all members along axis 0. */
  readonly whole: (x: NDArray, params: P, size: number) => readonly [NDArray, BatchDim];
  /** On an array with the members of this process along axis 0, which others have the rest of. */
  readonly across: (x: NDArray, params: P, size: number, beyond: Beyond) => readonly [NDArray, BatchDim];
}

function moving<P extends { readonly axisName: string; readonly axisIndexGroups?: Groups | null }>(
  primitive: Primitive<P>,
  { shift, whole, across }: Moving<P>,
): BatchEntry {
  return entry(primitive, ([x], [dim], params, context) => {
    const { axisName, axisSize, beyond } = context;
    if (params.axisName !== axisName) {
      return [[bind1(primitive, [moveAxis(x, dim!, 0)], { ...params, ...shift(params) })], [0]];
    }
    const { axisIndexGroups: groups } = params;
    const one = ([out, at]: readonly [NDArray, BatchDim]): Result => [[out], [at]];
    // What is the same for all members needs no other process.
    if (groups || beyond === null || dim === null) {
      return onAll([x], [dim], context, ([all], n) =>
        groups ? inGroups([all], groups, n, ([y], size) => one(whole(y, params, size))) : one(whole(all, params, n)),
      );
    }
    return one(across(toFront(x, dim, axisSize), params, axisSize, beyond));
  });
}

/** Merges axis `at` with the one after it. */
function merge(x: NDArray, at: number): NDArray {
  return reshape(x, [...x.shape.slice(0, at), x.shape[at] * x.shape[at + 1], ...x.shape.slice(at + 2)]);
}
/** Splits axis `at` into `n` parts and what is in a part. */
function split(x: NDArray, at: number, n: number): NDArray {
  return reshape(x, [...x.shape.slice(0, at), n, x.shape[at] / n, ...x.shape.slice(at + 1)]);
}

export const collectiveRules = (): BatchEntry[] => [
  reduction(psumP, "sum", reduceSum, (x, size) => mul(x, scalar(size, x.dtype))),
  reduction(pmaxP, "max", reduceMax, (x) => x),
  reduction(pminP, "min", reduceMin, (x) => x),
  entry(axisIndexP, (_args, _dims, params, { axisName, axisSize, beyond }) => {
    if (params.axisName !== axisName) return [bind(axisIndexP, [], params), [null]];
    const here = iota("int32", axisSize);
    return [[beyond === null ? here : add(here, scalar(beyond.index * axisSize, "int32"))], [0]];
  }),
  // On the whole batch nothing is left to be said of where values are the same.
  entry(pvaryP, (args, dims, params, { axisName }) => {
    const axes = params.axes.filter((a) => a !== axisName);
    return [axes.length === 0 ? args : bind(pvaryP, args, { axes }), dims];
  }),
  ...[allGatherP, allGatherInvariantP].map((primitive) =>
    moving(primitive, {
      shift: (p) => ({ allGatherDimension: p.allGatherDimension + 1 }),
      whole: gathered,
      across: (x, params, _size, beyond) => gathered(merge(beyond.gather(x), 0), params),
    }),
  ),
  moving(reduceScatterP, {
    shift: (p) => ({ scatterDimension: p.scatterDimension + 1 }),
    whole: (x, params, n) => scattered(reduceSum(x, [0]), params, n),
    across: (x, params, n, beyond) => {
      // First the sum of what is here, then its parts for the processes, each of which has those of its members.
      const { scatterDimension: at } = params;
      const parts = moveAxis(split(reduceSum(x, [0]), at, beyond.count), at, 0);
      return scattered(beyond.reduceScatter(parts), params, n);
    },
  }),
  moving(allToAllP, {
    shift: (p) => ({ splitAxis: p.splitAxis + 1, concatAxis: p.concatAxis + 1 }),
    whole: exchanged,
    across: (x, params, n, beyond) => {
      // [from, …, to, …] -> [process of to, from, …, to, …] -> [process of from, from, …, to, …]
      const at = params.splitAxis + 1;
      const parts = moveAxis(split(x, at, beyond.count), at, 0);
      return exchanged(merge(beyond.allToAll(parts), 0), params, n);
    },
  }),
  moving(ppermuteP, {
    shift: () => ({}),
    whole: (x, { perm }, n) => {
      const source = new Map(perm.map(([from, to]) => [to, from]));
      return [
        takeRows(
          x,
          Array.from({ length: n }, (_, to) => source.get(to) ?? n),
        ),
        0,
      ];
    },
    across: (x, { perm }, _size, beyond) => [beyond.permute(x, perm), 0],
  }),
];

/** All members beside each other in each of them. */
function gathered(x: NDArray, { allGatherDimension: at, tiled }: AllGatherParams): readonly [NDArray, BatchDim] {
  const beside = moveAxis(x, 0, at);
  return [tiled ? merge(beside, at) : beside, null];
}

/** The parts of a sum, one for each of `n` members. */
function scattered(total: NDArray, { scatterDimension: at, tiled }: ReduceScatterParams, n: number): readonly [NDArray, BatchDim] {
  return [tiled ? split(total, at, n) : total, at];
}

/** What the members along axis 0 have for each of `n` members: [from, …, to, …] -> [to, …, from, …]. */
function exchanged(x: NDArray, { splitAxis, concatAxis, tiled }: AllToAllParams, n: number): readonly [NDArray, BatchDim] {
  const parts = moveAxis(tiled ? split(x, splitAxis + 1, n) : x, splitAxis + 1, 0);
  const beside = moveAxis(parts, 1, concatAxis + 1);
  return [tiled ? merge(beside, concatAxis + 1) : beside, 0];
}
