import { asArray, type ArrayLike } from "./arrays.ts";
import { ConcreteArray } from "./concrete.ts";
import { defaultDevice } from "./backends.ts";
import type { Device } from "./device.ts";
import type { TypedArray } from "./host.ts";
import type { NDArray } from "./ndarray.ts";
import { type Pytree, treeFlatten, treeMap, treeUnflatten } from "./pytree.ts";

/** The same tree with its arrays on `device` (the default device if none is named). Numbers become arrays. */
export function devicePut<T>(tree: T, device: Device = defaultDevice()): T {
  return treeMap((x: ArrayLike) => {
    const array = asArray(x);
    if (array instanceof ConcreteArray) array.bufferOn(device);
    return array;
  }, tree);
}

/** The same tree with typed arrays, copied from the device, in place of the arrays. */
export async function deviceGet(tree: Pytree): Promise<Pytree> {
  const [leaves, treedef] = treeFlatten(tree);
  const values: TypedArray[] = await Promise.all(leaves.map((x) => asArray(x as ArrayLike).data()));
  return treeUnflatten(treedef, values);
}

/** Resolves to the same tree when all of its arrays have been computed; failures surface here. */
export async function blockUntilReady<T>(tree: T): Promise<T> {
  await Promise.all(treeFlatten(tree)[0].map((x) => (x as Partial<NDArray>).blockUntilReady?.()));
  return tree;
}
