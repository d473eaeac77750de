import type { Aval } from "@traceform/core";
import { abs, add, conj, div, Matrix, matrices, mul, real, scale, stacked, sub } from "./matrix.ts";
import type { Complex, RefArray } from "./values.ts";

// Decompositions as textbooks write them, without blocks, in double precision. Where there is a choice, the algorithm is
// another one than the compiler's: Jacobi's methods for eigenvalues of Hermitian matrices and for singular values.

/** Applies a function of matrices to each of a stack. */
type Rule = (args: RefArray[], params: never, outs: readonly Aval[]) => RefArray[];
function each<P>(f: (args: Matrix[], params: P) => Matrix[], vectors: readonly number[] = []): Rule {
  return (args, params, outs) => {
    const stacks = args.map((x, i) => matrices(x, vectors.includes(i)));
    const results = stacks[0].map((_, t) =>
      f(
        stacks.map((s) => s[t]),
        params as P,
      ),
    );
    return outs.map((o, k) =>
      stacked(
        results.map((r) => r[k]),
        o.shape,
        o.dtype,
      ),
    );
  };
}
const row = (values: readonly Complex[]): Matrix => Matrix.build(1, values.length, (_, j) => values[j]);
const nan = (rows: number, columns: number): Matrix => Matrix.build(rows, columns, () => ({ re: NaN, im: NaN }));
const isFinite = (a: Matrix): boolean => [a.re, a.im].every((part) => part.every((x) => Number.isFinite(x)));

function cholesky(a: Matrix): Matrix {
  const n = a.rows;
  const l = new Matrix(n, n);
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = a.get(i, j);
      for (let k = 0; k < j; k++) sum = sub(sum, mul(l.get(i, k), conj(l.get(j, k))));
      if (i > j) l.set(i, j, div(sum, l.get(j, j)));
      else if (!(sum.re > 0)) return nan(n, n).map((z, r, c) => (r < c ? real(0) : z));
      else l.set(j, j, real(Math.sqrt(sum.re)));
    }
  }
  return l;
}

interface TriangularParams {
  readonly leftSide: boolean;
  readonly lower: boolean;
  readonly transposeA: boolean;
  readonly conjugateA: boolean;
  readonly unitDiagonal: boolean;
}
function triangularSolve([a, b]: Matrix[], p: TriangularParams): Matrix[] {
  const op = (p.transposeA === p.leftSide ? a.transpose : a).map((z) => (p.conjugateA ? conj(z) : z));
  const x = (p.leftSide ? b : b.transpose).copy();
  const n = a.rows;
  const forward = p.lower === (p.transposeA !== p.leftSide);
  for (let s = 0; s < n; s++) {
    const i = forward ? s : n - 1 - s;
    for (let q = 0; q < s; q++) {
      const k = forward ? q : n - 1 - q;
      x.subtractRow(i, op.get(i, k), x, k);
    }
    if (!p.unitDiagonal) for (let j = 0; j < x.columns; j++) x.set(i, j, div(x.get(i, j), op.get(i, i)));
  }
  return [p.leftSide ? x : x.transpose];
}

function lu(source: Matrix): Matrix[] {
  const a = source.copy();
  const steps = Math.min(a.rows, a.columns);
  const pivots: Complex[] = [];
  const order = Array.from({ length: a.rows }, (_, i) => i);
  const size = ({ re, im }: Complex): number => Math.abs(re) + Math.abs(im);
  for (let k = 0; k < steps; k++) {
    let p = k;
    for (let i = k + 1; i < a.rows; i++) if (size(a.get(i, k)) > size(a.get(p, k))) p = i;
    pivots.push(real(p));
    a.swapRows(k, p);
    [order[k], order[p]] = [order[p], order[k]];
    if (size(a.get(k, k)) === 0) continue;
    for (let i = k + 1; i < a.rows; i++) {
      const factor = div(a.get(i, k), a.get(k, k));
      a.set(i, k, factor);
      a.subtractRow(i, factor, a, k, k + 1);
    }
  }
  return [a, row(pivots), row(order.map(real))];
}

