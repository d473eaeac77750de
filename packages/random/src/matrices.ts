import {
  type ArrayLike,
  asArray,
  type DType,
  isComplex,
  type NDArray,
  type StandardDType,
  ShapeError,
  ValueError,
} from "@traceform/core";
import {
  abs,
  add,
  batchMatmul,
  broadcastShapes,
  convertElementType,
  div,
  mul,
  reshape,
  select,
  sqrt,
  eq,
  fullLike,
} from "@traceform/lax";
import { cholesky, eigh, qr, svd } from "@traceform/lax/linalg";
import { broadcastTo, conj, diagonal, expandDims, matrixTranspose } from "@traceform/numpy";
import { normal, type SampleOptions } from "./distributions.ts";
import type { Key } from "./keys.ts";

export interface MultivariateNormalOptions {
  readonly dtype?: DType;
  /** How the square root of the covariance is found: `"cholesky"` is fastest, `"eigh"` and `"svd"` take singular ones. */
  readonly method?: "cholesky" | "eigh" | "svd";
}

/**
 * Samples of the normal distribution with mean [..., n] and covariance [..., n, n].
 *
 * `shape` is that of the batch of samples, by default the batch shape of mean and covariance -> [...shape, n]
 *
 * @throws {ShapeError} when mean and covariance do not fit each other
 */
export function multivariateNormal(
  key: Key,
  mean: ArrayLike,
  cov: ArrayLike,
  shape?: readonly number[] | null,
  options: MultivariateNormalOptions = {},
): NDArray {
  const dtype = (options.dtype ?? "float32") as StandardDType;
  const [m, c] = [mean, cov].map((x) => convertElementType(asArray(x), dtype));
  const n = m.shape[m.ndim - 1];
  if (m.ndim < 1 || c.ndim < 2 || c.shape[c.ndim - 1] !== n || c.shape[c.ndim - 2] !== n) {
    throw new ShapeError("multivariateNormal", {
      message: "mean must be [..., n] and cov [..., n, n]",
      operands: { mean: m, cov: c },
      fix: "give the mean as vectors and cov as square matrices of their size",
    });
  }
  const batch = shape ?? broadcastShapes(m.shape.slice(0, -1), c.shape.slice(0, -2));
  const z = normal(key, [...batch, n], { dtype });
  const factor = broadcastTo(root(c, options.method ?? "cholesky"), [...batch, n, n]);
  const sample = reshape(batchMatmul(factor, reshape(z, [...batch, n, 1])), [...batch, n]);
  return add(broadcastTo(m, [...batch, n]), sample);
}

/** F with F Fᴴ = C. */
function root(c: NDArray, method: "cholesky" | "eigh" | "svd"): NDArray {
  switch (method) {
    case "cholesky":
      return cholesky(c);
    case "eigh": {
      const [v, w] = eigh(c);
      return mul(v, broadcastTo(expandDims(sqrt(w), -2), v.shape));
    }
    case "svd": {
      const [u, s] = svd(c);
      return mul(u, broadcastTo(expandDims(sqrt(s), -2), u.shape));
    }
    default:
      throw new ValueError("multivariateNormal", {
        message: `there is no method "${String(method)}"`,
        fix: 'use "cholesky", "eigh" or "svd"',
      });
  }
}

/**
 * Uniformly distributed orthogonal (for complex dtypes unitary) matrices: [...shape, n, m] with orthonormal columns, or rows
 * when there are fewer of those; m is n unless given.
 *
 * @see Mezzadri (2007), "How to generate random matrices from the classical compact groups"
 */
export function orthogonal(
  key: Key,
  n: number,
  shape: readonly number[] = [],
  options: SampleOptions & { readonly m?: number | null } = {},
): NDArray {
  const m = options.m ?? n;
  const z = normal(key, [...shape, Math.max(n, m), Math.min(n, m)], { dtype: options.dtype });
  const [q, r] = qr(z, { fullMatrices: false });
  // Of the factors that differ in signs, or phases, the one with a positive diagonal is uniformly distributed.
  const d = diagonal(r, 0, -2, -1);
  const size = abs(d);
  const phase = div(d, isComplex(d.dtype) ? convertElementType(size, d.dtype) : size);
  const safe = select(eq(size, 0), fullLike(d, 1), phase);
  const x = mul(q, broadcastTo(expandDims(safe, -2), q.shape));
  return n < m ? conj(matrixTranspose(x)) : x;
}
