import {
  type ArrayLike,
  asArray,
  type Aval,
  bind1,
  canonicalAxis,
  communicatesRule,
  definePrimitive,
  fromTyped,
  namedAxisSize,
  type NDArray,
  ownVarying,
  type Primitive,
  ShapeError,
  tracksVarying,
  TransformError,
  treeFlatten,
  treeUnflatten,
  updateAval,
  ValueError,
} from "@traceform/core";
import { axisIndex, type AxisName, axisList, axisSize, type CollectiveOptions, varyAlong } from "./collectives.ts";
import { fullLike } from "./create.ts";
import { checkGroups } from "./internal/groups.ts";
import { concatenate, reshape, transpose } from "./shape.ts";
import { dynamicIndexInDim } from "./slice.ts";

// Collectives that move data between the positions of one named axis. Over several axes they are one after the other.

type Groups = readonly (readonly number[])[] | null;

interface ExchangeParams {
  readonly axisName: string;
  readonly axisIndexGroups: Groups;
  /** How many take part: the size of the axis, or of one group. */
  readonly axisSize: number;
  /** Whether the pieces are joined along an existing axis; else there is one axis more, or less, for them. */
  readonly tiled: boolean;
}

export interface AllGatherParams extends ExchangeParams {
  /** The axis of the result that runs over the positions. */
  readonly allGatherDimension: number;
}
export interface ReduceScatterParams extends ExchangeParams {
  readonly scatterDimension: number;
}
export interface AllToAllParams extends ExchangeParams {
  readonly splitAxis: number;
  readonly concatAxis: number;
}
export interface PpermuteParams {
  readonly axisName: string;
  /** Pairs of positions: source, destination. */
  readonly perm: readonly (readonly [source: number, destination: number])[];
}

function exchange<P extends { readonly axisName: string }>(
  name: string,
  shape: (x: Aval, params: P) => readonly number[],
  varying: (x: Aval, axes: readonly string[]) => Aval = varyAlong,
): Primitive<P> {
  return definePrimitive<P>(name, {
    hiddenParams: ["axisIndexGroups"],
    rules: { [ownVarying]: true, [communicatesRule]: ({ axisName }: P) => [axisName] },
    abstractEval: (avals, params) => {
      namedAxisSize(name, params.axisName);
      return avals.map((x) => varying(updateAval(x, { shape: shape(x, params) }), [params.axisName]));
    },
  });
}

const place = (shape: readonly number[], at: number, n: number): number[] => [...shape.slice(0, at), n, ...shape.slice(at)];
const scaled = (shape: readonly number[], at: number, factor: number): number[] => shape.map((n, i) => (i === at ? n * factor : n));

const gatheredShape = (x: Aval, p: AllGatherParams): readonly number[] =>
  p.tiled ? scaled(x.shape, p.allGatherDimension, p.axisSize) : place(x.shape, p.allGatherDimension, p.axisSize);

/** One operand x: the x of all positions, the same everywhere, though its type does not say so: a cotangent differs. */
export const allGatherP: Primitive<AllGatherParams> = /* @__PURE__ */ exchange<AllGatherParams>("all_gather", gatheredShape);

/** One operand x: the x of all positions, which is known to be the same everywhere. */
export const allGatherInvariantP: Primitive<AllGatherParams> = /* @__PURE__ */ exchange<AllGatherParams>(
  "all_gather_invariant",
  gatheredShape,
  (x, axes) => updateAval(x, { varying: x.varying.filter((a) => !axes.includes(a)) }),
);

/** One operand: the sum over all positions, of which each keeps its part. */
export const reduceScatterP: Primitive<ReduceScatterParams> = /* @__PURE__ */ exchange<ReduceScatterParams>(
  "reduce_scatter",
  (x, p) => (p.tiled ? scaled(x.shape, p.scatterDimension, 1 / p.axisSize) : x.shape.toSpliced(p.scatterDimension, 1)),
);

