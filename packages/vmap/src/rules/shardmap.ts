import { bind, NamedSharding, PartitionSpec, shardingConstraintP, type SpecEntry, TransformError, withMesh } from "@traceform/core";
import { shardMapP } from "@traceform/lax";
import { moveAxis } from "../internal/axes.ts";
import { type BatchEntry, entry } from "../rule.ts";

/** A spec with an entry for the batch in front. */
const inFront = (spec: PartitionSpec, batch: SpecEntry): PartitionSpec => PartitionSpec(batch, ...spec);

/**
 * A batch of whole arrays is a batch of shards: every device has all members, or, when the batch is spread over mesh axes
 * (`spmdAxisName`), its part of them.
 */
export const shardMapRules = (): BatchEntry[] => [
  entry(shardingConstraintP, ([x], [dim], { sharding }, { spmdAxisName }) => {
    const { mesh, spec } = sharding;
    const batch = spmdAxisName.filter((name) => name in mesh.shape && !spec.axes.flat().includes(name));
    const entries = [...spec, ...new Array<null>(Math.max(0, dim! - spec.axes.length)).fill(null)];
    const around = PartitionSpec(...entries.slice(0, dim!), batch.length === 0 ? null : batch, ...entries.slice(dim!));
    return [bind(shardingConstraintP, [x], { sharding: new NamedSharding(mesh, around) }), [dim]];
  }),
  entry(shardMapP, (args, dims, params, context) => {
    const { mesh, checkVma } = params;
    const spread = context.spmdAxisName.filter((name) => name in mesh.shape);
    const parts = mesh.axisSize(spread);
    if (context.axisSize % parts !== 0) {
      throw new TransformError("vmap", {
        message: `a batch of ${context.axisSize} cannot be spread over the ${parts} positions along ${spread.join(", ")}`,
        fix: "make the batch a multiple of them, or leave spmdAxisName out",
      });
    }
    const taken = [...params.inSpecs, ...params.outSpecs].flatMap((s) => s.axes.flat()).find((name) => spread.includes(name));
    if (taken !== undefined) {
      throw new TransformError("vmap", {
        message: `spmdAxisName names "${taken}", along which shardMap cuts an axis of an array already`,
        fix: "spread the batch over a mesh axis that no spec names",
      });
    }
    const batched = dims.map((d) => d !== null);
    const { jaxpr, consts, batchedOut } = withMesh(mesh, checkVma, () =>
      context.batchJaxpr(params.jaxpr, batched, false, { parts, varying: checkVma ? spread : [] }),
    );
    const batch = spread.length === 0 ? null : spread;
    const outs = bind(shardMapP, [...consts, ...args.map((x, i) => (dims[i] === null ? x : moveAxis(x, dims[i], 0)))], {
      ...params,
      jaxpr,
      inSpecs: [...consts.map(() => PartitionSpec()), ...params.inSpecs.map((s, i) => (batched[i] ? inFront(s, batch) : s))],
      outSpecs: params.outSpecs.map((s, i) => (batchedOut[i] ? inFront(s, batch) : s)),
    });
    return [outs, batchedOut.map((b) => (b ? 0 : null))];
  }),
];
