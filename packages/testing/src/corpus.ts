import { fromTyped, type NDArray, scalar } from "@traceform/core";
import * as lax from "@traceform/lax";
import { vmap } from "@traceform/vmap";

/**
 * Small smooth functions from float64[3] to float64[3], which together use every family of operations. Having one type
 * they compose with every transformation, and every composition of transformations, in every order.
 */
export interface CorpusFunction {
  readonly name: string;
  readonly fn: (x: NDArray) => NDArray;
  /** Reverse mode does not apply (`whileLoop`). */
  readonly forwardOnly?: boolean;
}

const n = 3;
const vector = (...xs: number[]): NDArray => fromTyped(Float64Array.from(xs), [xs.length], "float64");
const matrix = (rows: number, cols: number): NDArray =>
  fromTyped(
    Float64Array.from({ length: rows * cols }, (_, i) => Math.sin(i + 1) / 2),
    [rows, cols],
    "float64",
  );
const at = (...xs: number[]): NDArray => fromTyped(Int32Array.from(xs), [xs.length, 1], "int32");

/** The scalar `s` in every place. */
function fill(s: NDArray): NDArray {
  return lax.broadcastInDim(s, [n], []);
}
function total(x: NDArray): NDArray {
  return lax.reduceSum(x);
}
function asMatrix(x: NDArray): NDArray {
  return lax.mul(lax.broadcastInDim(x, [n, n], [0]), lax.broadcastInDim(lax.cos(x), [n, n], [1]));
}
/** The elements of `x`, each 1 apart from the next, so that their order does not depend on small changes. */
function apart(x: NDArray): NDArray {
  return lax.add(lax.mul(lax.tanh(x), 0.3), vector(2, 0, 1));
}

const rows: lax.GatherDimensionNumbers = {
  offsetDims: [],
  collapsedSliceDims: [0],
  startIndexMap: [0],
  operandBatchingDims: [],
  startIndicesBatchingDims: [],
};
const rowsTo: lax.ScatterDimensionNumbers = {
  updateWindowDims: [],
  insertedWindowDims: [0],
  scatterDimsToOperandDims: [0],
  operandBatchingDims: [],
  scatterIndicesBatchingDims: [],
};

function customs(): CorpusFunction[] {
  const softplus = lax.customJvp((x: NDArray) => lax.log1p(lax.exp(x)));
  softplus.defjvp(([x], [dx]) => [softplus(x), lax.mul(dx, lax.logistic(x))]);
  const scaled = lax.customVjp((x: NDArray, s: NDArray) => lax.mul(lax.sin(x), s));
  scaled.defvjp(
    (x, s) => [scaled(x, s), [x, s] as const],
    ([x, s], ct) => [lax.mul(ct, lax.mul(lax.cos(x), s)), total(lax.mul(ct, lax.sin(x)))],
  );
  const swish = lax.customVmap((x: NDArray, s: NDArray) => lax.mul(lax.logistic(x), s));
  // The elements of a batch of x have one axis more; a batch of s has one number for each member.
  swish.defVmap((_n, [bx, bs], x, s) => {
    const rows = bs ? lax.broadcastInDim(s, [s.size, n], [0]) : s;
    return [lax.mul(bs && !bx ? lax.broadcastInDim(lax.logistic(x), rows.shape, [1]) : lax.logistic(x), rows), bx || bs];
  });
  return [
    { name: "customJvp", fn: (x) => lax.sin(softplus(x)) },
    {
      name: "customJvp in scan",
      fn: (x) => lax.scan((c: NDArray, _: null) => [softplus(lax.mul(c, 0.5)), null], x, null, { length: 2 })[0],
    },
    { name: "customVmap", fn: (x) => lax.cos(swish(x, lax.reduceSum(lax.cos(x)))) },
    // jvp cannot pass a customVjp function.
    { name: "customVjp", fn: (x) => scaled(x, lax.reduceSum(lax.cos(x))) },
  ];
}

/** Elements that know of each other by the name of the axis along which they are. */
function collectives(): CorpusFunction[] {
  const over = (f: (x: NDArray) => NDArray): CorpusFunction["fn"] => vmap(f, { axisName: "members" });
  return [
    { name: "psum", fn: over((x) => lax.mul(lax.psum(lax.sin(x), "members"), x)) },
    { name: "pmax", fn: (x) => over((y) => lax.mul(lax.pmax(y, "members"), y))(apart(x)) },
    { name: "allGather", fn: over((x) => total(lax.mul(lax.allGather(lax.cos(x), "members"), vector(1, 2, 3)))) },
    {
      name: "psumScatter",
      fn: over((x) => lax.psumScatter(lax.mul(fill(lax.sin(x)), vector(1, 2, 3)), "members")),
    },
    { name: "allToAll", fn: over((x) => total(lax.sin(lax.allToAll(lax.mul(fill(x), vector(1, 2, 3)), "members", 0, 0)))) },
    {
      name: "ppermute",
      fn: over((x) =>
        lax.mul(
          lax.ppermute(lax.sin(x), "members", [
            [0, 1],
            [1, 2],
          ]),
          x,
        ),
      ),
    },
  ];
}

