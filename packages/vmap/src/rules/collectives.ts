import { bind, type NDArray, type Primitive, scalar, TransformError } from "@traceform/core";
import { axisIndexP, type CollectiveParams, iota, mul, pmaxP, pminP, psumP, reduceMax, reduceMin, reduceSum } from "@traceform/lax";
import { type BatchEntry, entry } from "../rule.ts";

/**
 * A reduction over named axes. Over the batch's own name it reduces the batch axis, and what is the same for all
 * members goes through `shared`; other names are left to the traces further out.
 */
function collective(
  primitive: Primitive<CollectiveParams>,
  reduce: (x: NDArray, axes: readonly number[]) => NDArray,
  shared: (x: NDArray, size: number) => NDArray,
): BatchEntry {
  return entry(primitive, (args, dims, params, { axisName, axisSize }) => {
    if (axisName === null || !params.axes.includes(axisName)) return [bind(primitive, args, params), dims];
    if (params.axisIndexGroups !== null) {
      throw new TransformError(primitive.name, {
        message: "axisIndexGroups do not work over an axis of vmap",
        fix: "reshape the axis into two",
      });
    }
    const reduced = args.map((x, i) => (dims[i] === null ? shared(x, axisSize) : reduce(x, [dims[i]])));
    const axes = params.axes.filter((a) => a !== axisName);
    return [axes.length === 0 ? reduced : bind(primitive, reduced, { ...params, axes }), reduced.map(() => null)];
  });
}

export const collectiveRules = (): BatchEntry[] => [
  collective(psumP, reduceSum, (x, size) => mul(x, scalar(size, x.dtype))),
  collective(pmaxP, reduceMax, (x) => x),
  collective(pminP, reduceMin, (x) => x),
  entry(axisIndexP, (_args, _dims, params, { axisName, axisSize }) =>
    params.axisName === axisName ? [[iota("int32", axisSize)], [0]] : [bind(axisIndexP, [], params), [null]],
  ),
];
