import type { Node } from "../graph.ts";
import { type Field, type Matrix, type Num, RoutineBuilder, type Whole } from "../routinebuilder.ts";
import type { Ex } from "../expr.ts";
import type { Scope } from "../scope.ts";
import { launchRoutine, leafOf } from "./leaf.ts";
import { norm, reflection } from "./reflection.ts";

// Panels of the reductions to tridiagonal and bidiagonal form. Reflections come one at a time, because each needs a product
// of the matrix with a vector; what they do to the rest of the matrix is left to one matrix product for the whole panel.
// Vectors are the rows of the panel's results, so that they are dense.
//
// Dongarra, Sorensen & Hammarling (1989), "Block reduction of matrices to condensed forms for eigenvalue computations".

/** out[i] = conj?(A[i, from:to]) · x for i in [first, last): four rows a pass share what is read of x. */
function rowProducts(f: Field, a: Matrix, x: Row, out: Row, rows: readonly [Ex, Ex], columns: readonly [Ex, Ex]): void {
  const { r } = f;
  const [first, last] = rows;
  const count = r.sub(last, first);
  r.for(0, r.e.op("shr_s", "i32", [r.add(count, 3), r.e.i32(2)]), (t) => {
    // The last pass repeats rows rather than leave the range.
    const at = [0, 1, 2, 3].map((u) => r.let(r.smaller(r.add(first, r.add(r.mul(t, 4), u)), r.sub(last, 1))));
    const sums = at.map(() => f.let(f.zero()));
    r.lanes(
      columns[0],
      columns[1],
      (j) => {
        const y = x.get(j);
        sums.forEach((sum, u) => f.set(sum, f.mulAdd(r.get(a, at[u], j), y, sum)));
      },
      { groups: 2, sums: sums.flat() },
    );
    sums.forEach((sum, u) => out.put(at[u], sum));
  });
}

/** out[j] = Σᵢ conj(A[i, j]) x[i] over the rows, four of them a pass. */
function columnProducts(f: Field, a: Matrix, x: Row, out: Row, rows: readonly [Ex, Ex], columns: readonly [Ex, Ex]): void {
  const { r } = f;
  const [first, last] = rows;
  r.lanes(columns[0], columns[1], (j) => out.put(j, f.zero()));
  const pass = (i: Ex, count: number): void => {
    const at = Array.from({ length: count }, (_, u) => r.let(r.add(i, u)));
    const factors = at.map((row) => x.get(row));
    r.lanes(columns[0], columns[1], (j) => {
      let sum = out.get(j);
      at.forEach((row, u) => (sum = f.mulAdd(f.conj(r.get(a, row, j)), factors[u], sum)));
      out.put(j, sum);
    });
  };
  const whole = r.let(r.e.op("shr_s", "i32", [r.sub(last, first), r.e.i32(2)]));
  r.for(0, whole, (t) => pass(r.let(r.add(first, r.mul(t, 4))), 4));
  r.for(r.add(first, r.mul(whole, 4)), last, (i) => pass(i, 1));
}

/** One row of a panel's result: a dense vector. */
interface Row {
  get(j: Whole): Num;
  put(j: Whole, value: Num): void;
}
function rowOf(f: Field, m: Matrix, i: Whole): Row {
  return { get: (j) => f.r.get(m, i, j), put: (j, value) => f.r.put(m, i, j, value) };
}
/** xᴴ y over a range. */
function inner(f: Field, x: Row, y: Row, from: Whole, to: Whole): Num {
  return f.sum(from, to, (j, acc) => f.mulAdd(f.conj(x.get(j)), y.get(j), acc), 4);
}
/** y -= x · s over a range. */
function subtract(f: Field, y: Row, x: Row, s: Num, from: Whole, to: Whole): void {
  f.r.lanes(from, to, (j) => y.put(j, f.mulSub(s, x.get(j), y.get(j))), { groups: 4 });
}
/** Turns row i of a matrix of vectors, which holds (alpha, x) from `from` on, into the vector of its reflection. */
function reflectRow(f: Field, m: Matrix, i: Whole, from: Ex, to: number): { beta: Ex; tau: Num } {
  const { r } = f;
  const next = r.let(r.add(from, 1));
  const { beta, tau, scale } = reflection(f, f.let(r.get(m, i, from)), norm(f, m, i, next, to));
  r.put(m, i, from, f.fromReal(f.constant(1)));
  r.lanes(next, to, (j) => r.put(m, i, j, f.mul(r.get(m, i, j), scale)));
  return { beta, tau };
}

