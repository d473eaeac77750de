/** Size of an axis with `dilation - 1` gaps between its elements. */
export function dilated(size: number, dilation: number): number {
  return size === 0 ? 0 : (size - 1) * dilation + 1;
}

type Sizes = readonly number[];
type Padding = readonly (readonly [number, number])[];

/** The padding of the convolution of cotangents with the reversed kernel that gives the cotangent of `lhs`. */
export function lhsPadding(
  lhs: Sizes,
  window: Sizes,
  strides: Sizes,
  out: Sizes,
  padding: Padding,
  lhsDilation: Sizes,
  rhsDilation: Sizes,
): [number, number][] {
  return lhs.map((n, i) => {
    const k = dilated(window[i], rhsDilation[i]);
    const before = k - padding[i][0] - 1;
    return [before, dilated(n, lhsDilation[i]) + k - 1 - dilated(out[i], strides[i]) - before];
  });
}

/** The padding of the convolution of `lhs` with cotangents that gives the cotangent of the kernel. */
export function rhsPadding(
  lhs: Sizes,
  window: Sizes,
  strides: Sizes,
  out: Sizes,
  padding: Padding,
  lhsDilation: Sizes,
  rhsDilation: Sizes,
): [number, number][] {
  return lhs.map((n, i) => {
    const [low] = padding[i];
    const rest = dilated(out[i], strides[i]) - dilated(n, lhsDilation[i]) + dilated(window[i], rhsDilation[i]) - low - 1;
    return [low, rest];
  });
}
