import {
  type ArrayLike,
  canonicalAxes,
  canonicalAxis,
  type DType,
  DTypeError,
  dtypeKind,
  isComplex,
  isInexact,
  itemsize,
  type NDArray,
  scalar,
  ShapeError,
  type StandardDType,
  ValueError,
} from "@traceform/core";
import * as lax from "@traceform/lax";
import { iinfo } from "./dtypes.ts";
import { broadcastAll, broadcastTo, convertTo, inexact, isScalar, promote, toArray } from "./internal/promote.ts";
import type { Axis } from "./shape.ts";
import { truth } from "./internal/truth.ts";

export interface ReduceOptions {
  /** Reduced axes stay, with size 1. */
  readonly keepdims?: boolean;
  /** Only elements where the mask holds take part. */
  readonly where?: ArrayLike | null;
  /** Takes part once, as if it were one more element. */
  readonly initial?: ArrayLike | null;
  /** The dtype to compute and return. */
  readonly dtype?: DType | null;
}

export function reducedAxes(fn: string, axis: Axis | undefined, ndim: number): number[] {
  if (axis === null || axis === undefined) return Array.from({ length: ndim }, (_, i) => i);
  return canonicalAxes(fn, typeof axis === "number" ? [axis] : axis, ndim).sort((a, b) => a - b);
}

export function restoreAxes(x: NDArray, axes: readonly number[], keepdims: boolean | undefined): NDArray {
  return keepdims ? lax.expandDims(x, axes) : x;
}

/** Small integers and bools add up in 32 bits. */
function accumulator(dtype: DType): DType {
  const kind = dtypeKind(dtype);
  if (kind === "bool") return "int32";
  if ((kind === "int" || kind === "uint") && itemsize(dtype) < 4) return kind === "int" ? "int32" : "uint32";
  return dtype;
}

/** 16-bit floats are summed in 32 bits. */
function wide(dtype: DType): DType {
  return dtype === "float16" || dtype === "bfloat16" ? "float32" : dtype;
}

/** `x` with `value` wherever the mask does not hold. */
function masked(fn: string, x: NDArray, where: ArrayLike | null | undefined, value: number | boolean | bigint): NDArray {
  if (where === null || where === undefined) return x;
  const [mask, a] = broadcastAll(fn, [truth(where), x]);
  return lax.select(mask, a, scalar(value, x.dtype, x.aval.weakType));
}

/** Sum over `axis` (all by default). Small integers and bools add up as int32 (uint32); the empty sum is 0. */
export function sum(x: ArrayLike, axis?: Axis, options: ReduceOptions = {}): NDArray {
  return accumulate("sum", x, axis, options, 0, lax.reduceSum, lax.add);
}

/** Product over `axis` (all by default). Small integers and bools multiply as int32 (uint32); the empty product is 1. */
export function prod(x: ArrayLike, axis?: Axis, options: ReduceOptions = {}): NDArray {
  return accumulate("prod", x, axis, options, 1, lax.reduceProd, lax.mul);
}

function accumulate(
  fn: string,
  x: ArrayLike,
  axis: Axis | undefined,
  options: ReduceOptions,
  identity: number,
  reduce: (x: NDArray, axes: readonly number[]) => NDArray,
  combine: (x: NDArray, y: NDArray) => NDArray,
): NDArray {
  const a0 = toArray(x);
  const dtype = options.dtype ?? accumulator(a0.dtype);
  const compute = wide(dtype);
  const a = masked(fn, lax.convertElementTypeWeak(a0, compute, a0.aval.weakType && dtype === a0.dtype), options.where, identity);
  const axes = reducedAxes(fn, axis, a.ndim);
  let out = reduce(a, axes);
  if (options.initial !== undefined && options.initial !== null)
    out = combine(convertTo(options.initial, { dtype: compute, weakType: false }), out);
  return restoreAxes(lax.convertElementTypeWeak(out, dtype, out.aval.weakType), axes, options.keepdims);
}

/** Maximum over `axis` (all by default); NaN if any element is. @throws {ShapeError} when there are no elements and no `initial` */
export function max(x: ArrayLike, axis?: Axis, options: ReduceOptions = {}): NDArray {
  return extreme("max", x, axis, options, lax.reduceMax, lax.max);
}
/** Minimum over `axis` (all by default); NaN if any element is. @throws {ShapeError} when there are no elements and no `initial` */
export function min(x: ArrayLike, axis?: Axis, options: ReduceOptions = {}): NDArray {
  return extreme("min", x, axis, options, lax.reduceMin, lax.min);
}
export { max as amax, min as amin };

