import {
  type ArrayLike,
  asArray,
  AxisError,
  bind,
  broadcastPrefix,
  checkArrayLeaves,
  checkSpec,
  constvarsToInvars,
  type Inputs,
  isBoundAxis,
  isPartitionSpec,
  type Jaxpr,
  type Mesh,
  meshForSpecs,
  type NDArray,
  PartitionSpec,
  shardShape,
  traceTree,
  TransformError,
  type Treedef,
  treeFlatten,
  treeFlattenWithPath,
  treeUnflatten,
  withMesh,
} from "@traceform/core";
import { shardAval, shardMapP } from "@traceform/lax";
import { lockstep } from "./lockstep.ts";
import { provideParallel } from "./inblocks.ts";
import type { ShardMapOptions } from "./types.ts";

interface Options {
  readonly mesh?: Mesh;
  readonly inSpecs: unknown;
  readonly outSpecs: unknown;
  readonly checkVma?: boolean;
}

/**
 * A function of whole arrays from a function of one shard, which runs at every position of a mesh. `inSpecs` say how the arguments
 * are cut into shards, `outSpecs` how the shards of results make whole arrays; inside, collectives (`psum`, `allGather`, `ppermute`, …)
 * exchange data between positions by the names of the mesh axes.
 *
 * With `checkVma` (the default) values know along which axes they differ between positions. So a result that `outSpecs` declare to be the
 * same everywhere is known to be, and derivatives are right: the cotangent of a value that all positions share is the sum of
 * theirs.
 *
 * @throws {ShapeError} when an axis of an argument cannot be cut into equal shards
 * @throws {TransformError} when `outSpecs` declare a result to be the same along an axis along which it may differ, and for async functions
 * @throws {TreeError} for specs that are no prefix of the arguments or results
 * @example
 * ```ts
 * const mesh = makeMesh([2], ["data"]);
 * const total = shardMap((x: NDArray) => psum(sum(x), "data"), {
 *   mesh,
 *   inSpecs: PartitionSpec("data"),
 *   outSpecs: PartitionSpec(),
 * });
 * total(array([1, 2, 3, 4])).itemSync(); // => 10
 * ```
 */
export function shardMap<A extends unknown[], R>(
  f: (...args: A) => R,
  options: ShardMapOptions<NoInfer<A>, NoInfer<R>>,
): (...args: Inputs<A>) => R {
  const name = `shardMap(${f.name || "anonymous"})`;
  return (...args) => {
    const fn = f as unknown as (...args: unknown[]) => unknown;
    return runShards(name, fn, options as Options, args as readonly unknown[]) as R;
  };
}

function runShards(name: string, f: (...args: unknown[]) => unknown, options: Options, args: readonly unknown[]): unknown {
  const { mesh = meshForSpecs(name), checkVma = true } = options;
  const list = [...args];
  const [leaves, inTree] = treeFlatten(list);
  checkArrayLeaves(name, list);
  const arrays = leaves.map((x) => asArray(x as ArrayLike));
  const inSpecs = specsOf(name, options.inSpecs, inTree, mesh, "inSpecs");
  arrays.forEach((x, i) => {
    if (inSpecs[i].axes.length > 0) shardShape(name, x.shape, inSpecs[i], mesh, `args${treeFlattenWithPath(list)[i][0]}`);
  });
  const program: ShardProgram = {
    name,
    mesh,
    checkVma,
    inSpecs,
    outSpecs: (tree) => specsOf(name, options.outSpecs, tree, mesh, "outSpecs"),
    run: (shards) => f(...(treeUnflatten(inTree, shards) as unknown[])),
  };
  return mapShards(program, arrays);
}

/** What runs on each shard. */
export interface ShardProgram {
  readonly name: string;
  readonly mesh: Mesh;
  readonly checkVma: boolean;
  readonly inSpecs: readonly PartitionSpec[];
  /** The specs of results whose tree is this; asked for when the program has been traced. */
  outSpecs(tree: Treedef): readonly PartitionSpec[];
  run(shards: readonly NDArray[]): unknown;
}

/** Traces a program of one shard, and applies it to whole arrays that can be cut as its specs say. */
export function mapShards({ name, mesh, checkVma, inSpecs, outSpecs, run }: ShardProgram, arrays: readonly NDArray[]): unknown {
  provideParallel();
  const bound = mesh.axisNames.find(isBoundAxis);
  if (bound !== undefined) {
    throw new TransformError(name, {
      message: `the axis "${bound}" of ${mesh} has the name of an axis around it`,
      fix: "give the axes of nested meshes, and of vmap and pmap around them, names of their own",
    });
  }
  const traced = withMesh(mesh, checkVma, () =>
    traceTree(
      (...shards) => run(shards),
      arrays.map((x, i) => shardAval(x.aval, mesh, inSpecs[i], checkVma)),
      name,
    ),
  );
  const { outTree } = traced;
  const specs = outSpecs(outTree);
  checkResults(name, traced.jaxpr, outTree, specs, mesh, checkVma);
  const outs = bind(shardMapP, [...traced.consts, ...arrays], {
    name,
    jaxpr: constvarsToInvars(traced.jaxpr),
    mesh,
    inSpecs: [...traced.consts.map(() => PartitionSpec()), ...inSpecs],
    outSpecs: specs,
    checkVma,
    lockstep,
  });
  return treeUnflatten(outTree, outs);
}

/** One spec for each array; `null` is one that cuts nothing. */
function specsOf(name: string, prefix: unknown, tree: Treedef, mesh: Mesh, what: string): PartitionSpec[] {
  return broadcastPrefix(prefix, tree, name, what).map((spec) => {
    if (spec === null || spec === undefined) return PartitionSpec();
    if (!isPartitionSpec(spec)) {
      throw new TransformError(name, {
        message: `${what} holds ${String(spec)}, which is no partition spec`,
        fix: 'give PartitionSpec("axis") for arrays that are cut along a mesh axis, PartitionSpec() for those that are not',
      });
    }
    checkSpec(name, spec, mesh);
    return spec;
  });
}

function checkResults(
  name: string,
  { outvars }: Jaxpr,
  tree: Treedef,
  specs: readonly PartitionSpec[],
  mesh: Mesh,
  checkVma: boolean,
): void {
  const place = (i: number): string =>
    `the result${
      treeFlattenWithPath(
        treeUnflatten(
          tree,
          outvars.map((_, k) => k),
        ),
      )[i][0]
    }`;
  outvars.forEach(({ aval }, i) => {
    const spec = specs[i];
    if (spec.axes.length > aval.ndim) {
      throw new AxisError(name, {
        message: `outSpecs give ${spec} for ${place(i)}, a shard of shape [${aval.shape.join(",")}], which has ${aval.ndim} axes`,
        fix: "give at most one entry for each axis; a scalar that differs between shards gets an axis with reshape(x, [1])",
      });
    }
    const differs = checkVma ? aval.varying.find((a) => mesh.axisNames.includes(a) && !spec.axes.flat().includes(a)) : undefined;
    if (differs === undefined) return;
    throw new TransformError(name, {
      message: `outSpecs give ${spec} for ${place(i)}, which says that it is the same along the mesh axis "${differs}", but it may differ: it is ${aval}`,
      fix: `if it is to be the same, make it so with psum, pmean, pmax or allGatherInvariant along "${differs}"; if not, name "${differs}" in its spec; if you know that it is, pass { checkVma: false }`,
    });
  });
}
