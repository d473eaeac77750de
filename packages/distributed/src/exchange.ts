import {
  BackendError,
  batchRule,
  bind,
  bind1,
  definePrimitive,
  dtypeKind,
  type HostArray,
  hostPlaceRule,
  isComplex,
  itemsize,
  meshBlock,
  type NDArray,
  type Permutation,
  type Primitive,
  type ProcessExchange,
  type ProcessGroups,
  processIndex,
  type StandardDType,
  updateAval,
} from "@traceform/core";
import {
  bitcastConvertType,
  bitwiseAnd,
  bitwiseXor,
  convertElementType,
  fullLike,
  ne,
  select,
  shiftRightArithmetic,
  transpose,
} from "@traceform/lax";
import { currentTransport } from "./current.ts";
import { permuteMembers } from "./permute.ts";
import type { Groups, ReducibleDType, ReduceOp } from "./transport.ts";

// Collectives between processes are operations of programs that run on the host: kernels, collective, kernels. They stand in programs only
// after all transformations, when what the devices of one process do has been put together (`lockstep.ts` in pmap).

interface ReduceParams {
  readonly op: ReduceOp;
  readonly groups: Groups;
}
interface GroupParams {
  readonly groups: ProcessGroups;
}
interface PermuteParams extends GroupParams {
  readonly perm: Permutation;
}

type Batched = readonly [outs: readonly NDArray[], dims: readonly (number | null)[]];

/** An array whose batch, along `dim`, comes after its first axis, which is that of the members. */
function batchSecond(x: NDArray, dim: number | null): NDArray {
  if (dim === null || dim === 1) return x;
  const others = x.shape.map((_, d) => d).filter((d) => d !== dim);
  return transpose(x, others.toSpliced(1, 0, dim));
}

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

/** One operand, whose first axis has a part for each member of a group: the sum of the parts that are for this one. */
const reduceScatterP: Primitive<GroupParams> = /* @__PURE__ */ definePrimitive<GroupParams>("process_reduce_scatter", {
  abstractEval: ([x]) => [updateAval(x, { shape: x.shape.slice(1) })],
  rules: {
    [hostPlaceRule]: ([x]: readonly HostArray[], [result]: readonly HostArray[], { groups }: GroupParams): void =>
      currentTransport("psumScatter").reduceScatter(x.bytes, result.bytes, x.dtype as ReducibleDType, "sum", groups),
    [batchRule]: ([x]: readonly NDArray[], [dim]: readonly (number | null)[], params: GroupParams): Batched => [
      [bind1(reduceScatterP, [batchSecond(x, dim)], params)],
      [dim === null ? null : 0],
    ],
  },
});

/** One operand: those of all members of a group, along a new first axis. */
const gatherP: Primitive<GroupParams> = /* @__PURE__ */ definePrimitive<GroupParams>("process_gather", {
  abstractEval: ([x], { groups }) => [updateAval(x, { shape: [groups[0].length, ...x.shape] })],
  rules: {
    [hostPlaceRule]: ([x]: readonly HostArray[], [result]: readonly HostArray[], { groups }: GroupParams): void =>
      currentTransport("allGather").allGather(x.bytes, result.bytes, groups),
    [batchRule]: ([x]: readonly NDArray[], [dim]: readonly (number | null)[], params: GroupParams): Batched => [
      [bind1(gatherP, [x], params)],
      [dim === null ? null : dim + 1],
    ],
  },
});

/** One operand, whose first axis has a part for each member of a group: the parts that all members have for this one. */
const allToAllP: Primitive<GroupParams> = /* @__PURE__ */ definePrimitive<GroupParams>("process_all_to_all", {
  abstractEval: ([x]) => [x],
  rules: {
    [hostPlaceRule]: ([x]: readonly HostArray[], [result]: readonly HostArray[], { groups }: GroupParams): void =>
      currentTransport("allToAll").allToAll(x.bytes, result.bytes, groups),
    [batchRule]: ([x]: readonly NDArray[], [dim]: readonly (number | null)[], params: GroupParams): Batched => [
      [bind1(allToAllP, [batchSecond(x, dim)], params)],
      [dim === null ? null : 1],
    ],
  },
});

/** One operand, whose first axis are the positions that this process has: what is moved to them, and zeros where nothing is. */
const permuteP: Primitive<PermuteParams> = /* @__PURE__ */ definePrimitive<PermuteParams>("process_permute", {
  abstractEval: ([x]) => [x],
  rules: {
    [hostPlaceRule]: ([x]: readonly HostArray[], [result]: readonly HostArray[], { groups, perm }: PermuteParams): void =>
      permuteMembers(
        currentTransport("ppermute"),
        x,
        result,
        perm,
        groups.find((g) => g.includes(processIndex()))!,
      ),
    [batchRule]: ([x]: readonly NDArray[], [dim]: readonly (number | null)[], params: PermuteParams): Batched => [
      [bind1(permuteP, [batchSecond(x, dim)], params)],
      [dim === null ? null : 1],
    ],
  },
});