/** One operand: its parts along `splitAxis` go to the positions, and what arrives is joined along `concatAxis`. */
export const allToAllP: Primitive<AllToAllParams> = /* @__PURE__ */ exchange<AllToAllParams>("all_to_all", (x, p) =>
  p.tiled
    ? scaled(scaled(x.shape, p.splitAxis, 1 / p.axisSize), p.concatAxis, p.axisSize)
    : place(x.shape.toSpliced(p.splitAxis, 1), p.concatAxis, p.axisSize),
);

/** One operand: that of another position, and zeros where nothing arrives. */
export const ppermuteP: Primitive<PpermuteParams> = /* @__PURE__ */ exchange<PpermuteParams>("ppermute", (x) => x.shape);

export interface AllGatherOptions extends CollectiveOptions {
  /** The axis of the result along which the positions are; negative ones count from the end. Default 0. */
  readonly axis?: number;
  /** Join along the existing axis instead of making one. */
  readonly tiled?: boolean;
}
export interface PsumScatterOptions extends CollectiveOptions {
  readonly scatterDimension?: number;
  /** Cut the axis into equal parts; else it must have one element for each position, and goes. */
  readonly tiled?: boolean;
}
export interface AllToAllOptions extends CollectiveOptions {
  readonly tiled?: boolean;
}

/** Applies `f` to each array of a pytree. */
function mapArrays<T>(f: (x: NDArray) => NDArray, tree: T): T {
  const [leaves, def] = treeFlatten(tree);
  return treeUnflatten(
    def,
    leaves.map((x) => f(asArray(x as ArrayLike))),
  ) as T;
}

function participants(fn: string, axisName: string, groups: Groups | undefined): { axisIndexGroups: Groups; axisSize: number } {
  const axisIndexGroups = checkGroups(fn, [axisName], groups ?? null, { equalSizes: true });
  return { axisIndexGroups, axisSize: axisIndexGroups === null ? namedAxisSize(fn, axisName) : axisIndexGroups[0].length };
}

function refuseGroups(fn: string, axes: readonly string[], { axisIndexGroups }: CollectiveOptions): void {
  if (axes.length > 1) checkGroups(fn, axes, axisIndexGroups ?? null, { equalSizes: true });
}

/**
 * The arrays of all positions along a named axis, stacked along a new axis (or, `tiled`, joined along an old one), for
 * each array of the pytree. Over several names the first varies slowest.
 * @throws {AxisError} for a name that nothing binds, or an axis that the result does not have
 * @example
 * ```ts
 * vmap((x: NDArray) => allGather(x, "i"), { axisName: "i", outAxes: null })(array([1, 2])).jsSync(); // => [1, 2]
 * ```
 */
export function allGather<T>(x: T, axisName: AxisName, options: AllGatherOptions = {}): T {
  const axes = axisList(axisName);
  refuseGroups("allGather", axes, options);
  return gatherAll("allGather", allGatherP, x, axes, options);
}

/**
 * `allGather` whose result is known to be the same along the axis, so that `outSpecs` may say so. Its transpose takes the own part of
 * the one cotangent, where that of `allGather` sums the cotangents of all positions. Along axes other than those of `shardMap` with
 * `checkVma` it is `allGather`.
 */
export function allGatherInvariant<T>(x: T, axisName: AxisName, options: Pick<AllGatherOptions, "axis" | "tiled"> = {}): T {
  const axes = axisList(axisName);
  return gatherAll("allGatherInvariant", axes.every(tracksVarying) ? allGatherInvariantP : allGatherP, x, axes, options);
}

function gatherAll<T>(
  fn: string,
  primitive: Primitive<AllGatherParams>,
  x: T,
  axes: readonly string[],
  options: AllGatherOptions,
): T {
  const { tiled = false } = options;
  const one = (y: NDArray, name: string, axis: number, join: boolean): NDArray =>
    bind1(primitive, [y], {
      axisName: name,
      ...participants(fn, name, options.axisIndexGroups),
      allGatherDimension: axis,
      tiled: join,
    });
  return mapArrays((y) => {
    const axis = canonicalAxis(fn, options.axis ?? 0, y.ndim + (tiled ? 0 : 1));
    const [last, ...outer] = axes.toReversed();
    // What was gathered first is one block of what is gathered next.
    return outer.reduce((z, name) => one(z, name, axis, true), one(y, last, axis, tiled));
  }, x);
}

