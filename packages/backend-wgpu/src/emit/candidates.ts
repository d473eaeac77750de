import { extentOf } from "@traceform/compiler";
import { elementOf, heightOf, isAlongDepth, type Product, type Tile, type UnitTile, widthOf } from "./tiles.ts";

/** What is remembered of measurements: for each adapter, and each class of products, the name of the fastest tile. Plain data, to be kept as JSON. */
export type TileTable = Record<string, Record<string, string>>;

/** The larger a tile, the more often what was read is used, and the fewer tiles there are to keep the GPU busy. */
export const usualTiles: readonly Tile[] = [
  { threads: [16, 16], each: [8, 8], depth: 8 },
  { threads: [16, 16], each: [4, 4], depth: 16 },
  { threads: [8, 8], each: [4, 4], depth: 16 },
];
/** Others that are faster on some GPUs: with fewer registers, fewer invocations, or shorter steps. */
const otherTiles: readonly Tile[] = [
  { threads: [16, 16], each: [8, 4], depth: 8 },
  { threads: [16, 16], each: [4, 8], depth: 8 },
  { threads: [8, 16], each: [8, 4], depth: 16 },
  { threads: [8, 8], each: [8, 8], depth: 8 },
  { threads: [16, 16], each: [4, 4], depth: 8 },
  { threads: [8, 8], each: [4, 4], depth: 32 },
];

export function tileName(tile: Tile | UnitTile): string {
  if ("threads" in tile) return `${tile.threads.join("x")} ${tile.each.join("x")} ${tile.depth}`;
  const { config, subgroups, results, depth } = tile;
  return `units ${config.M}x${config.N}x${config.K} ${subgroups.join("x")} ${results.join("x")} ${depth}`;
}

/** What products have in common that are fast with the same tile: the magnitudes of their extents, their types, and their layouts. */
export function productClass({ batches, rows, columns, depth, a, b }: Product): string {
  const size = (x: number): string => `2^${Math.round(Math.log2(x))}`;
  const layout = (["a", "b"] as const).map((x) =>
    isAlongDepth({ a, b }[x], { a: rows, b: columns }[x], depth) ? "depth" : "lines",
  );
  return [
    `${elementOf(a)} ${layout[0]} ${elementOf(b)} ${layout[1]}`,
    ...[rows, columns, depth, batches].map((axes) => size(extentOf(axes))),
  ].join(" ");
}

/** The tiles that a product may have. `units` are those of units that multiply matrices. */
export function tileCandidates(
  { rows, columns, depth }: Pick<Product, "rows" | "columns" | "depth">,
  units: readonly UnitTile[],
): readonly (Tile | UnitTile)[] {
  const [m, n, k] = [rows, columns, depth].map(extentOf);
  return [...usualTiles, ...otherTiles, ...units].filter((t) => m >= heightOf(t) && n >= widthOf(t) && k >= t.depth);
}
