import { isComplex, type NDArray, realDType } from "@traceform/core";
import * as lax from "@traceform/lax";
import { complexes, type ConformanceCase, wide } from "./case.ts";

const { linalg } = lax;
const dtypes = [...wide, ...complexes];

// Decompositions by blocks against textbook ones. Where signs or phases are free, what does not depend on them is compared:
// products of the factors, and functions of the matrix.

const transposed = (x: NDArray): NDArray => {
  const axes = x.shape.map((_, i) => i);
  axes.push(...axes.splice(-2).reverse());
  return lax.transpose(x, axes);
};
const adjoint = (x: NDArray): NDArray => (isComplex(x.dtype) ? lax.conj(transposed(x)) : transposed(x));
const times = lax.batchMatmul;

function scaled(x: NDArray, v: NDArray): NDArray {
  const typed = lax.convertElementType(v, x.dtype);
  const axes = v.shape.map((_, i) => (i === v.ndim - 1 ? x.ndim - 1 : i));
  return lax.mul(x, lax.broadcastInDim(typed, x.shape, axes));
}
function eye(x: NDArray): NDArray {
  const [i, j] = [2, 1].map((k) => lax.broadcastedIota("int32", x.shape, x.ndim - k));
  return lax.convertElementType(lax.eq(i, j), x.dtype);
}
/** A positive definite matrix of moderate condition. */
function definite(x: NDArray): NDArray {
  const n = x.shape[x.ndim - 1];
  return lax.add(lax.div(times(x, adjoint(x)), n), eye(x));
}
/** A triangular matrix that is well conditioned, with something else in the other triangle, which is not to be read. */
function triangle(x: NDArray): NDArray {
  return lax.add(lax.div(x, x.shape[x.ndim - 1]), lax.mul(eye(x), 2));
}
function hermitian(x: NDArray): NDArray {
  return lax.add(x, adjoint(x));
}

/** Eigenvalues, the cosine of the matrix, and what should be the identity. */
function spectrum(x: NDArray): NDArray[] {
  const size = x.shape[x.ndim - 1];
  const [v, w] = linalg.eigh(lax.div(x, Math.sqrt(size)));
  return [w, times(scaled(v, lax.cos(w)), adjoint(v)), times(adjoint(v), v), linalg.eigvalsh(lax.div(x, Math.sqrt(size)))];
}

/** V diag(w) V⁻¹ and (diag(w) Uᴴ) without U, which is the matrix again, and sums of the eigenvalues. */
function diagonalised(x: NDArray): NDArray[] {
  const [w, u, v] = linalg.eig(x);
  const typed = lax.convertElementType(x, w.dtype);
  const left = lax.sub(times(adjoint(u), typed), transposed(scaled(transposed(adjoint(u)), w)));
  const [factors, , permutation] = linalg.lu(transposed(v));
  const y = linalg.triangularSolve(factors, linalg.takeRows(transposed(scaled(v, w)), permutation), {
    leftSide: true,
    lower: true,
    unitDiagonal: true,
  });
  const again = transposed(linalg.triangularSolve(factors, y, { leftSide: true }));
  // What should vanish is added to what does not, so that errors have a scale.
  return [again, lax.add(left, typed), lax.reduceSum(w, [w.ndim - 1]), lax.reduceSum(lax.mul(w, w), [w.ndim - 1])];
}

/** Singular values, the matrix again, and what should be identities. */
const singular =
  (fullMatrices: boolean) =>
  (x: NDArray): NDArray[] => {
    const [u, s, vh] = linalg.svd(x, { fullMatrices });
    const k = s.shape[s.ndim - 1];
    const columns = (y: NDArray): NDArray => lax.sliceInDim(y, 0, k, 1, y.ndim - 1);
    const again = times(scaled(columns(u), s), lax.sliceInDim(vh, 0, k, 1, vh.ndim - 2));
    return [s, again, times(adjoint(u), u), times(vh, adjoint(vh)), linalg.svd(x, { computeUv: false })];
  };

/** Shapes below and above the sizes at which blocks begin; the large ones for two dtypes only, because the oracle is slow. */
const squares: readonly (readonly number[])[] = [
  [1, 1],
  [2, 3, 3],
  [17, 17],
  [70, 70],
];
const condensed: readonly (readonly number[])[] = [
  [1, 1],
  [3, 2, 2],
  [5, 5],
  [2, 17, 17],
  [40, 40],
];
const oblongs: readonly (readonly number[])[] = [
  [5, 3],
  [3, 5],
  [2, 40, 33],
  [12, 40],
];

function each(
  name: string,
  shapes: readonly (readonly number[])[],
  run: (x: NDArray) => NDArray | readonly NDArray[],
  relative: number,
): ConformanceCase[] {
  return shapes.map((shape) => ({
    name: `linalg: ${name}`,
    dtypes: Math.max(...shape) > 20 ? ["float32", "complex128"] : dtypes,
    operands: [{ shape, range: [-1, 1] }],
    run,
    relative,
  }));
}

function factorisations(): ConformanceCase[] {
  const all = [...squares, ...oblongs];
  return [
    ...each("cholesky", squares, (x) => linalg.cholesky(definite(x)), 3e-6),
    ...each("cholesky of the lower triangle", [[70, 70]], (x) => linalg.cholesky(definite(x), { symmetrizeInput: false }), 3e-6),
    ...each("lu", all, (x) => linalg.lu(x), 3e-4),
    ...each("qr", all, (x) => linalg.qr(x, { fullMatrices: false }), 1e-4),
    ...each("qr, full matrices", all, (x) => [linalg.qr(x)[1], times(...linalg.qr(x))], 1e-4),
    ...each("geqrf", all, (x) => linalg.geqrf(x), 1e-4),
    ...each("eigh", condensed, (x) => spectrum(hermitian(x)), 1e-5),
    ...each("hessenberg", condensed, (x) => linalg.hessenberg(x), 1e-4),
    ...each("eig", condensed, diagonalised, 1e-4),
    ...each("svd", [...condensed, ...oblongs], singular(false), 1e-5),
    ...each("svd, full matrices", oblongs, (x) => singular(true)(x), 1e-5),
  ];
}