/** A positive definite matrix with eigenvalues far apart. */
function definite(x: NDArray): NDArray {
  const a = asMatrix(lax.tanh(x));
  const apartEigenvalues = lax.mul(lax.broadcastInDim(vector(1, 2.5, 4), [n, n], [0]), identity());
  return lax.add(lax.mul(lax.dot(a, lax.transpose(a, [1, 0])), 0.1), apartEigenvalues);
}
function identity(): NDArray {
  const at = (d: number): NDArray => lax.broadcastedIota("int32", [n, n], d);
  return lax.convertElementType(lax.eq(at(0), at(1)), "float64");
}
function diagonal(a: NDArray): NDArray {
  return lax.reduceSum(lax.mul(a, identity()), [1]);
}

function decompositions(): CorpusFunction[] {
  const { linalg } = lax;
  const triangular = (a: NDArray, b: NDArray, options: lax.linalg.TriangularSolveOptions): NDArray =>
    linalg.triangularSolve(a, b, { leftSide: true, ...options });
  return [
    { name: "logdet by cholesky", fn: (x) => fill(total(lax.log(diagonal(linalg.cholesky(definite(x)))))) },
    {
      name: "solve by cholesky",
      fn: (x) => {
        const l = linalg.cholesky(definite(x));
        return triangular(l, triangular(l, lax.sin(x), { lower: true }), { lower: true, transposeA: true });
      },
    },
    {
      name: "solve by lu",
      fn: (x) => {
        const [factors, , permutation] = linalg.lu(definite(x));
        const b = linalg.takeElements(lax.cos(x), permutation);
        return triangular(factors, triangular(factors, b, { lower: true, unitDiagonal: true }), {});
      },
    },
    {
      name: "qr",
      fn: (x) => {
        const [q, r] = linalg.qr(definite(x));
        return lax.add(lax.dot(q, lax.dot(r, x)), lax.square(diagonal(r)));
      },
    },
    {
      name: "function of a symmetric matrix",
      fn: (x) => {
        const [v, w] = linalg.eigh(definite(x));
        return lax.dot(lax.mul(v, lax.broadcastInDim(lax.sin(w), [n, n], [1])), lax.dot(x, v));
      },
    },
    { name: "singular values", fn: (x) => lax.mul(x, linalg.svd(definite(x), { computeUv: false })) },
  ];
}

/** Solutions whose derivatives follow from the equations that they solve: their solvers are loops that reverse mode cannot pass. */
function implicit(): CorpusFunction[] {
  const repeat = (f: (y: NDArray) => NDArray, start: NDArray): NDArray =>
    lax.whileLoop(
      ([i]: [NDArray, NDArray]) => lax.lt(i, 24),
      ([i, y]: [NDArray, NDArray]) => [lax.add(i, 1), f(y)] as [NDArray, NDArray],
      [lax.convertElementType(lax.mul(total(start), 0), "int32"), start] as [NDArray, NDArray],
    )[1];
  // Richardson's iteration for matrices that are within 0.3 of twice the identity.
  const solve = (matvec: (v: NDArray) => NDArray, b: NDArray): NDArray =>
    repeat((y) => lax.add(y, lax.mul(lax.sub(b, matvec(y)), 0.5)), lax.mul(b, 0.4));
  const near = (x: NDArray): NDArray => lax.add(identity(), lax.mul(asMatrix(lax.tanh(x)), 0.1));
  return [
    {
      name: "linear solve",
      fn: (x) => {
        const a = lax.mul(near(x), 2);
        return lax.customLinearSolve((v: NDArray) => lax.dot(a, v), lax.sin(x), solve, { transposeSolve: solve });
      },
    },
    {
      name: "root",
      fn: (x) =>
        lax.customRoot(
          (y: NDArray) => lax.sub(lax.sub(y, lax.mul(lax.sin(y), 0.25)), x),
          lax.mul(x, 1.5),
          (f, start) => repeat((y) => lax.sub(y, f(y)), start),
          (g, y) => lax.div(y, g(fill(scalar(1, "float64")))),
        ),
    },
  ];
}

