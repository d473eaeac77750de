import { addIndex, constIndex, flattenIndex, valueIndex } from "./affine.ts";
import type { Ex, Index } from "./expr.ts";
import type { Node } from "./graph.ts";
import { elementRules } from "./elementwise.ts";
import { storing } from "./kernels.ts";
import { bytesOf, type Scope } from "./scope.ts";
import { loadElement, scalarInfo, storedElement } from "./scalars.ts";
import { both, clampIndex, readIndex } from "./views.ts";

interface ScatterNumbers {
  readonly updateWindowDims: readonly number[];
  readonly insertedWindowDims: readonly number[];
  readonly scatterDimsToOperandDims: readonly number[];
  readonly operandBatchingDims: readonly number[];
  readonly scatterIndicesBatchingDims: readonly number[];
}

/** Puts the operand into the memory of the result, where the update will happen; or finds that it is there already. */
function startFrom(scope: Scope, node: Node): void {
  const [x, ...rest] = node.ins;
  const [out] = node.outs;
  if (scope.overwrites(node)) {
    // What the update reads is computed before it changes anything.
    for (const v of rest) if (v.literal === null) scope.view(v);
    scope.place(out, scope.view(x));
    return;
  }
  const from = scope.located(x);
  const target = scope.target(out);
  if (from === undefined) scope.compute([x], [target]);
  else scope.copy(from, target, bytesOf(x));
}

/** scatter and its folding relatives: updates are applied one after the other, so the result does not depend on chance. */
export function lowerScatter(fold: string | null): (scope: Scope, node: Node) => void {
  return (scope, node) => {
    const [x, indices, updates] = node.ins;
    const [out] = node.outs;
    startFrom(scope, node);
    if (updates.size === 0) return;
    const d = node.params["dimensionNumbers"] as ScatterNumbers;
    const k = scope.builder();
    const { e } = k;
    const slot = k.slot(scope.view(out), true);
    const { axes, position } = k.axes(updates.shape);
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
    const index = flattenIndex(at, x.shape);
    let value = k.read(updates, position, null);
    if (fold !== null) {
      const old = loadElement(e, x.dtype, slot, index, guard, true);
      value = elementRules[fold](e, [old, value], { dtypes: [x.dtype, x.dtype], out: x.dtype, params: {} });
    }
    const store = { slot, storage: scalarInfo(x.dtype).storage, index, value: storedElement(e, x.dtype, value), guard };
    scope.launch(k.nest(node.op, axes, [storing([], [store])], true), k.slots);
  };
}

/** dynamic_update_slice: the start is clamped so that the update fits. */
export function lowerDynamicUpdateSlice(scope: Scope, node: Node): void {
  const [x, update, ...starts] = node.ins;
  const [out] = node.outs;
  startFrom(scope, node);
  if (update.size === 0) return;
  const k = scope.builder();
  const { e } = k;
  const { axes, position } = k.axes(update.shape);
  const at = position.map((p, i) => {
    if (update.shape[i] === x.shape[i]) return p;
    return addIndex(p, valueIndex(clampIndex(e, readIndex(k, starts[i], []), x.shape[i] - update.shape[i])));
  });
  const view = scope.view(out);
  const value = k.read(update, position, null);
  const store = k.store(out, view, at, value);
  scope.launch(k.nest(node.op, axes, [storing([], [store])]), k.slots);
}

/** concatenate of many: one kernel for each operand, into its part of the result. */
export function lowerConcatenate(scope: Scope, node: Node): void {
  const [out] = node.outs;
  const dim = Number(node.params["dimension"]);
  const target = scope.target(out);
  let start = 0;
  for (const x of node.ins) {
    const k = scope.builder();
    const { axes, position } = k.axes(x.shape);
    const value = k.read(x, position, null);
    const at = position.map((p, i) => (i === dim ? { c: p.c + start, terms: p.terms } : p));
    scope.launch(k.nest(node.op, axes, [storing([], [k.store(out, target, at, value)])]), k.slots);
    start += x.shape[dim];
  }
}
