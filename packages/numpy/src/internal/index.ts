import {
  type ArrayLike,
  DTypeError,
  dtypeKind,
  isInteger,
  isNDArray,
  isTracer,
  type NDArray,
  scalar,
  ShapeError,
  type TypedArray,
  ValueError,
} from "@traceform/core";
import * as lax from "@traceform/lax";
import { broadcastTo, resultShape, toArray } from "./promote.ts";
import { flatNonzero } from "./nonzero.ts";

/** A slice `start:stop:step`; `null` and missing bounds are the ends. Made by `slice(…)`. */
export interface Slice {
  readonly start: number | null;
  readonly stop: number | null;
  readonly step: number | null;
}

/**
 * One part of an index: an integer (a scalar array may be traced), a slice as an object or as `[start, stop, step]`
 * (`[]` is all), `"..."` for as many full slices as are missing, `null` for a new axis, or an array of integers or
 * bools. Integer arrays are arrays, typed arrays or *nested* lists: a flat list of up to three numbers is a slice.
 */
export type Index =
  | number
  | bigint
  | null
  | "..."
  | Slice
  | readonly (number | null | undefined)[]
  | readonly (readonly (number | readonly number[])[])[]
  | TypedArray
  | NDArray;

/** A parsed index part, in the order of the axes of x. `array` entries are advanced indices. */
export type Part =
  | { readonly kind: "int"; readonly axis: number; readonly value: number }
  | { readonly kind: "slice"; readonly axis: number; readonly start: number; readonly length: number; readonly step: number }
  | { readonly kind: "array"; readonly axis: number; readonly array: NDArray }
  | { readonly kind: "new" };

function isSlice(x: unknown): x is Slice {
  return typeof x === "object" && x !== null && "step" in x && "stop" in x && "start" in x;
}

/** Start, number of elements and step of a slice of an axis of `size`, by Python's rules. */
function resolveSlice(fn: string, { start, stop, step }: Slice, size: number): { start: number; length: number; step: number } {
  const s = step ?? 1;
  for (const v of [start ?? 0, stop ?? 0, s]) {
    if (!Number.isInteger(v))
      throw new ValueError(fn, {
        message: `the slice [${start}, ${stop}, ${step}] needs integers`,
        fix: "give JavaScript integers, or null",
      });
  }
  if (s === 0) throw new ValueError(fn, { message: "the step of a slice cannot be 0", fix: "give a positive or a negative step" });
  const [lowest, highest] = s > 0 ? [0, size] : [-1, size - 1];
  const bound = (v: number | null | undefined, missing: number): number =>
    v === null || v === undefined ? missing : Math.min(Math.max(v < 0 ? v + size : v, lowest), highest);
  const from = bound(start, s > 0 ? lowest : highest);
  const to = bound(stop, s > 0 ? highest : lowest);
  return { start: from, length: Math.max(0, Math.ceil((to - from) / s)), step: s };
}

/** An index array: integers as they are; floats that hold integers (from JavaScript numbers) become int32. */
export function indexArray(fn: string, x: ArrayLike): NDArray {
  if (typeof x === "number" || typeof x === "bigint") {
    if (!Number.isInteger(Number(x)))
      throw new ValueError(fn, {
        message: `the index ${x} is not an integer`,
        fix: "give a JavaScript integer, or an integer array",
      });
    return scalar(x, "int32");
  }
  const a = toArray(x);
  if (isInteger(a.dtype)) return a;
  const fix = 'convert it with astype(index, "int32")';
  if (isTracer(a) || dtypeKind(a.dtype) !== "float") {
    throw new DTypeError(fn, { message: "an index must be of integers (or bool)", operands: { index: a }, fix });
  }
  if (a.size > 0 && Array.from(a.concrete(fn).readSync() as Iterable<number>).some((v) => !Number.isInteger(v))) {
    throw new DTypeError(fn, { message: "the index has fractions", operands: { index: a }, fix });
  }
  return lax.convertElementType(a, "int32");
}

/**
 * Reads the parts of an index for an array of `shape`; fills up with full slices. With `modeGiven` an integer out of
 * bounds is left to the mode.
 *
 * @throws {ShapeError} for too many parts; @throws {ValueError} for an integer out of bounds
 */
