import { isFloat } from "@traceform/core";
import { isTranscendental } from "./elementwise.ts";
import type { Block, Node, Value } from "./graph.ts";

/** What a run of a block computes, whatever kernels it becomes. */
export interface OperationCount {
  /** Additions, multiplications, comparisons and their like of floating-point numbers. */
  readonly flops: number;
  /** Values of exp, log, sin and their like. */
  readonly transcendentals: number;
}

/**
 * Counts the operations of one run of a block, after equal ones were merged and unused ones dropped. Moving, choosing and
 * converting values costs nothing; branches count all; loops of unknown length count once. Complex arithmetic is real here already.
 */
export function countOperations(block: Block): OperationCount {
  let flops = 0;
  let transcendentals = 0;
  for (const node of block.nodes) {
    const { op, outs, params } = node;
    if (isTranscendental(op)) transcendentals += outs[0].size;
    else if (op === "cumlogsumexp") transcendentals += 2 * outs[0].size;
    flops += nodeFlops(node);
    const times = timesOfBlocks[op]?.(node) ?? (op === "scan" ? Number(params["length"]) : 1);
    for (const inner of node.blocks) {
      const count = countOperations(inner);
      flops += times * count.flops;
      transcendentals += times * count.transcendentals;
    }
  }
  return { flops, transcendentals };
}

type Count = (node: Node) => number;

const product = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);
const size = (v: Value): number => v.size;

/** How often the function of a general reduction runs. */
const timesOfBlocks: Readonly<Record<string, Count>> = {
  reduce: ({ ins }) => size(ins[0]),
  reduce_window: ({ outs, params }) => size(outs[0]) * product(params["windowDimensions"] as readonly number[]),
};

function nodeFlops(node: Node): number {
  const { ins, outs } = node;
  const floats = [...ins.slice(0, 1), ...outs.slice(0, 1)].some((v) => isFloat(v.dtype));
  return floats ? (operations[node.op]?.(node) ?? 0) : 0;
}

const each =
  (n: number): Count =>
  ({ outs }) =>
    n * size(outs[0]);

/** The sum of every window. */
const windows: Count = ({ outs, params }) => size(outs[0]) * product(params["windowDimensions"] as readonly number[]);

/** Multiplications of x^n by squaring. */
const powerSteps: Count = ({ outs, params }) => {
  const n = Math.abs(Number(params["y"]));
  const bits = n.toString(2);
  const multiplications = n === 0 ? 0 : bits.length - 1 + bits.replaceAll("0", "").length - 1;
  return size(outs[0]) * (multiplications + (Number(params["y"]) < 0 ? 1 : 0));
};

const dot: Count = ({ ins, outs, params }) => {
  const { lhsContract } = params["dimensionNumbers"] as { lhsContract: readonly number[] };
  return 2 * size(outs[0]) * product(lhsContract.map((i) => ins[0].shape[i]));
};

/** Two operations wherever an element of the kernel meets one of the image: padding and holes cost nothing. */
const convolution: Count = ({ ins, outs, params }) => {
  const [lhs, rhs] = ins;
  const [out] = outs;
  const { lhsSpec, rhsSpec, outSpec } = params["dimensionNumbers"] as Record<string, readonly number[]>;
  const list = (name: string): readonly number[] => params[name] as readonly number[];
  const padding = params["padding"] as readonly (readonly number[])[];
  const meetings = outSpec.slice(2).map((axis, i) => {
    const n = lhs.shape[lhsSpec[2 + i]];
    const [stride, hole] = [list("windowStrides")[i], list("lhsDilation")[i]];
    let count = 0;
    for (let o = 0; o < out.shape[axis]; o++) {
      for (let k = 0; k < rhs.shape[rhsSpec[2 + i]]; k++) {
        const at = o * stride + k * list("rhsDilation")[i] - padding[i][0];
        if (at >= 0 && at % hole === 0 && at / hole < n) count++;
      }
    }
    return count;
  });
  return 2 * out.shape[outSpec[0]] * out.shape[outSpec[1]] * rhs.shape[rhsSpec[1]] * product(meetings);
};