/**
 * tridiagonal_panel(a, k0): reduces `columns` columns of Hermitian matrices from column k0 on. Results: the vectors v of
 * the reflections and w, one a row, with which the rest of the matrix becomes A - V Wᴴ - W Vᴴ; the diagonal d and the
 * subdiagonal e, and the factors tau. Rows beyond the matrix are zero.
 */
export function lowerTridiagonalPanel(scope: Scope, node: Node): void {
  const { ins, outs } = node;
  const planes = ins.length - 1;
  const [count, n] = outs[0].shape.slice(-2);
  const leaf = leafOf(node, outs[0], planes > 1);
  const views = [...ins.map((v) => scope.view(v)), ...outs.map((v) => scope.target(v))];
  const flops = 2 * n * n * count * (planes > 1 ? 4 : 1);
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch, 1, (r, task) => {
    const { e } = r;
    const f = leaf.field(r);
    const a = f.matrix(0, r.let(r.mul(task, n * n)), n);
    const k0 = r.load(planes, "i32", 0);
    const panel = r.let(r.mul(task, count * n));
    const first = planes + 1;
    const v = f.matrix(first, panel, n);
    const w = f.matrix(first + planes, panel, n);
    const entries = r.let(r.mul(task, count));
    const d = f.real(first + 2 * planes, entries, count);
    const off = f.real(first + 2 * planes + 1, entries, count);
    const taus = f.matrix(first + 2 * planes + 2, entries, count);
    r.for(0, count, (j) => {
      const k = r.let(r.add(k0, j));
      const next = r.let(r.add(k, 1));
      const [vj, wj] = [rowOf(f, v, j), rowOf(f, w, j)];
      r.lanes(0, n, (i) => {
        vj.put(i, f.zero());
        wj.put(i, f.zero());
      });
      r.put(d, 0, j, [f.constant(0)]);
      r.put(off, 0, j, [f.constant(0)]);
      r.put(taus, 0, j, f.zero());
      r.if(e.lt(k, e.i32(n)), () => {
        // Column k, which is the conjugate of row k, less what the panel's reflections so far do to it.
        r.lanes(k, n, (i) => vj.put(i, f.conj(r.get(a, k, i))));
        r.for(0, j, (q) => {
          const [vq, wq] = [rowOf(f, v, q), rowOf(f, w, q)];
          const [vk, wk] = [f.let(f.conj(vq.get(k))), f.let(f.conj(wq.get(k)))];
          r.lanes(k, n, (i) => vj.put(i, f.mulSub(wk, vq.get(i), f.mulSub(vk, wq.get(i), vj.get(i)))));
        });
        r.put(d, 0, j, [vj.get(k)[0]]);
        vj.put(k, f.zero());
        r.if(e.lt(next, e.i32(n)), () => {
          const { beta, tau } = reflectRow(f, v, j, next, n);
          r.put(off, 0, j, [beta]);
          r.put(taus, 0, j, tau);
          const rest = [next, e.i32(n)] as const;
          rowProducts(f, a, vj, wj, rest, rest);
          r.for(0, j, (q) => {
            const [vq, wq] = [rowOf(f, v, q), rowOf(f, w, q)];
            const [wv, vv] = [inner(f, wq, vj, next, n), inner(f, vq, vj, next, n)];
            r.lanes(next, n, (i) => wj.put(i, f.mulSub(wv, vq.get(i), f.mulSub(vv, wq.get(i), wj.get(i)))));
          });
          // w = tau p - |tau|²/2 (vᴴ p) v, for p = A v.
          const half = r.let(e.mul(e.mul(f.constant(-0.5), f.abs2(tau)), inner(f, vj, wj, next, n)[0]));
          r.lanes(next, n, (i) => wj.put(i, f.add(f.mul(tau, wj.get(i)), f.scale(vj.get(i), half))));
        });
      });
    });
  });
  launchRoutine(scope, "tridiagonal_panel", routine, views, flops * leaf.batch);
}

/**
 * bidiagonal_panel(a, k0): reduces `columns` columns and rows of matrices with m >= n from k0 on. Results: the vectors v
 * (length m) and y (n) of the reflections from the left, x (m) and u (n) of those from the right, one a row, with which the
 * rest of the matrix becomes A - V Yᴴ - X Uᴴ; the diagonal d and the superdiagonal e; the factors of both kinds of
 * reflections.
 */
