import { type Aval, bind1, itemsize, type NDArray, type Params } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type Addressed, type Factor, type FactorEntry, type FactorRule, factors, type Owned, range } from "./factors.ts";

// Operations that read or write elements at places. Axes that they take whole, and those along which there are indices, keep their
// layout; along the others a device reads, or writes, those elements that it has.

/** Whether a device has the first elements along all axes that are cut: true for one. */
const hasFirst = (owned: ReadonlyMap<number, Owned>): NDArray =>
  [...owned.values()].map(({ first }) => lax.eq(first, 0)).reduce((a, b) => lax.bitwiseAnd(a, b));

/** Elements of `x` at `positions` along an axis; zeros for positions outside. */
function takeAlong(x: NDArray, axis: number, positions: NDArray): NDArray {
  return lax.gather(
    x,
    lax.reshape(positions, [positions.size, 1]),
    { offsetDims: range(x.ndim).filter((k) => k !== axis), collapsedSliceDims: [axis], startIndexMap: [axis] },
    x.shape.map((n, k) => (k === axis ? 1 : n)),
    { mode: "fill", fillValue: 0 },
  );
}

/** The elements at `positions(d)` of each whole axis that is cut, where this device has them, and zeros for the others. */
function takeOwned(x: NDArray, owned: ReadonlyMap<number, Owned>, positions: (d: number) => NDArray): NDArray {
  return [...owned].reduce((y, [d, { first }]) => takeAlong(y, d, lax.sub(positions(d), first)), x);
}

/** The factors of an operand of which parts are taken: `own` where that is one, else one that no result has. */
const takenFactors = (own: readonly Factor[]): number[] => own.map((f, d) => f ?? own.length + d);
/** The axes without a factor of their own. */
const without = (own: readonly Factor[]): number[] => own.flatMap((f, d) => (f === null ? [d] : []));

const slice: FactorRule<lax.SliceParams> = ([x], [y], { startIndices, limitIndices, strides }) => {
  const own = x.shape.map((n, d) => (startIndices[d] === 0 && limitIndices[d] === n && (strides?.[d] ?? 1) === 1 ? d : null));
  const run: Addressed["run"] = ([part], owned) => {
    const rest = lax.slice(
      part,
      startIndices.map((n, d) => (owned.has(d) ? 0 : n)),
      limitIndices.map((n, d) => (own[d] === null && !owned.has(d) ? n : part.shape[d])),
      startIndices.map((_, d) => (owned.has(d) ? 1 : (strides?.[d] ?? 1))),
    );
    return takeOwned(rest, owned, (d) =>
      lax.add(lax.mul(lax.iota("int32", y.shape[d]), BigInt(strides?.[d] ?? 1)), BigInt(startIndices[d])),
    );
  };
  const localize = ([shape]: readonly (readonly number[])[]): Params => ({
    startIndices,
    limitIndices: limitIndices.map((n, d) => (own[d] === null ? n : shape[d])),
    strides,
  });
  return { operands: [takenFactors(own)], results: [own], localize, reduce: "psum", addressed: { axes: without(own), run } };
};

/** Starts are clamped so that the slice fits into the whole axis. */
const clampedStarts = (x: Aval, starts: readonly NDArray[], sizes: readonly number[]): NDArray[] =>
  starts.map((s, d) => lax.clamp(0n, lax.convertElementType(s, "int32"), BigInt(x.shape[d] - sizes[d])));

const dynamicSlice: FactorRule<lax.DynamicSliceParams> = ([x, ...starts], _results, { sliceSizes }) => {
  const own = x.shape.map((n, d) => (sliceSizes[d] === n ? d : null));
  const run: Addressed["run"] = ([part, ...at], owned) => {
    const from = clampedStarts(x, at, sliceSizes);
    const rest = lax.dynamicSlice(
      part,
      from.map((s, d) => (owned.has(d) || own[d] !== null ? 0n : s)),
      sliceSizes.map((n, d) => (owned.has(d) || own[d] !== null ? part.shape[d] : n)),
    );
    return takeOwned(rest, owned, (d) => lax.add(lax.iota("int32", sliceSizes[d]), from[d]));
  };
  return {
    operands: [takenFactors(own), ...starts.map(() => [])],
    results: [own],
    localize: (_operands, [shape]) => ({ sliceSizes: shape }),
    reduce: "psum",
    addressed: { axes: without(own), run },
  };
};