function triangularSolves(): ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  for (const shape of [
    [3, 3],
    [2, 70, 70],
  ]) {
    for (const leftSide of [true, false]) {
      for (const lower of [true, false]) {
        for (const transposeA of [true, false]) {
          const n = shape[shape.length - 1];
          const right = leftSide ? [n, 5] : [5, n];
          cases.push({
            name: "linalg: triangularSolve",
            dtypes,
            operands: [
              { shape, range: [-1, 1] },
              { shape: [...shape.slice(0, -2), ...right], range: [-1, 1] },
            ],
            run: (a, b) =>
              [false, true].map((flag) =>
                linalg.triangularSolve(triangle(a), b, { leftSide, lower, transposeA, conjugateA: flag, unitDiagonal: flag }),
              ),
            relative: 1e-5,
          });
        }
      }
    }
  }
  return cases;
}

/** What iterations and pivots must survive. */
function hard(): ConformanceCase[] {
  const only = (name: string, shape: readonly number[], run: ConformanceCase["run"], relative = 1e-5): ConformanceCase => ({
    name: `linalg: ${name}`,
    dtypes,
    operands: [{ shape, range: [-1, 1] }],
    run,
    relative,
  });
  const decade = (x: NDArray): number => (realDType(x.dtype) === "float32" ? 30 : 250);
  const rankOne = (x: NDArray): NDArray => times(lax.sliceInDim(x, 0, 1, 1, 1), lax.sliceInDim(x, 0, 1, 1, 0));
  const withNaN = (x: NDArray): NDArray => lax.dynamicUpdateSlice(x, lax.full([1, 1], NaN, x.dtype), [2, 1]);
  return [
    only("cholesky of what is not positive definite", [40, 40], (x) => linalg.cholesky(lax.sub(definite(x), lax.mul(eye(x), 3)))),
    only("cholesky of zeros", [3, 3], (x) => linalg.cholesky(lax.mul(x, 0))),
    only("lu of zeros", [4, 4], (x) => linalg.lu(lax.mul(x, 0))),
    only("qr of zeros", [4, 3], (x) => linalg.qr(lax.mul(x, 0), { fullMatrices: false })),
    only("eigh of equal eigenvalues", [40, 40], (x) => spectrum(lax.mul(eye(x), 3))),
    only("eigh of zeros", [5, 5], (x) => spectrum(lax.mul(x, 0))),
    only("eigh of rank one", [40, 40], (x) =>
      spectrum(hermitian(times(lax.sliceInDim(x, 0, 1, 1, 1), adjoint(lax.sliceInDim(x, 0, 1, 1, 1))))),
    ),
    only("eigh of NaN", [6, 6], (x) => linalg.eigh(withNaN(x))),
    only("eigh of large and of small numbers", [20, 20], (x) =>
      [1, -1].map((sign) => linalg.eigvalsh(lax.mul(hermitian(x), 10 ** (sign * decade(x))))),
    ),
    only("eigh of a graded matrix", [40, 40], (x) => {
      const steps = lax.exp(lax.neg(lax.convertElementType(lax.iota("int32", 40), realDType(x.dtype))));
      return linalg.eigvalsh(scaled(transposed(scaled(hermitian(x), lax.sqrt(steps))), lax.sqrt(steps)));
    }),
    only("eig of NaN", [6, 6], (x) => linalg.eig(withNaN(x))),
    only("eig of a cycle", [8, 8], (x) => {
      const cycle = lax.concatenate([lax.sliceInDim(eye(x), 1, 8, 1, 0), lax.sliceInDim(eye(x), 0, 1, 1, 0)], 0);
      return diagonalised(lax.add(cycle, lax.mul(eye(x), 0.5)));
    }),
    {
      ...only("schur", [2, 17, 17], (x) => {
        const [t, z] = linalg.schur(x);
        return [times(times(z, t), adjoint(z)), times(adjoint(z), z)];
      }),
      dtypes: complexes,
    },
    only("svd of zeros", [5, 3], (x) => singular(false)(lax.mul(x, 0))),
    only("svd of rank one", [40, 40], (x) => singular(true)(rankOne(x))),
    only("svd of equal singular values", [40, 40], (x) => singular(true)(eye(x))),
    only("svd of NaN", [6, 4], (x) => linalg.svd(withNaN(x))),
    only("svd of large and of small numbers", [20, 12], (x) =>
      [1, -1].map((sign) => linalg.svd(lax.mul(x, 10 ** (sign * decade(x))), { computeUv: false })),
    ),
    only("qr of large and of small numbers", [20, 12], (x) =>
      [1, -1].map((sign) => linalg.qr(lax.mul(x, 10 ** (sign * decade(x))), { fullMatrices: false })[1]),
    ),
    {
      name: "linalg: luPivotsToPermutation",
      dtypes: ["int32"],
      operands: [{ shape: [2, 3], range: [0, 5] }],
      run: (x) => linalg.luPivotsToPermutation(x, 6),
    },
    only("nothing", [2, 0, 0], (x) => [
      linalg.cholesky(x),
      ...linalg.lu(x),
      ...linalg.qr(x),
      ...linalg.eigh(x),
      ...linalg.svd(x),
      linalg.triangularSolve(x, x),
    ]),
  ];
}

export const linalgCases = (): ConformanceCase[] => [...factorisations(), ...triangularSolves(), ...hard()];
