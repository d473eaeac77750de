import { type NDArray, scalar } from "@traceform/core";
import {
  add,
  bitwiseOr,
  broadcastInDim,
  convertElementType,
  digamma,
  div,
  exp,
  fullLike,
  gt,
  le,
  lgamma,
  log,
  lt,
  max,
  min,
  mul,
  reduceOr,
  select,
  sqrt,
  sub,
  whileLoop,
} from "@traceform/lax";

/**
 * ∂P(a, x)/∂a of the regularised lower incomplete gamma function, from the derivative of its series term by term:
 * P = x^a e^-x / Γ(a + 1) Σ tₙ with tₙ = xⁿ / ((a + 1) … (a + n)), and ∂tₙ/∂a = -tₙ Σ_{k ≤ n} 1 / (a + k).
 * Computed in double precision. NaN outside the domain, 0 where x is so large that P is 1 to the last place.
 *
 * @see Moore (1982), "Algorithm AS 187: derivatives of the incomplete gamma integral"
 */
export function igammaSlopeA(a: NDArray, x: NDArray): NDArray {
  const { shape } = a.ndim >= x.ndim ? a : x;
  const dense = (v: NDArray): NDArray => {
    const wide = convertElementType(v, "float64");
    return v.ndim === shape.length ? wide : broadcastInDim(wide, shape, []);
  };
  const p = dense(a);
  // Beyond this the tail of the distribution is below the last place, and the series would overflow.
  const far = add(add(p, mul(sqrt(max(p, 0)), 12)), 300);
  const tail = gt(dense(x), far);
  const y = min(dense(x), far);
  const one = fullLike(p, 1);
  const zero = fullLike(p, 0);
  type Carry = { n: NDArray; term: NDArray; harmonic: NDArray; sum: NDArray; slope: NDArray };
  const { sum, slope } = whileLoop<Carry>(
    ({ n, term, harmonic, sum }) => {
      const open = gt(mul(term, add(harmonic, 1)), mul(sum, 1e-17));
      const some = reduceOr(
        open,
        open.shape.map((_, d) => d),
      );
      return select(lt(n, 5000), some, scalar(false, "bool"));
    },
    ({ n, term, harmonic, sum, slope }) => {
      const next = add(n, 1);
      const k = add(p, next);
      const t = mul(term, div(y, k));
      const h = add(harmonic, div(one, k));
      return { n: next, term: t, harmonic: h, sum: add(sum, t), slope: add(slope, mul(t, h)) };
    },
    { n: scalar(0, "float64"), term: one, harmonic: zero, sum: one, slope: zero },
  ) as Carry;
  const front = exp(sub(sub(mul(p, log(y)), y), lgamma(add(p, 1))));
  const inside = mul(front, sub(mul(sum, sub(log(y), digamma(add(p, 1)))), slope));
  const atEnds = select(bitwiseOr(tail, le(y, 0)), zero, inside);
  const invalid = bitwiseOr(le(p, 0), lt(y, 0));
  return convertElementType(select(invalid, fullLike(p, NaN), atEnds), a.dtype);
}
