import type { Ex, Exprs } from "../expr.ts";

// Numbers of about twice the precision as unevaluated sums of two f64, without fused multiply-add, which not every engine
// has. @see Dekker (1971), "A floating-point technique for extending the available precision"

/** The unevaluated sum `hi + lo`, |lo| within a few units of the last place of `hi`. */
export interface Pair {
  readonly hi: Ex;
  readonly lo: Ex;
}

/** a + b and what rounding it lost, for |a| >= |b| or a = 0. */
export function quickSum(e: Exprs, a: Ex, b: Ex): Pair {
  const hi = e.add(a, b);
  return { hi, lo: e.sub(b, e.sub(hi, a)) };
}

/** The upper 26 bits of x. The product of two such numbers is exact. */
function upper(e: Exprs, x: Ex): Ex {
  return e.bitcast("f64", e.and(e.bitcast("i64", x), e.constant("i64", -0x8000000n)));
}

/** a * b and what rounding it lost, up to 2^-105 of the product. Operands stay clear of over- and underflow. */
export function product(e: Exprs, a: Ex, b: Ex): Pair {
  const [ah, bh] = [upper(e, a), upper(e, b)];
  const [al, bl] = [e.sub(a, ah), e.sub(b, bh)];
  const hi = e.mul(a, b);
  const cross = e.add(e.mul(ah, bl), e.mul(al, bh));
  return { hi, lo: e.add(e.add(e.sub(e.mul(ah, bh), hi), cross), e.mul(al, bl)) };
}
