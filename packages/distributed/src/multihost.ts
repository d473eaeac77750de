import {
  asArray,
  type ArrayLike,
  BackendError,
  broadcastPrefix,
  type ConcreteArray,
  devicePut,
  heldOf,
  heldPart,
  makeArrayFromProcessLocalData,
  type Mesh,
  NamedSharding,
  type NDArray,
  type PartitionSpec,
  treeFlatten,
  treeFlattenWithPath,
  type TreePrefix,
  treeUnflatten,
} from "@traceform/core";
import { current } from "./current.ts";
import { compareNotes } from "./exchange.ts";
import { arrayOf, hostArray } from "./host.ts";

// What programs of several processes need beside collectives, in the shape of `jax.experimental.multihost_utils`. In a process that
// runs alone all of it is the identity.

/**
 * The arrays of a tree, with their paths. Memory of all processes is exchanged by its size, so it must be the same in all of them.
 * @throws {BackendError} in every process, when another has other arrays
 */
function alikeInAll(fn: string, tree: unknown): (readonly [path: string, x: NDArray])[] {
  const leaves = treeFlattenWithPath(tree).map(([path, leaf]) => [path, asArray(leaf as ArrayLike)] as const);
  if (current() === null) return leaves;
  leaves.forEach(([path, x], i) => {
    const own = `array ${i + 1} of ${leaves.length}: ${x.aval} ${path}`.trimEnd();
    compareNotes(fn, "what they exchange", own, "give all processes trees of the same structure, shapes and dtypes");
  });
  return leaves;
}

/**
 * The values of process 0, in every process: initial parameters, a seed, what was read from a file. The arrays of a pytree keep their shapes
 * and dtypes.
 * @throws {BackendError} in every process, when they are not the same everywhere
 */
export async function broadcastOneToAll<T>(tree: T): Promise<T> {
  const transport = current();
  if (transport === null) return tree;
  const arrays: NDArray[] = [];
  for (const [, x] of alikeInAll("broadcastOneToAll", tree)) {
    const host = await hostArray("broadcastOneToAll", x);
    const bytes = host.bytes.slice();
    transport.broadcast(bytes, 0);
    arrays.push(arrayOf({ ...host, bytes }));
  }
  return treeUnflatten(treeFlatten(tree)[1], arrays) as T;
}

export interface ProcessAllgatherOptions {
  /** One array after the other along their first axis, and no new one. */
  readonly tiled?: boolean;
}

/**
 * The values of all processes: each array of the pytree with a new first axis, along which the processes are, or, tiled, joined along
 * its first axis. Scalars get an axis in any case. Of an array that is laid out over processes it is the whole, whichever was asked for.
 * @throws {BackendError} in every process, when the structures, shapes or dtypes are not the same everywhere
 */
export async function processAllgather<T>(tree: T, { tiled = false }: ProcessAllgatherOptions = {}): Promise<T> {
  const transport = current();
  const gathered: NDArray[] = [];
  for (const [, x] of alikeInAll("processAllgather", tree)) {
    if (!x.isFullyAddressable) {
      gathered.push(wholeOf(x));
      continue;
    }
    const host = await hostArray("processAllgather", x);
    const count = transport?.processCount ?? 1;
    const bytes = new Uint8Array(count * host.bytes.length);
    if (transport === null) bytes.set(host.bytes);
    else transport.allGather(host.bytes, bytes);
    const [first, ...rest] = host.shape;
    gathered.push(
      arrayOf({ ...host, shape: tiled && first !== undefined ? [count * first, ...rest] : [count, ...host.shape], bytes }),
    );
  }
  return treeUnflatten(treeFlatten(tree)[1], gathered) as T;
}

/** All of an array that is laid out over processes, in each of them, on a device of its own: what is done with it is that process's affair. */
function wholeOf(x: NDArray): NDArray {
  const whole = heldOf(x.sharding) === null ? x : devicePut(x, new NamedSharding((x.sharding as NamedSharding).mesh));
  return devicePut(whole, x.sharding.addressableDevices[0]);
}

/**
 * Each array of the pytree, of which every process has its own part, as one that is laid out over the mesh as a spec says: one spec for all, or
 * a tree of them. What is laid out over processes already stays as it is. Along axes that the spec does not cut all processes have to
 * have the same.
 * @see `makeArrayFromProcessLocalData`
 */
export function hostLocalArrayToGlobalArray<T>(tree: T, mesh: Mesh, specs: TreePrefix<T, PartitionSpec>): T {
  return mapLaidOut("hostLocalArrayToGlobalArray", tree, mesh, specs, (x, sharding) =>
    x.isFullyAddressable ? makeArrayFromProcessLocalData(sharding, x) : x,
  );
}

/** What this process holds of each array of the pytree, laid out over the mesh as a spec says, as an array of its own devices. */
export function globalArrayToHostLocalArray<T>(tree: T, mesh: Mesh, specs: TreePrefix<T, PartitionSpec>): T {
  return mapLaidOut("globalArrayToHostLocalArray", tree, mesh, specs, (x, sharding) =>
    heldPart(devicePut(x, sharding).concrete("globalArrayToHostLocalArray") as ConcreteArray),
  );
}

function mapLaidOut<T>(
  fn: string,
  tree: T,
  mesh: Mesh,
  specs: TreePrefix<T, PartitionSpec>,
  f: (x: NDArray, sharding: NamedSharding) => NDArray,
): T {
  const [leaves, def] = treeFlatten(tree);
  const all = broadcastPrefix(specs, def, fn, "the specs") as PartitionSpec[];
  return treeUnflatten(
    def,
    leaves.map((x, i) => f(asArray(x as ArrayLike), new NamedSharding(mesh, all[i]))),
  ) as T;
}

/** Returns when all processes have come here. */
export function syncGlobalDevices(): void {
  current()?.barrier();
}

/**
 * Throws unless all processes have the same arrays, with the same values, bit for bit.
 * @throws {BackendError} in every process; it names the first array that differs
 */
export async function assertEqual(tree: unknown, message = "the processes have different values"): Promise<void> {
  const transport = current();
  if (transport === null) return;
  for (const [path, x] of alikeInAll("assertEqual", tree)) {
    const { bytes } = await hostArray("assertEqual", x);
    const all = new Uint8Array(transport.processCount * bytes.length);
    transport.allGather(bytes, all);
    const different = all.findIndex((b, i) => b !== all[i % bytes.length]);
    if (different < 0) continue;
    throw new BackendError("assertEqual", {
      message: `${message}: ${path === "" ? "the array" : path} of process ${Math.floor(different / bytes.length)} is not that of process 0`,
      operands: { x },
      fix: "give all processes the same seed and the same data, or the values of one with broadcastOneToAll",
    });
  }
}
