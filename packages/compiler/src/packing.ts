import { invariant } from "@traceform/core";
import { addIndex, axisIndex, constIndex, flattenIndex, offsetIndex, scaleIndex } from "./affine.ts";
import type { Axis, Ex, Index } from "./expr.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import { reachable } from "./nest.ts";
import type { PackedOperand, Part, Store, View } from "./program.ts";
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
    const read = (row: Index): Ex => {
      const at = addIndex(scaleIndex(panel, width), row);
      const guard = inBounds(e, at, rows);
      const x = operand.read(k, b, guard === null ? at : clampToFirst(k, at, guard), kk);
      return guard === null ? x : e.select(guard, x, e.f32(0));
    };
    // Counted from the part's first panel: the pointer of what a block packs may lie before its memory, even before address 0.
    const panelAt = scaleIndex(addIndex(scaleIndex(b, panels), axisIndex(e, panelAxis)), depth * width);
    const store = (row: Index, value: Ex): Store => {
      const index = addIndex(addIndex(panelAt, scaleIndex(kk, width)), row);
      return { slot: k.slot(to), storage: "f32", index, value, guard: null };
    };
    const row = flattenIndex(rowPosition, rowShape);
    const value = read(row);
    // Rows that are dense along the depth are read side by side, and vectors of them transposed.
    const against = value.op === "load" && value.args.length === 0 && easierAlong(value, depthAxes, rowAxes);
    const stores = against
      ? Array.from({ length: width }, (_, i) => constIndex(i)).map((i) => store(i, read(i)))
      : [store(row, value)];
    const inner = against ? depthAxes : packingOrder(value, depthAxes, rowAxes);
    const nest = k.part(name, [batchAxis, panelAxis, ...inner], [storing([], stores)], [1, 1]);
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
  const lane = rowAxes[rowAxes.length - 1];
  if (easierAlong(value, depthAxes, rowAxes)) return [...rowAxes, ...depthAxes];
  const nodes = [...reachable([value])];
  const divided = nodes.some((x) => (x.op === "idiv" || x.op === "imod") && rowAxes.some((a) => dependsOn(x, a)));
  if (!divided) return [...depthAxes, ...rowAxes];
  const guards = nodes.flatMap((x) => (x.op === "load" ? x.args : x.op === "select" ? [x.args[0]] : []));
  const guarded = depthAxes.filter((a) => guards.some((g) => dependsOn(g, a)));
  const free = depthAxes.filter((a) => !guarded.includes(a));
  return [...rowAxes.slice(0, -1), ...guarded, ...free, lane];
}

/** Whether the operand is better read along the depth than along the rows. */
function easierAlong(value: Ex, depthAxes: readonly Axis[], rowAxes: readonly Axis[]): boolean {
  const last = depthAxes[depthAxes.length - 1];
  return last !== undefined && ease(value, last) > ease(value, rowAxes[rowAxes.length - 1]);
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
