import { expandLowerRules, type Jaxpr, type Mesh, type NamedSharding, type NDArray } from "@traceform/core";
import { cutOf, cutsOf, ownLayouts, shardingOf } from "../propagate.ts";
import { mapShards } from "../shardmap.ts";
import { Partitioner } from "./partitioner.ts";
import { refine } from "./refine.ts";

/**
 * A program of whole arrays as the program of one shard that every device runs, with the collectives that it needs: what devices
 * without a common memory compile. Operands and results are laid out as given, or, `null`, as propagation says.
 *
 * @returns the results of the program on `args`, through `shardMap`
 * @throws {RuleError} where a large array would have to be copied to all devices
 */
export function runPartitioned(
  jaxpr: Jaxpr,
  args: readonly NDArray[],
  mesh: Mesh,
  inShardings: readonly (NamedSharding | null)[],
  outShardings: readonly (NamedSharding | null)[] | null = null,
  name = "partitioned",
): NDArray[] {
  const wanted = jaxpr.outvars.map(({ aval }, i) => (outShardings?.[i] ? cutOf(outShardings[i], aval.ndim) : null));
  const program = refine(expandLowerRules(jaxpr, ownLayouts), inShardings, wanted, mesh, name);
  const ins = program.invars.map((v, i) => cutOf(inShardings[i], v.aval.ndim));
  const propagated = cutsOf(program, ins, mesh, name);
  const outs = propagated.map((cut, i) => wanted[i] ?? cut);
  const partitioner = new Partitioner(mesh, name);
  const results = mapShards(
    {
      name,
      mesh,
      checkVma: false,
      inSpecs: ins.map((cut) => shardingOf(mesh, cut).spec),
      outSpecs: () => outs.map((cut) => shardingOf(mesh, cut).spec),
      run: (shards) => partitioner.evaluate(program, shards, ins, outs),
    },
    args,
  );
  return results as NDArray[];
}
