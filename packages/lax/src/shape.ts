import {
  type ArrayLike,
  asArray,
  bind1,
  canonicalAxis,
  definePrimitive,
  type NDArray,
  type Primitive,
  sameShape,
  ShapeError,
  ValueError,
} from "@traceform/core";
import { checkAxes, checkSameDType, checkShape, nameOperands, product, result } from "./internal/infer.ts";
import { beside, canonicalAxes } from "./internal/operands.ts";

export interface BroadcastInDimParams {
  readonly shape: readonly number[];
  /** Axis `i` of the operand becomes axis `broadcastDimensions[i]` of the result. Strictly increasing. */
  readonly broadcastDimensions: readonly number[];
}
export const broadcastInDimP: Primitive<BroadcastInDimParams> = /* @__PURE__ */ definePrimitive<BroadcastInDimParams>(
  "broadcast_in_dim",
  {
    abstractEval: ([x], { shape, broadcastDimensions }) => {
      const fn = "broadcastInDim";
      const operands = { x, shape, broadcastDimensions };
      checkShape(fn, shape);
      if (broadcastDimensions.length !== x.ndim) {
        throw new ShapeError(fn, {
          message: `broadcastDimensions must name one axis of the result for each of the ${x.ndim} axes of x`,
          operands,
          fix: "give, for each axis of x, its axis in the result",
        });
      }
      checkAxes(fn, broadcastDimensions, shape.length, { x, shape });
      broadcastDimensions.forEach((d, i) => {
        if (i > 0 && d <= broadcastDimensions[i - 1]) {
          throw new ShapeError(fn, {
            message: "broadcastDimensions must increase",
            operands,
            fix: "transpose x first",
          });
        }
        if (x.shape[i] !== shape[d] && x.shape[i] !== 1) {
          throw new ShapeError(fn, {
            message: `axis ${i} of x has size ${x.shape[i]} and cannot become axis ${d} of size ${shape[d]}`,
            operands,
            fix: "only axes of size 1 grow; tile or repeat others",
          });
        }
      });
      return [result(shape, x.dtype, [x])];
    },
  },
);

export interface ReshapeParams {
  readonly newSizes: readonly number[];
}
export const reshapeP: Primitive<ReshapeParams> = /* @__PURE__ */ definePrimitive<ReshapeParams>("reshape", {
  abstractEval: ([x], { newSizes }) => {
    checkShape("reshape", newSizes);
    if (product(newSizes) !== x.size) {
      throw new ShapeError("reshape", {
        message: `x has ${x.size} elements, the new shape ${product(newSizes)}`,
        operands: { x, newSizes },
        fix: "choose sizes with the same product; -1 stands for one that follows",
      });
    }
    return [result(newSizes, x.dtype, [x])];
  },
});

export interface SqueezeParams {
  readonly dimensions: readonly number[];
}
export const squeezeP: Primitive<SqueezeParams> = /* @__PURE__ */ definePrimitive<SqueezeParams>("squeeze", {
  abstractEval: ([x], { dimensions }) => {
    checkAxes("squeeze", dimensions, x.ndim, { x });
    for (const d of dimensions) {
      if (x.shape[d] !== 1) {
        throw new ShapeError("squeeze", {
          message: `axis ${d} has size ${x.shape[d]}, only axes of size 1 can be squeezed`,
          operands: { x, dimensions },
          fix: "take an element of the axis first, or leave it out",
        });
      }
    }
    return [
      result(
        x.shape.filter((_, i) => !dimensions.includes(i)),
        x.dtype,
        [x],
      ),
    ];
  },
});

export interface TransposeParams {
  readonly permutation: readonly number[];
}
export const transposeP: Primitive<TransposeParams> = /* @__PURE__ */ definePrimitive<TransposeParams>("transpose", {
  abstractEval: ([x], { permutation }) => {
    checkAxes("transpose", permutation, x.ndim, { x });
    if (permutation.length !== x.ndim) {
      throw new ShapeError("transpose", {
        message: `the permutation must name each of the ${x.ndim} axes once`,
        operands: { x, permutation },
        fix: "give a permutation of 0…ndim-1",
      });
    }
    return [
      result(
        permutation.map((p) => x.shape[p]),
        x.dtype,
        [x],
      ),
    ];
  },
});

export interface RevParams {
  readonly dimensions: readonly number[];
}
export const revP: Primitive<RevParams> = /* @__PURE__ */ definePrimitive<RevParams>("rev", {
  abstractEval: ([x], { dimensions }) => {
    checkAxes("rev", dimensions, x.ndim, { x });
    return [x];
  },
});

