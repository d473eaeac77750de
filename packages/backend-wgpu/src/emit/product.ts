import { type Axis, dependsOn, type Ex, extentOf, halfBits, type Nest } from "@traceform/compiler";
import { type Aligned, packingAlong } from "./packing.ts";
import { productClass, tileCandidates, tileName, usualTiles } from "./candidates.ts";
import { bindPosition } from "./position.ts";
import type { Schedule } from "./schedule.ts";
import {
  elementOf,
  finishFour,
  four,
  heightOf,
  isAlongDepth,
  type Operand,
  placeTile,
  sizeOf,
  type Product,
  type Tile,
  type UnitTile,
  useOperand,
  widthOf,
} from "./tiles.ts";
import { unitBytes, unitTiles, writeUnits } from "./units.ts";
import type { Values } from "./values.ts";

/** For adapters on which large kernels take long to compile. */
const tinyTile: Tile = { threads: [4, 4], each: [4, 4], depth: 8 };
/** So many workgroups keep a GPU busy. */
const enoughTiles = 128;

/** The nest as a product, with the tile that suits its size; null if it is none, or too small to gain from tiles. */
export function productOf(nest: Nest, schedule: Schedule, aligned: Aligned): Product | null {
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
  const operand = (value: Ex): Operand => ({ value, half: schedule.halves ? halfBits(nest.e, value) : null });
  const operands = { a: operand(a), b: operand(b) };
  const fits = (tile: Tile | UnitTile): boolean => m >= heightOf(tile) && n >= widthOf(tile);
  const busy = (tile: Tile | UnitTile): boolean => batch * tileCount(tile, m, n) >= enoughTiles;
  const suits = (all: readonly (Tile | UnitTile)[]): Tile | UnitTile | undefined => {
    const deep = all.filter((t) => k >= t.depth);
    return deep.find((t) => fits(t) && busy(t)) ?? deep.findLast((t) => 2 * m >= heightOf(t) && 2 * n >= widthOf(t));
  };
  const units = unitTiles(schedule, operands);
  const tile =
    suits(units) ?? (schedule.size !== "tiny" ? suits(usualTiles) : m >= 4 && n >= 4 && k >= tinyTile.depth ? tinyTile : undefined);
  if (tile === undefined) return null;
  const stores = epilogue.flatMap((s) => s.stores);
  const packing = packingAlong(stores, columns, [...batches, ...rows], aligned);
  const product: Product = {
    e: nest.e,
    batches,
    rows,
    columns,
    depth: fold.axes,
    ...operands,
    sum: results[0],
    epilogue,
    tile,
    packing,
    others: [],
  };
  if (schedule.size === "tiny") return product;
  const candidates = tileCandidates(product, units);
  const chosen = schedule.chosenTile(productClass(product));
  // What was measured is better than what the rule says.
  return { ...product, others: candidates, tile: candidates.find((t) => tileName(t) === chosen) ?? tile };
}

function tileCount(tile: Tile | UnitTile, m: number, n: number): number {
  return Math.ceil(m / heightOf(tile)) * Math.ceil(n / widthOf(tile));
}