/** The value that every other one of the dtype beats. */
export function worst(dtype: DType, forMax: boolean): number | bigint | boolean {
  const kind = dtypeKind(dtype);
  if (kind === "bool") return !forMax;
  if (kind === "float") return forMax ? -Infinity : Infinity;
  const { min, max } = iinfo(dtype as StandardDType);
  return forMax ? min : max;
}

function extreme(
  fn: "max" | "min",
  x: ArrayLike,
  axis: Axis | undefined,
  options: ReduceOptions,
  reduce: (x: NDArray, axes: readonly number[]) => NDArray,
  combine: (x: NDArray, y: NDArray) => NDArray,
): NDArray {
  let a = toArray(x);
  if (options.dtype) a = lax.convertElementType(a, options.dtype);
  const hasInitial = options.initial !== undefined && options.initial !== null;
  const axes = reducedAxes(fn, axis, a.ndim);
  if (!hasInitial && axes.some((d) => a.shape[d] === 0)) {
    throw new ShapeError(fn, { message: "an empty array has no extreme element", operands: { x: a }, fix: "give { initial }" });
  }
  if (options.where && !hasInitial) {
    throw new ValueError(fn, { message: "with a mask there may be no elements at all", fix: "give { initial }" });
  }
  if (options.where) a = masked(fn, a, options.where, worst(a.dtype, fn === "max"));
  let out = reduce(a, axes);
  if (hasInitial) {
    const initial = options.initial as ArrayLike;
    out = combine(
      isScalar(initial)
        ? convertTo(initial, { dtype: a.dtype, weakType: true })
        : lax.convertElementType(toArray(initial), a.dtype),
      out,
    );
  }
  return restoreAxes(out, axes, options.keepdims);
}

/** Maximum minus minimum over `axis`. */
export function ptp(x: ArrayLike, axis?: Axis, options: { readonly keepdims?: boolean } = {}): NDArray {
  return lax.sub(max(x, axis, options), min(x, axis, options));
}

/** Whether any element is not 0. */
export function any(x: ArrayLike, axis?: Axis, options: Pick<ReduceOptions, "keepdims" | "where"> = {}): NDArray {
  const a = masked("any", truth(x), options.where, false);
  const axes = reducedAxes("any", axis, a.ndim);
  return restoreAxes(lax.reduceOr(a, axes), axes, options.keepdims);
}
/** Whether all elements are not 0. */
export function all(x: ArrayLike, axis?: Axis, options: Pick<ReduceOptions, "keepdims" | "where"> = {}): NDArray {
  const a = masked("all", truth(x), options.where, true);
  const axes = reducedAxes("all", axis, a.ndim);
  return restoreAxes(lax.reduceAnd(a, axes), axes, options.keepdims);
}
/** How many elements are not 0. */
export function countNonzero(x: ArrayLike, axis?: Axis, options: { readonly keepdims?: boolean } = {}): NDArray {
  return sum(truth(x), axis, { keepdims: options.keepdims, dtype: "int32" });
}

/** How many elements take part in a reduction: a number, or an array when a mask decides. */
export function countOf(fn: string, x: NDArray, axes: readonly number[], where: ArrayLike | null | undefined): number | NDArray {
  if (where === null || where === undefined) return axes.reduce((n, d) => n * x.shape[d], 1);
  return lax.reduceSum(lax.convertElementType(broadcastTo(fn, truth(where), x.shape), "int32"), axes);
}

/** Mean over `axis` (all by default). Integers have a float32 mean; 16-bit floats are summed in float32. The mean of nothing is NaN. */
export function mean(x: ArrayLike, axis?: Axis, options: Omit<ReduceOptions, "initial"> = {}): NDArray {
  const a0 = toArray(x);
  const a1 = options.dtype ? lax.convertElementType(a0, options.dtype) : inexact("mean", a0);
  const out = a1.dtype;
  const a = isInexact(out) ? lax.convertElementTypeWeak(a1, wide(out), a1.aval.weakType) : inexact("mean", a1);
  const axes = reducedAxes("mean", axis, a.ndim);
  const total = lax.reduceSum(masked("mean", a, options.where, 0), axes);
  const n = countOf("mean", a, axes, options.where);
  const m = lax.div(total, typeof n === "number" ? n : lax.convertElementType(n, a.dtype));
  return restoreAxes(lax.convertElementTypeWeak(m, out, m.aval.weakType), axes, options.keepdims);
}

