import { type ArrayLike, isComplex, type NDArray, realDType } from "@traceform/core";
import * as lax from "@traceform/lax";
import { lu, takeRows, triangularSolve } from "@traceform/lax/linalg";
import { batchOf, columns, diagonals, differentiable, square, traces } from "./internal.ts";
import { luSolve } from "./lusolve.ts";

/** -1 where the pivots exchange rows an odd number of times, 1 elsewhere. */
function parity(pivots: NDArray, dtype: NDArray["dtype"]): NDArray {
  const rows = lax.broadcastedIota("int32", pivots.shape, pivots.ndim - 1);
  const exchanges = lax.convertElementType(lax.ne(pivots, rows), "int32");
  const odd = lax.rem(lax.reduceSum(exchanges, [pivots.ndim - 1]), 2);
  return lax.convertElementType(lax.sub(1, lax.mul(odd, 2)), dtype);
}

function product(x: NDArray): NDArray {
  return lax.reduceProd(x, [x.ndim - 1]);
}
function part(x: NDArray, r0: number, r1: number, c0: number, c1: number): NDArray {
  const zeros = batchOf(x).map(() => 0);
  return lax.slice(x, [...zeros, r0, c0], [...batchOf(x), r1, c1]);
}
function times(x: NDArray, s: NDArray): NDArray {
  return lax.mul(
    x,
    lax.broadcastInDim(
      s,
      x.shape,
      s.shape.map((_, i) => i),
    ),
  );
}

/**
 * adj(A) B for the adjugate of A, from P A = L U: adj(A) = det(P) adj(U) L⁻¹ P. With U = (U₁ u; 0 d) and δ = det(U₁),
 * adj(U) y = (δ U₁⁻¹ (d y₁ - u y₂); δ y₂), which needs no division by d: A may lack one rank.
 */
function adjugateTimes(a: NDArray, b: NDArray): { det: NDArray; solved: NDArray } {
  const n = columns(a);
  const [factors, pivots, permutation] = lu(a);
  const sign = parity(pivots, a.dtype);
  const d = diagonals(factors);
  const head = lax.sliceInDim(d, 0, n - 1, 1, d.ndim - 1);
  const delta = lax.mul(sign, product(head));
  const y = triangularSolve(factors, takeRows(b, permutation), { leftSide: true, lower: true, unitDiagonal: true });
  const m = columns(b);
  const [y1, y2] = [part(y, 0, n - 1, 0, m), part(y, n - 1, n, 0, m)];
  const last = lax.squeeze(lax.sliceInDim(d, n - 1, n, 1, d.ndim - 1), [d.ndim - 1]);
  const right = lax.sub(times(y1, last), lax.batchMatmul(part(factors, 0, n - 1, n - 1, n), y2));
  const top = times(triangularSolve(part(factors, 0, n - 1, 0, n - 1), right, { leftSide: true, lower: false }), delta);
  return { det: lax.mul(delta, last), solved: lax.concatenate([top, times(y2, delta)], y.ndim - 2) };
}

const byElimination: (a: NDArray) => NDArray = /* @__PURE__ */ differentiable(
  (a: NDArray) => {
    const [factors, pivots] = lu(a);
    return lax.mul(parity(pivots, a.dtype), product(diagonals(factors)));
  },
  // Jacobi's formula: d det(A) = tr(adj(A) dA).
  ([a], [da]) => {
    const { det, solved } = adjugateTimes(a, da);
    return [det, traces(solved)];
  },
);

/**
 * Determinants: [..., n, n] -> [...]. The derivative exists for singular matrices, too.
 */
export function det(x: ArrayLike): NDArray {
  const a = square("det", x);
  const n = columns(a);
  if (n === 0) return lax.full(batchOf(a), 1, a.dtype);
  const at = (i: number, j: number): NDArray => lax.reshape(part(a, i, i + 1, j, j + 1), batchOf(a));
  const minor = (i: number, j: number): NDArray => lax.sub(lax.mul(at(0, i), at(1, j)), lax.mul(at(0, j), at(1, i)));
  if (n === 1) return at(0, 0);
  if (n === 2) return minor(0, 1);
  if (n > 3) return byElimination(a);
  const [p, q, r] = [lax.mul(at(2, 2), minor(0, 1)), lax.mul(at(2, 1), minor(0, 2)), lax.mul(at(2, 0), minor(1, 2))];
  return lax.add(lax.sub(p, q), r);
}

type SignAndLog = readonly [sign: NDArray, logabsdet: NDArray];
const signAndLog: (a: NDArray) => SignAndLog = /* @__PURE__ */ differentiable<[NDArray], SignAndLog>(
  (a) => fromFactors(a, lu(a)),
  // d log det(A) = tr(A⁻¹ dA): its real part belongs to the logarithm, its imaginary part turns the sign.
  ([a], [da]) => {
    const factors = lu(a);
    const [sign, log] = fromFactors(a, factors);
    const change = traces(luSolve(factors[0], factors[2], da));
    if (!isComplex(a.dtype))
      return [
        [sign, log],
        [lax.mul(sign, 0), change],
      ];
    const turn = lax.complex(lax.mul(lax.imag(change), 0), lax.imag(change));
    return [
      [sign, log],
      [lax.mul(sign, turn), lax.real(change)],
    ];
  },
);

function fromFactors(a: NDArray, [factors, pivots]: readonly [NDArray, NDArray, NDArray]): SignAndLog {
  const d = diagonals(factors);
  return [lax.mul(parity(pivots, a.dtype), product(lax.sign(d))), lax.reduceSum(lax.log(lax.abs(d)), [d.ndim - 1])];
}

/**
 * The sign (for complex matrices the phase) and the logarithm of the absolute value of determinants, which may themselves
 * be too large or too small for their dtype: [..., n, n] -> [...] and real [...]. Singular matrices give 0 and -Infinity.
 */
export function slogdet(x: ArrayLike): [sign: NDArray, logabsdet: NDArray] {
  const a = square("slogdet", x);
  if (columns(a) === 0) return [lax.full(batchOf(a), 1, a.dtype), lax.full(batchOf(a), 0, realDType(a.dtype))];
  const [sign, log] = signAndLog(a);
  return [sign, log];
}
