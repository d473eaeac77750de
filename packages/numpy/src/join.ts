import { type ArrayLike, canonicalAxis, type DType, type NDArray, sameShape, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { readNumbers } from "./internal/host.ts";
import { convertAll, toArray } from "./internal/promote.ts";
import { atleast1d, atleast2d, atleast3d } from "./shape.ts";

/** Several arrays: a list of them, or one array whose leading axis is the list. */
export type Arrays = readonly ArrayLike[] | NDArray;
type JoinOptions = { readonly dtype?: DType | null };

function listOf(fn: string, xs: Arrays): readonly ArrayLike[] {
  const list = "aval" in xs ? unstack(xs) : xs;
  if (list.length === 0) throw new ValueError(fn, { message: "needs at least one array", fix: "give the arrays as a list" });
  return list;
}

function prepare(fn: string, xs: Arrays, options: JoinOptions): NDArray[] {
  const arrays = convertAll(listOf(fn, xs));
  return options.dtype ? arrays.map((x) => lax.convertElementType(x, options.dtype!)) : arrays;
}

/** Arrays joined along an existing axis; flattened first when `axis` is null. */
export function concatenate(xs: Arrays, axis: number | null = 0, options: JoinOptions = {}): NDArray {
  const arrays = prepare("concatenate", xs, options);
  if (axis === null)
    return lax.concatenate(
      arrays.map((x) => lax.reshape(x, [x.size])),
      0,
    );
  return lax.concatenate(arrays, axis);
}
export { concatenate as concat };

/** Arrays of one shape joined along a new axis. */
export function stack(xs: Arrays, axis = 0, options: JoinOptions = {}): NDArray {
  const arrays = prepare("stack", xs, options);
  const [first] = arrays;
  for (const x of arrays) {
    if (!sameShape(x.shape, first.shape)) {
      throw new ShapeError("stack", {
        message: "all arrays must have the same shape",
        operands: { first, other: x },
        fix: "broadcast them first, or join them along an axis with concatenate",
      });
    }
  }
  const d = canonicalAxis("stack", axis, first.ndim + 1);
  return lax.concatenate(
    arrays.map((x) => lax.expandDims(x, [d])),
    d,
  );
}

/** Joined along the first axis, vectors as rows. */
export function vstack(xs: Arrays, options: JoinOptions = {}): NDArray {
  return lax.concatenate(
    prepare("vstack", xs, options).map((x) => atleast2d(x)),
    0,
  );
}
/** Joined along the second axis; vectors along their only one. */
export function hstack(xs: Arrays, options: JoinOptions = {}): NDArray {
  const arrays = prepare("hstack", xs, options).map((x) => atleast1d(x));
  return lax.concatenate(arrays, arrays[0].ndim === 1 ? 0 : 1);
}
/** Joined along the third axis. */
export function dstack(xs: Arrays, options: JoinOptions = {}): NDArray {
  return lax.concatenate(
    prepare("dstack", xs, options).map((x) => atleast3d(x)),
    2,
  );
}
/** Vectors as the columns of a matrix; matrices joined along the second axis. */
export function columnStack(xs: Arrays): NDArray {
  const columns = prepare("columnStack", xs, {}).map((x) => (x.ndim < 2 ? lax.reshape(x, [x.size, 1]) : x));
  return lax.concatenate(columns, 1);
}

type Blocks = ArrayLike | readonly Blocks[];

/** An array from nested lists of blocks: the innermost lists join along the last axis, the next ones along the one before. */
export function block(blocks: Blocks): NDArray {
  const depth = (b: Blocks): number => (Array.isArray(b) && b.length > 0 ? 1 + Math.max(...b.map((c: Blocks) => depth(c))) : 0);
  const levels = depth(blocks);
  const rank = (b: Blocks): number =>
    Array.isArray(b) ? Math.max(...b.map((c: Blocks) => rank(c))) : toArray(b as ArrayLike).ndim;
  const ndim = Math.max(levels, rank(blocks));
  const join = (b: Blocks, level: number): NDArray => {
    if (level === 0) {
      const a = toArray(b as ArrayLike);
      return lax.broadcastToRank(a, Math.max(ndim, 1));
    }
    return concatenate(
      (b as readonly Blocks[]).map((c) => join(c, level - 1)),
      -level,
    );
  };
  return levels === 0 ? toArray(blocks as ArrayLike) : join(blocks, levels);
}

/** `values` joined to the end of `x`; both are flattened without `axis`. */
export function append(x: ArrayLike, values: ArrayLike, axis: number | null = null): NDArray {
  return concatenate([x, values], axis);
}

/** The pieces along an axis, without that axis. */
export function unstack(x: ArrayLike, axis: number | { readonly axis?: number } = 0): NDArray[] {
  const a = toArray(x);
  if (a.ndim === 0)
    throw new ShapeError("unstack", {
      message: "a scalar has no axis to unstack",
      operands: { x: a },
      fix: "give an array with at least one axis",
    });
  const d = canonicalAxis("unstack", typeof axis === "number" ? axis : (axis.axis ?? 0), a.ndim);
  return Array.from({ length: a.shape[d] }, (_, i) => lax.indexInDim(a, i, d, false));
}

/** `x` cut along an axis, into equal parts or at the given places. @throws {ShapeError} when equal parts do not come out */
export function split(x: ArrayLike, indicesOrSections: number | ArrayLike, axis = 0): NDArray[] {
  return cut("split", x, indicesOrSections, axis, false);
}
/** Like `split`, but parts may differ by one element. */
export function arraySplit(x: ArrayLike, indicesOrSections: number | ArrayLike, axis = 0): NDArray[] {
  return cut("arraySplit", x, indicesOrSections, axis, true);
}
/** `split` along the first axis. */
export function vsplit(x: ArrayLike, indicesOrSections: number | ArrayLike): NDArray[] {
  return split(x, indicesOrSections, 0);
}
/** `split` along the second axis; vectors along their only one. */
export function hsplit(x: ArrayLike, indicesOrSections: number | ArrayLike): NDArray[] {
  const a = toArray(x);
  return split(a, indicesOrSections, a.ndim === 1 ? 0 : 1);
}
/** `split` along the third axis. */
export function dsplit(x: ArrayLike, indicesOrSections: number | ArrayLike): NDArray[] {
  return split(x, indicesOrSections, 2);
}

function cut(fn: string, x: ArrayLike, where: number | ArrayLike, axis: number, uneven: boolean): NDArray[] {
  const a = toArray(x);
  const d = canonicalAxis(fn, axis, a.ndim);
  const n = a.shape[d];
  let bounds: number[];
  if (typeof where === "number") {
    if (!Number.isInteger(where) || where < 1)
      throw new ValueError(fn, {
        message: `the number of parts must be positive, got ${where}`,
        fix: "give a positive number of parts, or a list of the places to cut at",
      });
    if (n % where !== 0 && !uneven) {
      throw new ShapeError(fn, {
        message: `axis ${d} of size ${n} does not divide into ${where} equal parts`,
        operands: { x: a },
        fix: "use arraySplit, or give the places to cut at",
      });
    }
    const [size, extra] = [Math.floor(n / where), n % where];
    bounds = Array.from({ length: where + 1 }, (_, i) => i * size + Math.min(i, extra));
  } else {
    const at = Array.isArray(where) ? (where as number[]) : readNumbers(fn, where);
    const clamped = at.map((i) => Math.min(Math.max(i < 0 ? i + n : i, 0), n));
    bounds = [0, ...clamped, n];
  }
  return bounds.slice(1).map((to, i) => lax.sliceInDim(a, Math.min(bounds[i], to), to, 1, d));
}

/** `x` without the elements at some places along an axis (of the flattened x without one). */
export function delete_(x: ArrayLike, places: number | readonly number[] | NDArray, axis?: number | null): NDArray {
  let a = toArray(x);
  if (axis === null || axis === undefined) a = lax.reshape(a, [a.size]);
  const d = canonicalAxis("delete_", axis ?? 0, a.ndim);
  const n = a.shape[d];
  const list = typeof places === "number" ? [places] : Array.isArray(places) ? (places as number[]) : deleted(places as NDArray);
  const gone = new Set(list.map((i) => (i < 0 ? i + n : i)));
  const kept: [number, number][] = [];
  for (let i = 0; i < n; i++) {
    if (gone.has(i)) continue;
    const last = kept.at(-1);
    if (last !== undefined && last[1] === i) last[1] = i + 1;
    else kept.push([i, i + 1]);
  }
  if (kept.length === 0) return lax.sliceInDim(a, 0, 0, 1, d);
  return lax.concatenate(
    kept.map(([from, to]) => lax.sliceInDim(a, from, to, 1, d)),
    d,
  );
}

function deleted(places: NDArray): number[] {
  const values = readNumbers("delete_", places);
  return places.dtype === "bool" ? values.flatMap((v, i) => (v ? [i] : [])) : values;
}

/** `x` with values put in before the given places along an axis (of the flattened x without one). */
export function insert(x: ArrayLike, places: number | readonly number[], values: ArrayLike, axis?: number | null): NDArray {
  let a = toArray(x);
  if (axis === null || axis === undefined) a = lax.reshape(a, [a.size]);
  const d = canonicalAxis("insert", axis ?? 0, a.ndim);
  const n = a.shape[d];
  const list = (typeof places === "number" ? [places] : places).map((i) => (i < 0 ? i + n : i));
  let v = lax.convertElementType(toArray(values), a.dtype);
  // One place takes all the values; several take one each.
  const rows =
    list.length === 1
      ? v.ndim === a.ndim
        ? v.shape[d]
        : typeof places === "number" || v.ndim === 0 || a.ndim > 1
          ? 1
          : v.size
      : list.length;
  const target = a.shape.map((m, i) => (i === d ? rows : m));
  if (typeof places === "number" && v.ndim === a.ndim - 1 && v.ndim > 0) v = lax.expandDims(v, [d]);
  if (a.ndim === 1 && v.ndim === 1 && list.length === 1) target[0] = v.size;
  const offset = target.length - v.ndim;
  v = lax.broadcastInDim(
    v,
    target,
    v.shape.map((_, i) => i + offset),
  );
  const count = target[d];
  const order = list.length === 1 ? new Array<number>(count).fill(list[0]) : list;
  const sorted = order.map((at, k) => [at, k]).sort((p, q) => p[0] - q[0] || p[1] - q[1]);
  const parts: NDArray[] = [];
  let done = 0;
  for (const [at, k] of sorted) {
    if (at > done) parts.push(lax.sliceInDim(a, done, (done = at), 1, d));
    parts.push(lax.sliceInDim(v, k, k + 1, 1, d));
  }
  if (done < n) parts.push(lax.sliceInDim(a, done, n, 1, d));
  return lax.concatenate(parts, d);
}
