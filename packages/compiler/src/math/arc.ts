import type { Ex, Exprs } from "../expr.ts";
import { bitsOf, constants, copySign, fmax, fmin, leading, parts, polynomial } from "./common.ts";

// Inverse circular functions in either precision, after fdlibm (Sun Microsystems, 1993: e_asin.c, s_atan.c), with the branches
// turned into selects.

/** pi/2 in two parts. */
const halfPi = [1.570796326794896558, 6.12323399573676603587e-17] as const;

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

export function asin(e: Exprs, x: Ex): Ex {
  const c = constants(e, x);
  const [hi, lo] = parts(e, x, ...halfPi);
  const a = e.unary("abs", x);
  const small = e.add(a, e.mul(a, asinRatio(e, e.mul(a, a))));
  // pi/2 - 2 asin(sqrt(z)), the root as w + rest with a short w, so that pi/4 - 2w is exact.
  const z = e.mul(e.sub(c(1), a), c(0.5));
  const s = e.unary("sqrt", z);
  const r = asinRatio(e, z);
  const w = leading(e, s);
  const rest = e.div(e.sub(z, e.mul(w, w)), e.add(s, w));
  const p = e.sub(e.mul(e.add(s, s), r), e.sub(lo, e.add(rest, rest)));
  const q = e.rounded(e.sub(c(Math.PI / 4), e.add(w, w)));
  const middle = e.sub(c(Math.PI / 4), e.sub(p, q));
  const large = e.sub(hi, e.rounded(e.sub(e.mul(c(2), e.add(s, e.mul(s, r))), lo)));
  // There s is so small that w + rest needs no care, and at 1 it would be 0 / 0.
  const upper = e.select(e.lt(a, c(0.975)), middle, large);
  return copySign(e, e.select(e.lt(a, c(0.5)), small, upper), x);
}

export function acos(e: Exprs, x: Ex): Ex {
  const c = constants(e, x);
  const [hi, lo] = parts(e, x, ...halfPi);
  const a = e.unary("abs", x);
  const small = e.sub(hi, e.rounded(e.sub(x, e.rounded(e.sub(lo, e.mul(x, asinRatio(e, e.mul(x, x))))))));
  const z = e.mul(e.sub(c(1), a), c(0.5));
  const s = e.unary("sqrt", z);
  const half = e.add(s, e.mul(s, asinRatio(e, z)));
  const positive = e.mul(c(2), half);
  const negative = e.mul(c(2), e.sub(hi, e.rounded(e.sub(half, lo))));
  return e.select(e.lt(a, c(0.5)), small, e.select(e.gt(x, c(0)), positive, negative));
}

export function atan(e: Exprs, x: Ex): Ex {
  const a = e.unary("abs", x);
  const c = constants(e, x);
  // Reduced to |t| < 7/16 around 0, 1/2, 1, 3/2 and infinity.
  const bands: readonly (readonly [number, Ex, readonly [Ex, Ex]])[] = [
    [0.6875, e.div(e.sub(e.add(a, a), c(1)), e.add(c(2), a)), parts(e, x, 4.63647609000806093515e-1, 2.26987774529616870924e-17)],
    [1.1875, e.div(e.sub(a, c(1)), e.add(a, c(1))), parts(e, x, 7.85398163397448278999e-1, 3.06161699786838301793e-17)],
    [
      2.4375,
      e.div(e.sub(a, c(1.5)), e.add(c(1), e.mul(c(1.5), a))),
      parts(e, x, 9.82793723247329054082e-1, 1.39033110312309984516e-17),
    ],
  ];
  let t = e.div(c(-1), a);
  let [hi, lo] = parts(e, x, ...halfPi);
  for (let i = bands.length - 1; i >= 0; i--) {
    const [limit, reduced, [high, low]] = bands[i]!;
    const inside = e.lt(a, c(limit));
    t = e.select(inside, reduced, t);
    hi = e.select(inside, high, hi);
    lo = e.select(inside, low, lo);
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
export function atan2(e: Exprs, y: Ex, x: Ex): Ex {
  const c = constants(e, x);
  const [hi, lo] = parts(e, x, ...halfPi);
  const [piHi, piLo] = parts(e, x, Math.PI, 1.2246467991473532e-16);
  const ax = e.unary("abs", x);
  const ay = e.unary("abs", y);
  const big = fmax(e, ax, ay);
  const ratio = e.div(fmin(e, ax, ay), big);
  const bothInf = e.and(e.eq(ax, c(Infinity)), e.eq(ay, c(Infinity)));
  const safe = e.select(e.eq(big, c(0)), c(0), e.select(bothInf, c(1), ratio));
  let a = atan(e, safe);
  a = e.select(e.gt(ay, ax), e.add(e.rounded(e.sub(hi, a)), lo), a);
  const left = e.lt(e.bitcast(bitsOf(x), x), e.constant(bitsOf(x), 0));
  a = e.select(left, e.add(e.rounded(e.sub(piHi, a)), piLo), a);
  return e.select(e.or(e.ne(x, x), e.ne(y, y)), e.add(x, y), copySign(e, a, y));
}
