import type { Ex } from "../expr.ts";
import type { Field, Matrix, Num, Whole } from "../routinebuilder.ts";

/**
 * What a Householder reflection needs: for the vector (alpha, x) the reflection I - tau v vᴴ with v = (1, x · scale) whose
 * adjoint maps it to (beta, 0, …), where beta is real.
 *
 * @see LAPACK Working Note 72 / Lehoucq (1996), "The computation of elementary unitary matrices"
 */
export interface Reflection {
  readonly beta: Ex;
  readonly tau: Num;
  readonly scale: Num;
}

/** `norm`: the 2-norm of x. When x and the imaginary part of alpha are zero, tau is zero. */
export function reflection(f: Field, alpha: Num, norm: Ex): Reflection {
  const { r } = f;
  const { e } = r;
  const one = f.constant(1);
  const zero = f.constant(0);
  const beta = r.let(alpha[0]);
  const tau = f.let(f.zero());
  const scale = f.let(f.zero());
  const rest = f.complex ? r.let(hypot(f, norm, alpha[1])) : norm;
  r.if(e.ne(rest, zero), () => {
    const length = r.let(hypot(f, rest, alpha[0]));
    r.set(beta, e.select(e.lt(alpha[0], zero), length, e.neg(length)));
    const difference = f.let(f.sub(alpha, f.fromReal(beta)));
    f.set(tau, f.scale(f.neg(difference), e.div(one, beta)));
    f.set(scale, f.div(f.fromReal(one), difference));
  });
  return { beta, tau, scale };
}

/** sqrt(a² + b²) without overflow. */
export function hypot(f: Field, a: Ex, b: Ex): Ex {
  const { r } = f;
  const { e } = r;
  const [x, y] = [r.let(e.unary("abs", a)), r.let(e.unary("abs", b))];
  const swap = r.let(e.lt(x, y));
  const large = r.let(e.select(swap, y, x));
  const ratio = r.let(e.div(e.select(swap, x, y), large));
  const root = e.mul(large, e.unary("sqrt", e.fma(ratio, ratio, f.constant(1))));
  return e.select(e.eq(large, f.constant(0)), large, root);
}

/** The 2-norm of row i of a matrix over [from, to). Scaled where squares would overflow or vanish. */
export function norm(f: Field, a: Matrix, i: Whole, from: Whole, to: Whole): Ex {
  const { r } = f;
  const { e } = r;
  const [least, greatest] = f.type === "f32" ? [1e-28, 1e36] : [1e-280, 1e300];
  const square = f.sum(from, to, (j, acc) => {
    const x = r.get(a, i, j);
    return acc.map((s, p) => (p === 0 ? e.add(f.abs2(x), s) : s));
  })[0];
  const result = r.let(e.unary("sqrt", square));
  const inside = e.and(e.ge(square, f.constant(least)), e.le(square, f.constant(greatest)));
  r.if(
    inside,
    () => {},
    () => {
      const largest = r.let(f.constant(0));
      r.for(from, to, (j) => {
        const size = r.let(f.abs1(r.get(a, i, j)));
        r.if(e.gt(size, largest), () => r.set(largest, size));
      });
      r.if(e.and(e.gt(largest, f.constant(0)), e.le(largest, f.constant(f.type === "f32" ? 3.4e38 : 1.79e308))), () => {
        const inverse = r.let(e.div(f.constant(1), largest));
        const sum = r.let(f.constant(0));
        r.for(from, to, (j) => r.set(sum, e.add(sum, f.abs2(f.let(f.scale(r.get(a, i, j), inverse))))));
        r.set(result, e.mul(largest, e.unary("sqrt", sum)));
      });
    },
  );
  return result;
}
