import { offsetIndex } from "./affine.ts";
import type { Ex, Index } from "./expr.ts";
import type { Value } from "./graph.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import { constantOf } from "./scalars.ts";
import type { Scope } from "./scope.ts";
import { bytesOf } from "./scope.ts";

/** Zeros that surround an array along one dimension. */
export interface Padding {
  readonly low: number;
  readonly high: number;
}

/** Reads an element at a position of the array, which may lie in the zeros around it. */
export type PaddedReader = (k: KernelBuilder, position: readonly Index[], guard: Ex | null) => Ex;

/**
 * An array with zeros around it. Kernels that read windows many times would decide for each element whether it is there; a copy
 * decides it once, and its rows are dense. Without zeros to add, the array itself is read.
 */
export function padded(scope: Scope, x: Value, padding: readonly Padding[]): PaddedReader {
  const low = padding.map((p) => Math.max(0, p.low));
  const shape = x.shape.map((n, i) => n + low[i] + Math.max(0, padding[i].high));
  const first = shape.findIndex((n, i) => n !== x.shape[i]);
  if (first < 0) return (k, position, guard) => k.read(x, position, guard);
  const copy = { shape, dtype: x.dtype, size: shape.reduce((a, b) => a * b, 1) };
  const view = scope.lowering.temporary(bytesOf(copy, scope.lowering.target));
  const k = scope.builder();
  // Dimensions before the first one with zeros are shared by threads; what follows is filled and written over while it is near.
  const { axes: outer, position: before } = k.axes(shape.slice(0, first));
  const { axes: all, position: anywhere } = k.axes(shape.slice(first));
  const { axes: inside, position: inner } = k.axes(x.shape.slice(first));
  const at = inner.map((p, i) => offsetIndex(p, low[first + i]));
  const zero = k.store(copy, view, [...before, ...anywhere], constantOf(k.e, x.dtype, 0));
  const element = k.store(copy, view, [...before, ...at], k.read(x, [...before, ...inner], null));
  scope.launch(k.nest("pad", outer, [storing(all, [zero]), storing(inside, [element])]), k.slots);
  return (reader, position, guard) =>
    reader.load(
      copy,
      view,
      position.map((p, i) => offsetIndex(p, low[i])),
      guard,
    );
}