export interface VarOptions extends Omit<ReduceOptions, "initial"> {
  /** Subtracted from the number of elements in the divisor. `correction` is another name. */
  readonly ddof?: number;
  readonly correction?: number;
  /** The mean, when it is known; broadcasts against x. */
  readonly mean?: ArrayLike | null;
}

/** Variance over `axis` (all by default): the mean squared distance from the mean. NaN when too few elements take part. */
export function var_(x: ArrayLike, axis?: Axis, options: VarOptions = {}): NDArray {
  const a1 = options.dtype ? lax.convertElementType(toArray(x), options.dtype) : inexact("var", x);
  const a = lax.convertElementTypeWeak(a1, wide(a1.dtype), a1.aval.weakType);
  const axes = reducedAxes("var", axis, a.ndim);
  const { where } = options;
  const center = options.mean ? toArray(options.mean) : mean(a, axes, { where, keepdims: true });
  const [v, c] = promote("var", [a, center]);
  const distance = lax.sub(v, c);
  const squared = isComplex(distance.dtype)
    ? lax.add(lax.square(lax.real(distance)), lax.square(lax.imag(distance)))
    : lax.square(distance);
  const total = lax.reduceSum(masked("var", squared, where, 0), axes);
  const ddof = options.ddof ?? options.correction ?? 0;
  const n = countOf("var", a, axes, where);
  const out =
    typeof n === "number"
      ? lax.div(total, n - ddof > 0 ? n - ddof : NaN)
      : divideOrNaN(total, lax.sub(lax.convertElementType(n, total.dtype), ddof));
  const dtype = isComplex(a1.dtype) ? out.dtype : a1.dtype;
  return restoreAxes(lax.convertElementTypeWeak(out, dtype, out.aval.weakType), axes, options.keepdims);
}

function divideOrNaN(x: NDArray, n: NDArray): NDArray {
  return lax.select(lax.gt(n, 0), lax.div(x, n), scalar(NaN, x.dtype));
}

/** Standard deviation over `axis` (all by default): the square root of `var_`. */
export function std(x: ArrayLike, axis?: Axis, options: VarOptions = {}): NDArray {
  return lax.sqrt(var_(x, axis, options));
}

export interface AverageOptions {
  readonly weights?: ArrayLike | null;
  /** Returns the sum of the weights too. */
  readonly returned?: boolean;
  readonly keepdims?: boolean;
}

/** Weighted mean over `axis`. The weights have the shape of x, or are a vector along the one axis. */
export function average(
  x: ArrayLike,
  axis: Axis | undefined,
  options: AverageOptions & { readonly returned: true },
): [NDArray, NDArray];
export function average(x: ArrayLike, axis?: Axis, options?: AverageOptions): NDArray;
export function average(x: ArrayLike, axis?: Axis, options: AverageOptions = {}): NDArray | [NDArray, NDArray] {
  const a = inexact("average", x);
  const axes = reducedAxes("average", axis, a.ndim);
  const { keepdims } = options;
  if (!options.weights) {
    const m = mean(a, axes, { keepdims });
    const n = axes.reduce((p, d) => p * a.shape[d], 1);
    return options.returned ? [m, lax.full(m.shape, n, m.dtype)] : m;
  }
  let w0 = toArray(options.weights);
  if (w0.ndim !== a.ndim) {
    if (w0.ndim !== axes.length || !w0.shape.every((n, i) => n === a.shape[axes[i]])) {
      throw new ShapeError("average", {
        message: "the weights must have the shape of x, or of the averaged axes",
        operands: { x: a, weights: w0 },
        fix: "give one weight for each element of the axis, or for each element",
      });
    }
    w0 = lax.broadcastInDim(w0, a.shape, axes);
  }
  const [v, w] = promote("average", [a, w0]);
  const total = sum(w, axes, { keepdims });
  const m = lax.div(sum(lax.mul(v, w), axes, { keepdims }), total);
  return options.returned ? [m, total] : m;
}

