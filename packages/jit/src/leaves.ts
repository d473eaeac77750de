import { asArray, type ArrayLike, type NDArray } from "@traceform/core";

/** A leaf of an argument as an array: numbers become weak scalars, typed arrays arrays. */
export function toLeaf(x: unknown): NDArray {
  return asArray(x as ArrayLike);
}
