import { type ArrayLike, canonicalAxis, type NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import { toArray } from "../internal/promote.ts";
import { conj } from "../unary.ts";
import { type FftOptions, transform } from "./core.ts";

/** The transform, which is real, of a signal that mirrors itself and of which the first half is given: `n` numbers. */
export function hfft(a: ArrayLike, n?: number | null, options: FftOptions = {}): NDArray {
  const x = conj(toArray(a));
  const length = n ?? 2 * (lengthAlong("hfft", x, options) - 1);
  return lax.mul(transform({ name: "hfft", type: "IRFFT", inverse: false }, x, length, options), length);
}
/** The inverse of `hfft`: the first half of the signal, `n / 2 + 1` elements. */
export function ihfft(a: ArrayLike, n?: number | null, options: FftOptions = {}): NDArray {
  const x = toArray(a);
  const length = n ?? lengthAlong("ihfft", x, options);
  return lax.mul(conj(transform({ name: "ihfft", type: "RFFT", inverse: true }, x, length, options)), 1 / length);
}

function lengthAlong(fn: string, x: NDArray, { axis }: FftOptions): number {
  return x.shape[canonicalAxis(fn, axis ?? -1, x.ndim)];
}
