import { invariant } from "@traceform/core";
import {
  addIndex,
  axisIndex,
  constIndex,
  divIndex,
  flattenIndex,
  modIndex,
  offsetIndex,
  scaleIndex,
  unflattenIndex,
} from "./affine.ts";
import type { Axis, Ex, Index } from "./expr.ts";
import type { Value } from "./graph.ts";
import type { GroupDraft } from "./group.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import type { Scope } from "./scope.ts";
import type { Contraction, Packing, Part, Tile, View } from "./program.ts";
import { extentOf, reachable } from "./nest.ts";
import { dependsOn, strideAlong } from "./schedule.ts";
import { roundToDType } from "./scalars.ts";
import { inBounds } from "./views.ts";

/**
 * A batched product of matrices of f32: `C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n]`. The operands are functions
 * of positions, so views and cheap producers are absorbed when the operands are packed.
 */
export interface Product {
  readonly name: string;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** The dimensions that k runs over, for packing to walk: their product is k. */
  readonly depthShape: readonly number[];
  /** Whether the operand is the same for all batches. */
  readonly sharedA: boolean;
  readonly sharedB: boolean;
  readonly a: (k: KernelBuilder, batch: Index, m: Index, kk: Index) => Ex;
  readonly b: (k: KernelBuilder, batch: Index, kk: Index, n: Index) => Ex;
  /** Steps of the result in elements; along n it is dense. */
  readonly batchStride: number;
  readonly rowStride: number;
  /**
   * How the axes of the value that is computed group into batches, rows and columns of C, in this order; null if they do not,
   * or if C is laid out in another way than the value.
   */
  readonly groups: readonly [number, number, number] | null;
  /** Where in C the element of the value at a position is; null when C is laid out like the value. */
  readonly linear: ((k: KernelBuilder, position: readonly Index[]) => Index) | null;
}

/** Products smaller than this gain nothing from packing; few rows do not pay for packing the other operand. */
export function worthPacking(p: Pick<Product, "m" | "n" | "k">): boolean {
  return p.m >= 12 && p.n >= 8 && p.k >= 8 && p.m * p.n * p.k >= 1 << 17;
}

/** The first pointers of a contraction. */
const fixed = { a: 0, b: 1, c: 2, tiles: 3 } as const;

/** Emits a product that computes a value. What is done next with its elements joins the kernel, block by block. */
export function emitProduct(scope: Scope, value: Value, product: Product): void {
  const joined = joinColumns(product, value);
  const parts = depthParts(joined);
  const p = parts === 1 ? joined : splitDepth(joined, parts);
  const { tile, threads } = scope.lowering.target;
  // Sums grow in the value's own memory if they can.
  const own = p.linear === null && parts === 1 && value.dtype === "float32";
  const c = own ? scope.target(value) : scope.lowering.temporary(p.batch * p.m * p.n * 4);
  const panels = { a: Math.ceil(p.m / tile.m), b: Math.ceil(p.n / tile.n) };
  const schedule = scheduleProduct(p, tile);
  const panelBytes = { a: p.k * tile.m * 4, b: p.k * tile.n * 4 };
  const bytesOf = (side: "a" | "b", shared: boolean): number =>
    schedule.packedByBlock === side
      ? threads * schedule.blockPanels * panelBytes[side]
      : (shared ? 1 : p.batch) * panels[side] * panelBytes[side];
  const views: View[] = [
    scope.lowering.temporary(bytesOf("a", p.sharedA)),
    scope.lowering.temporary(bytesOf("b", p.sharedB)),
    c,
    scope.lowering.temporary(threads * tile.m * tile.n * 4),
  ];
  /** Positions of a part's pointers among those of the kernel. */
  const place = (list: readonly View[]): number[] => list.map((v) => views.push(v) - 1);
  const packA = pack(
    scope,
    `${p.name}.packA`,
    fixed.a,
    views[fixed.a],
    place,
    p.sharedA ? 1 : p.batch,
    p.m,
    p.depthShape,
    tile.m,
    p.a,
  );
  const packB = pack(
    scope,
    `${p.name}.packB`,
    fixed.b,
    views[fixed.b],
    place,
    p.sharedB ? 1 : p.batch,
    p.n,
    p.depthShape,
    tile.n,
    (k, b, j, kk) => p.b(k, b, kk, j),
  );
  const launch = (epilogue: Part | null, name: string): void => {
    const kernel: Contraction = {
      kind: "contraction",
      name,
      batch: p.batch,
      m: p.m,
      n: p.n,
      k: p.k,
      tile,
      packA,
      packB,
      sharedA: p.sharedA,
      sharedB: p.sharedB,
      batchStride: p.batchStride,
      rowStride: p.rowStride,
      ...schedule,
      epilogue,
      flops: 2 * p.batch * p.m * p.n * p.k + (epilogue?.nest.flops ?? 0),
    };
    scope.launch(kernel, views);
  };
  const finish = (draft: GroupDraft, inside: (v: Value) => boolean): void => {
    const nest = epilogueOf(draft, p, schedule.split);
    if (nest === null) {
      launch(null, p.name);
      scope.launchDraft(draft);
      return;
    }
    const slots = [...draft.builder.slots];
    const over = own && draft.rows === null && inside(value) ? heir(draft, value) : null;
    if (over !== null) {
      // Nobody else sees C: its sums grow where the result will be.
      slots[slots.indexOf(c)] = over;
      views[fixed.c] = over;
    }
    launch({ nest, args: place(slots) }, `${p.name}.${draft.name}`);
  };
  const element = (k: KernelBuilder, position: readonly Index[]): Ex => {
    const at = p.linear?.(k, position) ?? flattenIndex(position, value.shape);
    const sums = Array.from({ length: parts }, (_, s) => k.e.load(k.slot(c), "f32", offsetIndex(at, s * p.m * p.n)));
    // Pairs, then pairs of pairs: the error grows with the logarithm of their number.
    while (sums.length > 1) sums.push(k.e.add(sums.shift()!, sums.shift()!));
    return roundToDType(k.e, value.dtype, sums[0]);
  };
  scope.begin(value, own ? c : scope.target(value), element, !own, finish);
}

