import {
  type ArrayLike,
  asArray,
  type Aval,
  checkArrayLeaves,
  isNDArray,
  makeAval,
  type NDArray,
  ShapeDtypeStruct,
  treeMap,
} from "@traceform/core";

/** A leaf of an argument as an array: numbers become weak scalars, typed arrays arrays. */
export function toLeaf(x: unknown): NDArray {
  return asArray(x as ArrayLike);
}

/** What stands for an argument that is only traced: an array, or the description of one. */
export interface AbstractLeaf {
  readonly aval: Aval;
}

export function toAbstractLeaf(x: unknown): AbstractLeaf {
  return x instanceof ShapeDtypeStruct ? { aval: makeAval(x.shape, x.dtype, { weakType: x.weakType }) } : toLeaf(x);
}

function isPlainLeaf(x: unknown): boolean {
  return isNDArray(x) || typeof x === "number" || typeof x === "boolean" || typeof x === "bigint" || ArrayBuffer.isView(x);
}

/** Refuses leaves that are no arrays; descriptions of arrays pass where `abstract` says so. */
export function checkLeaves(fn: string, args: readonly unknown[], leaves: readonly unknown[], abstract: boolean): void {
  for (const leaf of leaves) {
    if (isPlainLeaf(leaf) || (abstract && leaf instanceof ShapeDtypeStruct)) continue;
    checkArrayLeaves(fn, abstract ? treeMap((x: unknown) => (x instanceof ShapeDtypeStruct ? 0 : x), args) : args);
  }
}
