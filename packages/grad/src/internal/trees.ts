import {
  type ArrayLike,
  asArray,
  checkArrayLeaves,
  type NDArray,
  refuseAsync,
  type Treedef,
  treeFlatten,
  treeUnflatten,
} from "@traceform/core";

/** A pytree as its arrays. JavaScript numbers and typed arrays among the leaves become arrays. */
export function flattenArrays(fn: string, tree: unknown): [arrays: NDArray[], treedef: Treedef] {
  const [leaves, def] = treeFlatten(tree);
  return [leaves.map((x) => leafArray(fn, x, tree)), def];
}

function leafArray(fn: string, leaf: unknown, tree: unknown): NDArray {
  if (
    typeof leaf === "string" ||
    typeof leaf === "function" ||
    typeof leaf === "symbol" ||
    (typeof leaf === "object" && !isArrayLeaf(leaf))
  ) {
    checkArrayLeaves(fn, tree);
  }
  return asArray(leaf as ArrayLike);
}

function isArrayLeaf(x: unknown): boolean {
  return ArrayBuffer.isView(x) || (x !== null && typeof x === "object" && "aval" in x);
}

/** A function of pytrees as a function of arrays, which remembers the structure of its last result. */
export interface FlatFunction {
  (inputs: readonly NDArray[]): NDArray[];
  outTree: Treedef | null;
}

/** `fn` as a function of the leaves of its argument list. @throws {TransformError} for an async function */
export function flatten(name: string, fn: (...args: never[]) => unknown, inTree: Treedef): FlatFunction {
  const flat: FlatFunction = Object.assign(
    (inputs: readonly NDArray[]): NDArray[] => {
      const args = treeUnflatten(inTree, inputs) as never[];
      const [outs, outTree] = flattenArrays(name, refuseAsync(name, fn(...args)));
      flat.outTree = outTree;
      return outs;
    },
    { outTree: null },
  );
  return flat;
}

/** `grad(loss)`: how errors name a transformed function. */
export function nameOf(transformation: string, fn: { readonly name: string }): string {
  return `${transformation}(${fn.name || "anonymous"})`;
}
