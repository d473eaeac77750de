import { ShapeError, ValueError } from "@traceform/core";

/** Explicit `[low, high]` padding for each axis, or a rule: no padding, or output size = ceil(size / stride). */
export type Padding = "VALID" | "SAME" | "SAME_LOWER" | readonly (readonly [number, number])[];

/** Size of an axis with `dilation - 1` gaps between its elements. */
export function dilated(size: number, dilation: number): number {
  return size === 0 ? 0 : (size - 1) * dilation + 1;
}

/** The padding rule as explicit pairs, for windows that are dilated already. */
export function explicitPadding(
  fn: string,
  padding: Padding,
  sizes: readonly number[],
  windows: readonly number[],
  strides: readonly number[],
): [number, number][] {
  if (typeof padding !== "string") {
    if (padding.length !== sizes.length) {
      throw new ShapeError(fn, {
        message: `needs [low, high] for each of ${sizes.length} axes, got ${padding.length}`,
        fix: 'give "SAME", "VALID", or one pair for each axis',
      });
    }
    return padding.map(([lo, hi]) => [lo, hi]);
  }
  const rule = padding.toUpperCase();
  if (rule === "VALID") return sizes.map(() => [0, 0]);
  if (rule !== "SAME" && rule !== "SAME_LOWER") {
    throw new ValueError(fn, { message: `"${padding}" is no padding`, fix: 'use "SAME", "SAME_LOWER", "VALID" or pairs' });
  }
  return sizes.map((n, i) => {
    const out = Math.ceil(n / strides[i]);
    const total = Math.max(0, (out - 1) * strides[i] + windows[i] - n);
    const less = Math.floor(total / 2);
    return rule === "SAME" ? [less, total - less] : [total - less, less];
  });
}

/** How many positions a window has along each axis. */
export function windowPositions(
  sizes: readonly number[],
  windows: readonly number[],
  strides: readonly number[],
  padding: readonly (readonly [number, number])[],
): number[] {
  return sizes.map((n, i) => {
    const padded = n + padding[i][0] + padding[i][1];
    return padded < windows[i] ? 0 : Math.floor((padded - windows[i]) / strides[i]) + 1;
  });
}
