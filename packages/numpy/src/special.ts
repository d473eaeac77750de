import { type ArrayLike, type NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import { inexact } from "./internal/promote.ts";

/** The modified Bessel function of the first kind, order 0. */
export function i0(x: ArrayLike): NDArray {
  const a = inexact("i0", x);
  return lax.mul(lax.exp(lax.abs(a)), lax.besselI0e(a));
}
