import {
  type Aval,
  dceRule,
  definePrimitive,
  evalJaxpr,
  type Jaxpr,
  joinVarying,
  lowerRule,
  type Mesh,
  NamedSharding,
  type NDArray,
  type PartitionSpec,
  type Primitive,
  scopeRule,
  shardingRule,
  type ShardingRule,
  stepsRule,
  type StepsRule,
  traceToJaxpr,
  updateAval,
  withMesh,
} from "@traceform/core";
import { dceShardMap } from "./internal/dce.ts";

/** What `pmap` knows of programs of shards that go in step, as devices that share a memory do. */
export interface Lockstep {
  /** Computes a `shard_map` with operations on whole arrays. */
  expand(args: readonly NDArray[], params: ShardMapParams): readonly NDArray[];
  /** For each result of a jaxpr of one shard the mesh axes along which it differs between shards, found by what it is made of. */
  varying(jaxpr: Jaxpr, mesh: Mesh, inSpecs: readonly PartitionSpec[]): readonly (readonly string[])[];
}

/** One program for each position of a mesh, each on its shard of the operands. */
export interface ShardMapParams {
  readonly name: string;
  /** Of one shard. Avals carry the axes along which values vary, unless `checkVma` is false. No constvars. */
  readonly jaxpr: Jaxpr;
  readonly mesh: Mesh;
  readonly inSpecs: readonly PartitionSpec[];
  readonly outSpecs: readonly PartitionSpec[];
  /** Whether values know along which axes they vary, so that derivatives and `outSpecs` can rely on it. */
  readonly checkVma: boolean;
  readonly lockstep: Lockstep;
}

/**
 * Operands and results are whole arrays. It stays in the jaxpr until the program is compiled, when `lockstep.expand`
 * replaces it.
 */
export const shardMapP: Primitive<ShardMapParams> = /* @__PURE__ */ definePrimitive<ShardMapParams>("shard_map", {
  hiddenParams: ["lockstep", "name"],
  rules: {
    [dceRule]: dceShardMap,
    [lowerRule]: (args: readonly NDArray[], params: ShardMapParams) => params.lockstep.expand(args, params),
    [scopeRule]: <T>({ mesh, checkVma }: ShardMapParams, run: () => T): T => withMesh(mesh, checkVma, run),
    [stepsRule]: ((args, params, run) => {
      const { jaxpr } = traceToJaxpr(
        (...xs) => params.lockstep.expand(xs, params),
        args.map((x) => x.aval),
        params.name,
      );
      return run(jaxpr, args);
    }) satisfies StepsRule<ShardMapParams>,
    [shardingRule]: ((_shardings, { mesh, outSpecs }) =>
      outSpecs.map((spec) => new NamedSharding(mesh, spec))) satisfies ShardingRule<ShardMapParams>,
  },
  abstractEval: (avals, { jaxpr, mesh, outSpecs }) => ({
    avals: jaxpr.outAvals.map((a, i) => wholeAval(a, mesh, outSpecs[i], avals)),
    effects: [...jaxpr.effects],
  }),
});

/** The aval of a whole array from that of its shard. It varies along axes of meshes further out. */
function wholeAval(shard: Aval, mesh: Mesh, { axes }: PartitionSpec, operands: readonly Aval[]): Aval {
  const outer = joinVarying([shard, ...operands]).filter((a) => !mesh.axisNames.includes(a));
  return updateAval(shard, { shape: shard.shape.map((n, d) => n * mesh.axisSize(axes[d] ?? [])), varying: outer });
}

/** The aval of one shard of a whole array: `tracked` says whether it knows along which axes it varies. */
export function shardAval(whole: Aval, mesh: Mesh, spec: PartitionSpec, tracked: boolean): Aval {
  const { axes } = spec;
  return updateAval(whole, {
    shape: whole.shape.map((n, d) => n / mesh.axisSize(axes[d] ?? [])),
    varying: tracked ? [...new Set([...whole.varying, ...axes.flat()])].sort() : whole.varying,
  });
}

/** Evaluates the jaxpr of one shard within the names of its mesh. */
export function evalShard({ jaxpr, mesh, checkVma }: ShardMapParams, args: readonly NDArray[]): NDArray[] {
  return withMesh(mesh, checkVma, () => evalJaxpr(jaxpr, [], args));
}
