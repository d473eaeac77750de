import {
  batchRule,
  bind1,
  definePrimitive,
  type HostArray,
  hostMeetRule,
  itemsize,
  meshBlock,
  type NDArray,
  type Permutation,
  type Primitive,
  type ProcessExchange,
  type ProcessGroups,
  type Seat,
  type StandardDType,
  updateAval,
} from "@traceform/core";
import { concatenate, pad, reduceMax, reduceMin, reduceSum, reshape, sliceInDim, transpose } from "@traceform/lax";

// Collectives between GPUs go through the host: each reads its operand, all meet, and each writes what it gets. They only move bytes; sums are
// kernels of the GPUs, over the members in their order, so every GPU has the same bits.

type Kind = "gather" | "allToAll" | "permute";

interface ExchangeParams {
  readonly kind: Kind;
  readonly groups: ProcessGroups;
  /** Of a permutation: from position to position, of all members of a group. */
  readonly perm: Permutation;
}

/** What the member at `own` gets of the operands of its group, which are parts, or positions, along their first axis. */
const moves: Record<Kind, (all: readonly HostArray[], own: number, perm: Permutation) => Uint8Array> = {
  gather: (all) => joined(all.map((x) => x.bytes)),
  allToAll: (all, own) => joined(all.map((x) => partOf(x, own))),
  permute: (all, own, perm) => {
    const [each] = all[own].shape;
    const result = new Uint8Array(all[own].bytes.length);
    for (const [from, to] of perm) {
      if (Math.floor(to / each) !== own) continue;
      const part = partOf(all[Math.floor(from / each)], from % each);
      result.set(part, (to % each) * part.length);
    }
    return result;
  },
};

function partOf({ bytes, shape: [count] }: HostArray, i: number): Uint8Array {
  const size = bytes.length / count;
  return bytes.subarray(i * size, (i + 1) * size);
}
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const size = parts[0].length;
  const result = new Uint8Array(parts.length * size);
  parts.forEach((p, i) => result.set(p, i * size));
  return result;
}

const exchangeP: Primitive<ExchangeParams> = /* @__PURE__ */ definePrimitive<ExchangeParams>("fleet_exchange", {
  abstractEval: ([x], { kind, groups }) => [kind === "gather" ? updateAval(x, { shape: [groups[0].length, ...x.shape] }) : x],
  rules: {
    [hostMeetRule]: async ([x]: readonly HostArray[], seat: Seat, { kind, groups, perm }: ExchangeParams): Promise<HostArray[]> => {
      const group = groups.find((g) => g.includes(seat.index))!;
      const all = await seat.meet(kind, group, x);
      const shape = kind === "gather" ? [group.length, ...x.shape] : x.shape;
      return [{ shape, dtype: x.dtype, bytes: moves[kind](all, group.indexOf(seat.index), perm) }];
    },
    // The batch is one that this member has, of another mesh axis: it comes after the axis of the members.
    [batchRule]: ([x]: readonly NDArray[], [dim]: readonly (number | null)[], params: ExchangeParams) => {
      if (dim === null || params.kind === "gather") return [[bind1(exchangeP, [x], params)], [dim === null ? null : dim + 1]];
      const others = x.shape.map((_, d) => d).filter((d) => d !== dim);
      return [[bind1(exchangeP, [transpose(x, others.toSpliced(1, 0, dim))], params)], [1]];
    },
  },
});

/** Larger operands go in pieces of so many bytes: while one of them is written, the next ones are read. */
const pieceBytes = 1 << 22;

function exchange(kind: Kind, x: NDArray, groups: ProcessGroups, perm: Permutation = []): NDArray {
  const send = (part: NDArray): NDArray => bind1(exchangeP, [part], { kind, groups, perm });
  const bytes = bytesOf(x);
  if (bytes <= pieceBytes) return send(x);
  // All of it is one row, or a row for each part or position: pieces are columns.
  const rows = kind === "gather" ? 1 : x.shape[0];
  const flat = reshape(x, [rows, x.size / rows]);
  const columns = Math.ceil(flat.shape[1] / Math.ceil(bytes / pieceBytes));
  const pieces: NDArray[] = [];
  for (let from = 0; from < flat.shape[1]; from += columns) {
    const piece = sliceInDim(flat, from, Math.min(from + columns, flat.shape[1]), 1, 1);
    pieces.push(send(kind === "gather" ? reshape(piece, [piece.size]) : piece));
  }
  return reshape(concatenate(pieces, 1), kind === "gather" ? [groups[0].length, ...x.shape] : x.shape);
}

const bytesOf = (x: NDArray): number => x.size * itemsize(x.dtype as StandardDType);

const reductions = { sum: reduceSum, max: reduceMax, min: reduceMin };

/** From so many bytes on each member reduces a part, and all give each other theirs: a second exchange, but of less. */
const leastScattered = 1 << 16;

function reduce(op: keyof typeof reductions, x: NDArray, groups: ProcessGroups): NDArray {
  const count = groups[0].length;
  if (bytesOf(x) < leastScattered) return reductions[op](exchange("gather", x, groups), [0]);
  const rest = (count - (x.size % count)) % count;
  const flat = reshape(x, [x.size]);
  const parts = reshape(rest === 0 ? flat : pad(flat, 0, [[0, rest, 0]]), [count, (x.size + rest) / count]);
  const own = reductions[op](exchange("allToAll", parts, groups), [0]);
  return reshape(sliceInDim(reshape(exchange("gather", own, groups), [x.size + rest]), 0, x.size), x.shape);
}

/** The exchange between the members of a fleet. */
export const fleetExchange: ProcessExchange = {
  reduce: (op, xs, groups) => xs.map((x) => reduce(op, x, groups)),
  reduceScatter: (x, groups) => reduceSum(exchange("allToAll", x, groups), [0]),
  gather: (x, groups) => exchange("gather", x, groups),
  allToAll: (x, groups) => exchange("allToAll", x, groups),
  permute: (x, perm, groups) => exchange("permute", x, groups, perm),
  // One program is traced for all of them.
  agree: () => {},
  blockOf: meshBlock,
};
