import { addIndex, axisIndex, constIndex, offsetIndex, scaleIndex } from "./affine.ts";
import type { Ex, Index } from "./expr.ts";
import type { Node } from "./graph.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import type { Scope } from "./scope.ts";
import { reachable } from "./nest.ts";
import type { Store, View } from "./program.ts";
import { constantOf, scalarInfo } from "./scalars.ts";
import { strideAlong } from "./schedule.ts";

/** A product of matrices whose operands are read through functions of (batch, row or column, depth). */
export interface BlockedDot {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: (k: KernelBuilder, b: Index, row: Index, depth: Index) => Ex;
  readonly b: (k: KernelBuilder, b: Index, column: Index, depth: Index) => Ex;
}

/** Rows and depths that one pass over a row of the right operand serves. */
const rowBlock = 4;
const depthBlock = 4;
/** Columns of a pass: their sums stay in the first cache. */
const columnBlock = 2048;

/**
 * A product in the order of the right operand's memory: `C[rows, :] += A[rows, depths] * B[depths, :]`, a few rows and
 * depths a pass. Summing each element of C by itself would walk B against the grain. False when B's rows are not
 * dense, or the product is too small to care.
 */
export function lowerBlockedDot(scope: Scope, node: Node, p: BlockedDot): boolean {
  const [out] = node.outs;
  // It is the order of one thread's cache; where each element has an invocation of its own, neighbours share what they read.
  if (scope.lowering.target.tile === null) return false;
  const { type, bits } = scalarInfo(out.dtype);
  if (bits < 32 || node.ins.some((v) => v.dtype !== out.dtype) || p.n < 32 || p.k < 16 || p.k * p.n < 1 << 13) return false;
  if (!denseColumns(scope, p)) return false;
  const view = scope.target(out);
  const columns = widthOf(p.n);
  fill(scope, out.shape, out.dtype, view);
  const pass = (
    firstRow: number,
    rowBlocks: number,
    rows: number,
    firstDepth: number,
    depthBlocks: number,
    depths: number,
  ): void => {
    if (rowBlocks === 0 || depthBlocks === 0) return;
    const k = scope.builder();
    const { e } = k;
    const axes = [p.batch, p.n / columns, rowBlocks, depthBlocks, columns].map((n) => e.axis(n));
    const [b, cb, rb, kb, j] = axes.map((a) => axisIndex(e, a));
    const column = addIndex(scaleIndex(cb, columns), j);
    const slot = k.slot(view, true);
    const stores: Store[] = [];
    for (let r = 0; r < rows; r++) {
      const row = offsetIndex(scaleIndex(rb, rows), firstRow + r);
      const index = addIndex(addIndex(scaleIndex(b, p.m * p.n), scaleIndex(row, p.n)), column);
      const storage = scalarInfo(out.dtype).storage;
      let sum = e.load(slot, storage, index, null, true);
      for (let u = 0; u < depths; u++) {
        const depth = offsetIndex(scaleIndex(kb, depths), firstDepth + u);
        const x = p.a(k, b, row, depth);
        const y = p.b(k, b, column, depth);
        sum = type === "f32" || type === "f64" ? e.fma(x, y, sum) : e.add(sum, e.mul(x, y));
      }
      stores.push({ slot, storage, index, value: sum, guard: null });
    }
    // Only the depths go in order: batches, columns and rows have sums of their own.
    scope.launch(k.nest("dot_general", axes, [storing([], stores)], true, 3), k.slots);
  };
  const wholeRows = Math.floor(p.m / rowBlock);
  const wholeDepths = Math.floor(p.k / depthBlock);
  for (const [firstRow, blocks, rows] of [
    [0, wholeRows, rowBlock],
    [wholeRows * rowBlock, 1, p.m % rowBlock],
  ]) {
    if (rows === 0) continue;
    pass(firstRow, blocks, rows, 0, wholeDepths, depthBlock);
    if (p.k % depthBlock > 0) pass(firstRow, blocks, rows, wholeDepths * depthBlock, 1, p.k % depthBlock);
  }
  return true;
}

/** Whether the right operand is dense along the columns. */
function denseColumns(scope: Scope, p: BlockedDot): boolean {
  const k = scope.builder();
  const [column, depth] = [k.e.axis(p.n), k.e.axis(p.k)];
  const value = p.b(k, constIndex(0), axisIndex(k.e, column), axisIndex(k.e, depth));
  const loads = [...reachable([value])].filter((x) => x.op === "load");
  return (
    loads.length > 0 &&
    loads.every((x) => [0, 1].includes(strideAlong(x.index!, column) ?? -1)) &&
    loads.some((x) => strideAlong(x.index!, column) === 1)
  );
}

/** The largest part of the columns that divides them and is no larger than a block. */
function widthOf(n: number): number {
  for (let parts = Math.ceil(n / columnBlock); parts <= 64; parts++) if (n % parts === 0) return n / parts;
  return n;
}

function fill(scope: Scope, shape: readonly number[], dtype: Parameters<typeof constantOf>[1], view: View): void {
  const k = scope.builder();
  const { axes, position } = k.axes(shape);
  const store = k.store({ shape, dtype: dtype as "float32" }, view, position, constantOf(k.e, dtype, 0));
  scope.launch(k.nest("fill", axes, [storing([], [store])]), k.slots);
}