const dynamicUpdateSlice: FactorRule = ([x, update, ...starts]) => {
  const own = x.shape.map((n, d) => (update.shape[d] === n ? d : null));
  const run: Addressed["run"] = ([part, small, ...at], owned) => {
    const from = clampedStarts(x, at, update.shape);
    // Along axes that are cut, what would be written if the update went on forever, and where it does not.
    const positions = new Map(
      [...owned].map(([d, { first }]) => [d, lax.add(lax.iota("int32", part.shape[d]), lax.sub(first, from[d]))]),
    );
    const spread = [...positions].reduce((y, [d, at]) => takeAlong(y, d, at), small);
    const written = lax.dynamicUpdateSlice(
      part,
      spread,
      from.map((s, d) => (owned.has(d) || own[d] !== null ? 0n : s)),
    );
    const inside = [...positions].map(([d, at]) =>
      lax.broadcastInDim(lax.bitwiseAnd(lax.ge(at, 0), lax.lt(at, update.shape[d])), part.shape, [d]),
    );
    return lax.select(
      inside.reduce((a, b) => lax.bitwiseAnd(a, b)),
      written,
      part,
    );
  };
  return {
    operands: [range(x.ndim), own, ...starts.map(() => [])],
    results: [range(x.ndim)],
    addressed: { axes: without(own), run },
  };
};

/** What gathers and scatters have in common: windows of an operand, whose starts are index vectors. */
interface Windows {
  readonly x: Aval;
  /** For each component of an index vector, the axis along which it is a start. */
  readonly starts: readonly number[];
  /** The size of a window along each axis of the operand. */
  readonly sizes: readonly number[];
  readonly operandBatching: readonly number[];
  readonly indicesBatching: readonly number[];
  readonly mode: lax.GatherMode;
}

/** The factors of the operand: its own where windows are whole, those of the indices along batch axes. */
const windowFactors = ({ x, sizes, operandBatching, indicesBatching }: Windows): Factor[] =>
  range(x.ndim).map((d) => {
    const k = operandBatching.indexOf(d);
    return k >= 0 ? x.ndim + indicesBatching[k] : sizes[d] === x.shape[d] ? d : null;
  });

/** The axes along which a window is one element at an index: some device has all of it. */
const pointAxes = ({ x, starts, sizes, operandBatching }: Windows): number[] =>
  starts.filter((d) => sizes[d] === 1 && x.shape[d] > 1 && !operandBatching.includes(d));

/** Scalars, one for each component of an index vector, as an array of the shape of the index vectors. */
const components = (values: readonly NDArray[], like: NDArray): NDArray =>
  lax.broadcastInDim(
    lax.concatenate(
      values.map((v) => lax.reshape(v, [1])),
      0,
    ),
    like.shape,
    [like.ndim - 1],
  );

interface LocalIndices {
  /** int32: places in this device's part, of the mode `fill`. */
  readonly at: NDArray;
  /** Of each index vector, whether its window is not within the whole array. */
  readonly outside: NDArray;
}

/** Index vectors into the whole operand as such into the part that a device has. */
function localIndices({ x, starts, sizes, mode }: Windows, indices: NDArray, owned: ReadonlyMap<number, Owned>): LocalIndices {
  // Small integers cannot say how long an axis is.
  const wide = itemsize(indices.dtype) < 4 ? lax.convertElementType(indices, "int32") : indices;
  const last = components(
    starts.map((d) => lax.full([], x.shape[d] - sizes[d], wide.dtype)),
    wide,
  );
  const none = lax.fullLike(wide, 0);
  const beyond = lax.bitwiseOr(lax.lt(wide, none), lax.gt(wide, last));
  const inside = mode === "clip" ? lax.min(lax.max(wide, none), last) : wide;
  const narrow = lax.convertElementType(inside, "int32");
  const first = components(
    starts.map((d) => owned.get(d)?.first ?? lax.full([], 0, "int32")),
    narrow,
  );
  const shifted = lax.sub(narrow, first);
  return {
    at: mode === "clip" ? shifted : lax.select(beyond, lax.fullLike(shifted, -1), shifted),
    outside: lax.reduceOr(beyond, [beyond.ndim - 1]),
  };
}

