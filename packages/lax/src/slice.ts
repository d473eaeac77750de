import {
  type ArrayLike,
  asArray,
  bind1,
  canonicalAxis,
  definePrimitive,
  DTypeError,
  isInteger,
  type NDArray,
  type Primitive,
  scalar,
  ShapeError,
  type Aval,
  ValueError,
} from "@traceform/core";
import { checkSameDType, type NoParams, noParams, result } from "./internal/infer.ts";
import { beside } from "./internal/operands.ts";
import { expandDims, reshape, squeeze } from "./shape.ts";
import { lt, add } from "./binary.ts";
import { select } from "./select.ts";

export interface SliceParams {
  readonly startIndices: readonly number[];
  readonly limitIndices: readonly number[];
  readonly strides: readonly number[] | null;
}
export const sliceP: Primitive<SliceParams> = /* @__PURE__ */ definePrimitive<SliceParams>("slice", {
  abstractEval: ([x], { startIndices, limitIndices, strides }) => {
    const lengths = [startIndices.length, limitIndices.length, strides?.length ?? x.ndim];
    if (lengths.some((n) => n !== x.ndim)) {
      throw new ShapeError("slice", {
        message: `needs one start, limit and stride for each of the ${x.ndim} axes`,
        operands: { x, startIndices, limitIndices },
        fix: "give lists as long as the shape",
      });
    }
    const shape = x.shape.map((n, i) => {
      const [start, limit, stride] = [startIndices[i], limitIndices[i], strides?.[i] ?? 1];
      if (!(start >= 0 && start <= limit && limit <= n && stride >= 1)) {
        throw new ShapeError("slice", {
          message: `[${start}:${limit}:${stride}] is no slice of axis ${i} of size ${n}`,
          operands: { x, startIndices, limitIndices, strides: strides ?? "null" },
          fix: "lax.slice needs 0 <= start <= limit <= size and stride >= 1; x.slice(...) takes NumPy's slices",
        });
      }
      return Math.ceil((limit - start) / stride);
    });
    return [result(shape, x.dtype, [x])];
  },
});

function checkStarts(fn: string, x: Aval, starts: readonly Aval[]): void {
  if (starts.length !== x.ndim) {
    throw new ShapeError(fn, {
      message: `needs one start index for each of the ${x.ndim} axes, got ${starts.length}`,
      operands: { x },
      fix: "give as many start indices as x has axes",
    });
  }
  for (const s of starts) {
    if (!isInteger(s.dtype) || s.ndim !== 0) {
      throw new DTypeError(fn, {
        message: "start indices must be integer scalars",
        operands: { x, start: s },
        fix: 'convert the index with convertElementType(index, "int32")',
      });
    }
  }
}

export interface DynamicSliceParams {
  readonly sliceSizes: readonly number[];
}
/** Operands: x, then one integer scalar start for each axis. Starts are clamped so that the slice fits. */
export const dynamicSliceP: Primitive<DynamicSliceParams> = /* @__PURE__ */ definePrimitive<DynamicSliceParams>("dynamic_slice", {
  abstractEval: (avals, { sliceSizes }) => {
    const [x, ...starts] = avals;
    checkStarts("dynamicSlice", x, starts);
    if (sliceSizes.length !== x.ndim || !sliceSizes.every((n, i) => n >= 0 && n <= x.shape[i])) {
      throw new ShapeError("dynamicSlice", {
        message: "sliceSizes must be within the sizes of x",
        operands: { x, sliceSizes },
        fix: "give one size for each axis of x, none larger than it",
      });
    }
    return [result(sliceSizes, x.dtype, avals, x.weakType)];
  },
});