/** LAPACK's reflection: I - tau v vᴴ, whose adjoint maps (alpha, x) to (beta, 0) with a real beta. */
function reflect(a: Matrix, k: number): Complex {
  const alpha = a.get(k, k);
  const below = Array.from({ length: a.rows - k - 1 }, (_, i) => abs(a.get(k + 1 + i, k)));
  const rest = Math.hypot(alpha.im, ...below);
  if (rest === 0) return real(0);
  const beta = (alpha.re < 0 ? 1 : -1) * Math.hypot(alpha.re, rest);
  const difference = sub(alpha, real(beta));
  for (let i = k + 1; i < a.rows; i++) a.set(i, k, div(a.get(i, k), difference));
  a.set(k, k, real(beta));
  return scale(difference, -1 / beta);
}

/** a -= tau v (vᴴ a) from column `from` on, for the reflection whose vector is in column k of `of`. */
function applyReflection(a: Matrix, of: Matrix, k: number, tau: Complex, from: number): void {
  const v = (i: number): Complex => (i === k ? real(1) : of.get(i, k));
  for (let j = from; j < a.columns; j++) {
    let sum = real(0);
    for (let i = k; i < a.rows; i++) sum = add(sum, mul(conj(v(i)), a.get(i, j)));
    const w = mul(tau, sum);
    for (let i = k; i < a.rows; i++) a.set(i, j, sub(a.get(i, j), mul(v(i), w)));
  }
}

function geqrf(source: Matrix): [Matrix, Complex[]] {
  const a = source.copy();
  const taus: Complex[] = [];
  for (let k = 0; k < Math.min(a.rows, a.columns); k++) {
    taus.push(reflect(a, k));
    applyReflection(a, a, k, conj(taus[k]), k + 1);
  }
  return [a, taus];
}

function householderProduct(a: Matrix, taus: readonly Complex[], columns = a.columns): Matrix {
  const q = Matrix.identity(a.rows, columns);
  for (let k = taus.length - 1; k >= 0; k--) applyReflection(q, a, k, taus[k], 0);
  return q;
}

function qr(a: Matrix, fullMatrices: boolean): [Matrix, Matrix] {
  const k = fullMatrices ? a.rows : Math.min(a.rows, a.columns);
  const [factors, taus] = geqrf(a);
  const r = Matrix.build(k, a.columns, (i, j) => (i > j ? real(0) : factors.get(i, j)));
  return [householderProduct(factors, taus, k), r];
}

/**
 * Columns p and q of the matrices go through the unitary rotation that diagonalises (alpha gamma; conj(gamma) beta), in
 * which gamma has the phase `phase`.
 */
function rotateColumns(list: readonly Matrix[], p: number, q: number, c: number, s: number, phase: Complex): void {
  for (const { re, im, rows, columns } of list) {
    for (let i = 0; i < rows; i++) {
      const [u, v] = [i * columns + p, i * columns + q];
      const yRe = re[v] * phase.re + im[v] * phase.im;
      const yIm = im[v] * phase.re - re[v] * phase.im;
      const [xRe, xIm] = [re[u], im[u]];
      re[u] = c * xRe - s * yRe;
      im[u] = c * xIm - s * yIm;
      re[v] = s * xRe + c * yRe;
      im[v] = s * xIm + c * yIm;
    }
  }
}
/** The cosine and sine of Jacobi's rotation for (alpha gamma; gamma beta). */
function jacobiAngle(alpha: number, gamma: number, beta: number): [number, number] {
  const zeta = (beta - alpha) / (2 * gamma);
  const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
  const c = 1 / Math.hypot(1, t);
  return [c, c * t];
}

/** Jacobi's methods converge quadratically: a dozen sweeps are many. */
const mostSweeps = 30;

