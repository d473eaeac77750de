import { type ArrayLike, asArray, checkArrayLeaves, isNDArray, isTypedArray, type NDArray, treeFlatten } from "@traceform/core";
import type { CallbackParams } from "../callback.ts";

/** The arguments of a callback as the equation holds them. */
export interface FlatArguments {
  readonly flat: NDArray[];
  readonly params: Pick<CallbackParams, "inTree" | "statics">;
}

/** Flattens arguments; leaves that are no arrays stay as they are, where that is allowed. @throws {TreeError} elsewhere */
export function flattenCallbackArguments(fn: string, args: readonly unknown[], allowStatics: boolean): FlatArguments {
  const [leaves, inTree] = treeFlatten([...args]);
  const flat: NDArray[] = [];
  const statics: (readonly [number, unknown])[] = [];
  leaves.forEach((x, i) => {
    if (isNDArray(x) || isTypedArray(x) || typeof x === "number" || typeof x === "boolean" || typeof x === "bigint")
      flat.push(asArray(x as ArrayLike));
    else statics.push([i, x]);
  });
  if (statics.length > 0 && !allowStatics) checkArrayLeaves(fn, args);
  return { flat, params: { inTree, statics } };
}

/** The leaves of the arguments again, from the arrays among them. */
export function rebuildLeaves(args: readonly NDArray[], statics: CallbackParams["statics"]): unknown[] {
  const leaves: unknown[] = [...args];
  // Ascending positions keep the earlier ones in place.
  for (const [position, value] of statics) leaves.splice(position, 0, value);
  return leaves;
}