export function lowerBidiagonalPanel(scope: Scope, node: Node): void {
  const { ins, outs } = node;
  const planes = ins.length - 1;
  const [m, n] = ins[0].shape.slice(-2);
  const count = outs[0].shape.at(-2)!;
  const leaf = leafOf(node, outs[0], planes > 1);
  const views = [...ins.map((v) => scope.view(v)), ...outs.map((v) => scope.target(v))];
  const flops = 4 * m * n * count * (planes > 1 ? 4 : 1);
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch, 1, (r, task) => {
    const { e } = r;
    const f = leaf.field(r);
    const a = f.matrix(0, r.let(r.mul(task, m * n)), n);
    const k0 = r.load(planes, "i32", 0);
    const [tall, wide] = [r.let(r.mul(task, count * m)), r.let(r.mul(task, count * n))];
    const first = planes + 1;
    const v = f.matrix(first, tall, m);
    const y = f.matrix(first + planes, wide, n);
    const x = f.matrix(first + 2 * planes, tall, m);
    const u = f.matrix(first + 3 * planes, wide, n);
    const entries = r.let(r.mul(task, count));
    const d = f.real(first + 4 * planes, entries, count);
    const off = f.real(first + 4 * planes + 1, entries, count);
    const tausLeft = f.matrix(first + 4 * planes + 2, entries, count);
    const tausRight = f.matrix(first + 5 * planes + 2, entries, count);
    r.for(0, count, (j) => {
      const k = r.let(r.add(k0, j));
      const next = r.let(r.add(k, 1));
      const [vj, yj, xj, uj] = [v, y, x, u].map((matrix) => rowOf(f, matrix, j));
      r.lanes(0, m, (i) => [vj, xj].forEach((row) => row.put(i, f.zero())));
      r.lanes(0, n, (l) => [yj, uj].forEach((row) => row.put(l, f.zero())));
      [d, off].forEach((row) => r.put(row, 0, j, [f.constant(0)]));
      [tausLeft, tausRight].forEach((row) => r.put(row, 0, j, f.zero()));
      r.if(e.lt(k, e.i32(n)), () => {
        // Column k of what is left of the matrix.
        r.for(k, m, (i) => vj.put(i, r.get(a, i, k)));
        r.for(0, j, (q) => {
          const [vq, xq] = [rowOf(f, v, q), rowOf(f, x, q)];
          const [yk, uk] = [f.let(f.conj(r.get(y, q, k))), f.let(f.conj(r.get(u, q, k)))];
          r.lanes(k, m, (i) => vj.put(i, f.mulSub(yk, vq.get(i), f.mulSub(uk, xq.get(i), vj.get(i)))));
        });
        const left = reflectRow(f, v, j, k, m);
        r.put(d, 0, j, [left.beta]);
        r.put(tausLeft, 0, j, left.tau);
        r.if(e.lt(next, e.i32(n)), () => {
          const below = [k, e.i32(m)] as const;
          const beside = [next, e.i32(n)] as const;
          columnProducts(f, a, vj, yj, below, beside);
          r.for(0, j, (q) => {
            const vv = inner(f, rowOf(f, v, q), vj, k, m);
            const xv = inner(f, rowOf(f, x, q), vj, k, m);
            subtract(f, yj, rowOf(f, y, q), vv, ...beside);
            subtract(f, yj, rowOf(f, u, q), xv, ...beside);
          });
          r.lanes(...beside, (l) => yj.put(l, f.mul(left.tau, yj.get(l))));
          // The conjugate of row k of what is left now.
          r.lanes(...beside, (l) => uj.put(l, f.conj(r.get(a, k, l))));
          r.for(0, r.add(j, 1), (q) => subtract(f, uj, rowOf(f, y, q), f.let(f.conj(r.get(v, q, k))), ...beside));
          r.for(0, j, (q) => subtract(f, uj, rowOf(f, u, q), f.let(f.conj(r.get(x, q, k))), ...beside));
          const right = reflectRow(f, u, j, next, n);
          r.put(off, 0, j, [right.beta]);
          r.put(tausRight, 0, j, right.tau);
          rowProducts(f, a, uj, xj, [next, e.i32(m)], beside);
          r.for(0, r.add(j, 1), (q) => {
            const yu = inner(f, rowOf(f, y, q), uj, ...beside);
            subtract(f, xj, rowOf(f, v, q), yu, next, m);
          });
          r.for(0, j, (q) => {
            const uu = inner(f, rowOf(f, u, q), uj, ...beside);
            subtract(f, xj, rowOf(f, x, q), uu, next, m);
          });
          r.lanes(next, m, (i) => xj.put(i, f.mul(right.tau, xj.get(i))));
        });
      });
    });
  });
  launchRoutine(scope, "bidiagonal_panel", routine, views, flops * leaf.batch);
}