/** Jacobi's method: rotations until nothing is left off the diagonal. @see Golub & Van Loan, section 8.5 */
function eigh(source: Matrix, lower: boolean): [number[], Matrix] {
  const n = source.rows;
  const given = (i: number, j: number): boolean => (lower ? i >= j : i <= j);
  const a = source.map((z, i, j) => (i === j ? real(z.re) : given(i, j) ? z : conj(source.get(j, i))));
  const v = Matrix.identity(n);
  const size = Math.hypot(...a.re, ...a.im);
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    let rotated = false;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const gamma = abs(a.get(p, q));
        const [alpha, beta] = [a.get(p, p).re, a.get(q, q).re];
        if (gamma <= 1e-16 * Math.sqrt(Math.abs(alpha * beta)) || gamma <= 1e-18 * size) continue;
        rotated = true;
        const phase = scale(a.get(p, q), 1 / gamma);
        const [c, s] = jacobiAngle(alpha, gamma, beta);
        rotateColumns([a, v], p, q, c, s, phase);
        // The same from the left: the matrix stays Hermitian.
        const [zp, zq] = [p, q].map((k) => Array.from({ length: n }, (_, i) => a.get(i, k)));
        const [app, aqq] = [sub(scale(zp[p], c), scale(mul(zp[q], phase), s)), add(scale(zq[p], s), scale(mul(zq[q], phase), c))];
        for (let j = 0; j < n; j++) {
          a.set(p, j, conj(zp[j]));
          a.set(q, j, conj(zq[j]));
        }
        a.set(p, p, real(app.re));
        a.set(q, q, real(aqq.re));
        a.set(p, q, real(0));
        a.set(q, p, real(0));
      }
    }
    if (!rotated) break;
  }
  return [Array.from({ length: n }, (_, i) => a.get(i, i).re), v];
}

function chosen(a: Matrix, order: readonly number[]): Matrix {
  return Matrix.build(a.rows, order.length, (i, j) => a.get(i, order[j]));
}

/** Hestenes' one-sided Jacobi method: columns are rotated until they are orthogonal. For m >= n. */
function svd(a: Matrix): [Matrix, number[], Matrix] {
  const n = a.columns;
  const w = a.copy();
  const v = Matrix.identity(n);
  const inner = (p: number, q: number): Complex => {
    const { re, im } = w;
    let [x, y] = [0, 0];
    for (let u = p, v = q; u < re.length; u += n, v += n) {
      x += re[u] * re[v] + im[u] * im[v];
      y += re[u] * im[v] - im[u] * re[v];
    }
    return { re: x, im: y };
  };
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    let rotated = false;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const mixed = inner(p, q);
        const gamma = abs(mixed);
        const [alpha, beta] = [inner(p, p).re, inner(q, q).re];
        if (gamma <= 1e-15 * Math.sqrt(alpha * beta) || gamma < 1e-300) continue;
        rotated = true;
        const [c, s] = jacobiAngle(alpha, gamma, beta);
        rotateColumns([w, v], p, q, c, s, scale(mixed, 1 / gamma));
      }
    }
    if (!rotated) break;
  }
  const sizes = Array.from({ length: n }, (_, j) => Math.sqrt(inner(j, j).re));
  const order = sizes.map((_, j) => j).sort((i, j) => sizes[j] - sizes[i]);
  const sorted = chosen(w, order);
  const s = order.map((j) => sizes[j]);
  const largest = Math.max(...s, 0);
  const u = completed(
    sorted.map((z, _, j) => (s[j] > 1e-15 * largest ? scale(z, 1 / s[j]) : real(0))),
    a.rows,
  );
  return [u, s, chosen(v, order)];
}

/** Orthonormal columns, some of which may be zero, as a square unitary matrix: Gram and Schmidt's method with unit vectors. */
function completed(a: Matrix, columns: number): Matrix {
  const m = a.rows;
  const q = Matrix.build(m, columns, (i, j) => (j < a.columns ? a.get(i, j) : real(0)));
  const isZero = (j: number): boolean => Array.from({ length: m }, (_, i) => abs(q.get(i, j))).every((x) => x === 0);
  let unit = 0;
  for (let j = 0; j < columns; j++) {
    while (isZero(j)) {
      let x = Matrix.build(m, 1, (i) => real(i === unit ? 1 : 0));
      unit++;
      for (let round = 0; round < 2; round++) x = without(x, q);
      const size = Math.hypot(...x.re, ...x.im);
      if (size > 1e-3) for (let i = 0; i < m; i++) q.set(i, j, scale(x.get(i, 0), 1 / size));
    }
  }
  return q;
}
/** x less its parts along the columns of q. */
function without(x: Matrix, q: Matrix): Matrix {
  const y = q.times(q.adjoint.times(x));
  return x.map((z, i) => sub(z, y.get(i, 0)));
}

