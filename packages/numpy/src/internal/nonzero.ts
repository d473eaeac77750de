import { ConcretizationTypeError, isTracer, type NDArray, NonConcreteBooleanIndexError } from "@traceform/core";
import { int32s } from "./host.ts";

/**
 * The coordinates of the true elements of a mask, one int32 array for each axis. How many there are depends on the
 * values, so they are read here and now.
 *
 * @throws {TracerError} for a traced mask; @throws {BackendError} where values cannot be read without awaiting
 */
export function flatNonzero(fn: string, mask: NDArray): NDArray[] {
  if (isTracer(mask)) {
    // A mask that is an index, or one whose coordinates were asked for.
    const Kind = fn === "nonzero" ? ConcretizationTypeError : NonConcreteBooleanIndexError;
    throw new Kind(fn, {
      message: `the shape of the result depends on the values of the mask, but it is a traced ${mask.aval}`,
      fix: "use where(mask, x, y), or give size: to nonzero and index with its result",
    });
  }
  const data = mask.concrete(fn).readSync();
  const coordinates: number[][] = mask.shape.map(() => []);
  const { shape } = mask;
  for (let i = 0; i < data.length; i++) {
    if (!data[i]) continue;
    let rest = i;
    for (let d = shape.length - 1; d >= 0; d--) {
      coordinates[d].push(rest % shape[d]);
      rest = Math.floor(rest / shape[d]);
    }
  }
  return coordinates.map((c) => int32s(c));
}
