import { type Axis, dependsOn, type Ex, type Exprs, extentOf, type Nest, type Stage, strideAlong } from "@traceform/compiler";
import { type Aligned, type Packing, packingAlong } from "./packing.ts";
import { bindPosition } from "./position.ts";
import type { KernelSize } from "./schedule.ts";
import type { Values } from "./values.ts";

/** The part of a product that a workgroup computes: threads by rows and columns, elements of each, and the depth of a step. Multiples of four. */
export interface Tile {
  readonly threads: readonly [rows: number, columns: number];
  readonly each: readonly [rows: number, columns: number];
  readonly depth: number;
}

/** The larger a tile, the more often what was read is used, and the fewer tiles there are to keep the GPU busy. */
const tiles: readonly Tile[] = [
  { threads: [16, 16], each: [8, 8], depth: 8 },
  { threads: [16, 16], each: [4, 4], depth: 16 },
  { threads: [8, 8], each: [4, 4], depth: 16 },
];
/** For adapters on which large kernels take long to compile. */
const tinyTile: Tile = { threads: [4, 4], each: [4, 4], depth: 8 };
/** So many workgroups keep a GPU busy. */
const enoughTiles = 128;

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
  readonly a: Ex;
  readonly b: Ex;
  readonly sum: Ex;
  readonly epilogue: readonly Stage[];
  readonly tile: Tile;
  readonly packing: Packing;
}

/** The nest as a product, with the tile that suits its size; null if it is none, or too small to gain from tiles. */
export function productOf(nest: Nest, size: KernelSize, aligned: Aligned): Product | null {
  const [fold, ...epilogue] = nest.stages;
  if (nest.serial || fold === undefined || fold.scan || fold.stores.length > 0 || fold.reductions.length !== 1) return null;
  if (fold.axes.length === 0 || epilogue.some((s) => s.axes.length > 0 || s.reductions.length > 0 || s.scan)) return null;
  const [{ init, values, left, right, combined, results }] = fold.reductions;
  const [value] = values;
  if (values.length !== 1 || value.type !== "f32" || value.op !== "mul" || init[0].op !== "const" || Number(init[0].value) !== 0)
    return null;
  if (combined[0].op !== "add" || !combined[0].args.includes(left[0]) || !combined[0].args.includes(right[0])) return null;
  const [x, y] = value.args;
  const only = (here: Ex, there: Ex): Axis[] => nest.outer.filter((axis) => dependsOn(here, axis) && !dependsOn(there, axis));
  // What neighbours in memory share a row of C.
  const last = nest.outer[nest.outer.length - 1];
  const [a, b] = last !== undefined && dependsOn(x, last) && !dependsOn(y, last) ? [y, x] : [x, y];
  const [rows, columns] = [only(a, b), only(b, a)];
  const batches = nest.outer.filter((axis) => !rows.includes(axis) && !columns.includes(axis));
  const [m, n, k] = [rows, columns, fold.axes].map(extentOf);
  const batch = extentOf(batches);
  const fits = ({ threads, each }: Tile): boolean => m >= threads[0] * each[0] && n >= threads[1] * each[1];
  const busy = (tile: Tile): boolean => batch * tileCount(tile, m, n) >= enoughTiles;
  const tile =
    size === "tiny"
      ? m >= 4 && n >= 4
        ? tinyTile
        : undefined
      : (tiles.find((t) => fits(t) && busy(t)) ??
        tiles.findLast((t) => 2 * m >= t.threads[0] * t.each[0] && 2 * n >= t.threads[1] * t.each[1]));
  if (tile === undefined || k < tile.depth) return null;
  const stores = epilogue.flatMap((s) => s.stores);
  const packing = packingAlong(stores, columns, [...batches, ...rows], aligned);
  return { e: nest.e, batches, rows, columns, depth: fold.axes, a, b, sum: results[0], epilogue, tile, packing };
}

function tileCount({ threads, each }: Tile, m: number, n: number): number {
  return Math.ceil(m / (threads[0] * each[0])) * Math.ceil(n / (threads[1] * each[1]));
}

