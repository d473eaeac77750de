import type { Axis, Ex, Exprs, Index } from "./expr.ts";
import type { Nest, Stage } from "./program.ts";

/** A nest before its loops are put in order. */
export interface NestDraft {
  readonly name: string;
  readonly e: Exprs;
  readonly outer: readonly Axis[];
  readonly stages: readonly Stage[];
  readonly slots: number;
  readonly serial: boolean;
  /** Of a serial nest, how many of the outer axes are independent all the same. */
  readonly parallel: number;
}

/** Merges loops that walk memory as one, and decides how the kernel is cut into chunks of some `grain` operations. */
export function finishNest(draft: NestDraft, grain: number): Nest {
  const nodes = reachable(rootsOf(draft.stages));
  if (!draft.serial) draft = tileTransposes(draft, nodes);
  // Before loops merge: that changes their extents in place.
  const flops = workOf(draft);
  const independent = draft.serial ? draft.outer.slice(0, draft.parallel) : draft.outer;
  const cuttable = collapse(independent, nodes, draft.stages);
  const outer = draft.serial ? [...cuttable, ...collapse(draft.outer.slice(draft.parallel), nodes, draft.stages)] : cuttable;
  const stages = draft.stages.map((s) => ({ ...s, axes: collapse(s.axes, nodes, draft.stages) }));
  let chunkAxis = -1;
  let chunk = 0;
  if (cuttable.length > 0 && extentOf(outer) > 0) {
    // The outermost axis that can be cut finely enough; the axes inside it are one unit of work.
    let inside = flops;
    for (let i = 0; i < cuttable.length; i++) {
      inside /= outer[i].extent;
      chunkAxis = i;
      if (inside <= grain && outer[i].extent > 1) break;
    }
    chunk = Math.max(1, Math.floor(grain / Math.max(1, inside)));
    // Whole vectors, and whole cache lines of the result.
    if (chunk > 64) chunk = Math.floor(chunk / 64) * 64;
    for (let i = 0; i < chunkAxis; i++) chunk = Math.max(1, Math.floor(chunk / outer[i].extent));
    if (chunk >= outer[chunkAxis].extent) chunk = outer[chunkAxis].extent;
  }
  return nestOf(draft, { outer, stages, serial: draft.serial, parallel: cuttable.length, ranges: [chunkAxis], chunk, flops });
}

function nestOf(
  { name, e, slots }: NestDraft,
  made: Pick<Nest, "outer" | "stages" | "serial" | "parallel" | "ranges" | "chunk" | "flops">,
): Nest {
  return { kind: "nest", name, e, slots, ...made };
}

/**
 * A nest as a part of another kernel, which calls it on ranges of its leading axes: those come in groups, each of which must
 * merge into one. Null when they do not; then nothing has changed.
 */
export function finishPart(draft: NestDraft, groups: readonly number[]): Nest | null {
  const nodes = reachable(rootsOf(draft.stages));
  const flops = workOf(draft);
  const leading: (readonly Axis[])[] = [];
  let next = 0;
  for (const n of groups) leading.push(draft.outer.slice(next, (next += n)));
  const { bare, holders } = usesOfAxes(nodes, draft.stages);
  for (const group of leading) {
    const axes = group.filter((a) => a.extent !== 1);
    const last = axes[axes.length - 1];
    if (axes.length > 1 && axes.some((a) => bare.has(a))) return null;
    let extent = 1;
    for (const a of axes.toReversed()) {
      if (!holders.every((h) => coefficient(h.index, a) === coefficient(h.index, last) * extent)) return null;
      extent *= a.extent;
    }
  }
  const outer: Axis[] = [];
  const ranges = leading.map((group) => {
    const merged = collapse(group, nodes, draft.stages);
    outer.push(...merged);
    return merged.length === 0 ? -1 : outer.length - 1;
  });
  outer.push(...collapse(draft.outer.slice(next), nodes, draft.stages));
  const stages = draft.stages.map((s) => ({ ...s, axes: collapse(s.axes, nodes, draft.stages) }));
  return nestOf(draft, { outer, stages, serial: false, parallel: outer.length, ranges, chunk: 0, flops });
}

/** Simple operations of all iterations. */
function workOf(draft: NestDraft): number {
  let perPoint = 0;
  for (const s of draft.stages) perPoint += extentOf(s.axes) * Math.max(1, stageWork(s));
  return extentOf(draft.outer) * perPoint;
}

export function extentOf(axes: readonly Axis[]): number {
  return axes.reduce((n, a) => n * a.extent, 1);
}

/** The expressions that a stage evaluates in every iteration of its loops. */
export function stageRoots(stage: Stage): Ex[] {
  const roots: Ex[] = [];
  for (const r of stage.reductions) roots.push(...r.values);
  for (const s of stage.stores) {
    roots.push(s.value);
    if (s.guard) roots.push(s.guard);
  }
  return roots;
}

