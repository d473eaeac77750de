import { type ArrayLike, asArray, type DType, type NDArray, scalar, type StandardDType } from "@traceform/core";
import {
  add,
  clamp,
  complex,
  convertElementType,
  div,
  erf,
  erfInv,
  log,
  log1p,
  lt,
  mul,
  neg,
  nextafter,
  sign,
  stopGradient,
  sub,
  abs,
} from "@traceform/lax";
import { broadcastTo } from "@traceform/numpy";
import { floatFormat, uniform } from "./bits.ts";
import { at, type Key, split } from "./keys.ts";

export interface SampleOptions {
  readonly dtype?: DType;
}

const dtypeOf = (options: SampleOptions): StandardDType => (options.dtype ?? "float32") as StandardDType;

/** The two halves of a split key. */
function halves(key: Key): [Key, Key] {
  const keys = split(key);
  return [at(keys, 0), at(keys, 1)];
}

/** Standard normal samples by inversion: √2 erf⁻¹(u), u uniform in (-1, 1). Complex ones have unit variance. */
export function normal(key: Key, shape: readonly number[] = [], options: SampleOptions = {}): NDArray {
  const dtype = dtypeOf(options);
  if (dtype === "complex64" || dtype === "complex128") {
    const part = dtype === "complex64" ? "float32" : "float64";
    const [re, im] = halves(key).map((k) => div(normal(k, shape, { dtype: part }), scalar(Math.SQRT2, part)));
    return complex(re, im);
  }
  const { aboveMinusOne } = floatFormat("normal", dtype);
  const u = uniform(key, shape, { dtype, minval: aboveMinusOne, maxval: 1 });
  return mul(scalar(Math.SQRT2, dtype), erfInv(u));
}

/** Normal samples restricted to (lower, upper), by inversion of the truncated distribution. */
export function truncatedNormal(
  key: Key,
  lower: ArrayLike,
  upper: ArrayLike,
  shape?: readonly number[],
  options: SampleOptions = {},
): NDArray {
  const dtype = dtypeOf(options);
  floatFormat("truncatedNormal", dtype);
  const [lo, hi] = [lower, upper].map((x) => (typeof x === "object" ? convertElementType(x, dtype) : scalar(x, dtype)));
  const out = shape ?? (lo.ndim > 0 ? lo.shape : hi.shape);
  const sqrt2 = scalar(Math.SQRT2, dtype);
  const u = uniform(key, out, { dtype, minval: spread(erf(div(lo, sqrt2)), out), maxval: spread(erf(div(hi, sqrt2)), out) });
  const sample = mul(sqrt2, erfInv(u));
  // Rounding, or u equal to its lower end, must not leave the open interval.
  const inside = (x: NDArray, towards: number): NDArray => spread(nextafter(stopGradient(x), scalar(towards, dtype)), out);
  return clamp(inside(lo, Infinity), sample, inside(hi, -Infinity));
}

function spread(x: NDArray, shape: readonly number[]): NDArray {
  return x.ndim === 0 || x.shape.length === shape.length ? x : broadcastTo(x, shape);
}

/** bool[shape], true with probability `p`; the shape of `p` by default. */
export function bernoulli(key: Key, p: ArrayLike = 0.5, shape?: readonly number[]): NDArray {
  const given = asArray(p);
  const prob =
    given.dtype === "float64" || given.dtype === "float16" || given.dtype === "bfloat16"
      ? given
      : convertElementType(given, "float32");
  const out = shape ?? prob.shape;
  return lt(uniform(key, out, { dtype: prob.dtype }), spread(prob, out));
}

/** Exponential samples with rate 1: -log(1 - u). */
export function exponential(key: Key, shape: readonly number[] = [], options: SampleOptions = {}): NDArray {
  return neg(log1p(neg(uniform(key, shape, { dtype: dtypeOf(options) }))));
}

/** Standard Gumbel samples: -log(-log u). */
export function gumbel(key: Key, shape: readonly number[] = [], options: SampleOptions = {}): NDArray {
  const dtype = dtypeOf(options);
  const { tiny } = floatFormat("gumbel", dtype);
  return neg(log(neg(log(uniform(key, shape, { dtype, minval: tiny, maxval: 1 })))));
}

/** Standard logistic samples: log(u / (1 - u)). */
export function logistic(key: Key, shape: readonly number[] = [], options: SampleOptions = {}): NDArray {
  const dtype = dtypeOf(options);
  const u = uniform(key, shape, { dtype, minval: floatFormat("logistic", dtype).tiny, maxval: 1 });
  return log(div(u, sub(scalar(1, dtype), u)));
}

/** Standard Laplace samples: -sign(u) log(1 - |u|), u uniform in (-1, 1). */
export function laplace(key: Key, shape: readonly number[] = [], options: SampleOptions = {}): NDArray {
  const dtype = dtypeOf(options);
  const { aboveMinusOne } = floatFormat("laplace", dtype);
  const u = uniform(key, shape, { dtype, minval: aboveMinusOne, maxval: 1 });
  return mul(sign(u), log1p(neg(abs(u))));
}

/** Samples of -1 and 1 with equal probability: int32[shape] by default. */
export function rademacher(key: Key, shape: readonly number[] = [], options: SampleOptions = {}): NDArray {
  const dtype = (options.dtype ?? "int32") as StandardDType;
  const heads = convertElementType(bernoulli(key, 0.5, shape), dtype);
  return add(mul(heads, scalar(2, dtype)), scalar(-1, dtype));
}
