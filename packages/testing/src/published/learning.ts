import type { NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { dotProduct, matrix, type Published, section, softmax, spread, toRows, vector } from "./case.ts";

const constant = (values: readonly number[], shape: readonly number[]): NDArray =>
  np.reshape(np.array([...values], { dtype: "float64" }), [...shape]);
const logSumExp = (x: NDArray, axis?: number): NDArray => {
  const top = lax.stopGradient(axis === undefined ? np.max(x) : np.max(x, axis, { keepdims: true }));
  const sum = np.log(axis === undefined ? np.sum(np.exp(np.subtract(x, top))) : np.sum(np.exp(np.subtract(x, top)), axis));
  return np.add(sum, axis === undefined ? top : np.squeeze(top, axis));
};
const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));

const features = [1, 0.2, -0.5, 1, -1.1, 0.3, 1, 0.7, 0.9, 1, -0.2, -1.4, 1, 1.6, 0.1];
const rows = toRows(features, 3);
const labels = [1, 0, 1, 0, 1];
const counts = [2, 0, 1, 0, 3];

const points2 = [0.1, 0.4, -1, 0.8, 1.3, -0.2, 0.5, 1.5, -0.7, -0.9];

/** The densities of a mixture of two Gaussians of unit covariance at a point, weighted. */
function mixture(logits: readonly number[], means: readonly number[], x: readonly number[]): number[] {
  const pi = softmax(logits);
  return pi.map((p, k) => {
    const gap = x.map((v, i) => v - means[2 * k + i]);
    return (p * Math.exp(-0.5 * dotProduct(gap, gap))) / (2 * Math.PI);
  });
}

/** Every sequence of `length` symbols out of `n`. */
function sequences(n: number, length: number): number[][] {
  if (length === 0) return [[]];
  return sequences(n, length - 1).flatMap((s) => Array.from({ length: n }, (_, k) => [...s, k]));
}

const blank = 0;
const target = [1, 2, 2];
const frames = 6;
/** The label that an alignment spells: repetitions are one, then blanks go. */
function collapse(path: readonly number[]): number[] {
  return path.filter((s, t) => s !== blank && s !== path[t - 1]);
}

/** Log-likelihood of all alignments of `target`, by the recursion over the label with blanks between. */
function ctc(logits: NDArray): NDArray {
  const extended = target.flatMap((s) => [blank, s]).concat(blank);
  const states = extended.length;
  const logProbs = np.subtract(logits, np.reshape(logSumExp(logits, 1), [frames, 1]));
  const emissions = np.take(logProbs, np.array(extended, { dtype: "int32" }), 1);
  const never = -1e30;
  const skips = constant(
    extended.map((s, i) => (i >= 2 && s !== blank && s !== extended[i - 2] ? 0 : never)),
    [states],
  );
  const shift = (a: NDArray, by: number): NDArray =>
    np.concatenate([np.full([by], never, { dtype: "float64" }), section(a, 0, states - by)]);
  const start = constant(
    extended.map((_, i) => (i < 2 ? 0 : never)),
    [states],
  );
  const step = (alpha: NDArray, emission: NDArray): readonly [NDArray, null] => {
    const ways = np.stack([alpha, shift(alpha, 1), np.add(shift(alpha, 2), skips)]);
    return [np.add(logSumExp(ways, 0), emission), null];
  };
  const first = np.add(start, np.take(emissions, 0, 0));
  const [last] = lax.scan(step, first, section(emissions, 1, null));
  return np.negative(logSumExp(section(last as NDArray, states - 2, null)));
}

const observations = [0, 2, 1, 1];
/** Log-probability of the observations, by Rabiner's forward recursion on logarithms. */
function forwardAlgorithm(initial: NDArray, transitions: NDArray, emissions: NDArray): NDArray {
  const normal = (x: NDArray): NDArray => np.subtract(x, np.reshape(logSumExp(x, -1), [...x.shape.slice(0, -1), 1]));
  const [a, b] = [normal(transitions), normal(emissions)];
  const seen = np.transpose(np.take(b, np.array(observations, { dtype: "int32" }), 1));
  const start = np.add(np.subtract(initial, logSumExp(initial)), np.take(seen, 0, 0));
  const step = (alpha: NDArray, emission: NDArray): readonly [NDArray, null] => [
    np.add(logSumExp(np.add(np.reshape(alpha, [2, 1]), a), 0), emission),
    null,
  ];
  return logSumExp(lax.scan(step, start, section(seen, 1, null))[0] as NDArray);
}

