import { TransformError } from "./errors.ts";
import type { Mesh } from "./mesh.ts";

let current: Mesh | null = null;

/**
 * Makes a mesh the one that partition specs are of where no mesh is given: for `shardMap`, `withShardingConstraint`, and the shardings of
 * `jit`. Disposing of what it returns brings the one before back; `null` takes it away.
 *
 * @example
 * ```ts
 * using _ = setMesh(makeMesh([2], ["data"]));
 * const f = jit((x: NDArray) => withShardingConstraint(multiply(x, 2), P("data")));
 * f(array([1, 2])).addressableShards[1].data.jsSync(); // => [4]
 * ```
 */
export function setMesh(mesh: Mesh | null): Disposable {
  const before = current;
  current = mesh;
  return {
    [Symbol.dispose]() {
      current = before;
    },
  };
}

/** The mesh that was set, or `null`. */
export function getMesh(): Mesh | null {
  return current;
}

/** @throws {TransformError} when no mesh was set */
export function meshForSpecs(fn: string): Mesh {
  if (current !== null) return current;
  throw new TransformError(fn, {
    message: "a partition spec stands without a mesh, and none was set",
    fix: "give the mesh, new NamedSharding(mesh, spec), or set one for all with setMesh(mesh)",
  });
}
