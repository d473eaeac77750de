import {
  asArray,
  type ArrayLike,
  type NDArray,
  type Pytree,
  resultType,
  ShapeError,
  treeFlatten,
  treeUnflatten,
} from "@traceform/core";
import { concatenate, convertElementType, reshape, sliceInDim } from "@traceform/lax";

/**
 * All leaves of a tree in one vector, and the function that undoes it: leaves in their order, row-major, in their common
 * dtype. An empty tree gives float32[0].
 */
export function ravelPytree<T extends Pytree>(tree: T): [flat: NDArray, unravel: (flat: NDArray) => T] {
  const [raw, treedef] = treeFlatten(tree);
  const leaves = raw.map((x) => asArray(x as ArrayLike));
  const dtype = leaves.length === 0 ? "float32" : resultType(...leaves).dtype;
  const parts = leaves.map((x) => reshape(convertElementType(x, dtype), [x.size]));
  const flat = parts.length === 0 ? asArray(new Float32Array(0)) : concatenate(parts, 0);
  const unravel = (vector: NDArray): T => {
    if (vector.ndim !== 1 || vector.shape[0] !== flat.shape[0]) {
      throw new ShapeError("unravel", {
        message: `expected a vector of ${flat.shape[0]} elements`,
        operands: { vector },
        fix: "pass a vector like the one that ravelPytree returned",
      });
    }
    let start = 0;
    const restored = leaves.map((x) => {
      const part = sliceInDim(vector, start, (start += x.size));
      return convertElementType(reshape(part, x.shape), x.dtype);
    });
    return treeUnflatten(treedef, restored) as T;
  };
  return [flat, unravel];
}
