import { type ArrayLike, canonicalAxes, type DType, type NDArray, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { toArray } from "../internal/promote.ts";
import { type Axis, roll } from "../shape.ts";

export interface FrequencyOptions {
  /** float32 by default. */
  readonly dtype?: DType;
}

/**
 * The frequencies of the elements of `fft`, in cycles per unit of the sample spacing `d`: float[n],
 * `[0, 1, …, (n - 1) / 2, -n / 2, …, -1] / (d n)`.
 *
 * @throws {ValueError} unless `n` is a positive integer
 */
export function fftfreq(n: number, d = 1, { dtype = "float32" }: FrequencyOptions = {}): NDArray {
  checkLength("fftfreq", n);
  const i = lax.iota("int32", n);
  const k = lax.select(lax.lt(i, Math.ceil(n / 2)), i, lax.sub(i, n));
  return frequencies(k, n, d, dtype);
}
/** The frequencies of the elements of `rfft`: float[n / 2 + 1], `[0, 1, …, n / 2] / (d n)`. */
export function rfftfreq(n: number, d = 1, { dtype = "float32" }: FrequencyOptions = {}): NDArray {
  checkLength("rfftfreq", n);
  return frequencies(lax.iota("int32", Math.floor(n / 2) + 1), n, d, dtype);
}

function frequencies(k: NDArray, n: number, d: number, dtype: DType): NDArray {
  return lax.div(lax.convertElementType(k, dtype), d * n);
}
function checkLength(fn: string, n: number): void {
  if (!(Number.isInteger(n) && n > 0))
    throw new ValueError(fn, { message: `n must be a positive integer, got ${String(n)}`, fix: "pass the number of samples" });
}

/** Moves the zero frequency to the middle of the axes (all by default). */
export function fftshift(x: ArrayLike, axes: Axis = null): NDArray {
  return shifted("fftshift", x, axes, (n) => Math.floor(n / 2));
}
/** The inverse of `fftshift`; the two differ for odd lengths. */
export function ifftshift(x: ArrayLike, axes: Axis = null): NDArray {
  return shifted("ifftshift", x, axes, (n) => -Math.floor(n / 2));
}

function shifted(fn: string, x: ArrayLike, axes: Axis, by: (n: number) => number): NDArray {
  const a = toArray(x);
  const list = axes === null ? a.shape.map((_, i) => i) : canonicalAxes(fn, typeof axes === "number" ? [axes] : axes, a.ndim);
  return roll(
    a,
    list.map((i) => by(a.shape[i])),
    list,
  );
}
