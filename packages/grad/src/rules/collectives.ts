import { bind, bind1, type NDArray, type Primitive, tracksVarying } from "@traceform/core";
import {
  allGatherInvariantP,
  allGatherP,
  allToAllP,
  axisIndex,
  type CollectiveParams,
  convertElementType,
  div,
  dynamicSliceInDim,
  eq,
  mul,
  pmaxP,
  pminP,
  ppermuteP,
  psumP,
  pvaryP,
  reduceScatterP,
  squeeze,
  varyTo,
} from "@traceform/lax";
import { type JvpEntry, jvpEntry, type Tangent, type TransposeEntry, transposeEntry } from "../rule.ts";

/** Applies a collective to the tangents, or cotangents, that there are. */
function present<P>(primitive: Primitive<P>, ts: readonly Tangent[], params: P): Tangent[] {
  const outs = bind(
    primitive,
    ts.filter((t) => t !== null),
    params,
  );
  let k = 0;
  return ts.map((t) => (t === null ? null : outs[k++]));
}

function linear<P>(primitive: Primitive<P>): JvpEntry {
  return jvpEntry(primitive, (primals, tangents, params) => [
    bind(primitive, primals, params),
    present(primitive, tangents, params),
  ]);
}

/** The extreme value moves with those who have it; several share equally, as in a maximum over an axis of an array. */
function extreme(primitive: Primitive<CollectiveParams>): JvpEntry {
  return jvpEntry(primitive, (primals, tangents, params) => {
    const outs = bind(primitive, primals, params);
    const sum = (x: NDArray): NDArray => bind1(psumP, [x], params);
    const dots = outs.map((y, i) => {
      const t = tangents[i];
      if (t === null) return null;
      const has = convertElementType(eq(primals[i], y), t.dtype);
      return div(sum(mul(t, has)), sum(has));
    });
    return [outs, dots];
  });
}

export const collectiveJvps = (): JvpEntry[] => [
  linear(psumP),
  linear(pvaryP),
  linear(allGatherP),
  linear(allGatherInvariantP),
  linear(reduceScatterP),
  linear(allToAllP),
  linear(ppermuteP),
  extreme(pmaxP),
  extreme(pminP),
];

export const collectiveTransposes = (): TransposeEntry[] => [
  // Every member's result depends on every member's operand, so the cotangents of all results are summed.
  transposeEntry(psumP, (cts, _operands, params) => {
    if (params.axisIndexGroups !== null) return present(psumP, cts, params);
    // Along an axis where values know that they vary, the sum is one value for all, and so is its cotangent.
    const axes = params.axes.filter((a) => !tracksVarying(a));
    const summed = axes.length === 0 ? cts : present(psumP, cts, { ...params, axes });
    return summed.map((ct) => (ct === null ? null : varyTo(ct, params.axes)));
  }),
  transposeEntry(pvaryP, (cts) => cts),
  transposeEntry(allGatherInvariantP, ([ct], _operands, { allGatherDimension, axisName, axisSize, tiled }) => {
    const size = tiled ? ct!.shape[allGatherDimension] / axisSize : 1;
    const own = dynamicSliceInDim(varyTo(ct!, [axisName]), mul(axisIndex(axisName), size), size, allGatherDimension);
    return [tiled ? own : squeeze(own, [allGatherDimension])];
  }),
  transposeEntry(allGatherP, (cts, _operands, { allGatherDimension: scatterDimension, ...rest }) =>
    present(reduceScatterP, cts, { ...rest, scatterDimension }),
  ),
  transposeEntry(reduceScatterP, (cts, _operands, { scatterDimension: allGatherDimension, ...rest }) =>
    present(allGatherP, cts, { ...rest, allGatherDimension }),
  ),
  transposeEntry(allToAllP, (cts, _operands, { splitAxis: concatAxis, concatAxis: splitAxis, ...rest }) =>
    present(allToAllP, cts, { ...rest, splitAxis, concatAxis }),
  ),
  transposeEntry(ppermuteP, (cts, _operands, { perm, ...rest }) =>
    present(ppermuteP, cts, { ...rest, perm: perm.map(([from, to]) => [to, from] as const) }),
  ),
];
