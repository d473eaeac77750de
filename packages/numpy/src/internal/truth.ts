import type { ArrayLike, NDArray } from "@traceform/core";
import { ne } from "@traceform/lax";
import { toArray } from "./promote.ts";

/** `x` as bool: whether elements are not 0. */
export function truth(x: ArrayLike): NDArray {
  const a = toArray(x);
  return a.dtype === "bool" ? a : ne(a, 0);
}
