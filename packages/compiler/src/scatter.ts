import { addIndex, flattenIndex, valueIndex } from "./affine.ts";
import type { Axis } from "./expr.ts";
import type { Node } from "./graph.ts";
import { elementRules } from "./elementwise.ts";
import { storing } from "./kernels.ts";
import { bytesOf, type Scope } from "./scope.ts";
import { loadElement, scalarInfo, storedElement } from "./scalars.ts";
import { scatterSorted } from "./scatter-sorted.ts";
import { axesOf, distinct, extent, targetOf } from "./scatter-updates.ts";
import { clampIndex, readIndex } from "./views.ts";

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
    startFrom(scope, node);
    const [x, , updates] = node.ins;
    if (updates.size === 0) return;
    const { target } = scope.lowering;
    const axes = axesOf(node);
    if (target.block > 0 && axes.order.length > 0 && extent(updates, axes.order) > fewUpdates && !distinct(node, axes))
      return scatterSorted(scope, node, fold, axes);
    const k = scope.builder();
    const { e } = k;
    const slot = k.slot(scope.view(node.outs[0]), true);
    const made = k.axes(updates.shape);
    const { at, guard } = targetOf(k, node, made.position);
    const index = flattenIndex(at, x.shape);
    let value = k.read(updates, made.position, null);
    if (fold !== null) {
      const old = loadElement(e, x.dtype, slot, index, guard, true);
      value = elementRules[fold](e, [old, value], { dtypes: [x.dtype, x.dtype], out: x.dtype, params: {} });
    }
    const store = { slot, storage: scalarInfo(x.dtype).storage, index, value: storedElement(e, x.dtype, value), guard };
    const outer = (list: readonly number[]): Axis[] => list.map((i) => made.axes[i]);
    // Where there is an invocation for each position, what is independent comes first; else updates are walked as they lie.
    const nest =
      target.block === 0
        ? k.nest(node.op, made.axes, [storing([], [store])], true)
        : distinct(node, axes)
          ? k.nest(node.op, made.axes, [storing([], [store])])
          : k.nest(node.op, [...outer(axes.free), ...outer(axes.order)], [storing([], [store])], true, axes.free.length);
    scope.launch(nest, k.slots);
  };
}

/** Up to so many updates an invocation applies one after the other, rather than sorting them. */
const fewUpdates = 64;

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
