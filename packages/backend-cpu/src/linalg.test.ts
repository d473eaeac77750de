import { fromTyped, isComplex, type NDArray, realDType, setDefaultBackend, type StandardDType } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { beforeAll, describe, expect, test } from "vitest";
import { cpu } from "./index.ts";

// Decompositions of matrices beyond the size of any block: errors are measured as LAPACK's testers measure them, relative to
// n, the unit roundoff and the norm of the matrix.

const { linalg } = lax;
beforeAll(() => {
  setDefaultBackend(cpu());
});

let seed = 1;
function uniform(): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 31 - 1;
}
function draw(shape: readonly number[], dtype: StandardDType): NDArray {
  const size = shape.reduce((a, b) => a * b, 1) * (isComplex(dtype) ? 2 : 1);
  const values = Float64Array.from({ length: size }, uniform);
  return fromTyped(realDType(dtype) === "float32" ? Float32Array.from(values) : values, shape, dtype);
}
function adjoint(x: NDArray): NDArray {
  const t = lax.transpose(x, [1, 0]);
  return isComplex(x.dtype) ? lax.conj(t) : t;
}
function eye(n: number, dtype: StandardDType): NDArray {
  const at = (d: number): NDArray => lax.broadcastedIota("int32", [n, n], d);
  return lax.convertElementType(lax.eq(at(0), at(1)), dtype);
}
const times = (a: NDArray, b: NDArray): NDArray => lax.dot(a, b);
const scaled = (x: NDArray, v: NDArray): NDArray =>
  lax.mul(x, lax.broadcastInDim(lax.convertElementType(v, x.dtype), x.shape, [1]));
function frobenius(x: NDArray): number {
  let sum = 0;
  for (const v of x.dataSync() as Float64Array) sum += v * v;
  return Math.sqrt(sum);
}

/** |a - b| / (n eps |b|): a few units for a stable algorithm. */
function ratio(a: NDArray, b: NDArray): number {
  const eps = realDType(b.dtype) === "float32" ? 2 ** -23 : 2 ** -52;
  return frobenius(lax.sub(a, b)) / (Math.max(...b.shape) * eps * frobenius(b));
}
function orthonormal(q: NDArray): number {
  return ratio(times(adjoint(q), q), eye(q.shape[1], q.dtype as StandardDType));
}
// LAPACK's testers take 30 for failure.
const bound = 3;

describe.each(["float32", "float64", "complex64", "complex128"] as const)("%s", (dtype) => {
  const n = isComplex(dtype) ? 150 : 230;
  const a = draw([n, n], dtype);
  const tall = draw([n + 100, n], dtype);
  const thin = draw([n, 40], dtype);
  const hermitian = (): NDArray => lax.add(a, adjoint(a));
  const definite = (): NDArray => lax.add(times(a, adjoint(a)), lax.mul(eye(n, dtype), n));

  test("cholesky", () => {
    const l = linalg.cholesky(definite());
    expect(ratio(times(l, adjoint(l)), definite())).toBeLessThan(bound);
  });
  // Its permutations are reshaped into indices of gathers in other kernels: a test of the order of kernels, too.
  test("lu", () => {
    for (const x of [a, tall, lax.transpose(tall, [1, 0])]) {
      const [m, k] = x.shape;
      const [factors, pivots, permutation] = linalg.lu(x);
      const s = Math.min(m, k);
      const [i, j] = [0, 1].map((d) => lax.broadcastedIota("int32", [m, k], d));
      const zero = lax.fullLike(factors, 0);
      const below = lax.select(lax.gt(i, j), factors, zero);
      const one = lax.select(lax.eq(i, j), lax.fullLike(factors, 1), zero);
      const l = lax.slice(lax.add(below, one), [0, 0], [m, s]);
      const u = lax.slice(lax.select(lax.le(i, j), factors, zero), [0, 0], [s, k]);
      const rows = linalg.takeRows(x, permutation);
      expect(ratio(times(l, u), rows)).toBeLessThan(bound);
      expect([...linalg.luPivotsToPermutation(pivots, m).dataSync()]).toEqual([...permutation.dataSync()]);
    }
  });
  test("qr", () => {
    for (const x of [a, tall, thin, lax.transpose(thin, [1, 0])]) {
      for (const fullMatrices of [false, true]) {
        const [q, r] = linalg.qr(x, { fullMatrices });
        expect(ratio(times(q, r), x)).toBeLessThan(bound);
        expect(orthonormal(q)).toBeLessThan(bound);
      }
    }
  });
  test("eigh", () => {
    const [v, w] = linalg.eigh(hermitian());
    expect(ratio(times(scaled(v, w), adjoint(v)), hermitian())).toBeLessThan(bound);
    expect(orthonormal(v)).toBeLessThan(bound);
    const values = [...(w.dataSync() as Float64Array)];
    expect(values).toEqual([...values].sort((x, y) => x - y));
    expect(ratio(linalg.eigvalsh(hermitian()), w)).toBeLessThan(bound);
  });
  test("svd", () => {
    for (const x of [a, tall, thin, lax.transpose(thin, [1, 0])]) {
      const [u, s, vh] = linalg.svd(x, { fullMatrices: false });
      expect(ratio(times(scaled(u, s), vh), x)).toBeLessThan(bound);
      expect(orthonormal(u)).toBeLessThan(bound);
      expect(orthonormal(adjoint(vh))).toBeLessThan(bound);
      expect(ratio(linalg.svd(x, { computeUv: false }), s)).toBeLessThan(bound);
    }
  });
  test("triangularSolve", () => {
    const l = linalg.cholesky(definite());
    const x = linalg.triangularSolve(l, a, { leftSide: true, lower: true });
    expect(ratio(times(l, x), a)).toBeLessThan(bound);
    const y = linalg.triangularSolve(l, a, { lower: true, transposeA: true });
    expect(ratio(times(y, lax.transpose(l, [1, 0])), a)).toBeLessThan(bound);
  });
});