/** Rows of C shorter than this leave much of a tile empty. */
const shortRow = 64;

/** Batches that share A are columns of one product, if there are only few columns in each. */
function joinColumns(p: Product, value: Value): Product {
  if (!p.sharedA || p.batch === 1 || p.n >= shortRow) return p;
  const columns = p.batch * p.n;
  return {
    ...p,
    batch: 1,
    n: columns,
    batchStride: p.m * columns,
    rowStride: columns,
    b: (k, _, kk, column) => p.b(k, divIndex(k.e, column, p.n), kk, modIndex(k.e, column, p.n)),
    groups: null,
    linear: (k, position) => {
      const before = p.linear?.(k, position) ?? flattenIndex(position, value.shape);
      const [batch, row, column] = unflattenIndex(k.e, before, [p.batch, p.m, p.n]);
      return addIndex(scaleIndex(row, columns), addIndex(scaleIndex(batch, p.n), column));
    },
  };
}

/** Products of few elements over a long depth are sums of products over parts of it, which threads can share. */
const longDepth = 8192;
const smallResult = 1 << 17;
const mostDepthParts = 16;

/** Into how many parts the depth is cut. */
function depthParts(p: Product): number {
  if (p.batch !== 1 || p.k < longDepth || p.m * p.n > smallResult) return 1;
  let parts = 1;
  for (let n = 2; n <= mostDepthParts && p.k / n >= longDepth / 8; n++) if (p.depthShape[0] % n === 0) parts = n;
  return parts;
}