interface SvdParams {
  readonly fullMatrices: boolean;
  readonly computeUv: boolean;
}
/** The matrix divided by a power of two that makes its elements moderate, and that power. */
function moderate(a: Matrix): [Matrix, number] {
  const largest = Math.max(...a.re.map(Math.abs), ...a.im.map(Math.abs));
  const power = largest > 0 && Number.isFinite(largest) ? 2 ** Math.floor(Math.log2(largest)) : 1;
  return [a.map((z) => scale(z, 1 / power)), power];
}

function svdRule([source]: Matrix[], { fullMatrices, computeUv }: SvdParams): Matrix[] {
  const [a, power] = moderate(source);
  const [m, n] = [a.rows, a.columns];
  const k = Math.min(m, n);
  const [rows, columns] = fullMatrices ? [m, n] : [k, k];
  if (!isFinite(a)) return [nan(1, k), nan(m, rows), nan(columns, n)].slice(0, computeUv ? 3 : 1);
  const [u, s, v] = m >= n ? svd(a) : svd(a.adjoint);
  const values = row(s.map((x) => real(x * power)));
  if (!computeUv) return [values];
  if (m >= n) return [values, u.part(0, m, 0, rows), v.adjoint];
  return [values, v, u.part(0, n, 0, columns).adjoint];
}

interface EighParams {
  readonly lower: boolean;
  readonly computeV: boolean;
}
function eighRule([source]: Matrix[], { lower, computeV }: EighParams): Matrix[] {
  const [a, power] = moderate(source);
  const n = a.rows;
  if (!isFinite(a)) return [nan(1, n), nan(n, n)].slice(0, computeV ? 2 : 1);
  const [w, v] = eigh(a, lower);
  const order = w.map((_, i) => i).sort((i, j) => w[i] - w[j]);
  return [row(order.map((i) => real(w[i] * power))), chosen(v, order)].slice(0, computeV ? 2 : 1);
}

function permutation([pivots]: Matrix[], { permutationSize }: { permutationSize: number }): Matrix[] {
  const order = Array.from({ length: permutationSize }, (_, i) => i);
  pivots.re.forEach((p, i) => ([order[i], order[p]] = [order[p], order[i]]));
  return [row(order.map(real))];
}

/** The plain QR algorithm, with Wilkinson's shift, on the whole of the block that is left. */
function schur(source: Matrix): [Matrix, Matrix] {
  const t = source.copy();
  const z = Matrix.identity(t.rows);
  const n = t.rows;
  let hi = n - 1;
  for (let sweep = 1; hi > 0 && sweep < 100 * n; sweep++) {
    const left = Array.from({ length: hi }, (_, j) => abs(t.get(hi, j)));
    if (Math.hypot(...left) <= 1e-16 * (abs(t.get(hi, hi)) + abs(t.get(hi - 1, hi - 1)))) {
      for (let j = 0; j < hi; j++) t.set(hi, j, real(0));
      hi--;
      continue;
    }
    const [a, b, c, d] = [t.get(hi - 1, hi - 1), t.get(hi - 1, hi), t.get(hi, hi - 1), t.get(hi, hi)];
    const half = scale(sub(a, d), 0.5);
    const root = squareRoot(add(mul(half, half), mul(b, c)));
    const larger = abs(add(half, root)) > abs(sub(half, root)) ? add(half, root) : sub(half, root);
    const cycle = sweep % 10 === 0;
    const shift = cycle || abs(larger) === 0 ? add(d, real(0.6 * Math.hypot(...left))) : sub(d, div(mul(b, c), larger));
    const m = hi + 1;
    const block = t.part(0, m, 0, m).map((x, i, j) => (i === j ? sub(x, shift) : x));
    const [q] = qr(block, true);
    const whole = Matrix.build(n, n, (i, j) => (i < m && j < m ? q.get(i, j) : real(i === j ? 1 : 0)));
    const [t1, z1] = [whole.adjoint.times(t).times(whole), z.times(whole)];
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        t.set(i, j, t1.get(i, j));
        z.set(i, j, z1.get(i, j));
      }
    }
  }
  return [t.map((x, i, j) => (i > j ? real(0) : x)), z];
}
function squareRoot(z: Complex): Complex {
  const r = Math.sqrt(abs(z));
  const angle = Math.atan2(z.im, z.re) / 2;
  return { re: r * Math.cos(angle), im: r * Math.sin(angle) };
}

