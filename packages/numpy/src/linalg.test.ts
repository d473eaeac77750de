import { asArray, fromTyped, type NDArray, setDefaultBackend, ShapeError, ValueError } from "@traceform/core";
import { grad, hessian, jvp } from "@traceform/grad";
import { referenceBackend } from "@traceform/testing";
import { finiteDifference, numbers } from "@traceform/testing/derivatives";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import * as linalg from "./linalg.ts";
import { add, allclose, matmul, matrixTranspose, multiply, sum } from "./index.ts";

setDefaultBackend(referenceBackend());

// Values, gradients and batching of every function are held against JAX in goldens.test.ts; here is what a recorded value
// cannot show.

const f64 = (values: readonly number[], shape: readonly number[]): NDArray =>
  fromTyped(Float64Array.from(values), shape, "float64");
const a = f64([2, -1, 0.5, 3, 1, -0.25, -1, 0.75, 1.5], [3, 3]);
const symmetric = f64([4, 1, -0.5, 1, 3, 0.7, -0.5, 0.7, 1.5], [3, 3]);
const wide = f64([2, -1, 0.5, 3, 1, -0.25, -1, 0.75], [2, 4]);
const close = (x: NDArray, y: NDArray): boolean => allclose(x, y, { rtol: 1e-9, atol: 1e-9 }).itemSync() === true;

test("factors multiply to the matrix", () => {
  const [u, s, vh] = linalg.svd(wide, { fullMatrices: false });
  expect(close(matmul(multiply(u, s), vh), wide)).toBe(true);
  const [w, v] = linalg.eigh(symmetric);
  expect(close(matmul(symmetric, v), multiply(v, w))).toBe(true);
  const [hu, hs, hvh] = linalg.svd(add(symmetric, multiply(-3, linalg.matrixPower(symmetric, 0))), { hermitian: true });
  expect(close(matmul(multiply(hu, hs), hvh), add(symmetric, multiply(-3, linalg.matrixPower(symmetric, 0))))).toBe(true);
  const [full, , fullVh] = linalg.svd(wide);
  expect([full.shape, fullVh.shape]).toEqual([
    [2, 2],
    [4, 4],
  ]);
  const l = linalg.cholesky(symmetric);
  expect(close(matmul(l, matrixTranspose(l)), symmetric)).toBe(true);
  expect(close(matrixTranspose(linalg.cholesky(symmetric, { upper: true })), l)).toBe(true);
});

test("lstsq of fewer equations than unknowns gives the solution of smallest norm", () => {
  const b = f64([1, -2], [2]);
  const [x, resid, rank, s] = linalg.lstsq(wide, b);
  expect(close(x, matmul(linalg.pinv(wide), b))).toBe(true);
  expect(Number(resid.itemSync())).toBeLessThan(1e-20);
  expect([rank.itemSync(), s.shape]).toEqual([2, [2]]);
});

test("lstsq has NumPy's residuals on demand", () => {
  const tall = matrixTranspose(wide);
  const b = f64([1, -2, 0.5, 3], [4]);
  expect(linalg.lstsq(tall, b, null, { numpyResid: true })[1].shape).toEqual([1]);
  expect(linalg.lstsq(wide, f64([1, 2], [2]), null, { numpyResid: true })[1].shape).toEqual([0]);
  const deficient = f64([1, 2, 2, 4, 3, 6], [3, 2]);
  expect(linalg.lstsq(deficient, f64([1, 2, 4], [3]), null, { numpyResid: true })[1].shape).toEqual([0]);
});

test("the tolerance of matrixRank is relative to the largest singular value", () => {
  const diagonal = asArray([
    [100, 0],
    [0, 1],
  ]);
  expect(linalg.matrixRank(diagonal).itemSync()).toBe(2);
  expect(linalg.matrixRank(diagonal, 0.02).itemSync()).toBe(1);
  expect([...linalg.matrixRank(asArray([[[1]], [[0]]]), asArray([0.1, 0.1])).dataSync()]).toEqual([1, 0]);
});