const gather: FactorRule<lax.GatherParams> = ([x, indices], [y], params) => {
  const { offsetDims, collapsedSliceDims, startIndexMap, operandBatchingDims, startIndicesBatchingDims } = params.dimensionNumbers;
  const windows: Windows = {
    x,
    starts: startIndexMap,
    sizes: params.sliceSizes,
    operandBatching: operandBatchingDims,
    indicesBatching: startIndicesBatchingDims,
    mode: params.mode,
  };
  const own = windowFactors(windows);
  const axes = pointAxes(windows);
  const window = range(x.ndim).filter((d) => !collapsedSliceDims.includes(d) && !operandBatchingDims.includes(d));
  const batch = range(y.ndim).filter((d) => !offsetDims.includes(d));
  const localSizes = (shape: readonly number[]): number[] => params.sliceSizes.map((n, d) => (own[d] === d ? shape[d] : n));
  const run: Addressed["run"] = ([part, all], owned) => {
    const { at, outside } = localIndices(windows, all, owned);
    const sizes = localSizes(part.shape);
    const got = lax.gather(part, at, params.dimensionNumbers, sizes, { mode: "fill", fillValue: 0 });
    if (params.mode !== "fill") return got;
    // What no device has is filled, once.
    const filler = lax.gather(part, lax.fullLike(at, -1), params.dimensionNumbers, sizes, params);
    const once = lax.bitwiseAnd(outside, lax.broadcastInDim(hasFirst(owned), outside.shape, []));
    return lax.select(lax.broadcastInDim(once, got.shape, batch), filler, got);
  };
  const unshared = 2 * (x.ndim + indices.ndim);
  return {
    operands: [
      own.map((f, d) => (axes.includes(d) ? unshared + d : f)),
      range(indices.ndim).map((d) => (d === indices.ndim - 1 ? null : x.ndim + d)),
    ],
    results: [range(y.ndim).map((d) => (offsetDims.includes(d) ? own[window[offsetDims.indexOf(d)]] : x.ndim + batch.indexOf(d)))],
    localize: ([shape]) => ({ ...params, sliceSizes: localSizes(shape) }),
    reduce: "psum",
    addressed: { axes, run },
  };
};

/**
 * Updates that are cut are joined after each device has made its own, where an operation can join them. Setting cannot, nor multiplying:
 * each device needs all updates then.
 */
const scatter = (primitive: typeof lax.scatterP, reduce?: "psum" | "pmax" | "pmin"): FactorEntry =>
  factors(primitive, ([x, indices, updates], _results, params) => {
    const { updateWindowDims, insertedWindowDims, scatterDimsToOperandDims, ...d } = params.dimensionNumbers;
    const window = range(x.ndim).filter((k) => !insertedWindowDims.includes(k) && !d.operandBatchingDims.includes(k));
    const sizes = x.shape.map(() => 1);
    window.forEach((k, w) => (sizes[k] = updates.shape[updateWindowDims[w]]));
    const windows: Windows = {
      x,
      starts: scatterDimsToOperandDims,
      sizes,
      operandBatching: d.operandBatchingDims,
      indicesBatching: d.scatterIndicesBatchingDims,
      mode: params.mode,
    };
    const own = windowFactors(windows);
    const axes = pointAxes(windows);
    const operand = own.map((f, k) => (axes.includes(k) ? k : f));
    const along = range(indices.ndim - 1).map((k): Factor =>
      reduce === undefined && !d.scatterIndicesBatchingDims.includes(k) ? null : x.ndim + k,
    );
    const batch = range(updates.ndim).filter((k) => !updateWindowDims.includes(k));
    return {
      operands: [
        operand,
        [...along, null],
        range(updates.ndim).map((k) =>
          updateWindowDims.includes(k) ? own[window[updateWindowDims.indexOf(k)]] : along[batch.indexOf(k)],
        ),
      ],
      results: [operand],
      // Truth values are added by "or".
      ...(reduce === undefined ? {} : { reduce: reduce === "psum" && x.dtype === "bool" ? "pmax" : reduce }),
      // The largest of all is that of the largest of some; sums must have the operand once.
      ...(reduce === "psum" ? { once: [0] } : {}),
      addressed: {
        axes,
        run: ([part, all, news], owned) =>
          bind1(primitive, [part, localIndices(windows, all, owned).at, news], {
            ...params,
            mode: "fill",
            indicesAreSorted: false,
          }),
      },
    };
  });

export const indexing = (): readonly FactorEntry[] => [
  factors(lax.sliceP, slice),
  factors(lax.dynamicSliceP, dynamicSlice),
  factors(lax.dynamicUpdateSliceP, dynamicUpdateSlice),
  factors(lax.gatherP, gather),
  scatter(lax.scatterP),
  scatter(lax.scatterAddP, "psum"),
  scatter(lax.scatterMulP),
  scatter(lax.scatterMinP, "pmin"),
  scatter(lax.scatterMaxP, "pmax"),
];