export interface ArgOptions {
  readonly keepdims?: boolean;
}
/** Index of the first largest element along `axis` (of the flattened x without one): int32. The first NaN, if any. */
export function argmax(x: ArrayLike, axis?: number | null, options: ArgOptions = {}): NDArray {
  return argExtreme("argmax", x, axis, options, lax.argmax);
}
/** Index of the first smallest element along `axis` (of the flattened x without one): int32. The first NaN, if any. */
export function argmin(x: ArrayLike, axis?: number | null, options: ArgOptions = {}): NDArray {
  return argExtreme("argmin", x, axis, options, lax.argmin);
}

function argExtreme(
  fn: string,
  x: ArrayLike,
  axis: number | null | undefined,
  options: ArgOptions,
  arg: (x: NDArray, axis: number) => NDArray,
): NDArray {
  const a = toArray(x);
  if (axis === null || axis === undefined) {
    const out = arg(lax.reshape(a, [a.size]), 0);
    return options.keepdims
      ? lax.reshape(
          out,
          a.shape.map(() => 1),
        )
      : out;
  }
  const d = canonicalAxis(fn, axis, a.ndim);
  return restoreAxes(arg(a, d), [d], options.keepdims);
}

export interface CumulativeOptions {
  readonly dtype?: DType | null;
}
type Cumulative = (x: NDArray, axis: number) => NDArray;

function cumulative(
  fn: string,
  x: ArrayLike,
  axis: number | null | undefined,
  dtype: DType | null | undefined,
  op: Cumulative,
): NDArray {
  let a = toArray(x);
  if (axis === null || axis === undefined) a = lax.reshape(a, [a.size]);
  const d = canonicalAxis(fn, axis ?? 0, a.ndim);
  const own = dtype ?? (a.dtype === "bool" ? "int32" : a.dtype);
  if (dtype === "bool") throw new DTypeError(fn, { message: "cannot accumulate bools", fix: 'give { dtype: "int32" }' });
  return op(lax.convertElementTypeWeak(a, own, a.aval.weakType && own === a.dtype), d);
}

/** Running sum along `axis` (of the flattened x without one). The dtype stays; bools count as int32. */
export function cumsum(x: ArrayLike, axis?: number | null, options: CumulativeOptions = {}): NDArray {
  return cumulative("cumsum", x, axis, options.dtype, lax.cumsum);
}
/** Running product along `axis` (of the flattened x without one). The dtype stays; bools count as int32. */
export function cumprod(x: ArrayLike, axis?: number | null, options: CumulativeOptions = {}): NDArray {
  return cumulative("cumprod", x, axis, options.dtype, lax.cumprod);
}

export interface CumulativeInitialOptions extends CumulativeOptions {
  readonly axis?: number | null;
  /** Starts with the identity, so that the result has one more element. */
  readonly includeInitial?: boolean;
}
function cumulativeInitial(fn: string, x: ArrayLike, options: CumulativeInitialOptions, identity: number, op: Cumulative): NDArray {
  const a = toArray(x);
  if (a.ndim === 0)
    throw new ShapeError(fn, { message: "a scalar has no axis", operands: { x: a }, fix: "give an array with at least one axis" });
  if (a.ndim > 1 && (options.axis === undefined || options.axis === null)) {
    throw new ValueError(fn, {
      message: "needs an axis for an array with several",
      operands: { x: a },
      fix: "pass the axis, or ravel the array",
    });
  }
  const axis = canonicalAxis(fn, options.axis ?? 0, a.ndim);
  const out = cumulative(fn, a, axis, options.dtype ?? (identity === 0 ? accumulator(a.dtype) : null), op);
  if (!options.includeInitial) return out;
  return lax.pad(
    out,
    identity,
    out.shape.map((_, i) => [i === axis ? 1 : 0, 0, 0]),
  );
}
/** Running sum, as the array API standard has it: small integers add up in 32 bits. */
export function cumulativeSum(x: ArrayLike, options: CumulativeInitialOptions = {}): NDArray {
  return cumulativeInitial("cumulativeSum", x, options, 0, lax.cumsum);
}
/** Running product, as the array API standard has it. */
export function cumulativeProd(x: ArrayLike, options: CumulativeInitialOptions = {}): NDArray {
  return cumulativeInitial("cumulativeProd", x, options, 1, lax.cumprod);
}
