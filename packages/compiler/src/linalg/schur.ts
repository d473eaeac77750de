import type { Ex } from "../expr.ts";
import type { Node } from "../graph.ts";
import { type Field, type Num, RoutineBuilder } from "../routinebuilder.ts";
import type { Scope } from "../scope.ts";
import { chunkOf, copyIn, launchRoutine, leafOf } from "./leaf.ts";
import { hypot, norm, reflection } from "./reflection.ts";

// The unsymmetric eigenvalue problem, for complex matrices: Hessenberg form by Householder reflections, the Schur form by
// single-shift QR sweeps, eigenvectors of the triangular matrix by substitution.
// Golub & Van Loan, "Matrix Computations", 4th edition, chapter 7.

/**
 * hessenberg_block(A): the unitary reduction of a matrix to Hessenberg form, as LAPACK's gehrd returns it: H, below its
 * subdiagonal the vectors of the reflections, and their factors tau.
 */
export function lowerHessenbergBlock(scope: Scope, node: Node): void {
  const planes = node.outs.length / 2;
  const matrix = node.outs.slice(0, planes);
  const n = matrix[0].shape.at(-1)!;
  const steps = Math.max(0, n - 1);
  const leaf = leafOf(node, matrix[0], planes > 1);
  // Columns are rows here, so that reflections are dense.
  const views = [...copyIn(scope, node.ins, matrix), ...node.outs.slice(planes).map((v) => scope.target(v))];
  const flops = (10 / 3) * n ** 3 * (planes > 1 ? 4 : 1);
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch, chunkOf(flops), (r, task) => {
    const f = leaf.field(r);
    const a = f.matrix(0, r.let(r.mul(task, n * n)), n);
    const taus = f.matrix(planes, r.let(r.mul(task, steps)), steps);
    r.for(0, steps, (k) => {
      const first = r.let(r.add(k, 1));
      const next = r.let(r.add(k, 2));
      const { beta, tau, scale } = reflection(f, f.let(r.get(a, k, first)), norm(f, a, k, next, n));
      r.put(taus, 0, k, tau);
      r.lanes(next, n, (i) => r.put(a, k, i, f.mul(r.get(a, k, i), scale)));
      // Columns to the right, from the left: a -= conj(tau) v (vᴴ a).
      r.put(a, k, first, f.fromReal(f.constant(1)));
      r.for(first, n, (j) => {
        const dot = f.sum(first, n, (i, acc) => f.mulAdd(f.conj(r.get(a, k, i)), r.get(a, j, i), acc));
        const w = f.let(f.mul(f.conj(tau), dot));
        r.lanes(first, n, (i) => r.put(a, j, i, f.mulSub(w, r.get(a, k, i), r.get(a, j, i))));
      });
      // All rows, from the right: A -= tau (A v) vᴴ, whose vector A v is summed over columns, on lanes.
      r.lanes(0, n, (i) => {
        const sum = f.let(f.zero());
        r.for(first, n, (j) => f.set(sum, f.mulAdd(r.get(a, k, j), r.get(a, j, i), sum)));
        const w = f.let(f.mul(tau, sum));
        r.for(first, n, (j) => r.put(a, j, i, f.mulSub(f.conj(r.get(a, k, j)), w, r.get(a, j, i))));
      });
      r.put(a, k, first, f.fromReal(beta));
    });
  });
  launchRoutine(scope, "hessenberg", routine, views, flops * leaf.batch);
}

/** The square root of a complex number with a real part that is not negative. */
function squareRoot(f: Field, [x, y]: Num): Num {
  const { r } = f;
  const { e } = r;
  const half = f.constant(0.5);
  const length = r.let(hypot(f, x, y));
  const root = r.let(e.unary("sqrt", e.mul(half, e.add(length, e.unary("abs", x)))));
  const other = r.let(e.select(e.eq(root, f.constant(0)), root, e.div(e.mul(half, e.unary("abs", y)), root)));
  const positive = r.let(e.ge(x, f.constant(0)));
  const im = r.let(e.select(positive, other, root));
  return [r.let(e.select(positive, root, other)), r.let(e.select(e.lt(y, f.constant(0)), e.neg(im), im))];
}

