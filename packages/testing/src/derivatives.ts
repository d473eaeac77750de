import { type NDArray, fromTyped, isFloat } from "@traceform/core";

/** The values of an array as numbers. */
export function numbers(x: NDArray): number[] {
  return Array.from(x.dataSync() as Iterable<number | bigint>, Number);
}

/** Whether two lists agree within `tolerance`, relative to their size; NaN agrees with NaN. */
export function close(a: readonly number[], b: readonly number[], tolerance: number): boolean {
  return (
    a.length === b.length &&
    a.every((x, i) => {
      const y = b[i];
      if (Object.is(x, y) || x === y) return true;
      return Math.abs(x - y) <= tolerance * (1 + Math.max(Math.abs(x), Math.abs(y)));
    })
  );
}

export function dotProduct(xs: readonly (readonly number[])[], ys: readonly (readonly number[])[]): number {
  return xs.reduce((sum, x, i) => sum + x.reduce((s, v, k) => s + v * ys[i][k], 0), 0);
}

/** `x + scale * t` in float64. */
export function step(x: NDArray, t: readonly number[], scale: number): NDArray {
  return fromTyped(
    Float64Array.from(numbers(x), (v, i) => v + scale * t[i]),
    x.shape,
    "float64",
  );
}

/** The directional derivative by central differences of the floating-point results of `fn`. */
export function finiteDifference(
  fn: (...args: NDArray[]) => readonly NDArray[],
  args: readonly NDArray[],
  tangents: readonly (readonly number[] | null)[],
  epsilon = 1e-6,
): (number[] | null)[] {
  const moved = (scale: number): readonly NDArray[] =>
    fn(...args.map((x, i) => (tangents[i] === null ? x : step(x, tangents[i], scale))));
  const after = moved(epsilon);
  const before = moved(-epsilon);
  return after.map((y, i) => {
    if (!isFloat(y.dtype)) return null;
    const low = numbers(before[i]);
    return numbers(y).map((v, k) => (v - low[k]) / (2 * epsilon));
  });
}
