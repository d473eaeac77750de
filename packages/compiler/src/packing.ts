import { invariant } from "@traceform/core";
import { addIndex, axisIndex, flattenIndex, offsetIndex, scaleIndex } from "./affine.ts";
import type { Axis, Ex, Index } from "./expr.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import { reachable } from "./nest.ts";
import type { PackedOperand, Part, View } from "./program.ts";
import type { Operand } from "./product.ts";
import { dependsOn, strideAlong } from "./schedule.ts";
import type { Scope } from "./scope.ts";
import { inBounds } from "./views.ts";

/** How many lanes a panel's rows are split into, so that windows which break off at a multiple of it stay dense in them. */
const lanes = 4;

export interface PackingSpec {
  readonly name: string;
  readonly operand: Operand;
  readonly batch: number;
  /** Rows of A, or columns of B. */
  readonly extent: number;
  readonly width: number;
  readonly depthShape: readonly number[];
  /** Where the panels go: the pointer of the kernel, and what it points to. */
  readonly slot: number;
  readonly to: View;
  /** Makes views pointers of the kernel. */
  readonly place: (views: readonly View[]) => number[];
}

/** Packs rows of A, or columns of B, into panels: [batch, ceil(extent / width), k, width], the last panel filled with zeros. */
export function pack(scope: Scope, spec: PackingSpec): PackedOperand {
  const { name, operand, batch, extent: rows, width, depthShape, slot, to, place } = spec;
  const depth = depthShape.reduce((a, b) => a * b, 1);
  const panels = Math.ceil(rows / width);
  const full = Math.floor(rows / width);
  const part = (first: number, count: number): Part | null => {
    if (count === 0) return null;
    const k = scope.builder();
    const { e } = k;
    const rowShape = width % lanes === 0 ? [width / lanes, lanes] : [width];
    const [batchAxis, panelAxis] = [batch, count].map((n) => e.axis(n));
    const { axes: rowAxes, position: rowPosition } = k.axes(rowShape);
    const { axes: depthAxes, position: depthPosition } = k.axes(depthShape);
    const b = axisIndex(e, batchAxis);
    const panel = offsetIndex(axisIndex(e, panelAxis), first);
    const kk = flattenIndex(depthPosition, depthShape);
    const row = flattenIndex(rowPosition, rowShape);
    const at = addIndex(scaleIndex(panel, width), row);
    const guard = inBounds(e, at, rows);
    let value = operand.read(k, b, guard === null ? at : clampToFirst(k, at, guard), kk);
    if (guard !== null) value = e.select(guard, value, e.f32(0));
    // Counted from the part's first panel: the pointer of what a block packs may lie before its memory, even before address 0.
    let index = addIndex(scaleIndex(b, panels), axisIndex(e, panelAxis));
    index = addIndex(addIndex(scaleIndex(index, depth * width), scaleIndex(kk, width)), row);
    const store = { slot: k.slot(to), storage: "f32", index, value, guard: null } as const;
    const inner = packingOrder(value, depthAxes, rowAxes);
    const nest = k.part(name, [batchAxis, panelAxis, ...inner], [storing([], [store])], [1, 1]);
    invariant(nest !== null, "single axes merge");
    const args = place(k.slots.filter((v) => v !== to));
    return { nest, args: k.slots.map((v) => (v === to ? slot : args.shift()!)) };
  };
  return { shared: operand.shared, width, panels, whole: part(0, full), last: part(full, panels - full) };
}

/**
 * The order of the loops of packing. The axis along which the operand is best read comes last. Where elements are found by division, or
 * lie outside the operand, as at the edges of an image, what decides that stays outside the loops that do not change it.
 */
function packingOrder(value: Ex, depthAxes: readonly Axis[], rowAxes: readonly Axis[]): Axis[] {
  const last = depthAxes[depthAxes.length - 1];
  const lane = rowAxes[rowAxes.length - 1];
  if (last !== undefined && ease(value, last) > ease(value, lane)) return [...rowAxes, ...depthAxes];
  const nodes = [...reachable([value])];
  const divided = nodes.some((x) => (x.op === "idiv" || x.op === "imod") && rowAxes.some((a) => dependsOn(x, a)));
  if (!divided) return [...depthAxes, ...rowAxes];
  const guards = nodes.flatMap((x) => (x.op === "load" ? x.args : x.op === "select" ? [x.args[0]] : []));
  const guarded = depthAxes.filter((a) => guards.some((g) => dependsOn(g, a)));
  const free = depthAxes.filter((a) => !guarded.includes(a));
  return [...rowAxes.slice(0, -1), ...guarded, ...free, lane];
}

/** How well the loads below a value go along an axis: densely, by some step, or each to be found anew. */
function ease(value: Ex, axis: Axis): number {
  let points = 0;
  for (const x of reachable([value])) {
    if (x.op !== "load") continue;
    const stride = strideAlong(x.index!, axis);
    points += stride === 1 ? 2 : stride === null ? 0 : 1;
  }
  return points;
}

/** Rows beyond the last read the first one instead: what they load is not used. */
function clampToFirst(k: KernelBuilder, at: Index, guard: Ex): Index {
  return { c: 0, terms: [{ atom: k.e.select(guard, k.e.fromIndex(at), k.e.i32(0)), coef: 1 }] };
}
