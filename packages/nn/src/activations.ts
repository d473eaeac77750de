import { type ArrayLike, asArray, type NDArray, type ScalarValue, toInexact } from "@traceform/core";
import { convertElementType, erfc, expm1, logistic, neg, tanh as laxTanh } from "@traceform/lax";
import {
  abs,
  add,
  divide,
  greater,
  greaterEqual,
  less,
  lessEqual,
  logaddexp,
  maximum,
  minimum,
  multiply,
  split,
  sqrt,
  square,
  where,
} from "@traceform/numpy";

/** An array in the dtype in which functions of it are computed: itself when inexact, else float32. */
export function inexact(x: ArrayLike): NDArray {
  const a = asArray(x);
  return convertElementType(a, toInexact(a.dtype));
}

/** max(x, 0), with derivative 0 at 0 (a plain `maximum` would split the tie). NaN stays NaN. */
export function relu(x: ArrayLike): NDArray {
  const a = asArray(x);
  return where(lessEqual(a, 0), 0, a);
}

/** min(max(x, 0), 6), with derivative 0 at both ends. */
export function relu6(x: ArrayLike): NDArray {
  const a = asArray(x);
  return where(greaterEqual(a, 6), 6, relu(a));
}

/** 1 / (1 + e^{-x}). */
export function sigmoid(x: ArrayLike): NDArray {
  return logistic(inexact(x));
}

export function tanh(x: ArrayLike): NDArray {
  return laxTanh(inexact(x));
}

/** log(1 + e^x), without overflow. */
export function softplus(x: ArrayLike): NDArray {
  return logaddexp(inexact(x), 0);
}

/** log(sigmoid(x)) = -softplus(-x). */
export function logSigmoid(x: ArrayLike): NDArray {
  return neg(softplus(neg(inexact(x))));
}

/** x · sigmoid(x). @see Ramachandran, Zoph & Le (2017) */
export function silu(x: ArrayLike): NDArray {
  const a = inexact(x);
  return multiply(a, logistic(a));
}
export { silu as swish };

/** x / (1 + |x|). */
export function softSign(x: ArrayLike): NDArray {
  const a = inexact(x);
  return divide(a, add(abs(a), 1));
}

/** x where positive, else α (e^x - 1). @see Clevert, Unterthiner & Hochreiter (2016) */
export function elu(x: ArrayLike, alpha: ArrayLike = 1): NDArray {
  const a = inexact(x);
  const positive = greater(a, 0);
  // The branch that is not taken must stay finite, or its derivative poisons the other.
  return where(positive, a, multiply(expm1(where(positive, 0, a)), alpha));
}

/** elu with the slope of the negative part scaled so that the derivative is continuous. @see Barron (2017) */
export function celu(x: ArrayLike, alpha: ArrayLike = 1): NDArray {
  const a = inexact(x);
  return add(maximum(a, 0), multiply(alpha, expm1(divide(minimum(a, 0), alpha))));
}

/** Scaled exponential linear unit. @see Klambauer et al. (2017) */
export function selu(x: ArrayLike): NDArray {
  return multiply(elu(x, 1.6732632423543772), 1.0507009873554805);
}

/** x where positive, else negativeSlope · x. */
export function leakyRelu(x: ArrayLike, negativeSlope: ArrayLike = 0.01): NDArray {
  const a = inexact(x);
  return where(greaterEqual(a, 0), a, multiply(a, negativeSlope));
}

/**
 * x Φ(x), Φ the normal distribution function; the tanh approximation by default, as in JAX.
 * @see Hendrycks & Gimpel (2016)
 */
export function gelu(x: ArrayLike, options: { readonly approximate?: boolean } = {}): NDArray {
  const a = inexact(x);
  if (options.approximate === false) return multiply(multiply(a, 0.5), erfc(multiply(neg(a), Math.SQRT1_2)));
  const inner = multiply(add(a, multiply(multiply(multiply(a, a), a), 0.044715)), Math.sqrt(2 / Math.PI));
  return multiply(a, multiply(add(laxTanh(inner), 1), 0.5));
}

/** relu6(x + 3) / 6. */
export function hardSigmoid(x: ArrayLike): NDArray {
  return divide(relu6(add(inexact(x), 3)), 6);
}

/** x · hardSigmoid(x). */
export function hardSilu(x: ArrayLike): NDArray {
  return multiply(inexact(x), hardSigmoid(x));
}
export { hardSilu as hardSwish };

/** x between -1 and 1, else the nearer of them. */
export function hardTanh(x: ArrayLike): NDArray {
  const a = inexact(x);
  return where(greater(a, 1), 1, where(less(a, -1), -1, a));
}

/** x · tanh(softplus(x)). @see Misra (2019) */
export function mish(x: ArrayLike): NDArray {
  const a = inexact(x);
  return multiply(a, laxTanh(softplus(a)));
}

/** (x + √(x² + b)) / 2, a smooth relu without transcendentals. */
export function squareplus(x: ArrayLike, b: ScalarValue = 4): NDArray {
  const a = inexact(x);
  return divide(add(a, sqrt(add(square(a), b))), 2);
}

/** Gated linear unit: the first half along `axis` times the sigmoid of the second. @see Dauphin et al. (2017) */
export function glu(x: ArrayLike, axis = -1): NDArray {
  const [a, b] = split(asArray(x), 2, axis);
  return multiply(a, sigmoid(b));
}
