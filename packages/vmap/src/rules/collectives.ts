import { bind, bind1, fromTyped, type NDArray, type Primitive, scalar } from "@traceform/core";
import {
  add,
  allGatherInvariantP,
  allGatherP,
  allToAllP,
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
  reduceSum,
  reshape,
  sliceInDim,
} from "@traceform/lax";
import { moveAxis, toFront } from "../internal/axes.ts";
import { type BatchContext, type BatchDim, type BatchEntry, type BatchRule, entry } from "../rule.ts";

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
  const here = args.map((x, i) => toFront(x, dims[i], axisSize));
  if (beyond === null) return whole(here, axisSize);
  const n = axisSize * beyond.count;
  const [outs, at] = whole(
    here.map((x) => reshape(beyond.gather(x), [n, ...x.shape.slice(1)])),
    n,
  );
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

/** The axes of an array that a collective's parameters name, for an array with the batch in front. */
type Shifted<P> = (params: P) => Partial<P>;

/**
 * A collective that moves data along one named axis. `own` does it on an array with all members along axis 0; along
 * other names the batch stays in front, and `shift` moves the axes that the parameters name.
 */
function exchange<P extends { readonly axisName: string; readonly axisIndexGroups?: Groups | null }>(
  primitive: Primitive<P>,
  shift: Shifted<P>,
  own: (x: NDArray, params: P, size: number) => readonly [NDArray, BatchDim],
): BatchEntry {
  return entry(primitive, ([x], [dim], params, context) => {
    if (params.axisName !== context.axisName) {
      return [[bind1(primitive, [moveAxis(x, dim!, 0)], { ...params, ...shift(params) })], [0]];
    }
    const whole = (y: NDArray, size: number): Result => {
      const [out, at] = own(y, params, size);
      return [[out], [at]];
    };
    const { axisIndexGroups: groups } = params;
    return onAll([x], [dim], context, (xs, n) =>
      groups ? inGroups(xs, groups, n, ([y], size) => whole(y, size)) : whole(xs[0], n),
    );
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
    exchange(
      primitive,
      (p) => ({ allGatherDimension: p.allGatherDimension + 1 }),
      (x, { allGatherDimension: at, tiled }) => {
        const beside = moveAxis(x, 0, at);
        return [tiled ? merge(beside, at) : beside, null];
      },
    ),
  ),
  exchange(
    reduceScatterP,
    (p) => ({ scatterDimension: p.scatterDimension + 1 }),
    (x, { scatterDimension: at, tiled }, n) => {
      const total = reduceSum(x, [0]);
      return [tiled ? split(total, at, n) : total, at];
    },
  ),
  exchange(
    allToAllP,
    (p) => ({ splitAxis: p.splitAxis + 1, concatAxis: p.concatAxis + 1 }),
    (x, { splitAxis, concatAxis, tiled }, n) => {
      // [from, …, to, …] -> [to, …, from, …]
      const parts = moveAxis(tiled ? split(x, splitAxis + 1, n) : x, splitAxis + 1, 0);
      const beside = moveAxis(parts, 1, concatAxis + 1);
      return [tiled ? merge(beside, concatAxis + 1) : beside, 0];
    },
  ),
  exchange(
    ppermuteP,
    () => ({}),
    (x, { perm }, n) => {
      const source = new Map(perm.map(([from, to]) => [to, from]));
      return [
        takeRows(
          x,
          Array.from({ length: n }, (_, to) => source.get(to) ?? n),
        ),
        0,
      ];
    },
  ),
];
