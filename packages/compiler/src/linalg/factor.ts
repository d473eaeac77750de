import type { Node } from "../graph.ts";
import { type Field, type Num, RoutineBuilder } from "../routinebuilder.ts";
import type { Ex } from "../expr.ts";
import type { Scope } from "../scope.ts";
import { chunkOf, copyIn, launchRoutine, leafOf } from "./leaf.ts";
import { norm, reflection } from "./reflection.ts";

/**
 * cholesky_block: the lower triangular L with A = L Lᴴ, row by row, from the lower triangle of A. A pivot that is not
 * positive gives NaN, which every later row inherits.
 */
export function lowerCholeskyBlock(scope: Scope, node: Node): void {
  const { ins, outs } = node;
  const leaf = leafOf(node, outs[0], outs.length > 1);
  const n = outs[0].shape.at(-1)!;
  const views = copyIn(scope, ins, outs);
  const flops = n ** 3 / 3;
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch, chunkOf(flops), (r, task) => {
    const { e } = r;
    const f = leaf.field(r);
    const a = f.matrix(0, r.let(r.mul(task, n * n)), n);
    const product = (i: Ex, j: Ex): Num => f.sum(0, j, (k, acc) => f.mulAdd(r.get(a, i, k), f.conj(r.get(a, j, k)), acc));
    r.for(0, n, (i) => {
      r.for(0, i, (j) => {
        const rest = f.sub(r.get(a, i, j), product(i, j));
        const pivot = r.get(a, j, j)[0];
        r.put(
          a,
          i,
          j,
          rest.map((part) => e.div(part, pivot)),
        );
      });
      const square = r.let(e.sub(r.get(a, i, i)[0], product(i, i)[0]));
      const pivot = e.select(e.gt(square, f.constant(0)), e.unary("sqrt", square), f.constant(NaN));
      r.put(a, i, i, f.fromReal(pivot));
      r.lanes(r.add(i, 1), n, (j) => r.put(a, i, j, f.zero()));
    });
  });
  launchRoutine(scope, "cholesky", routine, views, flops * leaf.batch);
}

/** Columns of the right side that are solved for together, on lanes. */
const strip = 16;

/**
 * triangular_block: solves op(A) X = B by substitution. Parameters: `lower`, `transpose` ("none", "transpose" or
 * "conjugate"), `unitDiagonal`. Tasks are strips of columns.
 */
export function lowerTriangularBlock(scope: Scope, node: Node): void {
  const { outs } = node;
  const planes = outs.length;
  const [n, m] = outs[0].shape.slice(-2);
  const leaf = leafOf(node, outs[0], planes > 1);
  const lower = Boolean(node.params["lower"]);
  const transpose = String(node.params["transpose"]);
  const unit = Boolean(node.params["unitDiagonal"]);
  const forward = lower === (transpose === "none");
  const right = copyIn(scope, node.ins.slice(planes), outs);
  const strips = Math.ceil(m / strip);
  const flops = n * n * Math.min(m, strip) * (planes > 1 ? 4 : 1);
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch * strips, chunkOf(flops), (r, task) => {
    const f = leaf.field(r);
    const { e } = r;
    const stack = r.let(e.op("div_s", "i32", [task, e.i32(strips)]));
    const from = r.let(r.mul(r.sub(task, r.mul(stack, strips)), strip));
    const a = f.matrix(0, r.let(r.mul(stack, n * n)), n);
    const x = f.matrix(planes, r.let(r.mul(stack, n * m)), m);
    const entry = (i: Ex, k: Ex): Num => {
      const value = transpose === "none" ? r.get(a, i, k) : r.get(a, k, i);
      return transpose === "conjugate" ? f.conj(value) : value;
    };
    const place = (s: Ex): Ex => (forward ? s : r.sub(n - 1, s));
    const groups = leaf.type === "f32" && planes === 1 ? 4 : 2;
    const solve = (j: Ex): void => {
      r.for(0, n, (s) => {
        const i = r.let(place(s));
        const acc = f.let(r.get(x, i, j));
        r.for(0, s, (q) => {
          const k = r.let(place(q));
          f.set(acc, f.mulSub(entry(i, k), r.get(x, k, j), acc));
        });
        r.put(x, i, j, unit ? acc : divide(f, acc, entry(i, i)));
      });
    };
    r.lanes(from, r.let(r.smaller(r.add(from, strip), m)), solve, { groups });
  });
  launchRoutine(
    scope,
    "triangular_solve",
    routine,
    [...node.ins.slice(0, planes).map((v) => scope.view(v)), ...right],
    flops * strips * leaf.batch,
  );
}

/** a / d, where d is the same for all lanes. */
function divide(f: Field, a: Num, d: Num): Num {
  return f.complex ? f.mul(a, f.let(f.div(f.fromReal(f.constant(1)), d))) : f.div(a, d);
}

