import type { Ex, Exprs } from "../expr.ts";
import { bitsOf } from "./common.ts";

// Numbers of about twice the precision as unevaluated sums of two floats of one type, without fused multiply-add, which not every
// engine has. What compilers must not rearrange is marked (`Exprs.rounded`).
// @see Dekker (1971), "A floating-point technique for extending the available precision"

/** The unevaluated sum `hi + lo`, |lo| within a few units of the last place of `hi`. */
export interface Pair {
  readonly hi: Ex;
  readonly lo: Ex;
}

/** a + b and what rounding it lost, for |a| >= |b| or a = 0. */
export function quickSum(e: Exprs, a: Ex, b: Ex): Pair {
  const hi = e.rounded(e.add(a, b));
  return { hi, lo: e.sub(b, e.rounded(e.sub(hi, a))) };
}

/** a + b and what rounding it lost. @see Knuth, The Art of Computer Programming, volume 2, 4.2.2 */
export function sum(e: Exprs, a: Ex, b: Ex): Pair {
  const hi = e.rounded(e.add(a, b));
  const part = e.rounded(e.sub(hi, a));
  const rest = e.sub(a, e.rounded(e.sub(hi, part)));
  return { hi, lo: e.add(rest, e.sub(b, part)) };
}

/** The upper half of the digits of x: the product of two such numbers is exact. */
export function upper(e: Exprs, x: Ex): Ex {
  const bits = bitsOf(x);
  return e.bitcast(x.type, e.and(e.bitcast(bits, x), e.constant(bits, bits === "i64" ? -0x8000000n : -0x1000)));
}

/** a * b and what rounding it lost, up to 2^-78 of the product (2^-35 in single precision). Operands stay clear of over- and underflow. */
export function product(e: Exprs, a: Ex, b: Ex): Pair {
  const [ah, bh] = [upper(e, a), upper(e, b)];
  const [al, bl] = [e.sub(a, ah), e.sub(b, bh)];
  const hi = e.rounded(e.mul(a, b));
  const cross = e.add(e.mul(ah, bl), e.mul(al, bh));
  return { hi, lo: e.add(e.add(e.sub(e.mul(ah, bh), hi), cross), e.mul(al, bl)) };
}