export function parseIndex(fn: string, x: NDArray, parts: readonly Index[], modeGiven: boolean): Part[] {
  const expanded = parts.map((p) => expand(fn, p));
  const consumed = expanded.reduce<number>(
    (n, p) => n + (p === null || p === "..." ? 0 : isNDArray(p) && p.dtype === "bool" ? p.ndim : 1),
    0,
  );
  if (expanded.filter((p) => p === "...").length > 1) {
    throw new ValueError(fn, { message: 'an index may hold "..." only once', fix: 'write ":" for the other axes' });
  }
  if (consumed > x.ndim) {
    throw new ShapeError(fn, {
      message: `too many indices: ${consumed} for ${x.ndim} axes`,
      operands: { x },
      fix: "give at most one index for each axis",
    });
  }
  const missing = x.ndim - consumed;
  const list = expanded.includes("...") ? expanded : [...expanded, "..." as const];
  const out: Part[] = [];
  let axis = 0;
  for (const p of list) {
    if (p === null) {
      out.push({ kind: "new" });
    } else if (p === "...") {
      for (let i = 0; i < missing; i++, axis++) out.push({ kind: "slice", axis, start: 0, length: x.shape[axis], step: 1 });
    } else if (typeof p === "number") {
      const size = x.shape[axis];
      if (p < -size || p >= size) {
        if (modeGiven) {
          out.push({ kind: "array", axis: axis++, array: scalar(p, "int32") });
          continue;
        }
        // JAX clamps or drops, because it cannot throw on a device. This index is known here to be wrong.
        throw new ValueError(fn, {
          message: `index ${p} is out of bounds for axis ${axis} of size ${size}`,
          operands: { x },
          fix: "give an index in [-size, size); dynamicSlice and take clamp or fill instead",
        });
      }
      out.push({ kind: "int", axis: axis++, value: p < 0 ? p + size : p });
    } else if (isSlice(p)) {
      out.push({ kind: "slice", axis, ...resolveSlice(fn, p, x.shape[axis]) });
      axis++;
    } else if (p.dtype === "bool") {
      axis = pushMask(fn, out, x, p, axis);
    } else {
      out.push({ kind: "array", axis: axis++, array: p });
    }
  }
  return out;
}

function expand(fn: string, p: Index): number | null | "..." | Slice | NDArray {
  if (p === null || p === "..." || isSlice(p)) return p;
  if (typeof p === "number" || typeof p === "bigint") {
    const i = Number(p);
    if (!Number.isInteger(i))
      throw new ValueError(fn, {
        message: `the index ${i} is not an integer`,
        fix: "give a JavaScript integer, or an integer array",
      });
    return i;
  }
  if (isNDArray(p)) return p.dtype === "bool" ? p : indexArray(fn, p);
  if (ArrayBuffer.isView(p)) return indexArray(fn, p as TypedArray);
  if (Array.isArray(p)) {
    if (p.every((v) => typeof v !== "object" || v === null)) {
      if (p.length > 3 || p.some((v) => typeof v === "boolean")) {
        throw new ValueError(fn, {
          message: `[${p.join(", ")}] is no slice`,
          fix: 'a flat list is [start, stop, step]; wrap integer indices as array([…], { dtype: "int32" }), masks as array([…])',
        });
      }
      const [start, stop, step] = p as (number | null | undefined)[];
      // One number alone is the start, as in [1] for 1:
      return { start: start ?? null, stop: stop ?? null, step: step ?? null };
    }
    return indexArray(fn, p as ArrayLike);
  }
  throw new ValueError(fn, { message: `${String(p)} is no index`, fix: 'use integers, slices, null, "..." or arrays' });
}

/** A mask of k axes selects like k integer arrays: the coordinates of its true elements. */
function pushMask(fn: string, out: Part[], x: NDArray, mask: NDArray, axis: number): number {
  mask.shape.forEach((n, i) => {
    if (n !== x.shape[axis + i]) {
      throw new ShapeError(fn, {
        message: `the mask has ${n} elements along its axis ${i}, x has ${x.shape[axis + i]} along axis ${axis + i}`,
        operands: { x, mask },
        fix: "give a mask with the shape of the axes that it stands for",
      });
    }
  });
  for (const array of flatNonzero(fn, mask)) out.push({ kind: "array", axis: axis++, array });
  return axis;
}

/** Where the axes of the result come from, and the index components for a gather or scatter. */
export interface GatherPlan {
  /** Index vectors: [...batch, components]. */
  readonly indices: NDArray;
  /** Axis of x for each component. */
  readonly axes: readonly number[];
  /** Axes of x that the result lacks. */
  readonly collapsed: readonly number[];
  /** Axes of the result (without new axes) that run over windows of x. */
  readonly windowDims: readonly number[];
  readonly sliceSizes: readonly number[];
  /** Shape of the result without new axes. */
  readonly shape: readonly number[];
  /** Places of the new axes in the final result. */
  readonly newAxes: readonly number[];
}