/**
 * lu_panel: A = P L U of a panel that is given by its columns (the transpose of A), with partial pivoting. Results: the
 * factors, again by columns; the row exchanged with each row in turn; and the permutation that they amount to.
 */
export function lowerLuPanel(scope: Scope, node: Node): void {
  const planes = node.outs.length - 2;
  const factors = node.outs.slice(0, planes);
  const [n, m] = factors[0].shape.slice(-2);
  const leaf = leafOf(node, factors[0], planes > 1);
  const steps = Math.min(m, n);
  const views = [...copyIn(scope, node.ins, factors), ...node.outs.slice(planes).map((v) => scope.target(v))];
  const flops = m * n * steps;
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch, chunkOf(flops), (r, task) => {
    const { e } = r;
    const f = leaf.field(r);
    const a = f.matrix(0, r.let(r.mul(task, n * m)), m);
    const pivots = r.let(r.mul(task, steps));
    const permutation = r.let(r.mul(task, m));
    const order = (i: Ex): Ex => r.load(planes + 1, "i32", r.add(permutation, i));
    r.for(0, m, (i) => r.store(planes + 1, "i32", r.add(permutation, i), i));
    r.for(0, steps, (k) => {
      const best = r.let(f.constant(-1));
      const p = r.let(k);
      r.for(k, m, (i) => {
        const size = r.let(f.abs1(r.get(a, k, i)));
        r.if(e.gt(size, best), () => {
          r.set(best, size);
          r.set(p, i);
        });
      });
      r.store(planes, "i32", r.add(pivots, k), p);
      r.if(e.ne(p, k), () => {
        const [x, y] = [order(k), order(p)];
        r.store(planes + 1, "i32", r.add(permutation, k), y);
        r.store(planes + 1, "i32", r.add(permutation, p), x);
        r.for(0, n, (j) => {
          const [u, v] = [r.get(a, j, k), r.get(a, j, p)];
          r.put(a, j, k, v);
          r.put(a, j, p, u);
        });
      });
      const next = r.let(r.add(k, 1));
      // A column of zeros needs no elimination.
      r.if(e.ne(best, f.constant(0)), () => {
        const pivot = f.let(r.get(a, k, k));
        const inverse = f.complex ? f.let(f.div(f.fromReal(f.constant(1)), pivot)) : pivot;
        const quotient = (x: Num): Num => (f.complex ? f.mul(x, inverse) : f.div(x, pivot));
        r.lanes(next, m, (i) => r.put(a, k, i, quotient(r.get(a, k, i))));
        r.for(next, n, (j) => {
          const u = r.get(a, j, k);
          r.lanes(next, m, (i) => r.put(a, j, i, f.mulSub(u, r.get(a, k, i), r.get(a, j, i))), { groups: 4 });
        });
      });
    });
  });
  launchRoutine(scope, "lu", routine, views, flops * leaf.batch);
}

/**
 * householder_panel: the QR decomposition of a panel that is given by its columns. Results: R above the reflections'
 * vectors, by columns, and their factors tau, as LAPACK's geqrf returns them.
 */
export function lowerHouseholderPanel(scope: Scope, node: Node): void {
  const planes = node.outs.length / 2;
  const factors = node.outs.slice(0, planes);
  const [n, m] = factors[0].shape.slice(-2);
  const leaf = leafOf(node, factors[0], planes > 1);
  const steps = Math.min(m, n);
  const views = [...copyIn(scope, node.ins, factors), ...node.outs.slice(planes).map((v) => scope.target(v))];
  const flops = 2 * m * n * steps * (planes > 1 ? 4 : 1);
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch, chunkOf(flops), (r, task) => {
    const f = leaf.field(r);
    const a = f.matrix(0, r.let(r.mul(task, n * m)), m);
    const taus = f.matrix(planes, r.let(r.mul(task, steps)), steps);
    r.for(0, steps, (k) => {
      const next = r.let(r.add(k, 1));
      const { beta, tau, scale } = reflection(f, f.let(r.get(a, k, k)), norm(f, a, k, next, m));
      r.put(taus, 0, k, tau);
      r.put(a, k, k, f.fromReal(beta));
      r.lanes(next, m, (i) => r.put(a, k, i, f.mul(r.get(a, k, i), scale)));
      r.for(next, n, (j) => {
        const first = f.let(r.get(a, j, k));
        const rest = f.sum(next, m, (i, acc) => f.mulAdd(f.conj(r.get(a, k, i)), r.get(a, j, i), acc), 4);
        const w = f.let(f.mul(f.conj(tau), f.add(first, rest)));
        r.put(a, j, k, f.sub(first, w));
        r.lanes(next, m, (i) => r.put(a, j, i, f.mulSub(w, r.get(a, k, i), r.get(a, j, i))), { groups: 4 });
      });
    });
  });
  launchRoutine(scope, "qr", routine, views, flops * leaf.batch);
}
