import type { NDArray } from "@traceform/core";
import * as np from "@traceform/numpy";
import * as lax from "@traceform/lax";
import {
  determinant,
  dotProduct,
  inverse,
  matrix,
  type Published,
  type Rows,
  scalar,
  spread,
  times,
  toRows,
  transposed,
  vector,
} from "./case.ts";

const square3 = matrix([2, 0.3, -0.4], [0.5, 1.5, 0.2], [-0.1, 0.7, 3]);
const weights = [0.3, -1, 0.5, 0.2, 0.8, -0.6, 1.1, -0.2, 0.4];
const weightRows = toRows(weights, 3);
const constant = (values: readonly number[], shape: readonly number[]): NDArray =>
  np.reshape(np.array([...values], { dtype: "float64" }), [...shape]);

/** Inputs and targets of the Gaussian process. */
const inputs = [-1.5, -0.4, 0.3, 1.1, 2];
const targets = [0.2, -0.7, 0.1, 0.9, 0.4];
const kernelOf = (l: number, s: number, noise: number): number[][] =>
  inputs.map((a, i) => inputs.map((b, j) => s * s * Math.exp(-((a - b) ** 2) / (2 * l * l)) + (i === j ? noise * noise : 0)));

/** ½ tr((α αᵀ - K⁻¹) dK) with α = K⁻¹ y. */
function likelihoodSlope(k: Rows, y: readonly number[], dk: Rows): number {
  const inv = inverse(k);
  const alpha = inv.map((row) => dotProduct(row, y));
  let trace = 0;
  dk.forEach((row, i) => row.forEach((d, j) => (trace += (alpha[i] * alpha[j] - inv[i][j]) * d)));
  return trace / 2;
}

/** Observations of the local level model, and the covariance of all of them together. */
const observed = [0.4, 1.1, 0.7, 1.6, 2.2];
const levelCovariance = (q: number, r: number): number[][] =>
  observed.map((_, i) => observed.map((_, j) => 1 + q * (Math.min(i, j) + 1) + (i === j ? r : 0)));

