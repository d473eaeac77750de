import { type ArrayLike, asArray, fromTyped, isTracer, type NDArray } from "@traceform/core";

/** An int32 constant from JavaScript numbers. */
export function int32s(values: readonly number[], shape: readonly number[] = [values.length]): NDArray {
  return fromTyped(Int32Array.from(values), shape, "int32");
}

/** The values of a concrete array of which the host must know the content, as numbers in row-major order. */
export function readNumbers(fn: string, x: ArrayLike): number[] {
  const a = asArray(x);
  return Array.from(a.concrete(fn).readSync() as Iterable<number | bigint>, Number);
}

/** Whether the host can know the values of `x`. */
export function isConcrete(x: NDArray): boolean {
  return !isTracer(x);
}
