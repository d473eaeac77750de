import { addIndex, constIndex, valueIndex } from "./affine.ts";
import type { Ex, Index } from "./expr.ts";
import type { Node, Value } from "./graph.ts";
import type { KernelBuilder } from "./kernels.ts";
import { both, clampIndex, readIndex } from "./views.ts";

/** How updates and indices relate to the operand; see XLA's scatter. */
export interface ScatterNumbers {
  readonly updateWindowDims: readonly number[];
  readonly insertedWindowDims: readonly number[];
  readonly scatterDimsToOperandDims: readonly number[];
  readonly operandBatchingDims: readonly number[];
  readonly scatterIndicesBatchingDims: readonly number[];
}

/** The axes of the updates. */
export interface UpdateAxes {
  /** Those along which all updates are of different elements: of batches, and of windows in which they go where they come from. */
  readonly free: readonly number[];
  /** Those along which elements may be the same: their updates are applied in order. */
  readonly order: readonly number[];
  /** The axes of the operand to which the free ones belong. */
  readonly operand: readonly number[];
}

export function axesOf({ ins: [x, , updates], params }: Node): UpdateAxes {
  const d = params["dimensionNumbers"] as ScatterNumbers;
  const scattered = new Set(d.scatterDimsToOperandDims);
  const windowed = x.shape.map((_, i) => i).filter((i) => !d.insertedWindowDims.includes(i) && !d.operandBatchingDims.includes(i));
  const all = updates.shape.map((_, i) => i);
  const batch = all.filter((i) => !d.updateWindowDims.includes(i));
  const operandOf = new Map<number, number>();
  d.updateWindowDims.forEach((i, w) => {
    if (!scattered.has(windowed[w])) operandOf.set(i, windowed[w]);
  });
  d.scatterIndicesBatchingDims.forEach((b, j) => operandOf.set(batch[b], d.operandBatchingDims[j]));
  const free = all.filter((i) => operandOf.has(i));
  return { free, order: all.filter((i) => !operandOf.has(i)), operand: free.map((i) => operandOf.get(i)!) };
}

/** Elements along some axes. */
export function extent({ shape }: Pick<Value, "shape">, axes: readonly number[]): number {
  return axes.reduce((n, i) => n * shape[i], 1);
}

/** Whether no element is updated twice: whoever calls has promised it, of windows that are single elements along what is scattered. */
export function distinct({ ins: [, , updates], params }: Node, { order }: UpdateAxes): boolean {
  const { updateWindowDims } = params["dimensionNumbers"] as ScatterNumbers;
  const windows = order.filter((i) => updateWindowDims.includes(i));
  return order.length === 0 || (params["uniqueIndices"] === true && windows.every((i) => updates.shape[i] === 1));
}

/** Where in the operand the update at a position goes, and whether it goes anywhere. */
export function targetOf(
  k: KernelBuilder,
  node: Node,
  position: readonly Index[],
): { readonly at: Index[]; readonly guard: Ex | null } {
  const [x, indices, updates] = node.ins;
  const d = node.params["dimensionNumbers"] as ScatterNumbers;
  const { e } = k;
  const windowDims = new Set(d.updateWindowDims);
  const batch = position.filter((_, i) => !windowDims.has(i));
  const windowAxes = d.updateWindowDims.map((i) => ({ index: position[i], size: updates.shape[i] }));
  const at: Index[] = [];
  const sizes: number[] = [];
  let next = 0;
  for (let i = 0; i < x.shape.length; i++) {
    const dropped = d.insertedWindowDims.includes(i) || d.operandBatchingDims.includes(i);
    const w = dropped ? { index: constIndex(0), size: 1 } : windowAxes[next++];
    at.push(w.index);
    sizes.push(w.size);
  }
  d.operandBatchingDims.forEach((i, b) => {
    at[i] = batch[d.scatterIndicesBatchingDims[b]];
  });
  let guard: Ex | null = null;
  for (let j = 0; j < d.scatterDimsToOperandDims.length; j++) {
    const i = d.scatterDimsToOperandDims[j];
    const most = x.shape[i] - sizes[i];
    let start = readIndex(k, indices, [...batch, constIndex(j)]);
    if (most < 0) guard = e.constant("bool", 0);
    else if (node.params["mode"] === "clip") start = clampIndex(e, start, most);
    else guard = both(e, guard, e.compare("le_u", start, e.i32(most)));
    at[i] = addIndex(at[i], valueIndex(start));
  }
  return { at, guard };
}