/** 5 n log2 n for a complex transform, half of it for a real one; two planes are one transform. */
const fourier: Count = ({ ins, outs, params }) => {
  const lengths = params["fftLengths"] as readonly number[];
  const real = ins.length !== outs.length;
  const elements = Math.max(size(ins[0]), size(outs[0]));
  return (real ? 2.5 : 5) * elements * Math.log2(Math.max(2, product(lengths)));
};

const rows = (v: Value): number => v.shape[v.shape.length - 2];
const columns = (v: Value): number => v.shape[v.shape.length - 1];
const matrices = (v: Value): number => product(v.shape.slice(0, -2));

/** A leaf of linear algebra with `operands` real operands; a complex multiplication and addition are four real ones. */
const leaf =
  (operands: number, count: (v: Value, node: Node) => number): Count =>
  (node) =>
    (node.ins.length > operands ? 4 : 1) * count(node.ins[0], node);

const sweep: Count = ({ ins, params }) => 30 * size(ins[0]) * Number(params["sweeps"]);

/** Counts of the textbooks: Golub & Van Loan (2013), "Matrix Computations"; of iterations, what a full one takes. */
const decompositions: Readonly<Record<string, Count>> = {
  cholesky_block: leaf(1, (a) => (size(a) * columns(a)) / 3),
  triangular_block: leaf(2, (a, { ins, outs }) => columns(a) * size(ins[ins.length / 2] ?? outs[0])),
  lu_panel: leaf(1, (a) => eliminated(a)),
  householder_panel: leaf(1, (a) => 2 * eliminated(a)),
  hessenberg_block: leaf(1, (a) => (10 / 3) * size(a) * columns(a)),
  tridiagonal_panel: leaf(2, (a, { params }) => 2 * size(a) * Number(params["width"])),
  bidiagonal_panel: leaf(2, (a, { params }) => 4 * size(a) * Number(params["width"])),
  triangular_eigenvectors: leaf(1, (a) => size(a) * columns(a)),
  tridiagonal_sweeps: sweep,
  bidiagonal_sweeps: sweep,
  apply_rotations: ({ ins }) => 6 * size(ins[0]) * (ins[1].shape[ins[1].shape.length - 2] ?? 1),
  schur_sweeps: ({ ins, params }) => 30 * size(ins[0]) * Number(params["sweeps"]),
};

/** Multiplications and additions of an elimination: m n² - n³/3 for n ≤ m. */
function eliminated(a: Value): number {
  const [n, m] = [Math.min(rows(a), columns(a)), Math.max(rows(a), columns(a))];
  return matrices(a) * (m * n * n - n ** 3 / 3);
}

const fold: Count = ({ ins }) => size(ins[0]);
const updates: Count = ({ ins }) => size(ins[2]);

/** What an operation computes; those that are not listed move, compare or convert. */
const operations: Readonly<Record<string, Count>> = {
  add: each(1),
  sub: each(1),
  mul: each(1),
  div: each(1),
  rem: each(1),
  neg: each(1),
  abs: each(1),
  max: each(1),
  min: each(1),
  sqrt: each(1),
  rsqrt: each(2),
  square: each(1),
  sign: each(1),
  floor: each(1),
  ceil: each(1),
  round: each(1),
  clamp: each(2),
  integer_pow: powerSteps,
  reduce_sum: fold,
  reduce_prod: fold,
  reduce_max: fold,
  reduce_min: fold,
  argmax: fold,
  argmin: fold,
  cumsum: fold,
  cumprod: fold,
  cummax: fold,
  cummin: fold,
  cumlogsumexp: ({ outs }) => 4 * size(outs[0]),
  reduce_window_sum: windows,
  reduce_window_max: windows,
  reduce_window_min: windows,
  select_and_gather_add: windows,
  select_and_scatter_add: ({ ins, params }) => size(ins[0]) * (product(params["windowDimensions"] as readonly number[]) + 1),
  "scatter-add": updates,
  "scatter-mul": updates,
  "scatter-min": updates,
  "scatter-max": updates,
  dot_general: dot,
  conv_general_dilated: convolution,
  fft: fourier,
  ...decompositions,
};