/**
 * The array of one position along a named axis, for all of them, for each array of the pytree.
 * @throws {ValueError} when `source` is no position along the axis
 */
export function pbroadcast<T>(x: T, axisName: AxisName, source: number): T {
  const axes = axisList(axisName);
  const size = axisSize(axes);
  if (!Number.isInteger(source) || source < 0 || source >= size) {
    throw new ValueError("pbroadcast", {
      message: `${source} is no position along ${axes.map((a) => `"${a}"`).join(" and ")}, which has ${size}`,
      fix: `name one from 0 to ${size - 1}`,
    });
  }
  return mapArrays((y) => dynamicIndexInDim(allGather(y, axes), source, 0, false), x);
}

/**
 * The sum over a named axis, of which each position keeps its part along `scatterDimension`: `psum` followed by taking
 * one's own part, at less cost.
 * @throws {ShapeError} when the axis cannot be divided among the positions
 */
export function psumScatter<T>(x: T, axisName: AxisName, options: PsumScatterOptions = {}): T {
  const axes = axisList(axisName);
  refuseGroups("psumScatter", axes, options);
  const { tiled = false } = options;
  return mapArrays((y) => {
    const axis = canonicalAxis("psumScatter", options.scatterDimension ?? 0, y.ndim);
    const parts = axes.map((name) => participants("psumScatter", name, options.axisIndexGroups));
    checkDivides("psumScatter", y, axis, product(parts), tiled);
    // The last cut leaves one element, which goes where pieces are not tiles.
    return axes.reduce(
      (z, axisName, i) =>
        bind1(reduceScatterP, [z], { axisName, ...parts[i], scatterDimension: axis, tiled: tiled || i < axes.length - 1 }),
      y,
    );
  }, x);
}

const product = (parts: readonly { readonly axisSize: number }[]): number => parts.reduce((n, p) => n * p.axisSize, 1);

function checkDivides(fn: string, x: NDArray, axis: number, n: number, tiled: boolean): void {
  const size = x.shape[axis];
  if (tiled ? size % n === 0 : size === n) return;
  throw new ShapeError(fn, {
    message: tiled
      ? `axis ${axis} of size ${size} cannot be cut into ${n} equal parts`
      : `axis ${axis} must have one element for each of the ${n} positions, but has ${size}`,
    operands: { x },
    fix: tiled ? "pad the axis" : "pass { tiled: true } to cut the axis into equal parts",
  });
}

/**
 * Cuts each array along `splitAxis`, sends the parts to the positions along a named axis, and joins what arrives along
 * `concatAxis`: a transposition between an axis of the arrays and the named one. Without `tiled` the split axis goes and
 * a new one comes; `concatAxis` counts the axes of the result.
 * @throws {ShapeError} when the axis cannot be divided among the positions
 * @example
 * ```ts
 * vmap((x: NDArray) => allToAll(x, "i", 0, 0), { axisName: "i" })(array([[1, 2], [3, 4]])).jsSync(); // => [[1, 3], [2, 4]]
 * ```
 */
export function allToAll<T>(x: T, axisName: AxisName, splitAxis: number, concatAxis: number, options: AllToAllOptions = {}): T {
  const axes = axisList(axisName);
  refuseGroups("allToAll", axes, options);
  const { tiled = false } = options;
  return mapArrays((y) => {
    const split = canonicalAxis("allToAll", splitAxis, y.ndim);
    const concat = canonicalAxis("allToAll", concatAxis, y.ndim);
    const parts = axes.map((name) => participants("allToAll", name, options.axisIndexGroups));
    checkDivides("allToAll", y, split, product(parts), tiled);
    if (axes.length === 1) {
      return bind1(allToAllP, [y], { axisName: axes[0], ...parts[0], splitAxis: split, concatAxis: concat, tiled });
    }
    return overSeveral(y, axes, parts, split, concat, tiled);
  }, x);
}