const isReal = (x: NDArray): boolean => dtypeKind(x.dtype) === "float" && !isComplex(x.dtype);

/** A dtype in which transports reduce: 16-bit floats are summed in 32 bits. */
function reducible(x: NDArray): NDArray {
  return isReal(x) && itemsize(x.dtype as StandardDType) === 2 ? convertElementType(x, "float32") : x;
}

const orders = {
  float32: { dtype: "int32", signBit: 31, largest: 2n ** 31n - 1n },
  float64: { dtype: "int64", signBit: 63, largest: 2n ** 63n - 1n },
} as const;

/**
 * Floats as integers in the same order, or such integers as floats: negative ones have the order of their bits turned around. Whether a
 * NaN is found by `MPI_MAX` depends on the library; as an integer beyond the infinities it always is.
 */
const turned = (bits: NDArray, { signBit, largest }: (typeof orders)[keyof typeof orders]): NDArray =>
  bitwiseXor(bits, bitwiseAnd(shiftRightArithmetic(bits, fullLike(bits, signBit)), fullLike(bits, largest)));

function extreme(op: "max" | "min", xs: readonly NDArray[], groups: ProcessGroups): NDArray[] {
  const order = (x: NDArray): (typeof orders)[keyof typeof orders] => orders[x.dtype as keyof typeof orders];
  const keys = xs.map((x) => {
    if (!isReal(x)) return x;
    const o = order(x);
    const key = turned(bitcastConvertType(x, o.dtype), o);
    return select(ne(x, x), fullLike(key, op === "max" ? o.largest : -o.largest - 1n), key);
  });
  const outs = bind(reduceP, keys, { op, groups });
  return outs.map((key, i) => (isReal(xs[i]) ? bitcastConvertType(turned(key, order(xs[i])), xs[i].dtype) : key));
}

const back = (y: NDArray, x: NDArray): NDArray => (y.dtype === x.dtype ? y : convertElementType(y, x.dtype));

/** What the processes have agreed on already. */
const agreed = new Set<string>();
/** How much of what is compared is sent: the same for all, since it may differ. */
const noteBytes = 512;

/** The exchange between the processes of a transport. */
export const exchange: ProcessExchange = {
  reduce(op: ReduceOp, xs: readonly NDArray[], groups: ProcessGroups): NDArray[] {
    const wide = xs.map(reducible);
    const outs = op === "sum" ? bind(reduceP, wide, { op, groups }) : extreme(op, wide, groups);
    return outs.map((y, i) => back(y, xs[i]));
  },
  reduceScatter: (x: NDArray, groups: ProcessGroups): NDArray => back(bind1(reduceScatterP, [reducible(x)], { groups }), x),
  gather: (x: NDArray, groups: ProcessGroups): NDArray => bind1(gatherP, [x], { groups }),
  allToAll: (x: NDArray, groups: ProcessGroups): NDArray => bind1(allToAllP, [x], { groups }),
  permute: (x: NDArray, perm: Permutation, groups: ProcessGroups): NDArray => bind1(permuteP, [x], { perm, groups }),
  blockOf: meshBlock,
  agree(fn: string, what: string, own: string, fix: string): void {
    const key = `${what}\n${own}`;
    if (agreed.has(key)) return;
    compareNotes(fn, what, own, fix);
    agreed.add(key);
  },
};

/** Compares a text of all processes. @throws {BackendError} in every process, with what each of them said, when they differ in `what` */
export function compareNotes(fn: string, what: string, own: string, fix: string): void {
  const transport = currentTransport(fn);
  const note = new Uint8Array(noteBytes);
  new TextEncoder().encodeInto(own, note);
  const notes = new Uint8Array(transport.processCount * noteBytes);
  transport.allGather(note, notes);
  const said = Array.from({ length: transport.processCount }, (_, i) =>
    new TextDecoder().decode(notes.subarray(i * noteBytes, (i + 1) * noteBytes)).replace(/\0+$/, ""),
  );
  if (said.every((s) => s === said[0])) return;
  const lines = said.map((s, i) => `  process ${i}: ${s}`);
  throw new BackendError(fn, { message: `the processes differ in ${what}:\n${lines.join("\n")}`, fix });
}