/** The rotation (c s; -conj(s) c), with a real c, that maps (x, y) to (r, 0). */
function complexRotation(f: Field, x: Num, y: Num): { c: Ex; s: Num } {
  const { r } = f;
  const { e } = r;
  const [p, q] = [r.let(hypot(f, x[0], x[1])), r.let(hypot(f, y[0], y[1]))];
  const length = r.let(hypot(f, p, q));
  const c = r.let(f.constant(1));
  const s = f.let(f.zero());
  r.if(e.gt(q, f.constant(0)), () => {
    r.set(c, e.div(p, length));
    const phase = f.let(f.fromReal(f.constant(1)));
    r.if(e.gt(p, f.constant(0)), () => f.set(phase, [e.div(x[0], p), e.div(x[1], p)]));
    f.set(s, f.scale(f.mul(phase, f.conj(y)), e.div(f.constant(1), length)));
  });
  return { c, s };
}

/**
 * schur_sweeps(T, Zᵀ, state): QR sweeps on complex Hessenberg matrices with Wilkinson's shift, which also go into Z. The state
 * is the end of the block that is left, and the sweeps since something was split off; the fourth result says whether there
 * is a block left. Parameters: `sweeps`.
 */
export function lowerSchurSweeps(scope: Scope, node: Node): void {
  const { ins, outs } = node;
  const n = outs[0].shape.at(-1)!;
  const sweeps = Number(node.params["sweeps"]);
  const leaf = leafOf(node, outs[0], true);
  const views = [...copyIn(scope, ins.slice(0, 2), outs.slice(0, 2)), ...copyIn(scope, ins.slice(2, 4), outs.slice(2, 4))];
  views.push(...copyIn(scope, ins.slice(4, 5), outs.slice(4, 5)), scope.target(outs[5]));
  const eps = leaf.type === "f32" ? 2 ** -24 : 2 ** -53;
  const flops = 30 * n * n * sweeps;
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch, 1, (r, task) => {
    const { e } = r;
    const f = leaf.field(r);
    const base = r.let(r.mul(task, n * n));
    const t = f.matrix(0, base, n);
    const z = f.matrix(2, base, n);
    const state = r.let(r.mul(task, 2));
    const hi = r.load(4, "i32", state);
    const since = r.load(4, "i32", r.add(state, 1));
    const size = (i: Ex, j: Ex): Ex => f.abs1(r.get(t, i, j));
    const negligible = (i: Ex): Ex => {
      const below = r.let(r.add(i, 1));
      const scale = e.add(size(i, i), size(below, below));
      return e.le(size(below, i), e.fma(scale, f.constant(eps), f.constant(leaf.type === "f32" ? 1e-36 : 1e-290)));
    };
    const go = r.variable("bool");
    const deflate = (): void =>
      r.while(
        () => {
          r.set(go, e.constant("bool", 0));
          r.if(e.gt(hi, e.i32(0)), () => r.set(go, negligible(r.let(r.sub(hi, 1)))));
          return go;
        },
        () => {
          r.put(t, hi, r.sub(hi, 1), f.zero());
          r.set(hi, r.sub(hi, 1));
          r.set(since, e.i32(0));
        },
      );
    r.for(0, sweeps, () => {
      deflate();
      r.if(e.gt(hi, e.i32(0)), () => {
        const last = r.let(r.sub(hi, 1));
        const lo = r.let(last);
        r.while(
          () => {
            r.set(go, e.constant("bool", 0));
            r.if(e.gt(lo, e.i32(0)), () => r.set(go, e.eq(negligible(r.let(r.sub(lo, 1))), e.constant("bool", 0))));
            return go;
          },
          () => r.set(lo, r.sub(lo, 1)),
        );
        r.set(since, r.add(since, 1));
        const shift = f.let(wilkinson(f, r.get(t, last, last), r.get(t, last, hi), r.get(t, hi, last), r.get(t, hi, hi)));
        // A cycle is broken by a shift that has nothing to do with it.
        r.if(e.eq(e.op("rem_s", "i32", [since, e.i32(10)]), e.i32(0)), () =>
          f.set(shift, f.add(r.get(t, hi, hi), f.fromReal(e.mul(f.constant(0.75), size(hi, last))))),
        );
        const x = f.let(f.sub(r.get(t, lo, lo), shift));
        const y = f.let(r.get(t, r.add(lo, 1), lo));
        r.for(lo, hi, (k) => {
          const q = r.let(r.add(k, 1));
          const { c, s } = complexRotation(f, x, y);
          const before = r.let(e.select(e.gt(k, lo), r.sub(k, 1), k));
          r.lanes(before, n, (j) => {
            const [u, v] = [r.get(t, k, j), r.get(t, q, j)];
            r.put(t, k, j, f.mulAdd(s, v, f.scale(u, c)));
            r.put(t, q, j, f.mulSub(f.conj(s), u, f.scale(v, c)));
          });
          r.if(e.gt(k, lo), () => r.put(t, q, before, f.zero()));
          const turn = (get: (i: Ex) => Num, put: (i: Ex, value: Num) => void, p: Ex, o: Ex): void => {
            const [u, v] = [f.let(get(p)), f.let(get(o))];
            put(p, f.mulAdd(f.conj(s), v, f.scale(u, c)));
            put(o, f.mulSub(s, u, f.scale(v, c)));
          };
          r.for(0, r.add(r.smaller(r.add(k, 2), hi), 1), (i) =>
            turn(
              (p) => r.get(t, i, p),
              (p, value) => r.put(t, i, p, value),
              k,
              q,
            ),
          );
          r.lanes(0, n, (i) =>
            turn(
              (p) => r.get(z, p, i),
              (p, value) => r.put(z, p, i, value),
              k,
              q,
            ),
          );
          r.if(e.lt(q, hi), () => {
            f.set(x, r.get(t, q, k));
            f.set(y, r.get(t, r.add(k, 2), k));
          });
        });
      });
    });
    deflate();
    r.store(4, "i32", state, hi);
    r.store(4, "i32", r.add(state, 1), since);
    r.store(5, "i32", task, e.select(e.gt(hi, e.i32(0)), e.i32(1), e.i32(0)));
  });
  launchRoutine(scope, "schur_sweeps", routine, views, flops * leaf.batch);
}

