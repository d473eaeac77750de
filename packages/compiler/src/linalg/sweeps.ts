import type { Node } from "../graph.ts";
import type { Ex } from "../expr.ts";
import { Field, type Num, RoutineBuilder, type Whole } from "../routinebuilder.ts";
import type { Scope } from "../scope.ts";
import { constants } from "../math/common.ts";
import { scalarInfo } from "../scalars.ts";
import { chunkOf, copyIn, launchRoutine, leafOf } from "./leaf.ts";

// The iterations on tridiagonal and bidiagonal matrices change O(n) numbers a sweep; only applying their rotations to the
// vectors is work. So the sweeps run first, a batch of them, in f64 where there is one, and write their rotations down; then each strip of the
// vectors, which stays in the first cache, goes through all rotations of the batch.
//
// Sweeps run towards the end of the block where the matrix is smaller: a sweep upwards is one downwards on the matrix with
// its order reversed.

/** The rotation with (c, s; -s, c) (f, g)ᵀ = (r, 0)ᵀ. */
function rotation(r: RoutineBuilder, f: Ex, g: Ex): { c: Ex; s: Ex; r: Ex } {
  const { e } = r;
  const c = constants(e, f);
  if (f.type === "f32") return scaledRotation(r, f, g);
  const length = r.let(e.unary("sqrt", e.fma(f, f, e.mul(g, g))));
  const none = r.let(e.eq(length, c(0)));
  return {
    c: r.let(e.select(none, c(1), e.div(f, length))),
    s: r.let(e.select(none, c(0), e.div(g, length))),
    r: length,
  };
}
/** Squares of single precision would overflow, or vanish, too soon. */
function scaledRotation(r: RoutineBuilder, f: Ex, g: Ex): { c: Ex; s: Ex; r: Ex } {
  const { e } = r;
  const c = constants(e, f);
  const [x, y] = [e.unary("abs", f), e.unary("abs", g)];
  const size = r.let(e.select(e.lt(x, y), y, x));
  const none = r.let(e.eq(size, c(0)));
  const safe = r.let(e.select(none, c(1), size));
  const [p, q] = [r.let(e.div(f, safe)), r.let(e.div(g, safe))];
  const root = r.let(e.select(none, c(1), e.unary("sqrt", e.fma(p, p, e.mul(q, q)))));
  return { c: r.let(e.select(none, c(1), e.div(p, root))), s: r.let(e.div(q, root)), r: r.let(e.mul(size, root)) };
}

/** What the sweeps of both kinds share: the vectors d and e, and where rotations and ranges go. */
interface State {
  readonly r: RoutineBuilder;
  readonly type: "f32" | "f64";
  readonly n: number;
  readonly d: (i: Whole) => Ex;
  readonly setD: (i: Whole, x: Ex) => void;
  readonly off: (i: Whole) => Ex;
  readonly setOff: (i: Whole, x: Ex) => void;
  /** Whether the element i beside the diagonal may be taken for zero. */
  readonly negligible: (i: Ex) => Ex;
}

/** A block [lo, hi] of the matrix seen in the direction of a sweep: `at(i)` is the i-th place from its start. */
interface Direction {
  readonly start: Ex;
  readonly step: Ex;
  readonly length: Ex;
  at(i: Whole): Ex;
  /** The element beside the diagonal between places i and i + 1. */
  between(i: Whole): Ex;
}

function direction(r: RoutineBuilder, lo: Ex, hi: Ex, down: Ex): Direction {
  const { e } = r;
  const step = r.let(e.select(down, e.i32(1), e.i32(-1)));
  const start = r.let(e.select(down, lo, hi));
  const shift = r.let(e.select(down, e.i32(0), e.i32(1)));
  const at = (i: Whole): Ex => r.add(start, r.mul(step, i));
  return { start, step, length: r.let(r.sub(hi, lo)), at, between: (i) => r.sub(at(i), shift) };
}

