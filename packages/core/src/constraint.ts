import { asArray, type ArrayLike } from "./arrays.ts";
import { bind1 } from "./bind.ts";
import { ConcreteArray } from "./concrete.ts";
import { meshForSpecs } from "./currentmesh.ts";
import { isPartitionSpec, type PartitionSpec } from "./partitionspec.ts";
import { devicePut } from "./transfer.ts";
import { TransformError } from "./errors.ts";
import { isTracer, type NDArray } from "./ndarray.ts";
import { broadcastPrefix, treeFlatten, treeUnflatten } from "./pytree.ts";
import { shardingConstraintP } from "./relayout.ts";
import { NamedSharding } from "./sharding.ts";

/** Layouts of a tree of arrays: partition specs are of the mesh that `setMesh` set. */
export type Layouts = NamedSharding | PartitionSpec | readonly (Layouts | null)[] | { readonly [key: string]: Layouts | null };

/**
 * The same tree, with the layout of its arrays decided inside a traced function: from there it is propagated to what is computed of
 * them. Outside of one it is `devicePut`.
 *
 * @throws {ShapeError} for arrays that the sharding cannot cut into equal shards
 * @throws {TransformError} for a placement that is no `NamedSharding`
 * @example
 * ```ts
 * const rows = new NamedSharding(makeMesh([2], ["data"]), P("data"));
 * const f = jit((x: NDArray) => withShardingConstraint(multiply(x, 2), rows));
 * f(array([1, 2])).addressableShards[1].data.jsSync(); // => [4]
 * ```
 */
export function withShardingConstraint<T>(tree: T, shardings: Layouts): T {
  const [leaves, treedef] = treeFlatten(tree);
  const places =
    shardings instanceof NamedSharding || isPartitionSpec(shardings)
      ? leaves.map(() => shardings)
      : broadcastPrefix(shardings, treedef, "withShardingConstraint", "the shardings");
  return treeUnflatten(
    treedef,
    leaves.map((leaf, i) => constrain("withShardingConstraint", asArray(leaf as ArrayLike), places[i])),
  ) as T;
}

/** @internal */
export function constrain(fn: string, x: NDArray, sharding: unknown): NDArray {
  if (sharding === null || sharding === undefined) return x;
  if (isPartitionSpec(sharding)) return constrain(fn, x, new NamedSharding(meshForSpecs(fn), sharding));
  if (!(sharding instanceof NamedSharding)) {
    throw new TransformError(fn, {
      message: `${String(sharding)} is no layout over a mesh`,
      fix: "give a NamedSharding: new NamedSharding(mesh, PartitionSpec(…)), or null where the layout is not decided",
    });
  }
  return x instanceof ConcreteArray && !isTracer(x)
    ? devicePut(x as NDArray, sharding)
    : bind1(shardingConstraintP, [x], { sharding });
}
