import { addIndex, axisIndex, flattenIndex, offsetIndex, scaleIndex } from "./affine.ts";
import type { Axis, Ex, Index } from "./expr.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import type { Scope } from "./scope.ts";
import type { Contraction, View } from "./program.ts";
import { reachable } from "./nest.ts";
import { strideAlong } from "./schedule.ts";
import { inBounds } from "./views.ts";

/**
 * A batched product of matrices of f32: `C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]`. The operands are functions
 * of positions, so views and cheap producers are absorbed when the operands are packed.
 */
export interface Product {
  readonly name: string;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** The dimensions that k runs over, for packing to walk: their product is k. */
  readonly depthShape: readonly number[];
  /** Whether the operand is the same for all batches. */
  readonly sharedA: boolean;
  readonly sharedB: boolean;
  readonly a: (k: KernelBuilder, batch: Index, m: Index, kk: Index) => Ex;
  readonly b: (k: KernelBuilder, batch: Index, kk: Index, n: Index) => Ex;
  /** Steps of the result in elements; along n it is dense. */
  readonly batchStride: number;
  readonly rowStride: number;
}

/** Products smaller than this gain nothing from packing; few rows do not pay for packing the other operand. */
export function worthPacking(p: Pick<Product, "m" | "n" | "k">): boolean {
  return p.m >= 12 && p.n >= 8 && p.k >= 8 && p.m * p.n * p.k >= 1 << 17;
}

/** Emits the packing of both operands into panels, and the product of the panels. The result is f32 in `to`. */
export function emitProduct(scope: Scope, p: Product, to: View): void {
  const { tile } = scope.lowering.target;
  const a = pack(scope, `${p.name}.packA`, p.sharedA ? 1 : p.batch, p.m, p.depthShape, tile.m, (k, b, i, kk) => p.a(k, b, i, kk));
  const b = pack(scope, `${p.name}.packB`, p.sharedB ? 1 : p.batch, p.n, p.depthShape, tile.n, (k, b, j, kk) => p.b(k, b, kk, j));
  const scratch = scope.lowering.temporary(tile.m * tile.n * 4);
  const kernel: Contraction = {
    kind: "contraction",
    name: p.name,
    batch: p.batch,
    m: p.m,
    n: p.n,
    k: p.k,
    tile,
    sharedA: p.sharedA,
    sharedB: p.sharedB,
    batchStride: p.batchStride,
    rowStride: p.rowStride,
    flops: 2 * p.batch * p.m * p.n * p.k,
  };
  scope.launch(kernel, [a, b, to, scratch]);
}

/**
 * Packs rows into panels: [batch, ceil(rows / width), k, width], the last panel filled with zeros. A panel is read from
 * front to back by the product's inner loop.
 */
function pack(
  scope: Scope,
  name: string,
  batch: number,
  rows: number,
  depthShape: readonly number[],
  width: number,
  read: (k: KernelBuilder, b: Index, row: Index, kk: Index) => Ex,
): View {
  const depth = depthShape.reduce((a, b) => a * b, 1);
  const panels = Math.ceil(rows / width);
  const full = Math.floor(rows / width);
  const view = scope.lowering.temporary(batch * panels * depth * width * 4);
  const emit = (first: number, count: number): void => {
    if (count === 0) return;
    const k = scope.builder();
    const { e } = k;
    const [batchAxis, panelAxis, rowAxis] = [batch, count, width].map((n) => e.axis(n));
    const { axes: depthAxes, position: depthPosition } = k.axes(depthShape);
    const b = axisIndex(e, batchAxis);
    const panel = offsetIndex(axisIndex(e, panelAxis), first);
    const kk = flattenIndex(depthPosition, depthShape);
    const row = axisIndex(e, rowAxis);
    const at = addIndex(scaleIndex(panel, width), row);
    const guard = inBounds(e, at, rows);
    let value = read(k, b, guard === null ? at : clampToFirst(k, at, guard), kk);
    if (guard !== null) value = e.select(guard, value, e.f32(0));
    let index = addIndex(scaleIndex(b, panels), panel);
    index = addIndex(addIndex(scaleIndex(index, depth * width), scaleIndex(kk, width)), row);
    const store = { slot: k.slot(view), storage: "f32", index, value, guard: null } as const;
    // The axis along which the operand is dense comes last.
    const last = depthAxes[depthAxes.length - 1];
    const alongDepth = last !== undefined && denseLoads(value, last) > denseLoads(value, rowAxis);
    const inner = alongDepth ? [rowAxis, ...depthAxes] : [...depthAxes, rowAxis];
    scope.launch(k.nest(name, [batchAxis, panelAxis, ...inner], [storing([], [store])]), k.slots);
  };
  emit(0, full);
  emit(full, panels - full);
  return view;
}

/** The loads below a value that move by one element along an axis. */
function denseLoads(value: Ex, axis: Axis): number {
  let n = 0;
  for (const x of reachable([value])) if (x.op === "load" && strideAlong(x.index!, axis) === 1) n++;
  return n;
}

/** Rows beyond the last read the first one instead: what they load is not used. */
function clampToFirst(k: KernelBuilder, at: Index, guard: Ex): Index {
  return { c: 0, terms: [{ atom: k.e.select(guard, k.e.fromIndex(at), k.e.i32(0)), coef: 1 }] };
}
