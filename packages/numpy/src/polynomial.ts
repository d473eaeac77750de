import { type ArrayLike, type NDArray, ShapeError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { convolve } from "./calculus.ts";
import { convertAll, inexact, promote, toArray } from "./internal/promote.ts";

// Polynomials as vectors of coefficients, the highest power first.

/** The value of a polynomial at `x`, by Horner's rule. */
export function polyval(p: ArrayLike, x: ArrayLike): NDArray {
  const [c, v] = convertAll([p, x]);
  if (c.ndim !== 1)
    throw new ShapeError("polyval", {
      message: "coefficients must be a vector",
      operands: { p: c },
      fix: "give one polynomial, and use vmap for several",
    });
  let out = lax.fullLike(v, 0);
  for (let i = 0; i < c.size; i++) out = lax.add(lax.mul(out, v), lax.indexInDim(c, i, 0, false));
  return out;
}

/** The sum of two polynomials. */
export function polyadd(p: ArrayLike, q: ArrayLike): NDArray {
  const [a, b] = aligned(p, q);
  return lax.add(a, b);
}
/** The difference of two polynomials. */
export function polysub(p: ArrayLike, q: ArrayLike): NDArray {
  const [a, b] = aligned(p, q);
  return lax.sub(a, b);
}

function aligned(p: ArrayLike, q: ArrayLike): [NDArray, NDArray] {
  const [a, b] = convertAll([p, q]);
  const n = Math.max(a.size, b.size);
  const full = (v: NDArray): NDArray => lax.pad(lax.reshape(v, [v.size]), 0, [[n - v.size, 0, 0]]);
  return [full(a), full(b)];
}

/** The product of two polynomials. */
export function polymul(p: ArrayLike, q: ArrayLike): NDArray {
  return convolve(inexact("polymul", p), inexact("polymul", q), "full");
}

/** The m-th derivative of a polynomial. */
export function polyder(p: ArrayLike, m = 1): NDArray {
  let a = inexact("polyder", p);
  for (let k = 0; k < m; k++) {
    const n = a.size;
    if (n <= 1) return lax.fullLike(a, 0, { shape: [0] });
    const powers = lax.rev(lax.add(lax.iota(a.dtype, n - 1), 1), [0]);
    a = lax.mul(lax.sliceInDim(a, 0, n - 1), powers);
  }
  return a;
}

/** The m-th antiderivative of a polynomial, with the constants of integration `k`. */
export function polyint(p: ArrayLike, m = 1, k: ArrayLike = 0): NDArray {
  let [a, constants] = promote("polyint", [inexact("polyint", p), lax.fullLike(toArray(k), 0, { shape: [] })]);
  constants = lax.convertElementType(toArray(k), a.dtype);
  for (let i = 0; i < m; i++) {
    const n = a.size;
    const powers = lax.rev(lax.add(lax.iota(a.dtype, n), 1), [0]);
    const c = constants.ndim === 0 ? constants : lax.indexInDim(constants, i, 0, false);
    a = lax.concatenate([lax.div(a, powers), lax.reshape(c, [1])], 0);
  }
  return a;
}
