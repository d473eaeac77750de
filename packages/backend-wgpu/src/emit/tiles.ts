import { type Axis, type Ex, type Exprs, extentOf, reachable, type Stage, strideAlong } from "@traceform/compiler";
import type { Dialect } from "./dialects.ts";
import type { Packing } from "./packing.ts";
import { bindPosition } from "./position.ts";
import type { UnitConfig } from "./schedule.ts";
import type { Values } from "./values.ts";

// What products are, however they are computed, and what all kernels of them do.

/** The part of a product that a workgroup computes: threads by rows and columns, elements of each, and the depth of a step. Multiples of four. */
export interface Tile {
  readonly threads: readonly [rows: number, columns: number];
  readonly each: readonly [rows: number, columns: number];
  readonly depth: number;
}

/** The part of a product that a workgroup computes with units: subgroups by rows and columns, matrices of each, and the depth of a step. */
export interface UnitTile {
  readonly dialect: Dialect;
  readonly config: UnitConfig;
  readonly subgroups: readonly [rows: number, columns: number];
  readonly results: readonly [rows: number, columns: number];
  readonly depth: number;
  /** Invocations of the workgroup. */
  readonly size: number;
}

/**
 * A nest that is a product of matrices: a sum over a `depth` of products of two values, of which one does not change along the
 * `columns` and the other not along the `rows`, and what becomes of the sums. The values may be anything: producers and the windows of
 * a convolution are computed when a tile is read.
 */
export interface Product {
  readonly e: Exprs;
  readonly batches: readonly Axis[];
  readonly rows: readonly Axis[];
  readonly columns: readonly Axis[];
  readonly depth: readonly Axis[];
  readonly a: Operand;
  readonly b: Operand;
  readonly sum: Ex;
  readonly epilogue: readonly Stage[];
  readonly tile: Tile | UnitTile;
  readonly packing: Packing;
  /** Tiles among which a measurement may choose. */
  readonly others: readonly (Tile | UnitTile)[];
}

/** The values of an operand, and their bits, where they are of half precision and kernels may have such numbers; else null. */
export interface Operand {
  readonly value: Ex;
  readonly half: Ex | null;
}

/** The rows of the result, and its columns, that a tile has. */
export function heightOf(tile: Tile | UnitTile): number {
  return "threads" in tile ? tile.threads[0] * tile.each[0] : tile.subgroups[0] * tile.results[0] * tile.config.M;
}
export function widthOf(tile: Tile | UnitTile): number {
  return "threads" in tile ? tile.threads[1] * tile.each[1] : tile.subgroups[1] * tile.results[1] * tile.config.N;
}
/** Elements are read, kept and written by fours. */
export const four = 4;
/** An extent, and its name in the kernel. */
export interface Size {
  readonly extent: number;
  readonly text: string;
}
export function sizeOf(values: Values, axes: readonly Axis[]): Size {
  const extent = extentOf(axes);
  return { extent, text: values.size(extent, axes) };
}

/** Which part of the result a workgroup computes: its first row and column, in which of the batches. */
export function placeTile(values: Values, { tile, batches, rows, columns }: Product): void {
  const [height, width] = [heightOf(tile), widthOf(tile)];
  // The same for all invocations of a workgroup, so these divisions cost nothing.
  values.line(`let down = u32(${sizeOf(values, rows).text} + ${height - 1}) / ${height}u;`);
  values.line(`let across = u32(${sizeOf(values, columns).text} + ${width - 1}) / ${width}u;`);
  values.line(`let tile_row = i32(group / across % down) * ${height};`);
  values.line(`let tile_column = i32(group % across) * ${width};`);
  values.line("let batch = i32(group / (across * down));");
  bindPosition(values, batches, "batch");
}

/** The type in which an operand is brought into the memory of a workgroup: what is of half precision stays so. */
export function elementOf({ half }: Operand): "f16" | "f32" {
  return half === null ? "f32" : "f16";
}
/** The text of an element of an operand. */
export function useOperand(values: Values, { value, half }: Operand): string {
  return half === null ? values.use(value) : values.half(values.use(half));
}

/** Whether neighbours along the depth are neighbours in memory, and those along rows or columns are not. */
export function isAlongDepth({ value }: Operand, axes: readonly Axis[], depth: readonly Axis[]): boolean {
  const loads = [...reachable([value])].filter((x) => x.op === "load");
  const dense = (axis: Axis | undefined): boolean => axis !== undefined && loads.some((x) => strideAlong(x.index!, axis) === 1);
  return dense(depth[depth.length - 1]) && !dense(axes[axes.length - 1]);
}

/** What becomes of sums. */
export type Finished = Pick<Product, "rows" | "columns" | "sum" | "epilogue" | "packing">;

/** What becomes of four sums in a `row`, from `column_four` on. */
export function finishFour(values: Values, { rows, columns, sum, epilogue, packing }: Finished, total: string): void {
  const stores = epilogue.flatMap((stage) => stage.stores);
  const [m, n] = [sizeOf(values, rows), sizeOf(values, columns)];
  values.gather(packing === "whole" ? stores : [], null, () =>
    values.block(`for (var j = 0; j < ${four}; j++) `, () => {
      values.line("let column = column_four + j;");
      values.block(`if (row < ${m.text} && column < ${n.text}) `, () => {
        bindPosition(values, rows, "row");
        bindPosition(values, columns, "column");
        values.line(`let total = ${total};`);
        values.bind(sum, "total");
        for (const store of stores) values.store(store);
      });
    }),
  );
}
