import { invariant } from "@traceform/core";
import { flattenIndex } from "./affine.ts";
import type { Ex, Index } from "./expr.ts";
import type { Value } from "./graph.ts";
import type { GroupDraft } from "./group.ts";
import type { KernelBuilder } from "./kernels.ts";
import { pack } from "./packing.ts";
import { depthParts, type Product, splitDepth, sumOfParts } from "./product.ts";
import type { Contraction, PackedOperand, Part, Tile, View } from "./program.ts";
import { roundToDType } from "./scalars.ts";
import type { Scope } from "./scope.ts";

/** The first pointers of a contraction. */
const fixed = { a: 0, b: 1, c: 2, tiles: 3 } as const;

/** A kernel whose operands are known, and what may still join the end of its blocks. */
interface PreparedProduct {
  readonly schedule: ReturnType<typeof scheduleProduct>;
  readonly views: View[];
  /** Positions of a part's pointers among those of the kernel. */
  place(list: readonly View[]): number[];
  launch(epilogue: Part | null, name: string): void;
}

function prepareProduct(scope: Scope, p: Product, c: View): PreparedProduct {
  const { tile, threads } = scope.lowering.target;
  invariant(tile !== null, "a product of panels needs a micro-kernel");
  const schedule = scheduleProduct(p, tile, threads);
  const panels = (side: "a" | "b", extent: number, width: number): View => {
    const bytes = p.k * width * 4;
    const count = (p[side].shared ? 1 : p.batch) * Math.ceil(extent / width);
    const { lowering } = scope;
    if (schedule.packing[side] === "all") return lowering.temporary(count * bytes);
    return lowering.ownTemporary((schedule.packing[side] === "block" ? schedule.mostPanels : count) * bytes);
  };
  const views: View[] = [panels("a", p.m, tile.m), panels("b", p.n, tile.n), c, scope.lowering.ownTemporary(tile.m * tile.n * 4)];
  const place = (list: readonly View[]): number[] => list.map((v) => views.push(v) - 1);
  const packed = (side: "a" | "b", extent: number, width: number): PackedOperand =>
    pack(scope, {
      name: `${p.name}.pack ${side}`,
      operand: p[side],
      batch: p[side].shared ? 1 : p.batch,
      extent,
      width,
      depthShape: p.depthShape,
      slot: fixed[side],
      to: views[fixed[side]],
      place,
    });
  const operands = { a: packed("a", p.m, tile.m), b: packed("b", p.n, tile.n) };
  const launch = (epilogue: Part | null, name: string): void => {
    const kernel: Contraction = {
      kind: "contraction",
      name,
      batch: p.batch,
      m: p.m,
      n: p.n,
      k: p.k,
      tile,
      ...operands,
      batchStride: p.batchStride,
      rowStride: p.rowStride,
      ...schedule,
      epilogue,
      flops: 2 * p.batch * p.m * p.n * p.k + (epilogue?.nest.flops ?? 0),
    };
    scope.launch(kernel, views);
  };
  return { schedule, views, place, launch };
}

/** Emits a product that computes a value. What is done next with its elements joins the kernel, block by block. */
export function emitProduct(scope: Scope, value: Value, product: Product): void {
  const parts = depthParts(product);
  const p = parts === 1 ? product : splitDepth(product, parts);
  // Sums grow in the value's own memory if they can.
  const own = p.linear === null && parts === 1 && value.dtype === "float32";
  const c = own ? scope.target(value) : scope.lowering.temporary(p.batch * p.m * p.n * 4);
  const { schedule, views, place, launch } = prepareProduct(scope, p, c);
  const finish = (draft: GroupDraft): void => {
    // Where nobody else sees C, its sums grow in the memory of a result.
    views[fixed.c] = draft.shared.get(c) ?? c;
    const nest = epilogueOf(draft, p, schedule.split);
    if (nest === null) {
      launch(null, p.name);
      scope.launchDraft(draft);
      return;
    }
    launch({ nest, args: place(draft.builder.slots) }, `${p.name}.${draft.name}`);
  };
  const element = (k: KernelBuilder, position: readonly Index[]): Ex => {
    const at = p.linear?.(k, position) ?? flattenIndex(position, value.shape);
    return roundToDType(k.e, value.dtype, sumOfParts(k, c, at, parts, p.m * p.n));
  };
  scope.begin(value, own ? c : scope.target(value), element, !own, finish);
}