export interface PadParams {
  /** `[low, high, interior]` for each axis; negative low and high cut. */
  readonly paddingConfig: readonly (readonly [number, number, number])[];
}
export const padP: Primitive<PadParams> = /* @__PURE__ */ definePrimitive<PadParams>("pad", {
  abstractEval: (avals, { paddingConfig }) => {
    const [x, value] = avals;
    checkSameDType("pad", avals);
    if (value.ndim !== 0) {
      throw new ShapeError("pad", {
        message: "the padding value must be a scalar",
        operands: { x, value },
        fix: "give a scalar of the dtype of x",
      });
    }
    if (paddingConfig.length !== x.ndim) {
      throw new ShapeError("pad", {
        message: `needs [low, high, interior] for each of the ${x.ndim} axes, got ${paddingConfig.length}`,
        operands: { x },
        fix: "give a triple for each axis: [0, 0, 0] leaves one as it is",
      });
    }
    const shape = paddingConfig.map(([low, high, interior], i) => {
      const n = x.shape[i];
      const size = low + high + n + interior * Math.max(0, n - 1);
      if (!Number.isInteger(size) || interior < 0 || size < 0) {
        throw new ShapeError("pad", {
          message: `padding [${low},${high},${interior}] of axis ${i} leaves the size ${size}`,
          operands: { x },
          fix: "interior padding must not be negative, and negative edges must not cut more than the axis has",
        });
      }
      return size;
    });
    return [result(shape, x.dtype, avals)];
  },
});

export interface ConcatenateParams {
  readonly dimension: number;
}
export const concatenateP: Primitive<ConcatenateParams> = /* @__PURE__ */ definePrimitive<ConcatenateParams>("concatenate", {
  abstractEval: (avals, { dimension }) => {
    const [first] = avals;
    checkSameDType("concatenate", avals);
    if (first.ndim === 0) {
      throw new ShapeError("concatenate", {
        message: "scalars have no axis to join",
        operands: nameOperands(avals),
        fix: "use stack of @traceform/numpy",
      });
    }
    checkAxes("concatenate", [dimension], first.ndim, { x0: first });
    let size = 0;
    for (const a of avals) {
      if (a.ndim !== first.ndim || !a.shape.every((n, i) => i === dimension || n === first.shape[i])) {
        throw new ShapeError("concatenate", {
          message: `operands must agree in every axis but ${dimension}`,
          operands: nameOperands(avals),
          fix: "reshape or broadcast them first",
        });
      }
      size += a.shape[dimension];
    }
    return [
      result(
        first.shape.map((n, i) => (i === dimension ? size : n)),
        first.dtype,
        avals,
      ),
    ];
  },
});

/** `x` placed into `shape`: its axis `i` becomes axis `broadcastDimensions[i]`, new axes and axes of size 1 repeat. */
export function broadcastInDim(x: ArrayLike, shape: readonly number[], broadcastDimensions: readonly number[]): NDArray {
  const a = asArray(x);
  if (a.ndim === shape.length && sameShape(a.shape, shape) && broadcastDimensions.every((d, i) => d === i)) return a;
  return bind1(broadcastInDimP, [a], { shape, broadcastDimensions });
}

/** `x` with new leading axes of the given sizes. */
export function broadcast(x: ArrayLike, sizes: readonly number[]): NDArray {
  const a = asArray(x);
  if (sizes.length === 0) return a;
  return broadcastInDim(
    a,
    [...sizes, ...a.shape],
    a.shape.map((_, i) => i + sizes.length),
  );
}

/** The shape NumPy's broadcasting rules give the operands together. @throws {ShapeError} when they do not fit */
export function broadcastShapes(...shapes: (readonly number[])[]): number[] {
  const ndim = Math.max(0, ...shapes.map((s) => s.length));
  const out: number[] = new Array<number>(ndim).fill(1);
  for (const shape of shapes) {
    const offset = ndim - shape.length;
    shape.forEach((n, i) => {
      const m = out[offset + i];
      if (m === 1) out[offset + i] = n;
      else if (n !== 1 && n !== m) {
        throw new ShapeError("broadcastShapes", {
          message: "the shapes do not broadcast together",
          operands: Object.fromEntries(shapes.map((s, k) => [`shape${k}`, s])),
          fix: "sizes must be equal or 1, counted from the last axis",
        });
      }
    });
  }
  return out;
}

/** `x` with leading axes of size 1 added until it has `rank` axes. */
export function broadcastToRank(x: ArrayLike, rank: number): NDArray {
  const a = asArray(x);
  if (a.ndim > rank) {
    throw new ShapeError("broadcastToRank", {
      message: `x has more than ${rank} axes`,
      operands: { x: a },
      fix: "give a larger rank, or squeeze x",
    });
  }
  return reshape(a, [...new Array<number>(rank - a.ndim).fill(1), ...a.shape]);
}

/** The elements of `x`, in row-major order, in another shape. One size may be -1 and is then computed. */
export function reshape(x: ArrayLike, newSizes: readonly number[], dimensions?: readonly number[] | null): NDArray {
  let a = asArray(x);
  if (dimensions) a = transpose(a, dimensions);
  const sizes = inferSizes(a, newSizes);
  return sameShape(a.shape, sizes) ? a : bind1(reshapeP, [a], { newSizes: sizes });
}