/** Sets elements beside the diagonal that are negligible to zero, from the bottom up; `hi` ends at the last one that is not. */
function deflate({ r, type, setOff, negligible }: State, hi: Ex): void {
  const { e } = r;
  const zero = e.constant(type, 0);
  const go = r.variable("bool");
  r.while(
    () => {
      r.set(go, e.constant("bool", 0));
      r.if(e.gt(hi, e.i32(0)), () => r.set(go, negligible(r.let(r.sub(hi, 1)))));
      return go;
    },
    () => {
      r.set(hi, r.sub(hi, 1));
      setOff(hi, zero);
    },
  );
}

/** Where the block that ends at `hi` begins. */
function blockStart({ r, type, setOff, negligible }: State, hi: Ex): Ex {
  const { e } = r;
  const zero = e.constant(type, 0);
  const lo = r.let(r.sub(hi, 1));
  const go = r.variable("bool");
  r.while(
    () => {
      r.set(go, e.constant("bool", 0));
      r.if(e.gt(lo, e.i32(0)), () => {
        const small = r.let(negligible(r.let(r.sub(lo, 1))));
        r.if(
          small,
          () => setOff(r.sub(lo, 1), zero),
          () => r.set(go, e.constant("bool", 1)),
        );
      });
      return go;
    },
    () => r.set(lo, r.sub(lo, 1)),
  );
  return lo;
}

/** The frame of both kinds of sweeps: deflation, blocks, the direction, and the bookkeeping of rotations. */
function lowerSweeps(
  scope: Scope,
  node: Node,
  sides: number,
  negligible: (state: Omit<State, "negligible">, i: Ex) => Ex,
  sweep: (state: State, at: Direction, keep: (i: Ex, side: number, c: Ex, s: Ex) => void) => void,
): void {
  const { ins, outs } = node;
  const [dOut, eOut, cosines, sines, ranges, active] = outs;
  const n = dOut.shape.at(-1)!;
  const sweeps = ranges.shape.at(-2)!;
  const leaf = leafOf(node, dOut, false, 1);
  const views = [...copyIn(scope, ins.slice(0, 2), [dOut, eOut]), ...[cosines, sines, ranges, active].map((v) => scope.target(v))];
  const { type } = scalarInfo(dOut.dtype);
  const storage = type === "f32" ? "f32" : "f64";
  const narrow = cosines.dtype === "float32";
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch, 1, (r, task) => {
    const { e } = r;
    const base = r.let(r.mul(task, n));
    const partial: Omit<State, "negligible"> = {
      r,
      type: storage,
      n,
      d: (i) => r.load(0, storage, r.add(base, i)),
      setD: (i, x) => r.store(0, storage, r.add(base, i), x),
      off: (i) => r.load(1, storage, r.add(base, i)),
      setOff: (i, x) => r.store(1, storage, r.add(base, i), x),
    };
    const state: State = { ...partial, negligible: (i) => negligible(partial, i) };
    const hi = r.let(e.i32(n - 1));
    r.for(0, sweeps, (t) => {
      const range = r.let(r.mul(r.add(r.mul(task, sweeps), t), 2));
      deflate(state, hi);
      r.store(4, "i32", range, hi);
      r.store(4, "i32", r.add(range, 1), hi);
      r.if(e.gt(hi, e.i32(0)), () => {
        const lo = blockStart(state, hi);
        const down = r.let(e.ge(e.unary("abs", state.d(lo)), e.unary("abs", state.d(hi))));
        const at = direction(r, lo, hi, down);
        r.store(4, "i32", range, at.start);
        r.store(4, "i32", r.add(range, 1), r.let(at.at(at.length)));
        const keep = (i: Ex, side: number, c: Ex, s: Ex): void => {
          // Seen from below, rows are columns: the sides change places.
          const which = sides === 1 ? e.i32(0) : e.select(down, e.i32(side), e.i32(1 - side));
          const place = r.let(r.add(r.mul(r.add(r.mul(r.add(r.mul(task, sides), which), sweeps), t), n), i));
          [c, s].forEach((x, k) => r.store(2 + k, narrow ? "f32" : "f64", place, narrow ? e.convert("demote", "f32", x) : x));
        };
        sweep(state, at, keep);
      });
    });
    deflate(state, hi);
    r.store(5, "i32", task, e.select(e.gt(hi, e.i32(0)), e.i32(1), e.i32(0)));
  });
  launchRoutine(scope, node.op, routine, views, 30 * n * sweeps * leaf.batch);
}