function stageWork(stage: Stage): number {
  const moves = new Map<Ex, boolean>();
  const changes = (x: Ex): boolean => {
    let known = moves.get(x);
    if (known === undefined) {
      known = x.axis !== null || x.op === "param" || x.args.some(changes) || (x.index?.terms.some((t) => changes(t.atom)) ?? false);
      moves.set(x, known);
    }
    return known;
  };
  // What is the same in all iterations is computed once.
  return [...reachable(stageRoots(stage))].filter(changes).length / 2;
}

/** All expressions of stages: what they evaluate, begin with, combine, and where they store. */
export function rootsOf(stages: readonly Stage[]): Ex[] {
  const roots: Ex[] = [];
  for (const s of stages) {
    roots.push(...stageRoots(s));
    for (const r of s.reductions) roots.push(...r.init, ...r.combined);
    for (const st of s.stores) for (const t of st.index.terms) roots.push(t.atom);
  }
  return roots;
}

/** Every node below the roots, the atoms of indices included. */
export function reachable(roots: Iterable<Ex>): Set<Ex> {
  const seen = new Set<Ex>();
  const stack = [...roots];
  for (let x = stack.pop(); x !== undefined; x = stack.pop()) {
    if (seen.has(x)) continue;
    seen.add(x);
    stack.push(...x.args);
    if (x.index) for (const t of x.index.terms) stack.push(t.atom);
  }
  return seen;
}

/** Columns of a transposed access that are walked together: a cache line of f32. */
const tileWidth = 16;

/**
 * A nest that reads along one axis and writes along another touches a new cache line with every element. Its last axis
 * is split, so that the lines of a few columns are used up before the next ones.
 */
function tileTransposes(draft: NestDraft, nodes: ReadonlySet<Ex>): NestDraft {
  const { outer, stages, e } = draft;
  const last = outer[outer.length - 1];
  if (last === undefined || last.extent < 4 * tileWidth || last.extent % tileWidth !== 0 || stages.some((s) => s.axes.length > 0))
    return draft;
  const against = [...nodes].some((x) => {
    if (x.op !== "load" || Math.abs(coefficient(x.index!, last)) < tileWidth) return false;
    return outer.some((a) => a !== last && a.extent >= tileWidth && coefficient(x.index!, a) === 1);
  });
  if (
    !against ||
    [...nodes].some((x) => x.args.some((a) => a.axis === last)) ||
    stages.flatMap(stageRoots).some((x) => x.axis === last)
  )
    return draft;
  const block = e.axis(last.extent / tileWidth);
  const inside = e.axis(tileWidth);
  const [blockValue, insideValue] = [e.axisValue(block), e.axisValue(inside)];
  const holders = [...[...nodes].filter((x) => x.index !== null), ...stages.flatMap((s) => s.stores)] as unknown as {
    index: Index;
  }[];
  for (const h of holders) {
    const c = coefficient(h.index, last);
    if (c === 0) continue;
    const terms = h.index.terms.filter((t) => t.atom.axis !== last);
    h.index = { c: h.index.c, terms: [...terms, { atom: blockValue, coef: c * tileWidth }, { atom: insideValue, coef: c }] };
  }
  return { ...draft, outer: [block, ...outer.slice(0, -1), inside] };
}

function coefficient(index: Index, axis: Axis): number {
  for (const t of index.terms) if (t.atom.axis === axis) return t.coef;
  return 0;
}

/** The axes whose numbers are values of their own, and everything else that moves with axes: indices. */
function usesOfAxes(nodes: ReadonlySet<Ex>, stages: readonly Stage[]): { bare: Set<Axis>; holders: { index: Index }[] } {
  const bare = new Set<Axis>();
  const holders: { index: Index }[] = [];
  for (const x of nodes) {
    for (const a of x.args) if (a.axis) bare.add(a.axis);
    if (x.index) holders.push(x as { index: Index });
  }
  for (const s of stages) {
    for (const root of [...stageRoots(s), ...s.reductions.flatMap((r) => [...r.init])]) if (root.axis) bare.add(root.axis);
    holders.push(...(s.stores as unknown as { index: Index }[]));
  }
  return { bare, holders };
}

/** Loops count with 32 bits and a sign. */
const longestLoop = 2 ** 31 - 1;

/**
 * Merges neighbouring axes (i, j) wherever every index moves along i as it does along j's whole extent: then
 * `i * extent + j` is one loop. Indices are rewritten in place; nothing is built on these expressions afterwards.
 */
function collapse(axes: readonly Axis[], nodes: ReadonlySet<Ex>, stages: readonly Stage[]): Axis[] {
  let list = axes.filter((a) => a.extent !== 1);
  const { bare, holders } = usesOfAxes(nodes, stages);
  for (let i = list.length - 2; i >= 0; i--) {
    const outer = list[i];
    const inner = list[i + 1];
    if (bare.has(outer) || bare.has(inner) || outer.extent * inner.extent > longestLoop) continue;
    if (!holders.every((h) => coefficient(h.index, outer) === coefficient(h.index, inner) * inner.extent)) continue;
    for (const h of holders) {
      const terms = h.index.terms.filter((t) => t.atom.axis !== outer);
      if (terms.length !== h.index.terms.length) h.index = { c: h.index.c, terms };
    }
    inner.extent *= outer.extent;
    list = list.filter((a) => a !== outer);
  }
  return list;
}
