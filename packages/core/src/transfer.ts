import { asArray, type ArrayLike } from "./arrays.ts";
import { bind1 } from "./bind.ts";
import { heldOf } from "./blocks.ts";
import { cutBlock } from "./cutting.ts";
import { ConcreteArray } from "./concrete.ts";
import { defaultDevice } from "./backends.ts";
import type { Device } from "./device.ts";
import { TransformError } from "./errors.ts";
import type { TypedArray } from "./host.ts";
import type { NDArray } from "./ndarray.ts";
import { broadcastPrefix, type Pytree, treeFlatten, treeUnflatten } from "./pytree.ts";
import { shardingConstraintP } from "./relayout.ts";
import { NamedSharding, Sharding, SingleDeviceSharding } from "./sharding.ts";

/**
 * Where arrays go: a device, a sharding over several, or a tree of such for the first levels of the tree of arrays. `null` leaves
 * them where they are.
 */
export type Placement = Device | Sharding | readonly (Placement | null)[] | { readonly [key: string]: Placement | null };

function isDevice(x: unknown): x is Device {
  return typeof x === "object" && x !== null && "backend" in x && "releaseById" in x;
}

/**
 * The same tree with its arrays on a device, or laid out as a sharding says. Numbers become arrays. Where no place is named arrays that are
 * laid out stay as they are, and all others go to the default device.
 * Over a mesh that spans processes every process keeps its block only, of values that all of them give; what is laid out over processes
 * already is exchanged between them.
 *
 * @throws {ShapeError} for arrays that the sharding cannot cut into equal shards
 * @throws {TreeError} for placements that are no prefix of the tree
 * @example
 * ```ts
 * const mesh = makeMesh([2], ["data"]);
 * const x = devicePut(array([[1, 2], [3, 4]]), new NamedSharding(mesh, PartitionSpec("data")));
 * x.addressableShards[1].data.jsSync(); // => [[3, 4]]
 * ```
 */
export function devicePut<T>(tree: T, placement?: Placement): T {
  const [leaves, treedef] = treeFlatten(tree);
  const places =
    placement === undefined || isDevice(placement) || placement instanceof Sharding
      ? leaves.map(() => placement)
      : broadcastPrefix(devicesAsLeaves(placement), treedef, "devicePut", "the placement").map((p) =>
          p instanceof Held ? p.device : p,
        );
  return treeUnflatten(
    treedef,
    leaves.map((leaf, i) => put(asArray(leaf as ArrayLike), places[i] as Device | Sharding | null | undefined)),
  ) as T;
}

/** A device as a leaf of a tree, whatever kind of object it is. */
class Held {
  readonly device: Device;
  constructor(device: Device) {
    this.device = device;
  }
}

function devicesAsLeaves(placement: Placement | null): unknown {
  if (placement === null) return null;
  if (isDevice(placement)) return new Held(placement);
  if (placement instanceof Sharding) return placement;
  if (Array.isArray(placement)) return placement.map(devicesAsLeaves);
  if (typeof placement === "object") {
    return Object.fromEntries(Object.entries(placement).map(([k, v]) => [k, devicesAsLeaves(v as Placement)]));
  }
  throw new TransformError("devicePut", {
    message: `${String(placement)} is neither a device nor a sharding`,
    fix: "give one of devices(), or a NamedSharding",
  });
}

function put(x: NDArray, place: Device | Sharding | null | undefined): NDArray {
  if (place === null || !(x instanceof ConcreteArray)) return x;
  if (place === undefined) return x.givenSharding === null ? put(x, defaultDevice()) : x;
  if (place instanceof Sharding) {
    place.shardShape(x.shape);
    // What others hold comes by a program of all processes.
    if (x.isPartial && place instanceof NamedSharding && !place.isEquivalentTo(x.sharding, x.ndim)) {
      return bind1(shardingConstraintP, [x], { sharding: place });
    }
    return heldOf(place) === null || x.isPartial ? x.withSharding(place) : cutBlock(x, place);
  }
  const there = new SingleDeviceSharding(place);
  if (x.isPartial) return x.withSharding(there);
  x.bufferOn(place);
  return x.sharding.equals(there) ? x : x.withSharding(there);
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