/** Eigenvectors of an upper triangular matrix as columns, of length one after `basis`, with a real largest element. */
function triangularVectors(t: Matrix, basis: Matrix): Matrix {
  const n = t.rows;
  const x = Matrix.identity(n);
  for (let j = 0; j < n; j++) {
    for (let i = j - 1; i >= 0; i--) {
      let sum = real(0);
      for (let k = i + 1; k <= j; k++) sum = add(sum, mul(t.get(i, k), x.get(k, j)));
      const gap = sub(t.get(j, j), t.get(i, i));
      x.set(i, j, div(sum, abs(gap) < 1e-15 ? real(1e-15) : gap));
    }
  }
  const v = basis.times(x);
  for (let j = 0; j < n; j++) {
    const column = Array.from({ length: n }, (_, i) => v.get(i, j));
    const length = Math.hypot(...column.map(abs));
    const largest = column.reduce((a, b) => (abs(b) > abs(a) ? b : a));
    const factor = scale(conj(largest), 1 / (abs(largest) * length));
    column.forEach((z, i) => v.set(i, j, mul(z, factor)));
  }
  return v;
}

interface EigParams {
  readonly computeLeftEigenvectors: boolean;
  readonly computeRightEigenvectors: boolean;
}
function eig([a]: Matrix[], p: EigParams): Matrix[] {
  const n = a.rows;
  const wanted = [true, p.computeLeftEigenvectors, p.computeRightEigenvectors];
  if (!isFinite(a)) return [nan(1, n), nan(n, n), nan(n, n)].filter((_, i) => wanted[i]);
  const [t, z] = schur(a);
  const w = row(Array.from({ length: n }, (_, i) => t.get(i, i)));
  const reversed = (m: Matrix): Matrix => m.map((_, i, j) => m.get(n - 1 - i, n - 1 - j));
  const columnsReversed = (m: Matrix): Matrix => m.map((_, i, j) => m.get(i, n - 1 - j));
  const left = columnsReversed(triangularVectors(reversed(t.adjoint), columnsReversed(z)));
  return [w, left, triangularVectors(t, z)].filter((_, i) => wanted[i]);
}

function hessenberg(source: Matrix): Matrix[] {
  const n = source.rows;
  const taus: Complex[] = [];
  const a = source.copy();
  for (let k = 0; k < n - 1; k++) {
    // The reflection of the column below row k, seen as a matrix of its own.
    const column = Matrix.build(n - k - 1, 1, (i) => a.get(k + 1 + i, k));
    const tau = reflect(column, 0);
    taus.push(tau);
    const v = column.map((z, i) => (i === 0 ? real(1) : z));
    const h = Matrix.identity(n).map((z, i, j) =>
      i > k && j > k ? sub(z, mul(tau, mul(v.get(i - k - 1, 0), conj(v.get(j - k - 1, 0))))) : z,
    );
    const next = h.adjoint.times(a.map((z, i, j) => (j < k && i > j + 1 ? real(0) : z))).times(h);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        if (j >= k || i <= j + 1) a.set(i, j, next.get(i, j));
      }
    }
    for (let i = 0; i < n - k - 1; i++) a.set(k + 1 + i, k, column.get(i, 0));
  }
  return [a, row(taus)];
}

export const linalgRules: Record<string, Rule> = {
  eig: each(eig),
  schur: each(([a], p: { computeSchurVectors: boolean }) =>
    (isFinite(a) ? schur(a) : [nan(a.rows, a.rows), nan(a.rows, a.rows)]).slice(0, p.computeSchurVectors ? 2 : 1),
  ),
  hessenberg: each(([a]) => hessenberg(a)),
  cholesky: each(([a]) => [cholesky(a)]),
  triangular_solve: each(triangularSolve),
  lu: each(([a]) => lu(a)),
  lu_pivots_to_permutation: each(permutation, [0]),
  geqrf: each(([a]) => {
    const [factors, taus] = geqrf(a);
    return [factors, row(taus)];
  }),
  householder_product: each(
    ([a, taus]) => [
      householderProduct(
        a,
        Array.from({ length: taus.columns }, (_, k) => taus.get(0, k)),
      ),
    ],
    [1],
  ),
  qr: each(([a], p: { fullMatrices: boolean }) => qr(a, p.fullMatrices)),
  eigh: each(eighRule),
  svd: each(svdRule),
};
