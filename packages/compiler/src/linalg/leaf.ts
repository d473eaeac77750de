import { invariant } from "@traceform/core";
import type { Node, Value } from "../graph.ts";
import { storing } from "../kernels.ts";
import type { RoutineKernel, View } from "../program.ts";
import { Field, type RoutineBuilder } from "../routinebuilder.ts";
import type { Routine } from "../routine.ts";
import { scalarInfo } from "../scalars.ts";
import type { Scope } from "../scope.ts";

/**
 * What the unblocked algorithms of linear algebra have in common. A leaf is a primitive whose operands and results are
 * stacks of small matrices; complex ones arrive as two planes each, one value after the other.
 */
export interface Leaf {
  readonly type: "f32" | "f64";
  readonly complex: boolean;
  /** How many matrices are in the stack. */
  readonly batch: number;
  /** What tells the routine from those of other leaves. */
  readonly key: string;
  field(r: RoutineBuilder): Field;
}

/** `trailing`: the number of axes that are not batch axes. */
export function leafOf(node: Node, of: Value, complex: boolean, trailing = 2): Leaf {
  const { type } = scalarInfo(of.dtype);
  invariant(type === "f32" || type === "f64", `${node.op} of ${of.dtype}`);
  const batch = of.shape.slice(0, of.shape.length - trailing).reduce((a, b) => a * b, 1);
  const shapes = [...node.ins, ...node.outs].map((v) => `${v.dtype}[${v.shape}]`).join(" ");
  return {
    type,
    complex,
    batch,
    key: `${node.op} ${shapes} ${JSON.stringify(node.params)}`,
    field: (r) => new Field(r, type, complex),
  };
}

/** Puts operands where results go, so that a routine can work in place. What computes the operands is fused into it. */
export function copyIn(scope: Scope, from: readonly Value[], to: readonly Value[]): View[] {
  const k = scope.builder();
  const { axes, position } = k.axes(to[0].shape);
  const views = to.map((v) => scope.target(v));
  const stores = to.map((v, i) => k.store(v, views[i], position, k.read(from[i], position, null)));
  scope.launch(k.nest("copy", axes, [storing([], stores)]), k.slots);
  return views;
}

/** Launches a routine over pointers. */
export function launchRoutine(scope: Scope, name: string, routine: Routine, views: readonly View[], flops: number): void {
  const kernel: RoutineKernel = { kind: "routine", name, routine, slots: views.length, flops };
  if (routine.tasks > 0) scope.launch(kernel, views);
}

/** How many tasks make about a tenth of a millisecond. */
export function chunkOf(flopsOfTask: number): number {
  return Math.max(1, Math.floor((1 << 17) / Math.max(1, flopsOfTask)));
}