/** The eigenvalue of (a b; c d) that is closer to d. */
function wilkinson(f: Field, a: Num, b: Num, c: Num, d: Num): Num {
  const { r } = f;
  const half = f.let(f.scale(f.sub(a, d), f.constant(0.5)));
  const product = f.let(f.mul(b, c));
  const root = squareRoot(f, f.let(f.mulAdd(half, half, product)));
  // d - bc / (half ± root) with the larger denominator: nothing cancels.
  const sum = f.let(f.add(half, root));
  const difference = f.let(f.sub(half, root));
  const larger = r.let(r.e.ge(f.abs2(sum), f.abs2(difference)));
  const denominator = f.let(sum.map((x, p) => r.e.select(larger, x, difference[p])));
  const shift = f.let(d);
  r.if(r.e.gt(f.abs1(denominator), f.constant(0)), () => f.set(shift, f.sub(d, f.div(product, denominator))));
  return shift;
}

/**
 * triangular_eigenvectors(T): the eigenvectors of upper triangular matrices, one a row, with one in the place of its
 * eigenvalue. Eigenvalues that coincide are taken apart by a rounding error.
 */
export function lowerTriangularEigenvectors(scope: Scope, node: Node): void {
  const { ins, outs } = node;
  const n = outs[0].shape.at(-1)!;
  const leaf = leafOf(node, outs[0], true);
  const views = [...ins.map((v) => scope.view(v)), ...outs.map((v) => scope.target(v))];
  const eps = leaf.type === "f32" ? 2 ** -23 : 2 ** -52;
  const flops = (4 / 3) * n ** 2;
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch * n, chunkOf(flops), (r, task) => {
    const { e } = r;
    const f = leaf.field(r);
    const stack = r.let(e.op("div_s", "i32", [task, e.i32(n)]));
    const j = r.let(r.sub(task, r.mul(stack, n)));
    const t = f.matrix(0, r.let(r.mul(stack, n * n)), n);
    const x = f.matrix(2, r.let(r.mul(task, n)), n);
    const value = f.let(r.get(t, j, j));
    const largest = r.let(f.constant(leaf.type === "f32" ? 1e-30 : 1e-250));
    r.for(0, r.add(j, 1), (i) => {
      const size = r.let(f.abs1(r.get(t, i, i)));
      r.if(e.gt(size, largest), () => r.set(largest, size));
    });
    const least = r.let(e.mul(largest, f.constant(eps)));
    r.lanes(j, n, (i) => r.put(x, 0, i, f.zero()));
    r.put(x, 0, j, f.fromReal(f.constant(1)));
    r.for(0, j, (s) => {
      const i = r.let(r.sub(r.sub(j, 1), s));
      const sum = f.sum(r.let(r.add(i, 1)), r.let(r.add(j, 1)), (k, acc) => f.mulAdd(r.get(t, i, k), r.get(x, 0, k), acc));
      const gap = f.let(f.sub(value, r.get(t, i, i)));
      r.if(e.lt(f.abs1(gap), least), () => f.set(gap, f.fromReal(least)));
      r.put(x, 0, i, f.div(sum, gap));
    });
  });
  launchRoutine(scope, "triangular_eigenvectors", routine, views, flops * n * leaf.batch);
}
