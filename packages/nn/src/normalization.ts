import { type ArrayLike, asArray, canonicalAxis, type DType, type NDArray } from "@traceform/core";
import { broadcastedIota, convertElementType, exp, log, rsqrt, stopGradient } from "@traceform/lax";
import {
  abs,
  add,
  divide,
  equal,
  expandDims,
  isfinite,
  less,
  max,
  mean,
  multiply,
  sign,
  square,
  squeeze,
  subtract,
  sum,
  where as whereFn,
} from "@traceform/numpy";
import { inexact } from "./activations.ts";

type Axis = number | readonly number[] | null;

export interface SoftmaxOptions {
  /** Entries to take into account; the others get probability 0. */
  readonly where?: ArrayLike;
}

/**
 * exp(x) normalised to sum 1 along `axis`, computed from x less its maximum, so that nothing overflows.
 * float[...s] -> float[...s].
 */
export function softmax(x: ArrayLike, axis: Axis = -1, options: SoftmaxOptions = {}): NDArray {
  const unnormalized = exp(shifted(inexact(x), axis, options.where));
  const kept = options.where === undefined ? unnormalized : whereFn(options.where, unnormalized, 0);
  return divide(kept, sum(kept, axis, { keepdims: true }));
}

/** log(softmax(x)), without taking the logarithm of a rounded probability. */
export function logSoftmax(x: ArrayLike, axis: Axis = -1, options: SoftmaxOptions = {}): NDArray {
  const y = shifted(inexact(x), axis, options.where);
  const terms = options.where === undefined ? exp(y) : whereFn(options.where, exp(y), 0);
  const result = subtract(y, log(sum(terms, axis, { keepdims: true })));
  return options.where === undefined ? result : whereFn(options.where, result, -Infinity);
}

/** The maximum is a constant to differentiation: it cancels out of the result. */
function shifted(x: NDArray, axis: Axis, where: ArrayLike | undefined): NDArray {
  const options = where === undefined ? { keepdims: true } : { keepdims: true, where, initial: -Infinity };
  return subtract(x, stopGradient(max(x, axis, options)));
}

export interface LogsumexpOptions {
  readonly keepdims?: boolean;
  /** Weights of the exponentials. */
  readonly b?: ArrayLike;
  readonly where?: ArrayLike;
  /** Return the sign of the sum too, and the logarithm of its absolute value. */
  readonly returnSign?: boolean;
}

/**
 * Log of the summed exponentials along `axis`, computed without overflow.
 *
 * float[...s] -> float[...s without axis]. Empty axes give `-Infinity`.
 * @see Blanchard, Higham & Higham (2021), "Accurately computing the log-sum-exp and softmax functions"
 */
export function logsumexp(
  x: ArrayLike,
  axis: Axis | undefined,
  options: LogsumexpOptions & { readonly returnSign: true },
): [NDArray, NDArray];
export function logsumexp(x: ArrayLike, axis?: Axis, options?: LogsumexpOptions): NDArray;
export function logsumexp(x: ArrayLike, axis: Axis = null, options: LogsumexpOptions = {}): NDArray | [NDArray, NDArray] {
  const { keepdims = false, b, where, returnSign = false } = options;
  const given = inexact(x);
  // Entries of weight zero must not decide the shift.
  const a = b === undefined ? given : whereFn(equal(b, 0), -Infinity, given);
  const reduceOptions =
    where === undefined ? { keepdims: true, initial: -Infinity } : { keepdims: true, initial: -Infinity, where };
  const top = max(a, axis, reduceOptions);
  const shift = stopGradient(whereFn(isfinite(top), top, 0));
  const terms = exp(subtract(a, shift));
  const weighted = b === undefined ? terms : multiply(terms, b);
  const total = sum(weighted, axis, where === undefined ? { keepdims: true } : { keepdims: true, where });
  const result = add(log(returnSign || b !== undefined ? abs(total) : total), shift);
  const finish = (y: NDArray): NDArray => (keepdims ? y : squeeze(y, axis === null ? undefined : axis));
  const signed = b !== undefined && !returnSign ? whereFn(less(total, 0), NaN, result) : result;
  return returnSign ? [finish(signed), finish(sign(total))] : finish(signed);
}

export interface StandardizeOptions {
  readonly epsilon?: number;
}

/** (x - mean) / √(variance + ε) along `axis`. */
export function standardize(x: ArrayLike, axis: Axis = -1, options: StandardizeOptions = {}): NDArray {
  const a = inexact(x);
  const centred = subtract(a, mean(a, axis, { keepdims: true }));
  const variance = mean(square(centred), axis, { keepdims: true });
  return multiply(centred, rsqrt(add(variance, options.epsilon ?? 1e-5)));
}

export interface OneHotOptions {
  readonly dtype?: DType;
  /** Where the new axis goes; the last by default. */
  readonly axis?: number;
}

/**
 * Indicator vectors: int[...s] -> float32[...s, numClasses]. An index outside [0, numClasses) gives zeros.
 */
export function oneHot(x: ArrayLike, numClasses: number, options: OneHotOptions = {}): NDArray {
  const indices = asArray(x);
  const axis = canonicalAxis("oneHot", options.axis ?? -1, indices.ndim + 1);
  const shape = [...indices.shape.slice(0, axis), numClasses, ...indices.shape.slice(axis)];
  const classes = broadcastedIota(indices.dtype, shape, axis);
  return convertElementType(equal(classes, expandDims(indices, axis)), options.dtype ?? "float32");
}