function inferSizes(x: NDArray, sizes: readonly number[]): readonly number[] {
  const hole = sizes.indexOf(-1);
  if (hole < 0) return sizes;
  const rest = sizes.reduce((p, n, i) => (i === hole ? p : p * n), 1);
  const size = rest === 0 ? (x.size === 0 ? 0 : NaN) : x.size / rest;
  if (!Number.isInteger(size) || sizes.indexOf(-1, hole + 1) >= 0) {
    throw new ShapeError("reshape", {
      message: sizes.indexOf(-1, hole + 1) >= 0 ? "only one size may be -1" : "no size fits the place of -1",
      operands: { x, newSizes: sizes },
      fix: "write -1 once, where the other sizes divide the number of elements",
    });
  }
  return sizes.map((n, i) => (i === hole ? size : n));
}

/** `x` without the given axes, which must have size 1. */
export function squeeze(x: ArrayLike, dimensions: readonly number[]): NDArray {
  const a = asArray(x);
  if (dimensions.length === 0) return a;
  return bind1(squeezeP, [a], { dimensions: canonicalAxes("squeeze", dimensions, a.ndim).sort((i, j) => i - j) });
}

/** `x` with new axes of size 1: `dimensions` are their places in the result. */
export function expandDims(x: ArrayLike, dimensions: readonly number[]): NDArray {
  const a = asArray(x);
  if (dimensions.length === 0) return a;
  const ndim = a.ndim + dimensions.length;
  const added = canonicalAxes("expandDims", dimensions, ndim);
  checkAxes("expandDims", added, ndim, { x: a });
  const kept = Array.from({ length: ndim }, (_, i) => i).filter((i) => !added.includes(i));
  const shape = new Array<number>(ndim).fill(1);
  kept.forEach((d, i) => (shape[d] = a.shape[i]));
  return broadcastInDim(a, shape, kept);
}

/** `x` with its axes permuted: axis `i` of the result is axis `permutation[i]` of `x`. */
export function transpose(x: ArrayLike, permutation: readonly number[]): NDArray {
  const a = asArray(x);
  if (permutation.length === a.ndim && permutation.every((p, i) => p === i)) return a;
  return bind1(transposeP, [a], { permutation: canonicalAxes("transpose", permutation, a.ndim) });
}

/** `x` with the order of the elements reversed along the given axes. */
export function rev(x: ArrayLike, dimensions: readonly number[]): NDArray {
  const a = asArray(x);
  if (dimensions.length === 0) return a;
  return bind1(revP, [a], { dimensions: canonicalAxes("rev", dimensions, a.ndim) });
}

/** `x` padded with a scalar: `[low, high, interior]` for each axis; negative low and high cut. */
export function pad(x: ArrayLike, paddingValue: ArrayLike, paddingConfig: readonly (readonly [number, number, number])[]): NDArray {
  const a = asArray(x);
  return bind1(padP, [a, beside(paddingValue, a.dtype)], { paddingConfig });
}

/** The operands joined along axis `dimension`; equal dtypes, equal sizes elsewhere. */
export function concatenate(operands: readonly ArrayLike[], dimension: number): NDArray {
  if (operands.length === 0)
    throw new ValueError("concatenate", { message: "needs at least one array", fix: "give the arrays as a list" });
  const arrays = operands.map((x) => asArray(x));
  const axis = arrays[0].ndim === 0 ? 0 : canonicalAxis("concatenate", dimension, arrays[0].ndim);
  if (arrays.length === 1 && arrays[0].ndim > 0) return arrays[0];
  return bind1(concatenateP, arrays, { dimension: axis });
}

/** `x` with the axes `[start, stop)` merged into one. */
export function collapse(x: ArrayLike, start: number, stop?: number): NDArray {
  const a = asArray(x);
  const from = canonicalAxis("collapse", start, a.ndim);
  const to = stop === undefined ? a.ndim : stop < 0 ? stop + a.ndim : stop;
  return reshape(a, [...a.shape.slice(0, from), product(a.shape.slice(from, to)), ...a.shape.slice(to)]);
}

/** `x` repeated `reps[i]` times along axis `i`. */
export function tile(x: ArrayLike, reps: readonly number[]): NDArray {
  const a = asArray(x);
  if (reps.length !== a.ndim) {
    throw new ShapeError("tile", {
      message: "needs one count for each axis",
      operands: { x: a, reps },
      fix: "give as many counts as x has axes",
    });
  }
  const spread = a.shape.flatMap((n, i) => [reps[i], n]);
  return reshape(
    broadcastInDim(
      a,
      spread,
      a.shape.map((_, i) => 2 * i + 1),
    ),
    a.shape.map((n, i) => n * reps[i]),
  );
}

/** `x` broadcast to the shape of `like`, by NumPy's rules. */
export function broadcastLike(x: ArrayLike, like: ArrayLike): NDArray {
  const a = asArray(x);
  const { shape } = asArray(like);
  const offset = shape.length - a.ndim;
  return broadcastInDim(
    a,
    shape,
    a.shape.map((_, i) => i + offset),
  );
}

/** Arrays of one shape joined along a new axis. */
export function stack(operands: readonly ArrayLike[], axis = 0): NDArray {
  return concatenate(
    operands.map((x) => expandDims(x, [axis])),
    axis,
  );
}