/** How many workgroups a product takes, how many invocations each of them has, and at the most how many bytes of memory. */
export function productShape({ batches, rows, columns, tile }: Product): {
  readonly groups: number;
  readonly size: number;
  readonly bytes: number;
} {
  const fours = (i: 0 | 1): number => (tile.threads[i] * tile.each[i]) / four + 1;
  return {
    groups: extentOf(batches) * tileCount(tile, extentOf(rows), extentOf(columns)),
    size: tile.threads[0] * tile.threads[1],
    bytes: tile.depth * (fours(0) + fours(1)) * four * 4,
  };
}

/** Tiles for products that are beside others in a dispatch, whose workgroups are larger than the products' own. */
const wideTiles: readonly Tile[] = [
  { threads: [16, 16], each: [4, 4], depth: 16 },
  { threads: [32, 8], each: [4, 4], depth: 16 },
  { threads: [8, 32], each: [4, 4], depth: 16 },
];
/** The product in tiles of workgroups of so many invocations, with as little as possible beyond its edges; null where there are none. */
export function retiled(product: Product, size: number): Product | null {
  if (productShape(product).size === size) return product;
  const [m, n] = [product.rows, product.columns].map(extentOf);
  const area = ({ threads, each }: Tile): number => threads[0] * each[0] * threads[1] * each[1];
  const padded = (t: Tile): number => area(t) * tileCount(t, m, n);
  const [tile] = wideTiles.filter((t) => t.threads[0] * t.threads[1] === size).sort((x, y) => padded(x) - padded(y));
  return tile === undefined ? null : { ...product, tile };
}

/** An extent, and its name in the kernel. */
interface Size {
  readonly extent: number;
  readonly text: string;
}

/** Elements are read, kept and written by fours. */
const four = 4;
const components = ["x", "y", "z", "w"] as const;

/** One operand in the memory of a workgroup: `[depth, extent]`, by fours along the extent. */
interface Staged {
  readonly name: string;
  readonly value: Ex;
  readonly axes: readonly Axis[];
  /** Rows or columns of a tile, and between two depths in memory, all by fours. */
  readonly fours: number;
  readonly pitch: number;
  /** Whether neighbouring invocations read along the depth. */
  readonly alongDepth: boolean;
}

/**
 * Writes what an invocation, number `local` of workgroup `group`, does. Both operands of a step are brought into the memory of the workgroup,
 * from where each of their elements is used by a row or a column of invocations, whose sums have names, so that they stay in registers.
 *
 * @see Volkov & Demmel (2008), "Benchmarking GPUs to tune dense linear algebra"
 */
export function writeProduct(p: Product, values: Values): void {
  const { threads, each, depth } = p.tile;
  const [height, width] = [threads[0] * each[0], threads[1] * each[1]];
  const [m, n, k] = [p.rows, p.columns, p.depth].map((axes): Size => ({
    extent: extentOf(axes),
    text: values.size(extentOf(axes), axes),
  }));
  const a = staged(values, "tile_a", p.a, p.rows, height, p);
  const b = staged(values, "tile_b", p.b, p.columns, width, p);
  // The same for all invocations of a workgroup, so these divisions cost nothing.
  values.line(`let down = u32(${m.text} + ${height - 1}) / ${height}u;`);
  values.line(`let across = u32(${n.text} + ${width - 1}) / ${width}u;`);
  values.line(`let tile_row = i32(group / across % down) * ${height};`);
  values.line(`let tile_column = i32(group % across) * ${width};`);
  values.line("let batch = i32(group / (across * down));");
  bindPosition(values, p.batches, "batch");
  values.line(`let thread_row = i32(local / ${threads[1]}u);`);
  values.line(`let thread_column = i32(local % ${threads[1]}u);`);
  const [rowFours, columnFours] = [each[0] / four, each[1] / four];
  const sums = Array.from({ length: each[0] }, (_, i) => Array.from({ length: columnFours }, (_, j) => `c${i}_${j}`));
  for (const name of sums.flat()) values.line(`var ${name} = vec4<f32>();`);
  values.block(`for (var first = 0; first < ${k.text}; first += ${depth}) `, () => {
    values.line("workgroupBarrier();");
    stage(values, a, m, "tile_row", p, k);
    stage(values, b, n, "tile_column", p, k);
    values.line("workgroupBarrier();");
    values.block(`for (var d = 0; d < ${depth}; d++) `, () => {
      for (let i = 0; i < rowFours; i++) values.line(`let x${i} = ${a.name}[d * ${a.pitch} + thread_row + ${i * threads[0]}];`);
      for (let j = 0; j < columnFours; j++)
        values.line(`let y${j} = ${b.name}[d * ${b.pitch} + thread_column + ${j * threads[1]}];`);
      sums.forEach((row, i) =>
        row.forEach((name, j) => values.line(`${name} = x${Math.floor(i / four)}.${components[i % four]} * y${j} + ${name};`)),
      );
    });
  });
  finish(values, p, sums, m, n);
}

