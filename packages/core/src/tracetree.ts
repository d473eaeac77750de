import { asArray, type ArrayLike } from "./arrays.ts";
import type { Aval } from "./avals.ts";
import type { ClosedJaxpr } from "./closed.ts";
import type { NDArray } from "./ndarray.ts";
import { checkArrayLeaves, type Pytree, type Treedef, treeFlatten } from "./pytree.ts";
import { traceToJaxpr } from "./staging.ts";
import { refuseAsync } from "./trace.ts";

export interface TracedTree extends ClosedJaxpr {
  readonly outTree: Treedef;
}

/**
 * Traces a function whose result is a pytree. Leaves of the result become arrays.
 *
 * @throws {TransformError} when `fn` is async
 * @throws {TreeError} when the result holds something that is neither an array nor a pytree node
 */
export function traceTree(fn: (...leaves: NDArray[]) => Pytree, avals: readonly Aval[], name: string): TracedTree {
  let outTree: Treedef | null = null;
  const closed = traceToJaxpr(
    (...tracers) => {
      const result = refuseAsync(name, fn(...tracers));
      checkArrayLeaves(name, result);
      const [leaves, tree] = treeFlatten(result);
      outTree = tree;
      return leaves.map((x) => asArray(x as ArrayLike));
    },
    avals,
    name,
  );
  return { ...closed, outTree: outTree! };
}