const times = [3, 1, 4, 2, 5];
const died = [1, 1, 0, 1, 1];

/** Likelihoods and losses of statistics and machine learning. */
export const learning = (): Published[] => [
  {
    name: "logistic regression, with its Hessian",
    source: "Bishop (2006), Pattern Recognition and Machine Learning, eq. 4.90, 4.91 and 4.97",
    fn: (w) => {
      const z = np.dot(constant(features, [5, 3]), w);
      return np.sum(np.subtract(np.logaddexp(0, z), np.multiply(constant(labels, [5]), z)));
    },
    points: [[vector(0.1, -0.4, 0.8)]],
    jacobian: (w) => {
      const errors = rows.map((x, n) => sigmoid(dotProduct(x, w)) - labels[n]);
      return [w.map((_, i) => errors.reduce((s, err, n) => s + err * rows[n][i], 0))];
    },
    hessian: (w) => {
      const weights = rows.map((x) => sigmoid(dotProduct(x, w)) * (1 - sigmoid(dotProduct(x, w))));
      return w.flatMap((_, i) => w.map((_, j) => rows.reduce((s, x, n) => s + weights[n] * x[i] * x[j], 0)));
    },
  },
  {
    name: "Poisson regression",
    source: "McCullagh & Nelder (1989), Generalized Linear Models, section 6.2",
    fn: (w) => {
      const z = np.dot(constant(features, [5, 3]), w);
      return np.sum(np.subtract(np.multiply(constant(counts, [5]), z), np.exp(z)));
    },
    points: [[vector(0.1, -0.4, 0.8)]],
    jacobian: (w) => {
      const errors = rows.map((x, n) => counts[n] - Math.exp(dotProduct(x, w)));
      return [w.map((_, i) => errors.reduce((s, err, n) => s + err * rows[n][i], 0))];
    },
  },
  {
    name: "Cox's partial likelihood",
    source: "Cox (1972), Regression models and life-tables, J. Royal Statistical Society B 34, eq. 12 and 13",
    fn: (w) => {
      const z = np.dot(constant(features, [5, 3]), w);
      const atRisk = constant(
        times.flatMap((t) => times.map((u) => (u >= t ? 0 : -1e30))),
        [5, 5],
      );
      return np.sum(np.multiply(constant(died, [5]), np.subtract(z, logSumExp(np.add(atRisk, z), 1))));
    },
    points: [[vector(0.1, -0.4, 0.8)]],
    jacobian: (w) => [
      w.map((_, i) =>
        times.reduce((sum, t, n) => {
          const risk = rows.map((x, m) => (times[m] >= t ? Math.exp(dotProduct(x, w)) : 0));
          const total = risk.reduce((a, b) => a + b, 0);
          return sum + died[n] * (rows[n][i] - rows.reduce((s, x, m) => s + (risk[m] / total) * x[i], 0));
        }, 0),
      ),
    ],
  },
  {
    name: "softmax cross entropy, with its Hessian",
    source: "Bishop (2006), Pattern Recognition and Machine Learning, eq. 4.108 to 4.110; Bridle (1990)",
    fn: (z) => np.subtract(logSumExp(z), np.dot(constant([0.1, 0.6, 0, 0.3], [4]), z)),
    points: [[vector(0.4, -2, 1, 0.3)], [vector(30, -30, 5, 0)]],
    jacobian: (z) => [softmax(z).map((p, i) => p - [0.1, 0.6, 0, 0.3][i])],
    hessian: (z) => {
      const p = softmax(z);
      return p.flatMap((a, i) => p.map((b, j) => (i === j ? a : 0) - a * b));
    },
  },
  {
    name: "log-likelihood of a Gaussian mixture",
    source:
      "Bishop (2006), Pattern Recognition and Machine Learning, eq. 9.14, 9.16; Srajer, Kukelova & Fitzgibbon (2018), ADBench",
    fn: (logits, means) => {
      const gaps = np.subtract(np.reshape(constant(points2, [5, 2]), [5, 1, 2]), means);
      const logs = np.subtract(np.multiply(-0.5, np.sum(np.square(gaps), 2)), Math.log(2 * Math.PI));
      return np.sum(logSumExp(np.add(logs, np.subtract(logits, logSumExp(logits))), 1));
    },
    points: [[vector(0.2, -0.5), matrix([0.3, 0.9], [-0.8, -0.2])]],
    jacobian: (logits, means) => {
      const responsibilities = toRows(points2, 2).map((x) => {
        const parts = mixture(logits, means, x);
        const total = parts[0] + parts[1];
        return parts.map((p) => p / total);
      });
      const share = responsibilities.reduce((s, r) => s.map((v, k) => v + r[k]), [0, 0]);
      const pi = softmax(logits);
      return [
        share.map((s, k) => s - 5 * pi[k]),
        [0, 1].flatMap((k) =>
          [0, 1].map((i) => toRows(points2, 2).reduce((s, x, n) => s + responsibilities[n][k] * (x[i] - means[2 * k + i]), 0)),
        ),
      ];
    },
  },
  {
    name: "connectionist temporal classification",
    source: "Graves, Fernández, Gomez & Schmidhuber (2006), Connectionist temporal classification, eq. 6 to 8 and 16",
    fn: ctc,
    points: [[spread([frames, 3])]],
    // Softmax less the posterior probability of each symbol in each frame, over all alignments one by one.
    jacobian: (logits) => {
      const p = toRows(logits, 3).map(softmax);
      const occupancy = p.map((row) => row.map(() => 0));
      let total = 0;
      for (const path of sequences(3, frames)) {
        if (collapse(path).join() !== target.join()) continue;
        const probability = path.reduce((product, s, t) => product * p[t][s], 1);
        total += probability;
        path.forEach((s, t) => (occupancy[t][s] += probability));
      }
      return [p.flatMap((row, t) => row.map((v, s) => v - occupancy[t][s] / total))];
    },
  },
  {
    name: "hidden Markov model, by the forward algorithm",
    source: "Rabiner (1989), A tutorial on hidden Markov models, Proceedings of the IEEE 77, eq. 18 to 21 and 40",
    fn: forwardAlgorithm,
    points: [[vector(0.3, -0.2), matrix([0.5, -0.4], [-1, 0.6]), matrix([0.2, 1, -0.3], [-0.5, 0.1, 0.9])]],
    // Expected counts less what normalisation expects of them, over all state sequences one by one.
    jacobian: (initial, transitions, emissions) => {
      const [pi, a, b] = [softmax(initial), toRows(transitions, 2).map(softmax), toRows(emissions, 3).map(softmax)];
      const starts = [0, 0];
      const moves = [
        [0, 0],
        [0, 0],
      ];
      const seen = [
        [0, 0, 0],
        [0, 0, 0],
      ];
      let total = 0;
      const paths = sequences(2, 4).map((path) => {
        const p = path.reduce((q, s, t) => q * (t === 0 ? pi[s] : a[path[t - 1]][s]) * b[s][observations[t]], 1);
        total += p;
        return [path, p] as const;
      });
      for (const [path, p] of paths) {
        starts[path[0]] += p / total;
        path.forEach((s, t) => {
          seen[s][observations[t]] += p / total;
          if (t > 0) moves[path[t - 1]][s] += p / total;
        });
      }
      const less = (expected: number[][], probabilities: number[][]): number[] =>
        expected.flatMap((row, i) => {
          const all = row.reduce((x, y) => x + y, 0);
          return row.map((v, j) => v - all * probabilities[i][j]);
        });
      return [less([starts], [pi]), less(moves, a), less(seen, b)];
    },
  },
];
