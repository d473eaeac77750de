import { asArray, DTypeError, fromTyped, type NDArray, RuleError, setDefaultBackend, ShapeError } from "@traceform/core";
import { grad, jvp } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { referenceBackend } from "@traceform/testing";
import { vmap } from "@traceform/vmap";
import { expect, test } from "vitest";
import { linalg, mul, reduceSum } from "./index.ts";

setDefaultBackend(referenceBackend());

const square = asArray([
  [2, 1],
  [1, 3],
]);
const wide = asArray([
  [1, 2, 3],
  [4, 5, 6],
]);
const values = (x: NDArray): number[] => [...(x.dataSync() as Float32Array)].map(Number);

test("matrices that are not square are refused where they must be", () => {
  for (const f of [linalg.cholesky, linalg.eigh, linalg.eigvalsh, linalg.eig, linalg.hessenberg] as ((x: NDArray) => unknown)[]) {
    expect(() => f(wide)).toThrow(ShapeError);
    expect(() => f(asArray([1, 2]))).toThrow(ShapeError);
  }
  expect(() => linalg.qr(asArray([1, 2]))).toThrow(ShapeError);
  expect(() => linalg.triangularSolve(square, wide)).toThrow(ShapeError);
  expect(() => linalg.householderProduct(wide, asArray([1]))).toThrow(ShapeError);
  expect(() => linalg.luPivotsToPermutation(asArray([1, 2, 3]), 2)).toThrow();
});

test("dtypes without a decomposition are refused, with the way out", () => {
  const half = fromTyped(Float32Array.from([1, 0, 0, 1]), [2, 2], "float16");
  const whole = fromTyped(Int32Array.from([1, 0, 0, 1]), [2, 2], "int32");
  for (const x of [half, whole]) {
    expect(() => linalg.lu(x)).toThrow(DTypeError);
    expect(() => linalg.svd(x)).toThrow(/convertElementType/);
  }
  expect(() => linalg.schur(square)).toThrow(/must be complex/);
  expect(() => linalg.luPivotsToPermutation(square, 4)).toThrow(DTypeError);
  expect(() => linalg.triangularSolve(square, fromTyped(new Float64Array(4), [2, 2], "float64"))).toThrow(DTypeError);
});

test("the eigenvectors of unsymmetric matrices say that they have no derivative", () => {
  expect(() => jvp((x: NDArray) => linalg.eig(x)[2], [square], [square])).toThrow(RuleError);
});

test("triangularSolve takes a vector for each batch", () => {
  const x = linalg.triangularSolve(square, asArray([2, 7]), { leftSide: true, lower: true });
  expect(values(x)).toEqual([1, 2]);
});

test("lu of a permutation finds it", () => {
  const p = asArray([
    [0, 0, 1],
    [1, 0, 0],
    [0, 1, 0],
  ]);
  const [factors, pivots, permutation] = linalg.lu(p);
  expect(values(factors)).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 1]);
  expect(values(permutation)).toEqual([1, 2, 0]);
  expect(values(linalg.luPivotsToPermutation(pivots, 3))).toEqual([1, 2, 0]);
});

test("primitives keep their names in jaxprs, and transform", () => {
  const f = (x: NDArray): NDArray => reduceSum(mul(linalg.cholesky(x), linalg.cholesky(x)));
  // The squares of L's elements sum up to the trace of the matrix.
  expect(values(f(square))[0]).toBeCloseTo(5, 5);
  const g = values(grad(f)(square));
  [1, 0, 0, 1].forEach((v, i) => expect(g[i]).toBeCloseTo(v, 5));
  expect(values(vmap(f)(asArray([[[4]], [[9]]])))).toEqual([4, 9]);
  expect(values(jit(grad(f))(square)).length).toBe(4);
});

test("tridiagonalSolve exchanges rows where it must", () => {
  // Zeros on the diagonal: no elimination without pivoting gets anywhere.
  const x = linalg.tridiagonalSolve(
    asArray([0, 1, 1, 1]),
    asArray([0, 0, 0, 0]),
    asArray([1, 1, 1, 0]),
    asArray([[2], [4], [6], [3]]),
  );
  expect(values(x)).toEqual([1, 2, 3, 4]);
});

test("choleskyUpdate factors the matrix plus a square", () => {
  // RᵀR + w wᵀ for R = (2 1; 0 3), w = (1 2): (5 4; 4 14).
  const r = linalg.choleskyUpdate(
    asArray([
      [2, 1],
      [0, 3],
    ]),
    asArray([1, 2]),
  );
  const [a, b, c, d] = values(r);
  expect(a * a).toBeCloseTo(5, 5);
  expect(a * b).toBeCloseTo(4, 5);
  expect(c).toBeCloseTo(0, 6);
  expect(b * b + d * d).toBeCloseTo(14, 5);
  const stack = linalg.choleskyUpdate(asArray([[[2]], [[0]]]), asArray([[0], [3]]));
  expect(values(stack)).toEqual([2, 3]);
  expect(() => linalg.choleskyUpdate(square, asArray([1, 2, 3]))).toThrow(ShapeError);
});

test("symmetricProduct", () => {
  const c = asArray([
    [1, 2],
    [2, 4],
  ]);
  expect(values(linalg.symmetricProduct(wide, c, { alpha: 2, beta: 3 }))).toEqual([31, 70, 70, 166]);
  expect(values(linalg.symmetricProduct(wide, c, { symmetrizeOutput: true }))).toEqual([14, 32, 32, 77]);
  expect(() => linalg.symmetricProduct(wide, wide)).toThrow(ShapeError);
});
