import type { Ex, Exprs } from "../expr.ts";
import { polynomial, smallToInt } from "./common.ts";

// Circular functions in double precision, after fdlibm (Sun Microsystems, 1993: k_sin.c, k_cos.c, e_rem_pio2.c,
// e_asin.c, s_atan.c), with the branches turned into selects.

/** x = n * pi/2 + (y0 + y1), for finite x; the parts of pi/2 have 33 bits, so products with |n| < 2^20 are exact. */
function reduce(e: Exprs, x: Ex): { n: Ex; y0: Ex; y1: Ex } {
  // Beyond the exact range the operand is reduced by a helper that the emitter supplies.
  const big = e.gt(e.unary("abs", x), e.f64(1e6));
  const small = e.select(big, e.f64(0), x);
  const n = e.unary("nearest", e.mul(small, e.f64(6.36619772367581382433e-1)));
  const r1 = e.sub(small, e.mul(n, e.f64(1.57079632673412561417)));
  const w2 = e.mul(n, e.f64(6.0771005063039659766e-11));
  const r2 = e.sub(r1, w2);
  const e2 = e.sub(e.sub(r1, r2), w2);
  const w3 = e.mul(n, e.f64(2.0222662487111664558e-21));
  const r3 = e.sub(r2, w3);
  const e3 = e.sub(e.sub(r2, r3), w3);
  const tail = e.sub(e.add(e2, e3), e.mul(n, e.f64(8.47842766036889956997e-32)));
  const y0 = e.add(r3, tail);
  const y1 = e.sub(tail, e.sub(y0, r3));
  const large = e.op("rem_pio2", "f64", [x]);
  const rest = e.op("tail_pio2", "f64", [x]);
  const quadrant = e.op("quo_pio2", "f64", [x]);
  return { n: e.select(big, quadrant, n), y0: e.select(big, large, y0), y1: e.select(big, rest, y1) };
}

function kernelSin(e: Exprs, x: Ex, y: Ex): Ex {
  const z = e.mul(x, x);
  const v = e.mul(z, x);
  const r = polynomial(
    e,
    z,
    [
      8.33333333332248946124e-3, -1.98412698298579493134e-4, 2.75573137070700676789e-6, -2.50507602534068634195e-8,
      1.58969099521155010221e-10,
    ],
  );
  const a = e.sub(e.mul(z, e.sub(e.mul(e.f64(0.5), y), e.mul(v, r))), y);
  return e.sub(x, e.sub(a, e.mul(v, e.f64(-1.66666666666666324348e-1))));
}

function kernelCos(e: Exprs, x: Ex, y: Ex): Ex {
  const z = e.mul(x, x);
  const r = e.mul(
    z,
    polynomial(
      e,
      z,
      [
        4.16666666666666019037e-2, -1.38888888888741095749e-3, 2.48015872894767294178e-5, -2.75573143513906633035e-7,
        2.0875723212981748279e-9, -1.13596475577881948265e-11,
      ],
    ),
  );
  const hz = e.mul(e.f64(0.5), z);
  const w = e.sub(e.f64(1), hz);
  return e.add(w, e.add(e.sub(e.sub(e.f64(1), w), hz), e.sub(e.mul(z, r), e.mul(x, y))));
}

function sinCos(e: Exprs, x: Ex): { sin: Ex; cos: Ex; odd: Ex; n: Ex } {
  const { n, y0, y1 } = reduce(e, x);
  const bits = smallToInt(e, n);
  const odd = e.ne(e.and(bits, e.constant("i64", 1)), e.constant("i64", 0));
  return { sin: kernelSin(e, y0, y1), cos: kernelCos(e, y0, y1), odd, n: bits };
}

/** Flips the sign of x where bit 1 of n is set. */
function flip(e: Exprs, x: Ex, n: Ex): Ex {
  const sign = e.shl(e.and(n, e.constant("i64", 2)), 62);
  return e.bitcast("f64", e.xor(e.bitcast("i64", x), sign));
}
function finiteOnly(e: Exprs, x: Ex, y: Ex): Ex {
  return e.select(e.lt(e.unary("abs", x), e.f64(Infinity)), y, e.f64(NaN));
}

export function sin64(e: Exprs, x: Ex): Ex {
  const { sin, cos, odd, n } = sinCos(e, x);
  const y = finiteOnly(e, x, flip(e, e.select(odd, cos, sin), n));
  return e.select(e.eq(x, e.f64(0)), x, y);
}
export function cos64(e: Exprs, x: Ex): Ex {
  const { sin, cos, odd, n } = sinCos(e, x);
  return finiteOnly(e, x, flip(e, e.select(odd, sin, cos), e.add(n, e.and(n, e.constant("i64", 1)))));
}
export function tan64(e: Exprs, x: Ex): Ex {
  const { sin, cos, odd } = sinCos(e, x);
  const y = e.div(e.select(odd, e.neg(cos), sin), e.select(odd, sin, cos));
  return e.select(e.eq(x, e.f64(0)), x, finiteOnly(e, x, y));
}