/** Operands: x, update, then one integer scalar start for each axis, clamped so that the update fits. */
export const dynamicUpdateSliceP: Primitive<NoParams> = /* @__PURE__ */ definePrimitive<NoParams>("dynamic_update_slice", {
  abstractEval: (avals) => {
    const [x, update, ...starts] = avals;
    checkSameDType("dynamicUpdateSlice", [x, update]);
    checkStarts("dynamicUpdateSlice", x, starts);
    if (update.ndim !== x.ndim || !update.shape.every((n, i) => n <= x.shape[i])) {
      throw new ShapeError("dynamicUpdateSlice", {
        message: "the update must have as many axes as x, none of them longer",
        operands: { x, update },
        fix: "reshape the update to the axes of x, and cut it to their sizes",
      });
    }
    return [result(x.shape, x.dtype, avals, x.weakType)];
  },
});

/** `x[start:limit:stride]` along every axis, with static bounds and positive strides. */
export function slice(
  x: ArrayLike,
  startIndices: readonly number[],
  limitIndices: readonly number[],
  strides?: readonly number[] | null,
): NDArray {
  const a = asArray(x);
  const unit = !strides || strides.every((s) => s === 1);
  if (
    unit &&
    startIndices.length === a.ndim &&
    startIndices.every((s) => s === 0) &&
    limitIndices.length === a.ndim &&
    limitIndices.every((l, i) => l === a.shape[i])
  ) {
    return a;
  }
  return bind1(sliceP, [a], { startIndices, limitIndices, strides: unit ? null : strides });
}

/** `x[start:limit:stride]` along one axis; negative bounds count from the end, missing ones are the ends. */
export function sliceInDim(x: ArrayLike, startIndex: number | null, limitIndex: number | null, stride = 1, axis = 0): NDArray {
  const a = asArray(x);
  const d = canonicalAxis("sliceInDim", axis, a.ndim);
  const n = a.shape[d];
  const bound = (i: number | null, missing: number): number => (i === null ? missing : i < 0 ? i + n : i);
  const starts = a.shape.map((_, i) => (i === d ? bound(startIndex, 0) : 0));
  const limits = a.shape.map((m, i) => (i === d ? bound(limitIndex, n) : m));
  return slice(a, starts, limits, stride === 1 ? null : a.shape.map((_, i) => (i === d ? stride : 1)));
}

/** `x[index]` along one axis with a static index; the axis stays (size 1) when `keepdims`. */
export function indexInDim(x: ArrayLike, index: number, axis = 0, keepdims = true): NDArray {
  const a = asArray(x);
  const d = canonicalAxis("indexInDim", axis, a.ndim);
  const n = a.shape[d];
  const i = index < 0 ? index + n : index;
  if (!(i >= 0 && i < n)) {
    throw new ValueError("indexInDim", {
      message: `index ${index} is outside axis ${d} of size ${n}`,
      operands: { x: a },
      fix: "give an index in [-size, size)",
    });
  }
  const cut = sliceInDim(a, i, i + 1, 1, d);
  return keepdims ? cut : squeeze(cut, [d]);
}

/** Start indices as integer scalars; negative ones count from the end, as in JAX. */
function startScalars(fn: string, x: NDArray, starts: ArrayLike | readonly ArrayLike[]): NDArray[] {
  const list: readonly ArrayLike[] = Array.isArray(starts)
    ? (starts as readonly ArrayLike[])
    : unstackScalars(asArray(starts as ArrayLike));
  return list.map((s, i) => startScalar(fn, s, x.shape[i]));
}

function startScalar(fn: string, start: ArrayLike, size: number): NDArray {
  if (typeof start === "number" || typeof start === "bigint") {
    const i = Number(start);
    if (!Number.isInteger(i))
      throw new ValueError(fn, {
        message: `start index ${i} is not an integer`,
        fix: "give a JavaScript integer, or an integer scalar",
      });
    return scalar(i < 0 ? i + size : i, "int32");
  }
  const a = asArray(start);
  // Unsigned indices cannot be negative; the others wrap once, like a static index.
  return isInteger(a.dtype) && typeof a.dtype === "string" && !a.dtype.startsWith("uint") ? select(lt(a, 0), add(a, size), a) : a;
}

function unstackScalars(x: NDArray): NDArray[] {
  return Array.from({ length: x.size }, (_, i) => reshape(slice(x, [i], [i + 1]), []));
}