function splitDepth(p: Product, parts: number): Product {
  const [first, ...rest] = p.depthShape;
  const depth = p.k / parts;
  const within = (s: Index, kk: Index): Index => addIndex(scaleIndex(s, depth), kk);
  return {
    ...p,
    batch: parts,
    k: depth,
    depthShape: [first / parts, ...rest],
    sharedA: false,
    sharedB: false,
    batchStride: p.m * p.n,
    a: (k, s, i, kk) => p.a(k, constIndex(0), i, within(s, kk)),
    b: (k, s, kk, j) => p.b(k, constIndex(0), within(s, kk), j),
    groups: null,
  };
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

/** The place of the last result of the draft, if that lies in memory as C does: all others have read C by then. */
function heir(draft: GroupDraft, value: Value): View | null {
  const dense = flattenIndex(
    draft.axes.map((a) => axisIndex(draft.builder.e, a)),
    value.shape,
  );
  const s = draft.stages.flatMap((stage) => stage.stores).at(-1);
  if (s === undefined || s.storage !== "f32" || s.guard !== null) return null;
  const same = s.index.c === dense.c && extentOf(draft.axes) === value.size;
  const view = draft.builder.slots[s.slot];
  return same && view.buffer.bytes >= value.size * 4 ? view : null;
}

/** What a block of C, and its part of the packed operand, may take: more rows use each panel of the other operand more often. */
const blockBytes = 1 << 21;
/** Operations of a block that are worth a hand-off between threads. */
const blockWork = 1 << 20;
/** So many blocks are shared evenly by the threads that there are. */
const evenBlocks = 8;

function scheduleProduct(p: Product, tile: Tile): Pick<Contraction, "split" | "blockPanels" | "packedByBlock"> {
  const split = p.n > 2 * p.m ? "columns" : "rows";
  const [width, extent, across] = split === "rows" ? [tile.m, p.m, p.n] : [tile.n, p.n, p.m];
  const panels = Math.ceil(extent / width);
  const panelWork = 2 * width * across * p.k;
  const fit = Math.min(blockBytes / (width * p.k * 4), blockBytes / (width * across * 4));
  const even = (p.batch * panels) / evenBlocks;
  const most = Math.max(1, Math.floor(Math.min(fit, Math.max(even, blockWork / panelWork))));
  const blockPanels = Math.ceil(panels / Math.ceil(panels / most));
  const side = split === "rows" ? "a" : "b";
  const repeated = p.batch > 1 && (side === "a" ? p.sharedA : p.sharedB);
  return { split, blockPanels, packedByBlock: repeated ? null : side };
}

/** How many lanes a panel's rows are split into, so that windows which break off at a multiple of it stay dense in them. */
const lanes = 4;

/**
 * Packs rows into panels: [batch, ceil(rows / width), k, width], the last panel filled with zeros.
 */
function pack(
  scope: Scope,
  name: string,
  slot: number,
  to: View,
  place: (views: readonly View[]) => number[],
  batch: number,
  rows: number,
  depthShape: readonly number[],
  width: number,
  read: (k: KernelBuilder, b: Index, row: Index, kk: Index) => Ex,
): Packing {
  const depth = depthShape.reduce((a, b) => a * b, 1);
  const panels = Math.ceil(rows / width);
  const full = Math.floor(rows / width);
  const part = (first: number, count: number): Part | null => {
    if (count === 0) return null;
    const k = scope.builder();
    const { e } = k;
    const rowShape = width % lanes === 0 ? [width / lanes, lanes] : [width];
    const [batchAxis, panelAxis] = [batch, count].map((n) => e.axis(n));
    const { axes: rowAxes, position: rowPosition } = k.axes(rowShape);
    const { axes: depthAxes, position: depthPosition } = k.axes(depthShape);
    const b = axisIndex(e, batchAxis);
    const panel = offsetIndex(axisIndex(e, panelAxis), first);
    const kk = flattenIndex(depthPosition, depthShape);
    const row = flattenIndex(rowPosition, rowShape);
    const at = addIndex(scaleIndex(panel, width), row);
    const guard = inBounds(e, at, rows);
    let value = read(k, b, guard === null ? at : clampToFirst(k, at, guard), kk);
    if (guard !== null) value = e.select(guard, value, e.f32(0));
    // Counted from the part's first panel: the pointer of what a block packs may lie before its memory, even before address 0.
    let index = addIndex(scaleIndex(b, panels), axisIndex(e, panelAxis));
    index = addIndex(addIndex(scaleIndex(index, depth * width), scaleIndex(kk, width)), row);
    const store = { slot: k.slot(to), storage: "f32", index, value, guard: null } as const;
    const inner = packingOrder(value, depthAxes, rowAxes);
    const nest = k.part(name, [batchAxis, panelAxis, ...inner], [storing([], [store])], [1, 1]);
    invariant(nest !== null, "single axes merge");
    const args = place(k.slots.filter((v) => v !== to));
    return { nest, args: k.slots.map((v) => (v === to ? slot : args.shift()!)) };
  };
  return { panels, whole: part(0, full), last: part(full, panels - full) };
}

/**
 * The order of the loops of packing. The axis along which the operand is dense comes last. Where elements are found by division, or
 * lie outside the operand, as at the edges of an image, what decides that stays outside the loops that do not change it.
 */
function packingOrder(value: Ex, depthAxes: readonly Axis[], rowAxes: readonly Axis[]): Axis[] {
  const last = depthAxes[depthAxes.length - 1];
  const lane = rowAxes[rowAxes.length - 1];
  if (last !== undefined && denseLoads(value, last) > denseLoads(value, lane)) return [...rowAxes, ...depthAxes];
  const nodes = [...reachable([value])];
  const divided = nodes.some((x) => (x.op === "idiv" || x.op === "imod") && rowAxes.some((a) => dependsOn(x, a)));
  if (!divided) return [...depthAxes, ...rowAxes];
  const guards = nodes.flatMap((x) => (x.op === "load" ? x.args : x.op === "select" ? [x.args[0]] : []));
  const guarded = depthAxes.filter((a) => guards.some((g) => dependsOn(g, a)));
  const free = depthAxes.filter((a) => !guarded.includes(a));
  return [...rowAxes.slice(0, -1), ...guarded, ...free, lane];
}

/** The loads below a value that move by one element along an axis. */
function denseLoads(value: Ex, axis: Axis): number {
  let n = 0;
  for (const x of reachable([value])) if (x.op === "load" && strideAlong(x.index!, axis) === 1) n++;
  return n;
}

/** Rows beyond the last read the first one instead: what they load is not used. */
function clampToFirst(k: KernelBuilder, at: Index, guard: Ex): Index {
  return { c: 0, terms: [{ atom: k.e.select(guard, k.e.fromIndex(at), k.e.i32(0)), coef: 1 }] };
}