function staged(
  values: Values,
  purpose: string,
  value: Ex,
  axes: readonly Axis[],
  extent: number,
  { depth, tile }: Product,
): Staged {
  const dense = (axis: Axis | undefined): boolean =>
    axis !== undefined && value.op === "load" && strideAlong(value.index!, axis) === 1;
  const alongDepth = dense(depth[depth.length - 1]) && !dense(axes[axes.length - 1]);
  const fours = extent / four;
  // Neighbours along the depth write to different banks of memory.
  const pitch = alongDepth ? fours + 1 : fours;
  return { name: values.shared(purpose, "vec4<f32>", tile.depth * pitch), value, axes, fours, pitch, alongDepth };
}

/** Brings the part of an operand that belongs to a step into the workgroup's memory. Beyond the depth there are zeros. */
function stage(values: Values, s: Staged, lines: Size, origin: string, { tile, depth }: Product, k: Size): void {
  const size = tile.threads[0] * tile.threads[1];
  values.block(`for (var l = i32(local); l < ${s.fours * tile.depth}; l += ${size}) `, () => {
    const [inner, outer] = s.alongDepth ? ["d", "g"] : ["g", "d"];
    const run = s.alongDepth ? tile.depth : s.fours;
    values.line(`let ${inner} = l % ${run};`);
    values.line(`let ${outer} = l / ${run};`);
    const whole = k.extent % tile.depth === 0;
    values.line(`let position = ${whole ? "first + d" : `min(first + d, ${k.text} - 1)`};`);
    bindPosition(values, depth, "position");
    values.line("var v = vec4<f32>();");
    for (const [i, component] of components.entries()) {
      values.block("", () => {
        const at = `${origin} + g * ${four} + ${i}`;
        // Rows and columns beyond the last one are those of nobody.
        values.line(`let line = ${lines.extent % (s.fours * four) === 0 ? at : `min(${at}, ${lines.text} - 1)`};`);
        bindPosition(values, s.axes, "line");
        const x = values.use(s.value);
        values.line(`v.${component} = ${x};`);
      });
    }
    if (!whole) values.line(`v = select(vec4<f32>(), v, first + d < ${k.text});`);
    values.line(`${s.name}[d * ${s.pitch} + g] = v;`);
  });
}

/** What becomes of the sums of an invocation, one after the other. */
function finish(
  values: Values,
  { tile, rows, columns, sum, epilogue, packing }: Product,
  sums: readonly (readonly string[])[],
  m: Size,
  n: Size,
): void {
  const { threads, each } = tile;
  const columnFours = each[1] / four;
  values.block(`for (var o = 0; o < ${each[0] * columnFours}; o++) `, () => {
    values.line("var s = vec4<f32>();");
    values.block("switch (o) ", () => {
      sums.flat().forEach((name, o, all) => values.line(`${o === all.length - 1 ? "default" : `case ${o}`}: { s = ${name}; }`));
    });
    values.line(`let i = o / ${columnFours};`);
    values.line(`let row = tile_row + (i / ${four} * ${threads[0]} + thread_row) * ${four} + i % ${four};`);
    values.line(`let column_four = tile_column + (o % ${columnFours} * ${threads[1]} + thread_column) * ${four};`);
    const stores = epilogue.flatMap((stage) => stage.stores);
    values.gather(packing === "whole" ? stores : [], null, () =>
      values.block(`for (var j = 0; j < ${four}; j++) `, () => {
        values.line("let column = column_four + j;");
        values.block(`if (row < ${m.text} && column < ${n.text}) `, () => {
          bindPosition(values, rows, "row");
          bindPosition(values, columns, "column");
          values.line("let total = s[j];");
          values.bind(sum, "total");
          for (const store of stores) values.store(store);
        });
      }),
    );
  });
}
