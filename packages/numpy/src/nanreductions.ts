import { type ArrayLike, isFloat, isInexact, type NDArray, scalar } from "@traceform/core";
import * as lax from "@traceform/lax";
import { inexact, toArray } from "./internal/promote.ts";
import {
  type ArgOptions,
  argmax,
  argmin,
  type CumulativeOptions,
  cumprod,
  cumsum,
  max,
  mean,
  min,
  prod,
  type ReduceOptions,
  reducedAxes,
  sum,
  var_,
  type VarOptions,
  worst,
} from "./reductions.ts";
import type { Axis } from "./shape.ts";
import { logicalAnd } from "./binary.ts";
import { isnan, logicalNot } from "./unary.ts";

// Reductions that leave NaN elements out. Where nothing is left, sums are 0, products 1, and the rest NaN.

/** `x` with `value` in place of NaN. */
function replaceNaN(x: ArrayLike, value: number): NDArray {
  const a = toArray(x);
  return isInexact(a.dtype) ? lax.select(isnan(a), scalar(value, a.dtype, a.aval.weakType), a) : a;
}

/** The mask of the elements that are numbers, and with `where` are wanted. */
function numbers(x: NDArray, mask: ArrayLike | null | undefined): NDArray {
  const own = logicalNot(isnan(x));
  return mask ? logicalAnd(own, mask) : own;
}

/** Sum without NaN. */
export function nansum(x: ArrayLike, axis?: Axis, options?: ReduceOptions): NDArray {
  return sum(replaceNaN(x, 0), axis, options);
}
/** Product without NaN. */
export function nanprod(x: ArrayLike, axis?: Axis, options?: ReduceOptions): NDArray {
  return prod(replaceNaN(x, 1), axis, options);
}
/** Maximum without NaN. */
export function nanmax(x: ArrayLike, axis?: Axis, options: ReduceOptions = {}): NDArray {
  return nanExtreme(x, axis, options, true);
}
/** Minimum without NaN. */
export function nanmin(x: ArrayLike, axis?: Axis, options: ReduceOptions = {}): NDArray {
  return nanExtreme(x, axis, options, false);
}

function nanExtreme(x: ArrayLike, axis: Axis | undefined, options: ReduceOptions, forMax: boolean): NDArray {
  const a = toArray(x);
  const reduce = forMax ? max : min;
  if (!isFloat(a.dtype)) return reduce(a, axis, options);
  const out = reduce(replaceNaN(a, Number(worst(a.dtype, forMax))), axis, options);
  if (options.initial !== undefined && options.initial !== null) return out;
  const none = lax.reduceAnd(isnan(a), reducedAxes("nanmax", axis, a.ndim));
  return lax.select(lax.reshape(none, out.shape), scalar(NaN, a.dtype), out);
}

/** Index of the largest element that is no NaN; -1 where there is none. */
export function nanargmax(x: ArrayLike, axis?: number | null, options?: ArgOptions): NDArray {
  return nanArg(x, axis, options, true);
}
/** Index of the smallest element that is no NaN; -1 where there is none. */
export function nanargmin(x: ArrayLike, axis?: number | null, options?: ArgOptions): NDArray {
  return nanArg(x, axis, options, false);
}

function nanArg(x: ArrayLike, axis: number | null | undefined, options: ArgOptions | undefined, forMax: boolean): NDArray {
  const a = toArray(x);
  const arg = forMax ? argmax : argmin;
  if (!isFloat(a.dtype)) return arg(a, axis, options);
  const out = arg(replaceNaN(a, Number(worst(a.dtype, forMax))), axis, options);
  const none = lax.reduceAnd(isnan(a), reducedAxes("nanargmax", axis ?? null, a.ndim));
  return lax.select(lax.reshape(none, out.shape), scalar(-1, "int32"), out);
}

/** Mean without NaN. */
export function nanmean(x: ArrayLike, axis?: Axis, options: Omit<ReduceOptions, "initial"> = {}): NDArray {
  const a = inexact("nanmean", x);
  return mean(a, axis, { ...options, where: numbers(a, options.where) });
}
/** Variance without NaN. */
export function nanvar(x: ArrayLike, axis?: Axis, options: VarOptions = {}): NDArray {
  const a = inexact("nanvar", x);
  return var_(a, axis, { ...options, where: numbers(a, options.where) });
}
/** Standard deviation without NaN. */
export function nanstd(x: ArrayLike, axis?: Axis, options: VarOptions = {}): NDArray {
  return lax.sqrt(nanvar(x, axis, options));
}
/** Running sum in which NaN counts as 0. */
export function nancumsum(x: ArrayLike, axis?: number | null, options?: CumulativeOptions): NDArray {
  return cumsum(replaceNaN(x, 0), axis, options);
}
/** Running product in which NaN counts as 1. */
export function nancumprod(x: ArrayLike, axis?: number | null, options?: CumulativeOptions): NDArray {
  return cumprod(replaceNaN(x, 1), axis, options);
}