/** The split axis as one axis for each name, exchanged one by one, and joined again. */
function overSeveral(
  x: NDArray,
  axes: readonly string[],
  parts: readonly { readonly axisIndexGroups: Groups; readonly axisSize: number }[],
  split: number,
  concat: number,
  tiled: boolean,
): NDArray {
  const sizes = parts.map((p) => p.axisSize);
  const n = product(parts);
  const k = axes.length;
  // [...before, sizes..., rest, ...after] with the axes of the names in front.
  const apart = reshape(x, [...x.shape.slice(0, split), ...sizes, x.shape[split] / n, ...x.shape.slice(split + 1)]);
  const inFront = transpose(apart, [
    ...sizes.map((_, i) => split + i),
    ...apart.shape.flatMap((_, i) => (i < split || i >= split + k ? [i] : [])),
  ]);
  const exchanged = axes.reduce(
    (y, axisName, i) => bind1(allToAllP, [y], { axisName, ...parts[i], splitAxis: i, concatAxis: i, tiled: false }),
    inFront,
  );
  const merged = reshape(exchanged, [n, ...exchanged.shape.slice(k)]);
  const to = (rank: number, at: number): number[] => {
    const order = Array.from({ length: rank - 1 }, (_, i) => i + 1);
    order.splice(at, 0, 0);
    return order;
  };
  if (tiled) {
    const beside = transpose(merged, to(merged.ndim, concat));
    return reshape(beside, [...beside.shape.slice(0, concat), n * beside.shape[concat + 1], ...beside.shape.slice(concat + 2)]);
  }
  // The part of the split axis that is left has one element.
  const without = reshape(merged, merged.shape.toSpliced(1 + split, 1));
  return transpose(without, to(without.ndim, concat));
}

/**
 * Sends each array from position to position along a named axis, as the pairs (source, destination) say; a position to
 * which nobody sends gets zeros.
 * @throws {TransformError} when a source or a destination occurs twice, or is outside the axis
 */
export function ppermute<T>(x: T, axisName: AxisName, perm: readonly (readonly [source: number, destination: number])[]): T {
  const axes = axisList(axisName);
  const size = axisSize(axisName);
  for (const [i, what] of ["source", "destination"].entries()) {
    const positions = perm.map((p) => p[i]);
    const wrong = positions.find((p, k) => !Number.isInteger(p) || p < 0 || p >= size || positions.indexOf(p) !== k);
    if (wrong === undefined) continue;
    throw new TransformError("ppermute", {
      message: `${what} ${wrong} ${wrong >= 0 && wrong < size ? "occurs twice" : `is outside the axis, which has ${size} positions`}`,
      operands: { perm: JSON.stringify(perm) },
      fix: "name each source and each destination at most once",
    });
  }
  if (axes.length === 1) return mapArrays((y) => bind1(ppermuteP, [y], { axisName: axes[0], perm }), x);
  const sources = Int32Array.from({ length: size }, (_, to) => perm.find((p) => p[1] === to)?.[0] ?? size);
  const source = dynamicIndexInDim(fromTyped(sources, [size], "int32"), axisIndex(axes), 0, false);
  return mapArrays((y) => {
    const all = allGather(y, axes);
    const zeros = fullLike(y, 0, { shape: [1, ...y.shape] });
    return dynamicIndexInDim(concatenate([all, zeros], 0), source, 0, false);
  }, x);
}

/** `ppermute` in which position i gets what position `perm[i]` has; `perm` is a permutation of all positions. */
export function pshuffle<T>(x: T, axisName: AxisName, perm: readonly number[]): T {
  const size = axisSize(axisName);
  if (perm.length !== size || perm.toSorted((a, b) => a - b).some((p, i) => p !== i)) {
    throw new TransformError("pshuffle", {
      message: `[${perm.join(",")}] is no permutation of the ${size} positions`,
      fix: "name each position once, or use ppermute",
    });
  }
  return ppermute(
    x,
    axisName,
    perm.map((source, destination) => [source, destination] as const),
  );
}

/** Swaps a named axis with axis `axis` of each array, which has the same size. */
export function pswapaxes<T>(x: T, axisName: AxisName, axis: number, options: CollectiveOptions = {}): T {
  return allToAll(x, axisName, axis, axis, options);
}