/** Relative to the precision of the result: f64 arithmetic on numbers that were rounded to f32 gains nothing beyond it. */
function unitRoundoff(node: Node): number {
  if (node.outs[0].dtype === "float32") return 2 ** -24;
  return node.outs[2].dtype === "float32" ? 2 ** -26 : 2 ** -53;
}
/** Numbers that are small beside anything of a matrix that was scaled, and their squares are numbers yet. */
function nothing(node: Node): { readonly value: number; readonly square: number } {
  return node.outs[0].dtype === "float32" ? { value: 1e-36, square: 1e-37 } : { value: 1e-290, square: 1e-300 };
}

/**
 * tridiagonal_sweeps(d, e): implicit QR sweeps with Wilkinson's shift on symmetric tridiagonal matrices. Results: d and e
 * afterwards; cosines and sines of the rotations [1, sweeps, n]; the first and last place of each sweep; and whether
 * there is anything left to do.
 *
 * @see Golub & Van Loan, "Matrix Computations", 4th edition, section 8.3
 */
export function lowerTridiagonalSweeps(scope: Scope, node: Node): void {
  const eps = unitRoundoff(node);
  lowerSweeps(
    scope,
    node,
    1,
    ({ r, type, d, off }, i) => {
      const { e } = r;
      const x = off(i);
      const size = e.unary("abs", e.mul(d(i), d(r.add(i, 1))));
      return e.le(e.mul(x, x), e.fma(size, e.constant(type, eps * eps), e.constant(type, nothing(node).square)));
    },
    ({ r, type, d, setD, off, setOff }, at, keep) => {
      const { e } = r;
      const number = (x: number): Ex => e.constant(type, x);
      const last = at.length;
      const previous = r.let(r.sub(last, 1));
      const b = off(at.between(previous));
      const bottom = d(at.at(last));
      const half = r.let(e.mul(e.sub(d(at.at(previous)), bottom), number(0.5)));
      const root = r.let(e.unary("sqrt", e.fma(half, half, e.mul(b, b))));
      const signed = e.add(half, e.select(e.lt(half, number(0)), e.neg(root), root));
      const shift = r.let(e.sub(bottom, e.div(e.mul(b, b), signed)));
      const x = r.let(e.sub(d(at.at(0)), shift));
      const z = r.let(off(at.between(0)));
      r.for(0, last, (i) => {
        const { c, s, r: length } = rotation(r, x, z);
        r.if(e.gt(i, e.i32(0)), () => setOff(at.between(r.sub(i, 1)), length));
        const [p, q] = [r.let(at.at(i)), r.let(at.at(r.add(i, 1)))];
        const beside = r.let(at.between(i));
        const [d1, d2, o] = [d(p), d(q), off(beside)];
        // Differences of d's are formed once, so that a small change does not cancel.
        const change = r.let(e.mul(s, e.fma(s, e.sub(d2, d1), e.mul(e.mul(c, o), number(2)))));
        setD(p, e.add(d1, change));
        setD(q, e.sub(d2, change));
        const mixed = r.let(e.fma(e.mul(c, s), e.sub(d2, d1), e.mul(e.sub(e.mul(c, c), e.mul(s, s)), o)));
        setOff(beside, mixed);
        keep(i, 0, c, s);
        r.if(e.lt(r.add(i, 1), last), () => {
          const after = r.let(at.between(r.add(i, 1)));
          const o2 = off(after);
          r.set(x, mixed);
          r.set(z, e.mul(s, o2));
          setOff(after, e.mul(c, o2));
        });
      });
    },
  );
}

/**
 * bidiagonal_sweeps(d, e): implicit QR sweeps on upper bidiagonal matrices, without a shift where one would spoil small
 * singular values. Results as above, with two sets of rotations: those of columns (right) and those of rows (left).
 *
 * @see Demmel & Kahan (1990), "Accurate singular values of bidiagonal matrices"
 */