/** Emits products that compute a value together: their results lie one after the other, and `linear` says where an element is. */
export function emitProducts(
  scope: Scope,
  value: Value,
  products: readonly Product[],
  linear: NonNullable<Product["linear"]>,
): void {
  const sizes = products.map((p) => p.batch * p.m * p.n * 4);
  const c = scope.lowering.temporary(sizes.reduce((a, b) => a + b, 0));
  let offset = 0;
  const prepared = products.map((p, i) => {
    const own = { ...c, offset };
    offset += sizes[i];
    return { name: p.name, ...prepareProduct(scope, p, own) };
  });
  const element = (k: KernelBuilder, position: readonly Index[]): Ex =>
    roundToDType(k.e, value.dtype, k.e.load(k.slot(c), "f32", linear(k, position)));
  scope.begin(value, scope.target(value), element, true, (draft) => {
    for (const { name, launch } of prepared) launch(null, name);
    scope.launchDraft(draft);
  });
}

/** What has joined a product as the end of its blocks; null when there is nothing, or it needs more than a block has. */
function epilogueOf(draft: GroupDraft, p: Product, split: "rows" | "columns"): Part["nest"] | null {
  if (p.groups === null || draft.stages.length === 0) return null;
  const [batches, rows, columns] = p.groups;
  const { builder, name, axes, stages } = draft;
  // Rows that are worked on as wholes must be whole in a block.
  if (draft.rows !== null && (draft.rows !== batches + rows || split !== "rows")) return null;
  return builder.part(name, axes, stages, draft.rows === null ? [batches, rows, columns] : [batches, rows]);
}

/** What a block of C, and its part of the packed operand, may take: more rows use each panel of the other operand more often. */
const blockBytes = 1 << 21;
/** Operations of a block that are worth a hand-off between threads. */
const blockWork = 1 << 20;

/**
 * What all blocks read is packed by all threads together where a thread has fewer rows or columns than this. Otherwise each packs all of it
 * for itself. That is a hundredth of the work; but memory that another core has read is slow to write again, where the two share no cache
 * by up to a quarter of the time that the product takes.
 */
const ownPacking = 256;
/** Unless it is more than caches hold. */
const ownBytes = 1 << 21;

/** How a product is cut. Its sums do not depend on that. */
type Cut = Pick<Contraction, "split" | "leastPanels" | "mostPanels" | "packing">;

function scheduleProduct(p: Product, tile: Tile, threads: number): Cut {
  const split = p.n > p.m ? "columns" : "rows";
  const [width, extent, across] = split === "rows" ? [tile.m, p.m, p.n] : [tile.n, p.n, p.m];
  const panels = Math.ceil(extent / width);
  const fit = Math.min(panels, blockBytes / (width * p.k * 4), blockBytes / (width * across * 4));
  const worth = blockWork / (2 * width * across * p.k);
  const leastPanels = Math.max(1, Math.floor(Math.min(fit, worth)));
  // The first block that a thread takes is half of its share.
  const mostPanels = Math.max(leastPanels, Math.min(Math.floor(fit), Math.ceil((p.batch * panels) / (2 * threads))));
  const [side, other] = split === "rows" ? (["a", "b"] as const) : (["b", "a"] as const);
  const repeated = p.batch > 1 && p[side].shared;
  const apart =
    threads > 1 && (p.batch === 1 || p[other].shared) && p.batch * extent >= threads * ownPacking && p.k * across * 4 <= ownBytes;
  const packing = { [side]: repeated ? "all" : "block", [other]: apart ? "thread" : "all" } as Contraction["packing"];
  return { split, leastPanels, mostPanels, packing };
}
