import { type ArrayLike, AxisError, canonicalAxes, type NDArray, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { toArray } from "../internal/promote.ts";
import { moveaxis } from "../shape.ts";

/**
 * Where the factor 1/n is: in the inverse transform (`"backward"`), in the forward one (`"forward"`), or its square root in
 * both (`"ortho"`).
 */
export type FftNorm = "backward" | "ortho" | "forward";

export interface FftOptions {
  /** The axis; the last one by default. */
  readonly axis?: number;
  readonly norm?: FftNorm | null;
}
export interface FftnOptions {
  /** The axes; by default all, or the last ones when `s` is given. */
  readonly axes?: readonly number[] | null;
  readonly norm?: FftNorm | null;
}

/** One transform by its name; `inverse` says on which side of it the norm's factor is. */
export interface FftKind {
  readonly name: string;
  readonly type: lax.FftType;
  readonly inverse: boolean;
}

/** A transform of one axis, cut or padded with zeros to `n`. */
export function transform(kind: FftKind, a: ArrayLike, n: number | null | undefined, { axis, norm }: FftOptions): NDArray {
  if (axis !== undefined && !Number.isInteger(axis))
    throw new AxisError(kind.name, {
      message: `axis must be one integer, got ${String(axis)}`,
      fix: `use ${kind.name}n for several axes`,
    });
  return transformAxes(kind, a, n === null || n === undefined ? null : [n], { axes: [axis ?? -1], norm });
}

/** A transform of two axes, by default the last ones. */
export function transform2(kind: FftKind, a: ArrayLike, s: readonly number[] | null | undefined, options: FftnOptions): NDArray {
  const axes = options.axes ?? [-2, -1];
  if (axes.length !== 2) {
    throw new ValueError(kind.name, {
      message: `two axes are transformed, got [${axes.join(",")}]`,
      fix: `use ${kind.name.slice(0, -1)}n for another number of axes`,
    });
  }
  return transformAxes(kind, a, s ?? null, { ...options, axes });
}

/**
 * A transform of several axes, cut or padded with zeros to the lengths `s`. They are moved to the end, where the primitive
 * wants them, and back.
 *
 * @throws {ValueError} for lengths that do not fit the axes, repeated axes and unknown norms
 */
export function transformAxes(kind: FftKind, a: ArrayLike, s: readonly number[] | null, { axes, norm }: FftnOptions): NDArray {
  const { name, type } = kind;
  const x = toArray(a);
  const given = axes === null || axes === undefined ? null : canonicalAxes(name, axes, x.ndim);
  if (s !== null && s.some((n) => !Number.isInteger(n) || n <= 0)) {
    throw new ValueError(name, {
      message: `lengths must be positive integers, got [${s.join(",")}]`,
      fix: "leave the lengths out, or give positive integers",
    });
  }
  if (s !== null && given !== null && s.length !== given.length) {
    throw new ValueError(name, {
      message: `${s.length} lengths for ${given.length} axes`,
      operands: { a: x },
      fix: "give one length for each axis",
    });
  }
  const count = given?.length ?? s?.length ?? x.ndim;
  if (count > x.ndim)
    throw new ValueError(name, {
      message: `${count} axes are to be transformed, and there are ${x.ndim}`,
      operands: { a: x },
      fix: "name axes that the array has: { axes: [-1] }",
    });
  const last = Array.from({ length: count }, (_, i) => x.ndim - count + i);
  const moved = given === null ? x : moveaxis(x, given, last);
  const lengths =
    s ?? last.map((axis, i) => (type === "IRFFT" && i === count - 1 ? 2 * (moved.shape[axis] - 1) : moved.shape[axis]));
  const wanted = lengths.map((n, i) => (type === "IRFFT" && i === count - 1 ? Math.floor(n / 2) + 1 : n));
  const y = lax.fft(s === null ? moved : resize(moved, wanted), type, lengths);
  const factor = normFactor(kind, lengths, norm ?? "backward");
  const scaled = factor === 1 ? y : lax.mul(y, factor);
  return given === null ? scaled : moveaxis(scaled, last, given);
}

/** The trailing axes cut, or filled up with zeros, to `sizes`. */
function resize(x: NDArray, sizes: readonly number[]): NDArray {
  const before = x.ndim - sizes.length;
  const to = x.shape.map((n, i) => (i < before ? n : sizes[i - before]));
  const cut = to.map((n, i) => Math.min(n, x.shape[i]));
  const y = cut.every((n, i) => n === x.shape[i])
    ? x
    : lax.slice(
        x,
        cut.map(() => 0),
        cut,
      );
  if (to.every((n, i) => n === cut[i])) return y;
  return lax.pad(
    y,
    lax.fullLike(y, 0, { shape: [] }),
    to.map((n, i) => [0, n - cut[i], 0]),
  );
}

/** What a transform is multiplied by; the primitive's inverses divide by n already. */
function normFactor({ name, inverse }: FftKind, lengths: readonly number[], norm: FftNorm): number {
  const n = lengths.reduce((a, b) => a * b, 1);
  switch (norm) {
    case "backward":
      return 1;
    case "ortho":
      return inverse ? Math.sqrt(n) : 1 / Math.sqrt(n);
    case "forward":
      return inverse ? n : 1 / n;
    default:
      throw new ValueError(name, { message: `norm ${String(norm)} is not known`, fix: 'use "backward", "ortho" or "forward"' });
  }
}