/** `sliceSizes` elements from `startIndices` on, which may be traced; clamped so that the slice fits. */
export function dynamicSlice(x: ArrayLike, startIndices: ArrayLike | readonly ArrayLike[], sliceSizes: readonly number[]): NDArray {
  const a = asArray(x);
  return bind1(dynamicSliceP, [a, ...startScalars("dynamicSlice", a, startIndices)], { sliceSizes });
}

/** `x` with `update` written at `startIndices`, which may be traced; clamped so that the update fits. */
export function dynamicUpdateSlice(x: ArrayLike, update: ArrayLike, startIndices: ArrayLike | readonly ArrayLike[]): NDArray {
  const a = asArray(x);
  const starts = startScalars("dynamicUpdateSlice", a, startIndices);
  return bind1(dynamicUpdateSliceP, [a, beside(update, a.dtype), ...starts], noParams);
}

function startsAlong(x: NDArray, axis: number, start: ArrayLike): ArrayLike[] {
  return x.shape.map((_, i) => (i === axis ? start : 0));
}

/** `sliceSize` elements along one axis from a start that may be traced. */
export function dynamicSliceInDim(x: ArrayLike, startIndex: ArrayLike, sliceSize: number, axis = 0): NDArray {
  const a = asArray(x);
  const d = canonicalAxis("dynamicSliceInDim", axis, a.ndim);
  return dynamicSlice(
    a,
    startsAlong(a, d, startIndex),
    a.shape.map((n, i) => (i === d ? sliceSize : n)),
  );
}

/** `x[index]` along one axis with an index that may be traced; the axis stays (size 1) when `keepdims`. */
export function dynamicIndexInDim(x: ArrayLike, index: ArrayLike, axis = 0, keepdims = true): NDArray {
  const a = asArray(x);
  const d = canonicalAxis("dynamicIndexInDim", axis, a.ndim);
  const cut = dynamicSliceInDim(a, index, 1, d);
  return keepdims ? cut : squeeze(cut, [d]);
}

/** `x` with `update` written along one axis from a start that may be traced. */
export function dynamicUpdateSliceInDim(x: ArrayLike, update: ArrayLike, startIndex: ArrayLike, axis: number): NDArray {
  const a = asArray(x);
  const d = canonicalAxis("dynamicUpdateSliceInDim", axis, a.ndim);
  return dynamicUpdateSlice(a, update, startsAlong(a, d, startIndex));
}

/** `x` with `update` written at one index of one axis; `update` may lack that axis. */
export function dynamicUpdateIndexInDim(x: ArrayLike, update: ArrayLike, index: ArrayLike, axis: number): NDArray {
  const a = asArray(x);
  const d = canonicalAxis("dynamicUpdateIndexInDim", axis, a.ndim);
  const u = beside(update, a.dtype);
  return dynamicUpdateSliceInDim(a, u.ndim === a.ndim ? u : expandDims(u, [d]), index, d);
}

/** `x` cut into pieces of the given sizes along `axis`. */
export function split(x: ArrayLike, sizes: readonly number[], axis = 0): NDArray[] {
  const a = asArray(x);
  const d = canonicalAxis("split", axis, a.ndim);
  let from = 0;
  const pieces = sizes.map((n) => sliceInDim(a, from, (from += n), 1, d));
  if (from !== a.shape[d]) {
    throw new ShapeError("split", {
      message: `the sizes add up to ${from}, axis ${d} has ${a.shape[d]}`,
      operands: { x: a, sizes },
      fix: "give sizes that cover the axis",
    });
  }
  return pieces;
}

/** The pieces of `x` along an axis, without that axis. */
export function unstack(x: ArrayLike, axis = 0): NDArray[] {
  const a = asArray(x);
  const d = canonicalAxis("unstack", axis, a.ndim);
  return Array.from({ length: a.shape[d] }, (_, i) => indexInDim(a, i, d, false));
}
