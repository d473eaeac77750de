import type { ArrayLike, NDArray } from "@traceform/core";
import { type FftnOptions, type FftOptions, transform, transform2, transformAxes } from "./core.ts";

export type { FftNorm, FftnOptions, FftOptions } from "./core.ts";

/**
 * The discrete Fourier transform along an axis: `y[k] = sum_j a[j] exp(-2 pi i j k / n)`, with `a` cut or padded with zeros
 * to `n`. Any [..., m, ...] to complex[..., n, ...].
 *
 * @example
 * ```ts
 * fft.fft([0, 1, 0, 0]).jsSync() // => [[1, 0], [0, -1], [-1, 0], [0, 1]]
 * ```
 */
export function fft(a: ArrayLike, n?: number | null, options: FftOptions = {}): NDArray {
  return transform({ name: "fft", type: "FFT", inverse: false }, a, n, options);
}
/** The inverse of `fft`. */
export function ifft(a: ArrayLike, n?: number | null, options: FftOptions = {}): NDArray {
  return transform({ name: "ifft", type: "IFFT", inverse: true }, a, n, options);
}
/** The first `n / 2 + 1` elements of the transform of real numbers; the others mirror them. */
export function rfft(a: ArrayLike, n?: number | null, options: FftOptions = {}): NDArray {
  return transform({ name: "rfft", type: "RFFT", inverse: false }, a, n, options);
}
/** The inverse of `rfft`: `n` real numbers, by default `2 (m - 1)` for m elements of the spectrum. */
export function irfft(a: ArrayLike, n?: number | null, options: FftOptions = {}): NDArray {
  return transform({ name: "irfft", type: "IRFFT", inverse: true }, a, n, options);
}

/** `fft` along two axes, by default the last ones, with lengths `s`. */
export function fft2(a: ArrayLike, s?: readonly number[] | null, options: FftnOptions = {}): NDArray {
  return transform2({ name: "fft2", type: "FFT", inverse: false }, a, s, options);
}
/** The inverse of `fft2`. */
export function ifft2(a: ArrayLike, s?: readonly number[] | null, options: FftnOptions = {}): NDArray {
  return transform2({ name: "ifft2", type: "IFFT", inverse: true }, a, s, options);
}
/** `rfft` along the last of two axes, then `fft` along the other one. */
export function rfft2(a: ArrayLike, s?: readonly number[] | null, options: FftnOptions = {}): NDArray {
  return transform2({ name: "rfft2", type: "RFFT", inverse: false }, a, s, options);
}
/** The inverse of `rfft2`; `s` are the lengths of the result. */
export function irfft2(a: ArrayLike, s?: readonly number[] | null, options: FftnOptions = {}): NDArray {
  return transform2({ name: "irfft2", type: "IRFFT", inverse: true }, a, s, options);
}

/** `fft` along several axes (all by default) with lengths `s`. */
export function fftn(a: ArrayLike, s?: readonly number[] | null, options: FftnOptions = {}): NDArray {
  return transformAxes({ name: "fftn", type: "FFT", inverse: false }, a, s ?? null, options);
}
/** The inverse of `fftn`. */
export function ifftn(a: ArrayLike, s?: readonly number[] | null, options: FftnOptions = {}): NDArray {
  return transformAxes({ name: "ifftn", type: "IFFT", inverse: true }, a, s ?? null, options);
}
/** `rfft` along the last of several axes (all by default), then `fft` along the others. */
export function rfftn(a: ArrayLike, s?: readonly number[] | null, options: FftnOptions = {}): NDArray {
  return transformAxes({ name: "rfftn", type: "RFFT", inverse: false }, a, s ?? null, options);
}
/** The inverse of `rfftn`; `s` are the lengths of the result. */
export function irfftn(a: ArrayLike, s?: readonly number[] | null, options: FftnOptions = {}): NDArray {
  return transformAxes({ name: "irfftn", type: "IRFFT", inverse: true }, a, s ?? null, options);
}
