import type { Ex, Exprs } from "../expr.ts";
import { copySign, fmax, fmin, polynomial, smallToInt } from "./common.ts";

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

const pio2Hi = 1.570796326794896558;
const pio2Lo = 6.12323399573676603587e-17;

/** The rational part of asin: asin(x) = x + x * R(x^2). */
function asinRatio(e: Exprs, z: Ex): Ex {
  const p = e.mul(
    z,
    polynomial(
      e,
      z,
      [
        1.66666666666666657415e-1, -3.25565818622400915405e-1, 2.01212532134862925881e-1, -4.00555345006794114027e-2,
        7.91534994289814532176e-4, 3.4793310759602116757e-5,
      ],
    ),
  );
  const q = polynomial(
    e,
    z,
    [1, -2.40339491173441421878, 2.02094576023350569471, -6.8828397160545329303e-1, 7.70381505559019352791e-2],
  );
  return e.div(p, q);
}

export function asin64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const small = e.add(a, e.mul(a, asinRatio(e, e.mul(a, a))));
  // pi/2 - 2 asin(sqrt(z)), the root as w + c with a short w, so that pi/4 - 2w is exact.
  const z = e.mul(e.sub(e.f64(1), a), e.f64(0.5));
  const s = e.unary("sqrt", z);
  const r = asinRatio(e, z);
  const w = e.bitcast("f64", e.and(e.bitcast("i64", s), e.constant("i64", -0x100000000n)));
  const c = e.div(e.sub(z, e.mul(w, w)), e.add(s, w));
  const p = e.sub(e.mul(e.add(s, s), r), e.sub(e.f64(pio2Lo), e.add(c, c)));
  const q = e.sub(e.f64(Math.PI / 4), e.add(w, w));
  const middle = e.sub(e.f64(Math.PI / 4), e.sub(p, q));
  const large = e.sub(e.f64(pio2Hi), e.sub(e.mul(e.f64(2), e.add(s, e.mul(s, r))), e.f64(pio2Lo)));
  // There s is so small that w + c needs no care, and at 1 it would be 0 / 0.
  const upper = e.select(e.lt(a, e.f64(0.975)), middle, large);
  return copySign(e, e.select(e.lt(a, e.f64(0.5)), small, upper), x);
}

export function acos64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const small = e.sub(e.f64(pio2Hi), e.sub(x, e.sub(e.f64(pio2Lo), e.mul(x, asinRatio(e, e.mul(x, x))))));
  const z = e.mul(e.sub(e.f64(1), a), e.f64(0.5));
  const s = e.unary("sqrt", z);
  const half = e.add(s, e.mul(s, asinRatio(e, z)));
  const positive = e.mul(e.f64(2), half);
  const negative = e.mul(e.f64(2), e.sub(e.f64(pio2Hi), e.sub(half, e.f64(pio2Lo))));
  return e.select(e.lt(a, e.f64(0.5)), small, e.select(e.gt(x, e.f64(0)), positive, negative));
}

export function atan64(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const c = (v: number): Ex => e.f64(v);
  // Reduced to |t| < 7/16 around 0, 1/2, 1, 3/2 and infinity.
  const bands: readonly (readonly [number, Ex, number, number])[] = [
    [0.6875, e.div(e.sub(e.add(a, a), c(1)), e.add(c(2), a)), 4.63647609000806093515e-1, 2.26987774529616870924e-17],
    [1.1875, e.div(e.sub(a, c(1)), e.add(a, c(1))), 7.85398163397448278999e-1, 3.06161699786838301793e-17],
    [2.4375, e.div(e.sub(a, c(1.5)), e.add(c(1), e.mul(c(1.5), a))), 9.82793723247329054082e-1, 1.39033110312309984516e-17],
  ];
  let t = e.div(c(-1), a);
  let hi = c(1.570796326794896558);
  let lo = c(6.12323399573676603587e-17);
  for (let i = bands.length - 1; i >= 0; i--) {
    const [limit, reduced, h, l] = bands[i]!;
    const inside = e.lt(a, c(limit));
    t = e.select(inside, reduced, t);
    hi = e.select(inside, c(h), hi);
    lo = e.select(inside, c(l), lo);
  }
  const near = e.lt(a, c(0.4375));
  t = e.select(near, a, t);
  hi = e.select(near, c(0), hi);
  lo = e.select(near, c(0), lo);
  const z = e.mul(t, t);
  const s = e.mul(
    z,
    polynomial(
      e,
      z,
      [
        3.33333333333329318027e-1, -1.99999999998764832476e-1, 1.42857142725034663711e-1, -1.1111110405462355788e-1,
        9.09088713343650656196e-2, -7.69187620504482999495e-2, 6.66107313738753120669e-2, -5.83357013379057348645e-2,
        4.97687799461593236017e-2, -3.6531572744216915527e-2, 1.62858201153657823623e-2,
      ],
    ),
  );
  return copySign(e, e.sub(hi, e.sub(e.sub(e.mul(t, s), lo), t)), x);
}

/** The angle of (x, y), in (-pi, pi], with the signed zeros and infinities of IEEE 754. */
export function atan2of64(e: Exprs, y: Ex, x: Ex): Ex {
  const ax = e.unary("abs", x);
  const ay = e.unary("abs", y);
  const big = fmax(e, ax, ay);
  const ratio = e.div(fmin(e, ax, ay), big);
  const bothInf = e.and(e.eq(ax, e.f64(Infinity)), e.eq(ay, e.f64(Infinity)));
  const safe = e.select(e.eq(big, e.f64(0)), e.f64(0), e.select(bothInf, e.f64(1), ratio));
  let a = atan64(e, safe);
  a = e.select(e.gt(ay, ax), e.add(e.sub(e.f64(pio2Hi), a), e.f64(pio2Lo)), a);
  const left = e.lt(e.bitcast("i64", x), e.constant("i64", 0));
  a = e.select(left, e.add(e.sub(e.f64(Math.PI), a), e.f64(1.2246467991473532e-16)), a);
  return e.select(e.or(e.ne(x, x), e.ne(y, y)), e.add(x, y), copySign(e, a, y));
}