test("singular values of a graded matrix keep their relative precision", () => {
  const n = 20;
  const d = Array.from({ length: n }, (_, i) => 10 ** -i);
  const x = fromTyped(
    Float64Array.from({ length: n * n }, (_, p) => (p % n === Math.floor(p / n) ? d[p % n] : 0)),
    [n, n],
    "float64",
  );
  const s = linalg.svd(x, { computeUv: false }).dataSync() as Float64Array;
  s.forEach((v, i) => expect(Math.abs(v - d[i]) / d[i]).toBeLessThan(1e-14));
});

test("what fails is NaN, and ends", () => {
  const bad = fromTyped(Float32Array.from([1, NaN, 2, 3, 4, 5, 6, 7, 8]), [3, 3], "float32");
  const everyNaN = (x: NDArray): boolean => [...(x.dataSync() as Float32Array)].every((v) => Number.isNaN(v));
  expect([...linalg.eigh(bad), ...linalg.svd(bad)].every(everyNaN)).toBe(true);
  const indefinite = fromTyped(Float32Array.from([1, 2, 2, 1]), [2, 2], "float32");
  expect([...linalg.cholesky(indefinite).dataSync()]).toEqual([NaN, 0, NaN, NaN]);
});

test("one bad matrix of a stack leaves the others alone", () => {
  const stack = fromTyped(Float32Array.from([2, 0, 0, 3, 1, 2, 2, 1, NaN, 0, 0, 1]), [3, 2, 2], "float32");
  const w = linalg.eigvalsh(stack).dataSync() as Float32Array;
  [2, 3, -1, 3].forEach((v, i) => expect(w[i]).toBeCloseTo(v, 6));
  expect(w[4]).toBeNaN();
  const l = linalg.cholesky(stack).dataSync() as Float32Array;
  [Math.SQRT2, 0, 0, Math.sqrt(3)].forEach((v, i) => expect(l[i]).toBeCloseTo(v, 6));
});

test("decompositions inside a jitted program", () => {
  const x = draw([40, 40], "float64");
  const logdet = jit((y: NDArray) => {
    const l = linalg.cholesky(lax.add(lax.dot(y, lax.transpose(y, [1, 0])), eye(40, "float64")));
    const d = lax.reduceSum(lax.mul(l, eye(40, "float64")), [1]);
    return lax.mul(lax.reduceSum(lax.log(d)), 2);
  });
  const w = linalg.eigvalsh(lax.add(lax.dot(x, lax.transpose(x, [1, 0])), eye(40, "float64")));
  expect(Number(logdet(x).itemSync())).toBeCloseTo(Number(lax.reduceSum(lax.log(w)).itemSync()), 9);
});

test("results that join the kernel of a product are all computed before one takes its memory", () => {
  const [a, b, c, d] = Array.from({ length: 4 }, () => draw([64, 64], "float32"));
  const both = (...xs: NDArray[]): NDArray[] => {
    const products = [lax.dot(xs[0], xs[1]), lax.dot(xs[2], xs[3])];
    return products.map((p) => lax.neg(p));
  };
  const expected = [lax.dot(a, b), lax.dot(c, d)].map((p) => lax.neg(p));
  jit(both)(a, b, c, d).forEach((y, i) => expect(ratio(y, expected[i])).toBeLessThan(bound));
});
