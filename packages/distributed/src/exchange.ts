import {
  type Aval,
  batchRule,
  bind,
  bind1,
  definePrimitive,
  dtypeKind,
  type HostArray,
  hostRule,
  isComplex,
  itemsize,
  type NDArray,
  physical,
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

const hostArray = (aval: Aval): HostArray => {
  const { shape, dtype } = physical(aval);
  return { shape, dtype, bytes: new Uint8Array(shape.reduce((a, b) => a * b, itemsize(dtype))) };
};

/** Any number of operands, each reduced over the processes of a group: one call for each. */
const reduceP: Primitive<ReduceParams> = /* @__PURE__ */ definePrimitive<ReduceParams>("process_reduce", {
  abstractEval: (avals) => [...avals],
  rules: {
    [hostRule]: (args: readonly NDArray[], { op, groups }: ReduceParams, outAvals: readonly Aval[]): readonly HostArray[] =>
      args.map((x, i) => {
        const out = hostArray(outAvals[i]);
        currentTransport("psum").allReduce(x.toHost("psum").bytes, out.bytes, out.dtype as ReducibleDType, op, groups);
        return out;
      }),
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
    [hostRule]: ([x]: readonly NDArray[], { groups }: GatherParams, [aval]: readonly Aval[]): readonly HostArray[] => {
      const out = hostArray(aval);
      currentTransport("allGather").allGather(x.toHost("allGather").bytes, out.bytes, groups);
      return [out];
    },
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