export function lowerBidiagonalSweeps(scope: Scope, node: Node): void {
  const eps = unitRoundoff(node);
  lowerSweeps(
    scope,
    node,
    2,
    ({ r, type, d, off }, i) => {
      const { e } = r;
      const size = e.add(e.unary("abs", d(i)), e.unary("abs", d(r.add(i, 1))));
      return e.le(e.unary("abs", off(i)), e.fma(size, e.constant(type, eps), e.constant(type, nothing(node).value)));
    },
    (state, at, keep) => {
      const { r, type, d, off } = state;
      const { e } = r;
      const number = (x: number): Ex => e.constant(type, x);
      const [least, most] = [r.let(number(Infinity)), r.let(number(0))];
      r.for(0, r.add(at.length, 1), (i) => {
        const size = r.let(e.unary("abs", d(at.at(i))));
        r.if(e.lt(size, least), () => r.set(least, size));
        r.if(e.gt(size, most), () => r.set(most, size));
      });
      const last = at.length;
      const previous = r.let(r.sub(last, 1));
      const shift = smallerSingularValue(r, d(at.at(previous)), off(at.between(previous)), d(at.at(last)));
      const first = r.let(e.unary("abs", d(at.at(0))));
      // A shift that is nothing beside the first element would only add rounding errors.
      const ratio = e.div(shift, first);
      const useful = e.and(e.gt(least, e.mul(most, number(eps))), e.gt(e.mul(ratio, ratio), number(eps)));
      r.if(
        useful,
        () => shiftedSweep(state, at, keep, shift),
        () => plainSweep(state, at, keep),
      );
    },
  );
}

/** The smaller singular value of (f g; 0 h), to full relative precision. */
function smallerSingularValue(r: RoutineBuilder, f: Ex, g: Ex, h: Ex): Ex {
  const { e } = r;
  const number = constants(e, f);
  const [x, y, z] = [f, h, g].map((v) => r.let(e.unary("abs", v)));
  const small = r.let(e.select(e.lt(x, y), x, y));
  const large = r.let(e.select(e.lt(x, y), y, x));
  const sum = r.let(e.add(number(1), e.div(small, large)));
  const gap = r.let(e.div(e.sub(large, small), large));
  const side = r.let(e.div(z, large));
  const square = e.mul(side, side);
  const roots = e.add(e.unary("sqrt", e.fma(sum, sum, square)), e.unary("sqrt", e.fma(gap, gap, square)));
  return r.let(e.select(e.eq(small, number(0)), number(0), e.mul(small, e.div(number(2), roots))));
}

function shiftedSweep({ r, type, d, setD, off, setOff }: State, at: Direction, keep: Keep, shift: Ex): void {
  const { e } = r;
  const number = (x: number): Ex => e.constant(type, x);
  const d0 = d(at.at(0));
  const sign = e.select(e.lt(d0, number(0)), number(-1), number(1));
  const f = r.let(e.mul(e.sub(e.unary("abs", d0), shift), e.add(sign, e.div(shift, d0))));
  const g = r.let(off(at.between(0)));
  r.for(0, at.length, (i) => {
    const right = rotation(r, f, g);
    r.if(e.gt(i, e.i32(0)), () => setOff(at.between(r.sub(i, 1)), right.r));
    const [p, q] = [r.let(at.at(i)), r.let(at.at(r.add(i, 1)))];
    const [d1, d2, o] = [d(p), d(q), off(r.let(at.between(i)))];
    const top = r.let(e.fma(right.c, d1, e.mul(right.s, o)));
    const beside = r.let(e.fma(right.c, o, e.neg(e.mul(right.s, d1))));
    const bottom = r.let(e.mul(right.c, d2));
    const left = rotation(r, top, r.let(e.mul(right.s, d2)));
    setD(p, left.r);
    r.set(f, e.fma(left.c, beside, e.mul(left.s, bottom)));
    setD(q, e.fma(left.c, bottom, e.neg(e.mul(left.s, beside))));
    r.if(e.lt(r.add(i, 1), at.length), () => {
      const after = r.let(at.between(r.add(i, 1)));
      const o2 = off(after);
      r.set(g, e.mul(left.s, o2));
      setOff(after, e.mul(left.c, o2));
    });
    keep(i, 0, right.c, right.s);
    keep(i, 1, left.c, left.s);
  });
  setOff(at.between(r.sub(at.length, 1)), f);
}

