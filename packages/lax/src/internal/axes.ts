import type { NDArray } from "@traceform/core";
import { transpose } from "../shape.ts";

/** `x` with two axes exchanged. */
export function swapAxes(x: NDArray, a: number, b: number): NDArray {
  return transpose(
    x,
    x.shape.map((_, i) => (i === a ? b : i === b ? a : i)),
  );
}

/** `x` with axis `from` moved to place `to`. */
export function moveAxis(x: NDArray, from: number, to: number): NDArray {
  const order = x.shape.map((_, i) => i).filter((i) => i !== from);
  order.splice(to, 0, from);
  return transpose(x, order);
}