/** Matrices and Gaussians. */
export const matrices = (): Published[] => [
  {
    name: "log-determinant",
    source: "Petersen & Pedersen (2012), The Matrix Cookbook, eq. 57: d log|X| / dX = X⁻ᵀ",
    fn: (x) => np.linalg.slogdet(x)[1],
    points: [[square3], [matrix([-2, 1], [1, 1])]],
    jacobian: (x) => [transposed(inverse(toRows(x, Math.sqrt(x.length)))).flat()],
  },
  {
    name: "determinant",
    source: "Jacobi's formula; Magnus & Neudecker (2019), Matrix Differential Calculus, theorem 8.1: d|X| / dX = |X| X⁻ᵀ",
    fn: (x) => np.linalg.det(x),
    points: [[square3], [matrix([-2, 1], [1, 1])]],
    jacobian: (x) => {
      const rows = toRows(x, Math.sqrt(x.length));
      return [
        transposed(inverse(rows))
          .flat()
          .map((v) => v * determinant(rows)),
      ];
    },
  },
  {
    name: "matrix inverse",
    source: "Giles (2008), An extended collection of matrix derivative results, section 2.2.3: X̄ = -X⁻ᵀ C X⁻ᵀ",
    fn: (x) => np.sum(np.multiply(constant(weights, [3, 3]), np.linalg.inv(x))),
    points: [[square3]],
    jacobian: (x) => {
      const inv = transposed(inverse(toRows(x, 3)));
      return [
        times(times(inv, weightRows), inv)
          .flat()
          .map((v) => -v),
      ];
    },
  },
  {
    name: "linear solve",
    source: "Giles (2008), An extended collection of matrix derivative results, section 2.3.1: b̄ = A⁻ᵀ c, Ā = -b̄ xᵀ",
    fn: (a, b) => np.dot(constant([0.3, -1, 0.5], [3]), np.linalg.solve(a, b)),
    points: [[square3, vector(1, -2, 0.5)]],
    jacobian: (a, b) => {
      const inv = inverse(toRows(a, 3));
      const x = inv.map((row) => dotProduct(row, b));
      const db = transposed(inv).map((row) => dotProduct(row, [0.3, -1, 0.5]));
      return [db.flatMap((u) => x.map((v) => -u * v)), db];
    },
  },
  {
    name: "least squares",
    source: "Golub & Pereyra (1973), The differentiation of pseudo-inverses, SIAM J. Numerical Analysis 10: dx/db = (AᵀA)⁻¹Aᵀ",
    fn: (b) => {
      const [q, r] = np.linalg.qr(constant([1, 0.2, 0.5, 1.3, -1, 0.4, 2, 1], [4, 2])) as unknown as [NDArray, NDArray];
      return np.linalg.solve(r, np.dot(np.transpose(q), b));
    },
    points: [[vector(1, -2, 0.5, 3)]],
    jacobian: () => {
      const a = toRows([1, 0.2, 0.5, 1.3, -1, 0.4, 2, 1], 2);
      return [times(inverse(times(transposed(a), a)), transposed(a)).flat()];
    },
  },
  {
    name: "largest eigenvalue of a symmetric matrix",
    source: "Magnus (1985), On differentiating eigenvalues and eigenvectors, Econometric Theory 1: dλ = vᵀ dX v",
    fn: (x) => np.max(np.linalg.eigvalsh(np.divide(np.add(x, np.transpose(x)), 2))),
    points: [[matrix([4, 1, 0.5], [1, 3, -0.7], [0.5, -0.7, 5])]],
    jacobian: (x) => {
      // The eigenvector by powers of the matrix.
      let v = [1, 1, 1];
      for (let i = 0; i < 2000; i++) {
        const next = toRows(x, 3).map((row) => dotProduct(row, v));
        const norm = Math.sqrt(dotProduct(next, next));
        v = next.map((u) => u / norm);
      }
      return [v.flatMap((a) => v.map((b) => a * b))];
    },
  },
  {
    name: "marginal likelihood of a Gaussian process, by Cholesky",
    source: "Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, eq. 5.8, 5.9 and algorithm 2.1",
    fn: (l, s, noise) => {
      const x = constant(inputs, [5]);
      const gaps = np.subtract(np.reshape(x, [5, 1]), x);
      const k = np.multiply(np.square(s), np.exp(np.divide(np.square(gaps), np.multiply(-2, np.square(l)))));
      const chol = np.linalg.cholesky(np.add(k, np.multiply(np.square(noise), np.eye(5, 5, { dtype: "float64" }))));
      const half = lax.linalg.triangularSolve(chol, constant(targets, [5, 1]), { leftSide: true, lower: true });
      const logs = np.sum(np.log(np.diagonal(chol)));
      return np.subtract(np.multiply(-0.5, np.sum(np.square(half))), np.add(logs, 2.5 * Math.log(2 * Math.PI)));
    },
    points: [[scalar(0.9), scalar(1.2), scalar(0.3)]],
    jacobian: ([l], [s], [noise]) => {
      const k = kernelOf(l, s, noise);
      const smooth = kernelOf(l, s, 0);
      const slopes = [
        smooth.map((row, i) => row.map((v, j) => (v * (inputs[i] - inputs[j]) ** 2) / l ** 3)),
        smooth.map((row) => row.map((v) => (2 * v) / s)),
        smooth.map((row, i) => row.map((_, j) => (i === j ? 2 * noise : 0))),
      ];
      return slopes.map((dk) => [likelihoodSlope(k, targets, dk)]);
    },
  },
  {
    name: "likelihood of the local level model, by Kalman's filter",
    source: "Harvey (1989), Forecasting, Structural Time Series Models and the Kalman Filter, section 3.4; Kalman (1960)",
    fn: (q, r) => {
      type State = readonly [mean: NDArray, variance: NDArray];
      const step = ([mean, variance]: State, y: NDArray): readonly [State, NDArray] => {
        const predicted = np.add(variance, q);
        const total = np.add(predicted, r);
        const surprise = np.subtract(y, mean);
        const gain = np.divide(predicted, total);
        const log = np.add(np.log(np.multiply(2 * Math.PI, total)), np.divide(np.square(surprise), total));
        return [[np.add(mean, np.multiply(gain, surprise)), np.multiply(predicted, np.subtract(1, gain))], np.multiply(-0.5, log)];
      };
      const start: State = [constant([0], []), constant([1], [])];
      return np.sum(lax.scan(step as never, start, constant(observed, [5]))[1] as NDArray);
    },
    points: [
      [scalar(0.3), scalar(0.5)],
      [scalar(1), scalar(0.1)],
    ],
    // The filter factors the likelihood of all observations together, which is that of one Gaussian.
    jacobian: ([q], [r]) => {
      const k = levelCovariance(q, r);
      const dq = observed.map((_, i) => observed.map((_, j) => Math.min(i, j) + 1));
      const dr = observed.map((_, i) => observed.map((_, j) => (i === j ? 1 : 0)));
      return [dq, dr].map((dk) => [likelihoodSlope(k, observed, dk)]);
    },
  },
  {
    name: "divergence of two Gaussians",
    source: "Kullback & Leibler (1951); closed form in Kingma & Welling (2014), Auto-Encoding Variational Bayes, appendix B",
    fn: (mean, logVariance) =>
      np.multiply(-0.5, np.sum(np.subtract(np.subtract(np.add(1, logVariance), np.square(mean)), np.exp(logVariance)))),
    points: [[vector(0.4, -1.2, 2), vector(0.1, -0.7, 1)]],
    jacobian: (mean, logVariance) => [mean, logVariance.map((v) => (Math.exp(v) - 1) / 2)],
  },
  {
    name: "divergence of two Gaussians with full covariances",
    source:
      "Bishop (2006), Pattern Recognition and Machine Learning, exercise 1.30 and eq. B.41; Petersen & Pedersen (2012), eq. 57, 61",
    // With respect to the covariance of the second one.
    fn: (b) => {
      const a = constant([1.5, 0.2, 0.2, 0.8], [2, 2]);
      const gap = constant([0.3, -0.5], [2]);
      const spreads = np.trace(np.linalg.solve(b, a));
      const distance = np.dot(gap, np.linalg.solve(b, gap));
      const logs = np.subtract(np.linalg.slogdet(b)[1], np.linalg.slogdet(a)[1]);
      return np.multiply(0.5, np.add(np.add(spreads, distance), np.subtract(logs, 2)));
    },
    points: [[matrix([2, 0.3], [0.3, 1])]],
    jacobian: (b) => {
      const inv = inverse(toRows(b, 2));
      const inner = [
        [1.5 + 0.09, 0.2 - 0.15],
        [0.2 - 0.15, 0.8 + 0.25],
      ];
      const outer = times(times(transposed(inv), transposed(inner)), transposed(inv));
      return [outer.flatMap((row, i) => row.map((v, j) => (inv[j][i] - v) / 2))];
    },
  },
  {
    name: "Frobenius norm of a product",
    source: "Petersen & Pedersen (2012), The Matrix Cookbook, eq. 115 and 119: d‖X W‖² / dX = 2 X W Wᵀ",
    fn: (x) => np.sum(np.square(np.matmul(x, constant(weights, [3, 3])))),
    points: [[spread([2, 3])]],
    jacobian: (x) => [
      times(times(toRows(x, 3), weightRows), transposed(weightRows))
        .flat()
        .map((v) => 2 * v),
    ],
  },
];