/** How many workgroups a product takes, how many invocations each of them has, and at the most how many bytes of memory. */
export function productShape({ batches, rows, columns, tile }: Product): {
  readonly groups: number;
  readonly size: number;
  readonly bytes: number;
} {
  const fours = ({ threads, each }: Tile, i: 0 | 1): number => (threads[i] * each[i]) / four + 1;
  return {
    groups: extentOf(batches) * tileCount(tile, extentOf(rows), extentOf(columns)),
    size: "threads" in tile ? tile.threads[0] * tile.threads[1] : tile.size,
    bytes: "threads" in tile ? tile.depth * (fours(tile, 0) + fours(tile, 1)) * four * 4 : unitBytes(tile),
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
  if (!("threads" in product.tile)) return null;
  const [m, n] = [product.rows, product.columns].map(extentOf);
  const area = ({ threads, each }: Tile): number => threads[0] * each[0] * threads[1] * each[1];
  const padded = (t: Tile): number => area(t) * tileCount(t, m, n);
  const [tile] = wideTiles.filter((t) => t.threads[0] * t.threads[1] === size).sort((x, y) => padded(x) - padded(y));
  return tile === undefined ? null : { ...product, tile };
}

const components = ["x", "y", "z", "w"] as const;

/** One operand in the memory of a workgroup: `[depth, extent]`, by fours along the extent. */
interface Staged {
  readonly name: string;
  readonly operand: Operand;
  readonly axes: readonly Axis[];
  /** Rows or columns of a tile, and between two depths in memory, all by fours. */
  readonly fours: number;
  readonly pitch: number;
  /** Whether neighbouring invocations read along the depth. */
  readonly alongDepth: boolean;
}

/** Writes what an invocation, number `local` of workgroup `group`, does. */
export function writeProduct(p: Product, values: Values): void {
  return "threads" in p.tile ? writeTiles(p, p.tile, values) : writeUnits(p, p.tile, values);
}

/**
 * Both operands of a step are brought into the memory of the workgroup,
 * from where each of their elements is used by a row or a column of invocations, whose sums have names, so that they stay in registers.
 *
 * @see Volkov & Demmel (2008), "Benchmarking GPUs to tune dense linear algebra"
 */
function writeTiles(p: Product, tile: Tile, values: Values): void {
  const { threads, each, depth } = tile;
  const [height, width] = [heightOf(tile), widthOf(tile)];
  const k = sizeOf(values, p.depth);
  const a = staged(values, "tile_a", p.a, p.rows, height, tile, p.depth);
  const b = staged(values, "tile_b", p.b, p.columns, width, tile, p.depth);
  placeTile(values, p);
  values.line(`let thread_row = i32(local / ${threads[1]}u);`);
  values.line(`let thread_column = i32(local % ${threads[1]}u);`);
  const [rowFours, columnFours] = [each[0] / four, each[1] / four];
  const sums = Array.from({ length: each[0] }, (_, i) => Array.from({ length: columnFours }, (_, j) => `c${i}_${j}`));
  for (const name of sums.flat()) values.line(`var ${name} = vec4<f32>();`);
  values.block(`for (var first = 0; first < ${k.text}; first += ${depth}) `, () => {
    values.line("workgroupBarrier();");
    stage(values, a, "tile_row", p, tile);
    stage(values, b, "tile_column", p, tile);
    values.line("workgroupBarrier();");
    values.block(`for (var d = 0; d < ${depth}; d++) `, () => {
      for (let i = 0; i < rowFours; i++)
        values.line(`let x${i} = vec4<f32>(${a.name}[d * ${a.pitch} + thread_row + ${i * threads[0]}]);`);
      for (let j = 0; j < columnFours; j++)
        values.line(`let y${j} = vec4<f32>(${b.name}[d * ${b.pitch} + thread_column + ${j * threads[1]}]);`);
      sums.forEach((row, i) =>
        row.forEach((name, j) => values.line(`${name} = x${Math.floor(i / four)}.${components[i % four]} * y${j} + ${name};`)),
      );
    });
  });
  finish(values, p, tile, sums);
}

function staged(
  values: Values,
  purpose: string,
  operand: Operand,
  axes: readonly Axis[],
  extent: number,
  tile: Tile,
  depth: readonly Axis[],
): Staged {
  const alongDepth = isAlongDepth(operand, axes, depth);
  const fours = extent / four;
  // Neighbours along the depth write to different banks of memory.
  const pitch = alongDepth ? fours + 1 : fours;
  const name = values.shared(purpose, `vec4<${elementOf(operand)}>`, tile.depth * pitch);
  return { name, operand, axes, fours, pitch, alongDepth };
}

/** Brings the part of an operand that belongs to a step into the workgroup's memory. Beyond the depth there are zeros. */
function stage(values: Values, s: Staged, origin: string, { depth }: Product, tile: Tile): void {
  const [lines, k] = [sizeOf(values, s.axes), sizeOf(values, depth)];
  const element = elementOf(s.operand);
  const size = tile.threads[0] * tile.threads[1];
  values.block(`for (var l = i32(local); l < ${s.fours * tile.depth}; l += ${size}) `, () => {
    const [inner, outer] = s.alongDepth ? ["d", "g"] : ["g", "d"];
    const run = s.alongDepth ? tile.depth : s.fours;
    values.line(`let ${inner} = l % ${run};`);
    values.line(`let ${outer} = l / ${run};`);
    const whole = k.extent % tile.depth === 0;
    values.line(`let position = ${whole ? "first + d" : `min(first + d, ${k.text} - 1)`};`);
    bindPosition(values, depth, "position");
    values.line(`var v = vec4<${element}>();`);
    for (const [i, component] of components.entries()) {
      values.block("", () => {
        const at = `${origin} + g * ${four} + ${i}`;
        // Rows and columns beyond the last one are those of nobody.
        values.line(`let line = ${lines.extent % (s.fours * four) === 0 ? at : `min(${at}, ${lines.text} - 1)`};`);
        bindPosition(values, s.axes, "line");
        const x = useOperand(values, s.operand);
        values.line(`v.${component} = ${x};`);
      });
    }
    if (!whole) values.line(`v = select(vec4<${element}>(), v, first + d < ${k.text});`);
    values.line(`${s.name}[d * ${s.pitch} + g] = v;`);
  });
}

/** What becomes of the sums of an invocation, one after the other. */
function finish(values: Values, p: Product, { threads, each }: Tile, sums: readonly (readonly string[])[]): void {
  const columnFours = each[1] / four;
  values.block(`for (var o = 0; o < ${each[0] * columnFours}; o++) `, () => {
    values.line("var s = vec4<f32>();");
    values.block("switch (o) ", () => {
      sums.flat().forEach((name, o, all) => values.line(`${o === all.length - 1 ? "default" : `case ${o}`}: { s = ${name}; }`));
    });
    values.line(`let i = o / ${columnFours};`);
    values.line(`let row = tile_row + (i / ${four} * ${threads[0]} + thread_row) * ${four} + i % ${four};`);
    values.line(`let column_four = tile_column + (o % ${columnFours} * ${threads[1]} + thread_column) * ${four};`);
    finishFour(values, p, "s[j]");
  });
}
