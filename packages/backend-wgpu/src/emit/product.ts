import { type Axis, dependsOn, type Ex, extentOf, halfBits, type Nest } from "@traceform/compiler";
import { type Aligned, isShort, packingAlong } from "./packing.ts";
import { productClass, tileCandidates, tileName, usualTiles } from "./candidates.ts";
import type { Schedule } from "./schedule.ts";
import { nothingShared, onlyGroups, type Scheduled } from "./scheduled.ts";
import { components, finish, stage, staged } from "./staging.ts";
import {
  elementOf,
  four,
  heightOf,
  type Operand,
  placeTile,
  type Product,
  sizeOf,
  type Tile,
  type UnitTile,
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

/** A product of which each workgroup has a tile. */
export function scheduledProduct(product: Product): Scheduled {
  const { groups, size, tiles, halves } = productShape(product);
  return {
    kind: "product",
    product,
    packing: product.packing,
    shortSlots: product.epilogue.flatMap((s) => s.stores.filter(isShort).map((t) => t.slot)),
    variant: tileName(product.tile),
    literals: product.e.literals,
    size,
    shared: { ...nothingShared, tiles, halves },
    groups: () => groups,
    resized: (n) => {
      const other = retiled(product, n);
      return other === null ? null : scheduledProduct(other);
    },
    write: (values) => {
      onlyGroups(values, groups);
      values.givingSteps(() => writeProduct(product, values));
    },
  };
}

/** How many workgroups a product takes, how many invocations each of them has, and at the most how many bytes of memory for single and for half precision. */
export function productShape({ batches, rows, columns, tile, a, b }: Product): {
  readonly groups: number;
  readonly size: number;
  readonly tiles: number;
  readonly halves: number;
} {
  const groups = extentOf(batches) * tileCount(tile, extentOf(rows), extentOf(columns));
  if (!("threads" in tile)) return { groups, size: tile.size, tiles: unitBytes(tile), halves: 0 };
  const { threads, each, depth } = tile;
  const bytes = (element: "f16" | "f32"): number =>
    [a, b].reduce((sum, operand, i) => {
      const elements = depth * ((threads[i] * each[i]) / four + 1) * four;
      return elementOf(operand) === element ? sum + elements * (element === "f16" ? 2 : 4) : sum;
    }, 0);
  return { groups, size: threads[0] * threads[1], tiles: bytes("f32"), halves: bytes("f16") };
}

/** Tiles for products that are beside others in a dispatch, whose workgroups are larger than the products' own. */
const wideTiles: readonly Tile[] = [
  { threads: [16, 16], each: [4, 4], depth: 16 },
  { threads: [32, 8], each: [4, 4], depth: 16 },
  { threads: [8, 32], each: [4, 4], depth: 16 },
];
/** The product in tiles of workgroups of so many invocations, with as little as possible beyond its edges; null where there are none. */
function retiled(product: Product, size: number): Product | null {
  // Products by units are by themselves: they have memory of their own.
  if (!("threads" in product.tile)) return null;
  if (productShape(product).size === size) return product;
  const [m, n] = [product.rows, product.columns].map(extentOf);
  const area = ({ threads, each }: Tile): number => threads[0] * each[0] * threads[1] * each[1];
  const padded = (t: Tile): number => area(t) * tileCount(t, m, n);
  const [tile] = wideTiles.filter((t) => t.threads[0] * t.threads[1] === size).sort((x, y) => padded(x) - padded(y));
  return tile === undefined ? null : { ...product, tile };
}

/** Tiles of few rows, for what goes on with whole ones. */
const rowTiles: readonly Tile[] = [
  { threads: [8, 8], each: [4, 4], depth: 16 },
  { threads: [4, 16], each: [4, 4], depth: 16 },
  { threads: [4, 32], each: [4, 4], depth: 16 },
];
/** The product in tiles that have whole rows of `n` elements; null where there are none, and units are left alone. */
export function withWholeRows(product: Product, n: number, { size, memory }: Schedule): Product | null {
  const tile = (size === "tiny" ? [tinyTile] : rowTiles).find((t) => widthOf(t) >= n);
  if (tile === undefined || !("threads" in product.tile) || extentOf(product.columns) !== n) return null;
  const made = { ...product, tile };
  const { tiles, halves } = productShape(made);
  return tiles + halves + 2 ** 12 > memory ? null : made;
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
    stage(values, a, "tile_row", p.depth, tile);
    stage(values, b, "tile_column", p.depth, tile);
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
