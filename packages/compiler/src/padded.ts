import { offsetIndex } from "./affine.ts";
import type { Ex, Index } from "./expr.ts";
import type { Value } from "./graph.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import type { Store, View } from "./program.ts";
import { constantOf } from "./scalars.ts";
import { bytesOf, type Scope } from "./scope.ts";

/** Zeros that surround an array along one dimension. */
export interface Padding {
  readonly low: number;
  readonly high: number;
}

/** Reads an element at a position of the array, which may lie in the zeros around it. */
export type PaddedReader = (k: KernelBuilder, position: readonly Index[], guard: Ex | null) => Ex;

/**
 * An array with zeros around it, and its dimensions in an order of memory (the outermost first). Kernels that read windows many times
 * would decide for each element whether it is there, and walk through memory as it happens to lie; a copy decides it once, and its rows are
 * dense. Where there is nothing to add or to exchange, the array itself is read.
 */
export function padded(
  scope: Scope,
  x: Value,
  padding: readonly Padding[],
  order: readonly number[] = x.shape.map((_, i) => i),
): PaddedReader {
  const low = padding.map((p) => Math.max(0, p.low));
  const extents = x.shape.map((n, i) => n + low[i] + Math.max(0, padding[i].high));
  const first = extents.findIndex((n, i) => n !== x.shape[i]);
  const inOrder = order.every((d, i) => d === i);
  if (first < 0 && inOrder) return (k, position, guard) => k.read(x, position, guard);
  const shape = order.map((d) => extents[d]);
  const copy = { shape, dtype: x.dtype, size: shape.reduce((a, b) => a * b, 1) };
  const view = scope.lowering.temporary(bytesOf(copy));
  const place = (position: readonly Index[]): Index[] => order.map((d) => offsetIndex(position[d], low[d]));
  const k = scope.builder();
  const zero = (at: readonly Index[]): Store => k.store(copy, view, at, constantOf(k.e, x.dtype, 0));
  const element = (at: readonly Index[]): Store => k.store(copy, view, place(at), k.read(x, at, null));
  if (inOrder) {
    // Dimensions before the first one with zeros are shared by threads; what follows is filled and written over while it is near.
    const { axes: outer, position: before } = k.axes(shape.slice(0, first));
    const { axes: all, position: anywhere } = k.axes(shape.slice(first));
    const { axes: inside, position: inner } = k.axes(x.shape.slice(first));
    const stages = [storing(all, [zero([...before, ...anywhere])]), storing(inside, [element([...before, ...inner])])];
    scope.launch(k.nest("pad", outer, stages), k.slots);
  } else {
    if (first >= 0) fill(scope, copy, view);
    const { axes, position } = k.axes(order.map((d) => x.shape[d]));
    const at = x.shape.map((_, d) => position[order.indexOf(d)]);
    scope.launch(k.nest("pad.transpose", axes, [storing([], [element(at)])]), k.slots);
  }
  return (reader, position, guard) => reader.load(copy, view, place(position), guard);
}

function fill(scope: Scope, array: Pick<Value, "shape" | "dtype">, view: View): void {
  const k = scope.builder();
  const { axes, position } = k.axes(array.shape);
  scope.launch(k.nest("fill", axes, [storing([], [k.store(array, view, position, constantOf(k.e, array.dtype, 0))])]), k.slots);
}