/** A sweep with shift zero in a form without subtractions, so that every element keeps its relative precision. */
function plainSweep({ r, type, d, setD, off, setOff }: State, at: Direction, keep: Keep): void {
  const { e } = r;
  const number = (x: number): Ex => e.constant(type, x);
  const cosRight = r.let(number(1));
  const [cosLeft, sinLeft] = [r.let(number(1)), r.let(number(0))];
  r.for(0, at.length, (i) => {
    const [p, q] = [r.let(at.at(i)), r.let(at.at(r.add(i, 1)))];
    const right = rotation(r, r.let(e.mul(d(p), cosRight)), off(r.let(at.between(i))));
    r.if(e.gt(i, e.i32(0)), () => setOff(at.between(r.sub(i, 1)), e.mul(sinLeft, right.r)));
    const left = rotation(r, r.let(e.mul(cosLeft, right.r)), r.let(e.mul(d(q), right.s)));
    setD(p, left.r);
    r.set(cosRight, right.c);
    r.set(cosLeft, left.c);
    r.set(sinLeft, left.s);
    keep(i, 0, right.c, right.s);
    keep(i, 1, left.c, left.s);
  });
  const q = r.let(at.at(at.length));
  const end = r.let(e.mul(d(q), cosRight));
  setOff(at.between(r.sub(at.length, 1)), e.mul(end, sinLeft));
  setD(q, e.mul(end, cosLeft));
}

type Keep = (i: Ex, side: number, c: Ex, s: Ex) => void;

/**
 * apply_rotations(z, c, s, ranges): applies the rotations of all sweeps to the columns of matrices, which come as strips of
 * rows, [..., strips, n, width]: column k of a strip is a dense row of `width` elements here.
 */
export function lowerApplyRotations(scope: Scope, node: Node): void {
  const { ins, outs } = node;
  const [out] = outs;
  const [strips, n, width] = out.shape.slice(-3);
  const sweeps = ins[3].shape.at(-2)!;
  const leaf = leafOf(node, out, false, 3);
  const views = [...copyIn(scope, ins.slice(0, 1), outs), ...ins.slice(1).map((v) => scope.view(v))];
  const flops = 6 * n * width * sweeps;
  const routine = RoutineBuilder.tasks(leaf.key, leaf.batch * strips, chunkOf(flops), (r, task) => {
    const { e } = r;
    const f = new Field(r, leaf.type, false);
    const stack = r.let(e.op("div_s", "i32", [task, e.i32(strips)]));
    const z = f.real(0, r.let(r.mul(task, n * width)), width);
    const rotations = r.let(r.mul(stack, sweeps * n));
    const ranges = r.let(r.mul(stack, sweeps * 2));
    r.for(0, sweeps, (t) => {
      const from = r.load(3, "i32", r.add(ranges, r.mul(t, 2)));
      const to = r.load(3, "i32", r.add(ranges, r.add(r.mul(t, 2), 1)));
      const step = r.let(e.select(e.lt(from, to), e.i32(1), e.i32(-1)));
      const length = r.let(r.mul(step, r.sub(to, from)));
      const row = r.let(r.add(rotations, r.mul(t, n)));
      r.if(e.gt(length, e.i32(0)), () => {
        r.lanes(
          0,
          width,
          (j) => {
            const x: Num = f.let(r.get(z, from, j));
            r.for(0, length, (i) => {
              const c = r.load(1, leaf.type, r.add(row, i));
              const s = r.load(2, leaf.type, r.add(row, i));
              const place = r.let(r.add(from, r.mul(step, i)));
              const y = r.get(z, r.add(place, step), j);
              r.put(z, place, j, [e.fma(s, y[0], e.mul(c, x[0]))]);
              f.set(x, [e.fma(c, y[0], e.neg(e.mul(s, x[0])))]);
            });
            r.put(z, to, j, x);
          },
          { groups: leaf.type === "f32" ? 4 : 2 },
        );
      });
    });
  });
  launchRoutine(scope, "apply_rotations", routine, views, flops * strips * leaf.batch);
}