/**
 * Lowers an index to index vectors. Contiguous slices become windows; other slices, like index arrays, batch axes.
 * Arrays that stand side by side put their axes in their place, separated ones put them first (NumPy's rule).
 */
export function planGather(fn: string, x: NDArray, parts: readonly Part[]): GatherPlan {
  const arrays = parts.filter((p) => p.kind === "array");
  const advancedShape =
    arrays.length === 0
      ? []
      : resultShape(
          fn,
          arrays.map((p) => p.array),
        );
  // Integers beside arrays count as arrays for the rule of contiguity.
  const isAdvanced = (p: Part): boolean => p.kind === "array" || (p.kind === "int" && arrays.length > 0);
  const places = parts.flatMap((p, i) => (isAdvanced(p) ? [i] : []));
  const contiguous = places.every((place, i) => i === 0 || place === places[i - 1] + 1);
  const first = contiguous ? places[0] : -1;

  const shape: number[] = [];
  const batchDims: number[] = [];
  const windowDims: number[] = [];
  const newAxes: number[] = [];
  let added = 0;
  let advancedAt = -1;
  const putAdvanced = (): void => {
    if (arrays.length === 0) return;
    advancedAt = batchDims.length;
    for (const n of advancedShape) {
      batchDims.push(shape.length);
      shape.push(n);
    }
  };
  const strided: { axis: number; batch: number; start: number; step: number; length: number }[] = [];
  const windows: { axis: number; start: number; length: number }[] = [];
  if (first < 0) putAdvanced();
  parts.forEach((p, i) => {
    if (i === first) putAdvanced();
    if (p.kind === "new") newAxes.push(shape.length + added++);
    else if (p.kind === "slice") {
      if (p.step === 1 || p.length === 1) {
        windows.push({ axis: p.axis, start: p.start, length: p.length });
        windowDims.push(shape.length);
      } else {
        strided.push({ axis: p.axis, batch: batchDims.length, start: p.start, step: p.step, length: p.length });
        batchDims.push(shape.length);
      }
      shape.push(p.length);
    }
  });

  const batchShape = batchDims.map((d) => shape[d]);
  const components: NDArray[] = [];
  const axes: number[] = [];
  const component = (axis: number, value: NDArray): void => {
    components.push(broadcastTo(fn, value, batchShape));
    axes.push(axis);
  };
  const sliceSizes = x.shape.map(() => 1);
  const collapsed: number[] = [];
  for (const p of parts) {
    if (p.kind === "int") {
      component(p.axis, scalar(p.value, "int32"));
      collapsed.push(p.axis);
    } else if (p.kind === "array") {
      const own = wrapNegative(p.array, x.shape[p.axis]);
      const tail = batchShape.length - advancedAt - advancedShape.length;
      component(p.axis, lax.reshape(own, [...own.shape, ...new Array<number>(tail).fill(1)]));
      collapsed.push(p.axis);
    }
  }
  for (const s of strided) {
    const run = lax.add(lax.mul(lax.iota("int32", s.length), s.step), s.start);
    component(s.axis, lax.broadcastInDim(run, batchShape, [s.batch]));
    collapsed.push(s.axis);
  }
  for (const w of windows) {
    sliceSizes[w.axis] = w.length;
    if (w.start !== 0 || w.length !== x.shape[w.axis]) component(w.axis, scalar(w.start, "int32"));
  }
  return {
    indices: stackComponents(components, batchShape),
    axes,
    collapsed: collapsed.sort((a, b) => a - b),
    windowDims,
    sliceSizes,
    shape,
    newAxes,
  };
}

/** Index vectors along a new last axis, in the widest of their dtypes. */
function stackComponents(components: readonly NDArray[], batchShape: readonly number[]): NDArray {
  if (components.length === 0) return lax.full([...batchShape, 0], 0, "int32");
  const dtype = components.some((c) => c.dtype === "int64" || c.dtype === "uint64")
    ? "int64"
    : components.every((c) => c.dtype === components[0].dtype)
      ? components[0].dtype
      : "int32";
  const vectors = components.map((c) => lax.expandDims(lax.convertElementType(c, dtype), [-1]));
  return vectors.length === 1 ? vectors[0] : lax.concatenate(vectors, batchShape.length);
}

/** Negative indices count from the end, once. */
export function wrapNegative(index: NDArray, size: number): NDArray {
  if (dtypeKind(index.dtype) === "uint") return index;
  const i = index.dtype === "int8" || index.dtype === "int16" ? lax.convertElementType(index, "int32") : index;
  return lax.select(lax.lt(i, 0), lax.add(i, size), i);
}
