import {
  batchRule,
  bind,
  bind1,
  definePrimitive,
  dtypeKind,
  type HostArray,
  hostPlaceRule,
  isComplex,
  itemsize,
  type NDArray,
  type Primitive,
  type ProcessExchange,
  type ProcessGroups,
  type StandardDType,
  updateAval,
} from "@traceform/core";
import { convertElementType } from "@traceform/lax";
import { currentTransport } from "./current.ts";
import type { Groups, ReducibleDType, ReduceOp } from "./transport.ts";

// Collectives between processes are operations of programs that run on the host: kernels, collective, kernels. They stand in programs only
// after all transformations, when what the devices of one process do has been put together (`lockstep.ts` in pmap).

interface ReduceParams {
  readonly op: ReduceOp;
  readonly groups: Groups;
}
interface GatherParams {
  readonly groups: Groups;
  readonly count: number;
}

type Batched = readonly [outs: readonly NDArray[], dims: readonly (number | null)[]];

/** Any number of operands, each reduced over the processes of a group: one call for each. */
const reduceP: Primitive<ReduceParams> = /* @__PURE__ */ definePrimitive<ReduceParams>("process_reduce", {
  abstractEval: (avals) => [...avals],
  rules: {
    [hostPlaceRule]: (operands: readonly HostArray[], results: readonly HostArray[], { op, groups }: ReduceParams): void =>
      operands.forEach(({ bytes, dtype }, i) =>
        currentTransport("psum").allReduce(bytes, results[i].bytes, dtype as ReducibleDType, op, groups),
      ),
    // The batch is one that this process has, of another mesh axis: its members are reduced as they are.
    [batchRule]: (args: readonly NDArray[], dims: readonly (number | null)[], params: ReduceParams): Batched => [
      bind(reduceP, args, params),
      dims,
    ],
  },
});

/** One operand: those of all members of a group, along a new first axis. */
const gatherP: Primitive<GatherParams> = /* @__PURE__ */ definePrimitive<GatherParams>("process_gather", {
  abstractEval: ([x], { count }) => [updateAval(x, { shape: [count, ...x.shape] })],
  rules: {
    [hostPlaceRule]: ([x]: readonly HostArray[], [result]: readonly HostArray[], { groups }: GatherParams): void =>
      currentTransport("allGather").allGather(x.bytes, result.bytes, groups),
    [batchRule]: ([x]: readonly NDArray[], [dim]: readonly (number | null)[], params: GatherParams): Batched => [
      [bind1(gatherP, [x], params)],
      [dim === null ? null : dim + 1],
    ],
  },
});

/** A dtype in which transports reduce: 16-bit floats are summed in 32 bits. */
function reducible(x: NDArray): NDArray {
  const kind = dtypeKind(x.dtype);
  if (kind === "bool") return convertElementType(x, "uint8");
  return kind === "float" && !isComplex(x.dtype) && itemsize(x.dtype as StandardDType) === 2 ? convertElementType(x, "float32") : x;
}

/** The exchange between the processes of a transport. */
export const exchange: ProcessExchange = {
  reduce(op: ReduceOp, xs: readonly NDArray[], groups: ProcessGroups): NDArray[] {
    const outs = bind(reduceP, xs.map(reducible), { op, groups });
    return outs.map((y, i) => (y.dtype === xs[i].dtype ? y : convertElementType(y, xs[i].dtype)));
  },
  gather: (x: NDArray, groups: ProcessGroups): NDArray => bind1(gatherP, [x], { groups, count: groups[0].length }),
};
