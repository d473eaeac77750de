import type { Ex, Stage } from "@traceform/compiler";
import type { Packing } from "./packing.ts";
import type { Product } from "./tiles.ts";
import type { Values } from "./values.ts";

/** What a kernel of the compiler becomes: one of the ways to run it, of which each has a module of its own. */
export interface Scheduled {
  readonly kind: "nest" | "product" | "rows" | "columns" | "routine" | "attention" | "chain";
  /** How it writes elements of less than a word, and its pointers to those. */
  readonly packing: Packing;
  readonly shortSlots: readonly number[];
  /** Tells ways of one kind apart, for kernels of one name. */
  readonly variant: string;
  /** A product, whose tile a measurement may choose. */
  readonly product?: Product;
  /** Constants that other programs may have others for. */
  readonly literals: ReadonlySet<Ex>;
  /** Invocations of a workgroup; null where any number will do. */
  readonly size: number | null;
  readonly shared: SharedBytes;
  /** How many workgroups, of `size` invocations, it has. */
  groups(size: number): number;
  /** The same with workgroups of so many invocations, which are no fewer than it has; null if it is written for others. */
  resized(size: number): Scheduled | null;
  /** Writes what an invocation, number `local` of workgroup `group`, which has so many, does. */
  write(values: Values, size: number): void;
}

/** Bytes of the workgroup's memory at the most, by what can be the same for parts of a kernel: arrays of equal purpose and type. */
export interface SharedBytes {
  readonly tiles: number;
  /** Tiles of numbers of half precision. */
  readonly halves: number;
  /** Those of folds of one type. */
  readonly folds: number;
}

/** Invocations of a workgroup, where the kernel does not say otherwise. */
export const workgroupSize = 64;
export const nothingShared: SharedBytes = { tiles: 0, halves: 0, folds: 0 };

export function foldBytes(stages: readonly Stage[], invocations: number): number {
  return 4 * invocations * stages.flatMap((s) => s.reductions.flatMap((r) => r.init)).length;
}

export function groupsOf(kernel: Scheduled, size: number = kernel.size ?? workgroupSize): number {
  return kernel.groups(size);
}
export function groupsFor(invocations: number, size: number = workgroupSize): number {
  return Math.ceil(invocations / size);
}

/** Ends the invocations that are not among the first so many. */
export function only(values: Values, size: number, invocations: string): void {
  values.line(`let invocation = group * ${size}u + local;`);
  values.line(`if (invocation >= ${invocations}) { return; }`);
}

/** Ends the workgroups that a dispatch has beyond those of the kernel. */
export function onlyGroups(values: Values, groups: number): void {
  values.line(`if (group >= u32(${values.size(groups, "groups")})) { return; }`);
}