test("norm takes its options in the place of the order", () => {
  expect([
    ...linalg
      .norm(
        asArray([
          [3, 4],
          [6, 8],
        ]),
        { axis: 1 },
      )
      .dataSync(),
  ]).toEqual([5, 10]);
  expect(
    linalg.norm(
      asArray([
        [3, 4],
        [6, 8],
      ]),
      { keepdims: true },
    ).shape,
  ).toEqual([1, 1]);
});

describe("derivatives of second order agree with finite differences", () => {
  const along = f64([0.3, -0.5, 0.2, 0.1, 0.4, -0.6, 0.7, -0.2, 0.25], [3, 3]);
  const functions: Record<string, (x: NDArray) => NDArray> = {
    det: linalg.det,
    "det of a singular matrix": (x) => linalg.det(matmul(matmul(matrixTranspose(embed), x), embed)),
    slogdet: (x) => linalg.slogdet(x)[1],
    inv: (x) => sum(multiply(linalg.inv(x), along)),
    solve: (x) => sum(linalg.solve(x, f64([1, 2, 3], [3]))),
    pinv: (x) => sum(multiply(linalg.pinv(x), along)),
    norm: (x) => linalg.norm(x, "nuc"),
    eigvalsh: (x) => sum(multiply(linalg.eigvalsh(x), f64([1, 2, 3], [3]))),
  };
  // Four rows of rank three: the determinant is zero, its derivatives are not.
  const embed = f64([1, 0.2, 0.1, 0.5, 0, 1, 0.3, -0.4, 0.6, 0, 1, 0.2], [3, 4]);
  test.each(Object.entries(functions))("%s", (name, f) => {
    const shifted = (x: NDArray): NDArray => (name === "eigvalsh" ? f(add(symmetric, multiply(x, 0.1))) : f(x));
    const g = grad((x: NDArray) => shifted(x));
    const [, second] = jvp(g, [a], [along]);
    const [expected] = finiteDifference((x) => [g(x)], [a], [numbers(along)]);
    numbers(second).forEach((v, i) => expect(Math.abs(v - expected![i])).toBeLessThan(1e-5 * (1 + Math.abs(v))));
  });
});

test("the derivative of det exists where the matrix is singular", () => {
  // Rank n - 1: the adjugate is not zero. The last minor of this matrix is 16.
  const singular = f64([2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0], [4, 4]);
  const g = numbers(grad((x: NDArray) => linalg.det(x))(singular));
  expect(g[15]).toBeCloseTo(16, 12);
  expect(g.filter((v) => v !== 0).length).toBe(1);
  expect(numbers(grad((x: NDArray) => linalg.det(x))(f64([1, 2, 2, 4], [2, 2])))).toEqual([4, -2, -2, 1]);
});

test("hessians and batches of solve", () => {
  const b = f64([1, 2, 3], [3]);
  const h = hessian((x: NDArray) => sum(linalg.solve(x, b)))(a);
  expect(h.shape).toEqual([3, 3, 3, 3]);
  expect(numbers(h).every(Number.isFinite)).toBe(true);
  const many = vmap((x: NDArray) => linalg.solve(x, b))(f64([...numbers(a), ...numbers(symmetric)], [2, 3, 3]));
  expect(close(matmul(symmetric, linalg.solve(symmetric, b)), b)).toBe(true);
  expect(numbers(many).slice(3)).toEqual(numbers(linalg.solve(symmetric, b)));
});

test("misuse is named", () => {
  expect(() => linalg.inv(wide)).toThrow(ShapeError);
  expect(() => linalg.solve(a, f64([1, 2], [2]))).toThrow(/as many rows/);
  expect(() => linalg.qr(a, "full" as never)).toThrow(ValueError);
  expect(() => linalg.eigh(a, { UPLO: "X" as never })).toThrow(ValueError);
  expect(() => linalg.norm(a, 7)).toThrow(/no matrix norm of order 7/);
  expect(() => linalg.svd(fromTyped(new Float32Array(4), [2, 2], "float16"))).toThrow(/16-bit/);
  expect(() => linalg.matrixPower(a, 0.5)).toThrow(ValueError);
  expect(() => linalg.multiDot([a])).toThrow(ValueError);
});
