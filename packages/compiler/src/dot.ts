import type { StandardDType } from "@traceform/core";
import { unflattenIndex } from "./affine.ts";
import { lowerBlockedDot } from "./blocked-dot.ts";
import { emitProduct } from "./contract.ts";
import { emitFolded } from "./folded.ts";
import { worthPacking } from "./product.ts";
import type { Ex, Index } from "./expr.ts";
import type { Node, Value } from "./graph.ts";
import { convertElement } from "./convert.ts";
import type { Scope } from "./scope.ts";
import { elementRules } from "./elementwise.ts";
import { roundToDType, scalarInfo } from "./scalars.ts";
import type { KernelBuilder } from "./kernels.ts";

export interface DotNumbers {
  readonly lhsContract: readonly number[];
  readonly rhsContract: readonly number[];
  readonly lhsBatch: readonly number[];
  readonly rhsBatch: readonly number[];
}

/** The dimensions of an operand that are neither contracted nor batched. */
export function freeDims(rank: number, contract: readonly number[], batch: readonly number[]): number[] {
  return Array.from({ length: rank }, (_, i) => i).filter((i) => !contract.includes(i) && !batch.includes(i));
}

/** The product of two elements, in the dtype of the result. */
export function elementProduct(k: KernelBuilder, node: Node, a: Ex, b: Ex): Ex {
  const [lhs, rhs] = node.ins;
  const dtype = node.outs[0].dtype;
  // 16-bit floats are already in 32 bits: no rounding of the product.
  const to = scalarInfo(dtype).kind === "float" && scalarInfo(dtype).type === "f32" ? "float32" : dtype;
  // What was computed on the way may be more exact than its dtype, but units multiply numbers of half precision.
  const operand = (x: Ex, from: StandardDType): Ex =>
    convertElement(k.e, from === "float16" ? roundToDType(k.e, from, x) : x, from, to);
  const [x, y] = [operand(a, lhs.dtype), operand(b, rhs.dtype)];
  return elementRules["mul"](k.e, [x, y], { dtypes: [to, to], out: to, params: {} });
}

/** Places an index for each of some dimensions. */
function position(rank: number, parts: readonly (readonly [readonly number[], readonly Index[]])[]): Index[] {
  const at = new Array<Index>(rank);
  for (const [dims, indices] of parts) dims.forEach((i, j) => (at[i] = indices[j]));
  return at;
}

/** Where the operands of a product are read for an element of the result, at a depth. */
export function dotOperands(
  lhs: Value,
  rhs: Value,
  d: DotNumbers,
): (at: readonly Index[], contracted: readonly Index[]) => readonly [lhs: Index[], rhs: Index[]] {
  const lhsFree = freeDims(lhs.shape.length, d.lhsContract, d.lhsBatch);
  const rhsFree = freeDims(rhs.shape.length, d.rhsContract, d.rhsBatch);
  const nb = d.lhsBatch.length;
  return (at, contracted) => [
    position(lhs.shape.length, [
      [d.lhsBatch, at.slice(0, nb)],
      [lhsFree, at.slice(nb)],
      [d.lhsContract, contracted],
    ]),
    position(rhs.shape.length, [
      [d.rhsBatch, at.slice(0, nb)],
      [rhsFree, at.slice(nb + lhsFree.length)],
      [d.rhsContract, contracted],
    ]),
  ];
}

/** dot_general: batch ++ free dimensions outside, contracted dimensions folded. Large ones of f32 go through panels. */
export function lowerDotGeneral(scope: Scope, node: Node): void {
  const [lhs, rhs] = node.ins;
  const [out] = node.outs;
  const d = node.params["dimensionNumbers"] as DotNumbers;
  const lhsFree = freeDims(lhs.shape.length, d.lhsContract, d.lhsBatch);
  const rhsFree = freeDims(rhs.shape.length, d.rhsContract, d.rhsBatch);
  const sizes = (v: Value, dims: readonly number[]): number[] => dims.map((i) => v.shape[i]);
  const product = (list: readonly number[]): number => list.reduce((a, b) => a * b, 1);
  const batchShape = sizes(lhs, d.lhsBatch);
  const contractShape = sizes(lhs, d.lhsContract);
  const reader =
    (v: Value, batch: readonly number[], free: readonly number[], contract: readonly number[]) =>
    (k: KernelBuilder, b: Index, i: Index, c: Index): Ex => {
      const at = position(v.shape.length, [
        [batch, unflattenIndex(k.e, b, batchShape)],
        [free, unflattenIndex(k.e, i, sizes(v, free))],
        [contract, unflattenIndex(k.e, c, contractShape)],
      ]);
      return k.read(v, at, null);
    };
  const readLhs = reader(lhs, d.lhsBatch, lhsFree, d.lhsContract);
  const readRhs = reader(rhs, d.rhsBatch, rhsFree, d.rhsContract);
  const m = product(sizes(lhs, lhsFree));
  const n = product(sizes(rhs, rhsFree));
  const kk = product(contractShape);
  if (
    scalarInfo(out.dtype).type === "f32" &&
    scalarInfo(lhs.dtype).type === "f32" &&
    scalarInfo(rhs.dtype).type === "f32" &&
    worthPacking({ m, n, k: kk }, scope.lowering.target)
  ) {
    emitProduct(scope, out, {
      name: "dot_general",
      batch: product(batchShape),
      m,
      n,
      k: kk,
      depthShape: contractShape,
      batchStride: m * n,
      rowStride: n,
      a: { shared: false, read: readLhs },
      b: { shared: false, read: readRhs },
      groups: [batchShape.length, lhsFree.length, rhsFree.length],
      linear: null,
    });
    return;
  }
  const blocked = lowerBlockedDot(scope, node, {
    batch: product(batchShape),
    m,
    n,
    k: kk,
    a: readLhs,
    b: readRhs,
  });
  if (blocked) return;
  const operands = dotOperands(lhs, rhs, d);
  emitFolded(scope, "dot_general", out, contractShape, (k, at, contracted) => {
    const [a, b] = operands(at, contracted);
    return elementProduct(k, node, k.read(lhs, a, null), k.read(rhs, b, null));
  });
}