/** The corpus, made when asked for, because some of its constants are arrays. */
export function corpus(): CorpusFunction[] {
  const w = matrix(n, n);
  const kernel = lax.reshape(matrix(2, 2), [1, 1, 2, 2]);
  return [
    { name: "identity", fn: (x) => x },
    { name: "constant", fn: (x) => lax.add(lax.mul(x, 0), vector(1, 2, 3)) },
    { name: "sin", fn: (x) => lax.sin(x) },
    { name: "polynomial", fn: (x) => lax.sub(lax.mul(lax.integerPow(x, 3), 0.1), lax.mul(x, 2)) },
    { name: "tanh of sum", fn: (x) => lax.tanh(lax.add(x, fill(total(x)))) },
    { name: "product of sums", fn: (x) => lax.mul(fill(total(lax.sin(x))), lax.cos(x)) },
    { name: "scalar times vector", fn: (x) => lax.mul(lax.logistic(total(x)), x) },
    {
      name: "softmax",
      fn: (x) => {
        const e = lax.exp(lax.sub(x, lax.stopGradient(lax.reduceMax(x))));
        return lax.div(e, total(e));
      },
    },
    { name: "logsumexp", fn: (x) => fill(lax.log(total(lax.exp(x)))) },
    { name: "norm", fn: (x) => lax.div(x, lax.sqrt(lax.add(total(lax.square(x)), 1))) },
    { name: "rational", fn: (x) => lax.div(x, lax.add(lax.square(x), 1)) },
    { name: "power", fn: (x) => lax.pow(lax.add(lax.logistic(x), 0.5), lax.cos(x)) },
    {
      name: "erf and friends",
      fn: (x) => lax.add(lax.erf(x), lax.mul(lax.atan2(x, lax.add(lax.square(x), 1)), lax.expm1(lax.neg(lax.square(x))))),
    },
    { name: "gamma", fn: (x) => lax.lgamma(lax.add(lax.logistic(x), 1)) },
    { name: "matrix vector", fn: (x) => lax.sin(lax.dot(w, x)) },
    { name: "vector matrix", fn: (x) => lax.dot(x, w) },
    { name: "two layers", fn: (x) => lax.tanh(lax.dot(w, lax.tanh(lax.dot(w, x)))) },
    { name: "outer product", fn: (x) => lax.reduceSum(lax.sin(asMatrix(x)), [1]) },
    { name: "matrix product", fn: (x) => lax.reduceSum(lax.dot(asMatrix(x), lax.tanh(asMatrix(x))), [0]) },
    {
      name: "batched product",
      fn: (x) => {
        const m = lax.reshape(asMatrix(x), [n, n, 1]);
        return lax.reshape(lax.reduceSum(lax.batchMatmul(m, lax.transpose(m, [0, 2, 1])), [1, 2]), [n]);
      },
    },
    {
      name: "convolution",
      fn: (x) =>
        lax.reshape(lax.reduceSum(lax.conv(lax.reshape(asMatrix(x), [1, 1, n, n]), kernel, [1, 1], "SAME"), [0, 1, 2]), [n]),
    },
    {
      name: "convolution by x",
      fn: (x) =>
        lax.reshape(
          lax.reduceSum(
            lax.conv(
              lax.reshape(w, [1, 1, n, n]),
              lax.reshape(x, [1, 1, 1, n]),
              [1, 1],
              [
                [0, 0],
                [1, 1],
              ],
            ),
            [2],
          ),
          [n],
        ),
    },
    {
      name: "transpose and reverse",
      fn: (x) => lax.reduceSum(lax.mul(lax.transpose(asMatrix(x), [1, 0]), lax.rev(asMatrix(x), [0])), [1]),
    },
    {
      name: "slices",
      fn: (x) => lax.concatenate([lax.mul(lax.slice(x, [1], [3]), lax.slice(x, [0], [2])), lax.sin(lax.slice(x, [0], [1]))], 0),
    },
    { name: "strided slice and pad", fn: (x) => lax.pad(lax.sin(lax.slice(x, [0], [3], [2])), total(x), [[0, 0, 1]]) },
    {
      name: "dynamic slice",
      fn: (x) =>
        lax.mul(x, lax.dynamicSlice(lax.concatenate([x, x], 0), [lax.convertElementType(lax.gt(total(x), 0), "int32")], [n])),
    },
    { name: "dynamic update", fn: (x) => lax.dynamicUpdateSlice(lax.sin(x), lax.mul(lax.slice(x, [0], [1]), 3), [1]) },
    { name: "gather", fn: (x) => lax.mul(x, lax.gather(lax.sin(x), at(2, 0, 0), rows, [1])) },
    { name: "scatter", fn: (x) => lax.scatter(lax.sin(x), at(1), lax.mul(lax.slice(x, [2], [3]), 2), rowsTo) },
    { name: "scatter add", fn: (x) => lax.scatterAdd(x, at(2, 2, 0), lax.cos(x), rowsTo) },
    { name: "sort", fn: (x) => lax.mul(lax.sort(apart(x)), vector(1, 2, 3)) },
    ...decompositions(),
    { name: "fft", fn: (x) => lax.mul(x, lax.real(lax.fft(lax.sin(x), "FFT", [n]))) },
    {
      name: "real fft",
      fn: (x) => {
        const spectrum = lax.fft(lax.sin(x), "RFFT", [n]);
        return lax.fft(lax.mul(spectrum, spectrum), "IRFFT", [n]);
      },
    },
    { name: "top k", fn: (x) => lax.concatenate([lax.topK(apart(x), 2)[0], lax.slice(x, [0], [1])], 0) },
    { name: "max and min", fn: (x) => lax.add(lax.max(apart(x), 1.5), lax.min(lax.rev(apart(x), [0]), 0.7)) },
    { name: "reduce max", fn: (x) => lax.mul(x, lax.reduceMax(apart(x))) },
    { name: "reduce product", fn: (x) => fill(lax.reduceProd(lax.add(lax.sin(x), 0.5))) },
    { name: "cumulative", fn: (x) => lax.add(lax.cumsum(x), lax.cumlogsumexp(x)) },
    { name: "cumulative product", fn: (x) => lax.cumprod(lax.add(lax.tanh(x), 0.2), 0, true) },
    { name: "clamp", fn: (x) => lax.clamp(-1.7, lax.mul(lax.tanh(x), 3), 50) },
    { name: "select", fn: (x) => lax.select(lax.gt(x, 0.05), lax.sin(x), lax.mul(x, 3)) },
    { name: "window sum", fn: (x) => lax.reduceWindow(lax.sin(x), 0, lax.add, [2], [1], "SAME") },
    { name: "window max", fn: (x) => lax.reduceWindow(apart(x), -Infinity, lax.max, [2], [1], "SAME") },
    // Rounds far from a half, because a finite difference must not step over the jump.
    {
      name: "round trip of dtypes",
      fn: (x) =>
        lax.mul(
          x,
          lax.convertElementType(lax.convertElementType(lax.round(lax.add(lax.mul(lax.tanh(x), 0.3), 3)), "int32"), "float64"),
        ),
    },
    {
      name: "cond",
      fn: (x) =>
        lax.cond(
          lax.gt(total(x), 0.1),
          (y: NDArray) => lax.sin(y),
          (y: NDArray) => lax.mul(y, total(y)),
          x,
        ),
    },
    {
      name: "switch",
      fn: (x) =>
        lax.switch_(
          lax.convertElementType(lax.floor(lax.mul(lax.tanh(total(x)), 3)), "int32"),
          [(y: NDArray) => lax.mul(y, 2), (y: NDArray) => lax.cos(y), (y: NDArray) => y],
          x,
        ),
    },
    {
      name: "scan",
      fn: (x) =>
        lax.scan((c: NDArray, s: NDArray) => [lax.tanh(lax.add(lax.mul(c, s), x)), lax.mul(c, s)], x, vector(0.5, -0.4, 0.3))[0],
    },
    {
      name: "scan over x",
      fn: (x) =>
        lax.scan(
          (c: NDArray, s: NDArray) => {
            const next = lax.sin(lax.add(c, s));
            return [next, lax.mul(next, s)];
          },
          lax.mul(total(x), 0.1),
          x,
          { reverse: true },
        )[1],
    },
    {
      name: "scan with matrix",
      fn: (x) => lax.scan((c: NDArray, _: null) => [lax.tanh(lax.dot(lax.sin(w), c)), null], x, null, { length: 3 })[0],
    },
    {
      name: "nested scan",
      fn: (x) =>
        lax.scan(
          (c: NDArray, s: NDArray) => [
            lax.scan((d: NDArray, _: null) => [lax.sin(lax.add(lax.mul(d, s), x)), null], c, null, { length: 2 })[0],
            null,
          ],
          x,
          vector(0.3, 0.6),
        )[0],
    },
    {
      name: "fori loop",
      fn: (x) => lax.foriLoop(0, 3, (i, v: NDArray) => lax.sin(lax.add(v, lax.mul(lax.convertElementType(i, "float64"), x))), x),
    },
    {
      name: "while loop",
      fn: (x) =>
        lax.whileLoop(
          ([i]: [NDArray, NDArray]) => lax.lt(i, 3),
          ([i, v]: [NDArray, NDArray]) => [lax.add(i, 1), lax.sin(lax.add(v, x))] as [NDArray, NDArray],
          [lax.convertElementType(lax.gt(total(x), 0), "int32"), x] as [NDArray, NDArray],
        )[1],
      forwardOnly: true,
    },
    { name: "checkpoint", fn: lax.checkpoint((x: NDArray) => lax.sin(lax.mul(lax.sin(x), total(x)))) },
    { name: "map", fn: (x) => lax.map((s: NDArray) => lax.mul(lax.sin(s), total(x)), x) },
    ...customs(),
    ...collectives(),
    ...implicit(),
  ];
}
