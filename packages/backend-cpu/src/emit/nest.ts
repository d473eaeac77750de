import {
  type Axis,
  dependsOn,
  type Ex,
  type Nest,
  planVectors,
  reachable,
  type Stage,
  stageRoots,
  type Store,
} from "@traceform/compiler";
import { Code } from "../wasm/code.ts";
import type { FunctionSlot } from "../wasm/encoder.ts";
import { Evaluator } from "./evaluator.ts";
import { Fold } from "./fold.ts";
import { lanes } from "./holder.ts";
import type { Helpers } from "./helpers.ts";
import { isWide } from "./scalar-ops.ts";

/**
 * Emits a nest as a function `(begin, end, ..., ...pointers)`: the axes of its ranges run over [begin, end), the others over
 * their extents.
 */
export function emitNest(nest: Nest, slot: FunctionSlot, helpers: Helpers): void {
  const code = new Code(slot);
  new NestEmitter(nest, code, helpers).emit();
  code.finish();
}

/** Depth of a value in the loops: -1 outside all of them. Values that need the result of a fold are `late`. */
interface Level {
  readonly depth: number;
  readonly late: boolean;
}
const outside: Level = { depth: -1, late: false };

/** Operands that stay scalars on lanes: the amount of a shift, the guard of a load. */
function spreads(x: Ex, operand: number): boolean {
  return x.op !== "load" && !(x.op.startsWith("sh") && operand === 1);
}

/** What must be held before deeper loops start. */
interface Held {
  readonly x: Ex;
  readonly spread: boolean;
}

/** As many groups as keep the values of an iteration in registers, of which there are fifteen. */
function groupsFor(stage: Stage): number {
  const nodes = [...reachable([...stageRoots(stage), ...stage.reductions.flatMap((r) => r.combined)])];
  const size = nodes.filter((x) => x.op !== "const" && x.op !== "axis").length;
  const groups = size <= 14 ? 4 : size <= 100 ? 2 : 1;
  return nodes.some((x) => isWide(x.type)) ? Math.ceil(groups / 2) : groups;
}

/** With fewer stores each of them leaves nothing behind for the next. */
const fewestSharing = 4;

class NestEmitter {
  readonly #nest: Nest;
  readonly #code: Code;
  readonly #ev: Evaluator;
  readonly #levels = new Map<Ex, Level>();
  /** Results of folds, and among them those of scans, which change with every iteration. */
  readonly #results = new Set<Ex>();
  readonly #running = new Set<Ex>();
  readonly #written: ReadonlySet<number>;
  readonly #plan: ReturnType<typeof planVectors>;
  /** How many groups of lanes an iteration of the vector loop takes: of the nest's, or of the present stage's own. */
  #groups: number;
  /** Per stage, the nodes below its roots and the nodes to hold, by depth. */
  readonly #stageUses = new Map<Stage, ReadonlyMap<Ex, number>>();
  readonly #stageNodes = new Map<Stage, Set<Ex>>();

  constructor(nest: Nest, code: Code, helpers: Helpers) {
    this.#nest = nest;
    this.#code = code;
    this.#ev = new Evaluator(code, helpers, (s) => s + 2 * nest.ranges.length);
    this.#plan = planVectors(nest, lanes);
    this.#groups = Math.min(4, ...nest.stages.map(groupsFor));
    this.#written = new Set(nest.stages.flatMap((s) => s.stores.map((t) => t.slot)));
    for (const s of nest.stages)
      for (const r of s.reductions)
        for (const x of r.results) {
          this.#results.add(x);
          if (s.scan) this.#running.add(x);
        }
  }

  emit(): void {
    const { outer, stages } = this.#nest;
    for (const a of outer) this.#axisLocal(a);
    this.#holdLaneOffsets();
    for (const s of stages) this.#enter(s, -1, false);
    this.#outerLoop(0);
  }

  /** Where positions along the lanes are values: of a mask, an iota. */
  #holdLaneOffsets(): void {
    const { outer, inner } = this.#plan;
    this.#nest.stages.forEach((s, i) => {
      const axis = outer ?? inner[i];
      if (axis === null) return;
      const values = [...stageRoots(s), ...[...this.#nodes(s)].flatMap((x) => x.args)];
      const isPosition = (x: Ex): boolean => x.op !== "load" && (x.axis !== null || x.index !== null) && dependsOn(x, axis);
      if (values.some(isPosition)) this.#ev.holdLaneOffsets(outer === null ? groupsFor(s) : this.#groups);
    });
  }

  #axisDepth(axis: Axis): number {
    const i = this.#nest.outer.indexOf(axis);
    if (i >= 0) return i;
    for (const s of this.#nest.stages) {
      const j = s.axes.indexOf(axis);
      if (j >= 0) return this.#nest.outer.length + j;
    }
    // An axis of extent one was dropped; it is never referred to.
    return -1;
  }

  #level(x: Ex): Level {
    let level = this.#levels.get(x);
    if (level !== undefined) return level;
    if (x.axis !== null) level = { depth: this.#axisDepth(x.axis), late: false };
    else if (this.#running.has(x)) level = { depth: Infinity, late: true };
    else if (this.#results.has(x)) level = { depth: this.#nest.outer.length - 1, late: true };
    else if (x.op === "load" && x.pinned) level = { depth: Infinity, late: true };
    else {
      let depth = -1;
      let late = false;
      const see = (a: Ex): void => {
        const l = this.#level(a);
        depth = Math.max(depth, l.depth);
        late ||= l.late;
      };
      x.args.forEach(see);
      x.index?.terms.forEach((t) => see(t.atom));
      // What an earlier stage of the row has stored is there only once that stage is done.
      if (x.op === "load" && this.#written.has(x.slot)) {
        depth = Math.max(depth, this.#nest.outer.length - 1);
        late = true;
      }
      level = depth < 0 && !late ? outside : { depth, late };
    }
    this.#levels.set(x, level);
    return level;
  }

  #nodes(stage: Stage): Set<Ex> {
    let nodes = this.#stageNodes.get(stage);
    if (nodes === undefined) {
      const roots = stageRoots(stage);
      for (const s of stage.stores) for (const t of s.index.terms) roots.push(t.atom);
      nodes = reachable(roots);
      this.#stageNodes.set(stage, nodes);
    }
    return nodes;
  }

  /** Nodes of a stage at `depth` that deeper nodes or the stage's roots use. */
  #boundary(stage: Stage, depth: number, late: boolean): Held[] {
    const rowDepth = this.#nest.outer.length - 1;
    const vectorAxis = this.#plan.outer ?? this.#plan.inner[this.#nest.stages.indexOf(stage)];
    const found = new Map<Ex, boolean>();
    const consider = (a: Ex, spread: boolean): void => {
      const l = this.#level(a);
      if (l.depth !== depth || (depth <= rowDepth && l.late !== late)) return;
      if (a.op === "axis" || this.#results.has(a)) return;
      // Materialising a vector constant takes several instructions, so those of loops are held.
      if (a.op === "const" && !spread) return;
      found.set(a, (found.get(a) ?? false) || spread);
    };
    for (const x of this.#nodes(stage)) {
      if (this.#level(x).depth <= depth) continue;
      const onLanes = vectorAxis !== null && dependsOn(x, vectorAxis);
      x.args.forEach((a, i) => consider(a, onLanes && spreads(x, i)));
      // The atoms of an address are part of its held prefix.
      if (x.index && x.op !== "load") for (const t of x.index.terms) consider(t.atom, false);
    }
    if (depth < this.#rootDepth(stage)) for (const x of stageRoots(stage)) consider(x, false);
    return [...found].map(([x, spread]) => ({ x, spread }));
  }

  #uses(stage: Stage): ReadonlyMap<Ex, number> {
    const known = this.#stageUses.get(stage);
    if (known !== undefined) return known;
    const uses = new Map<Ex, number>();
    this.#stageUses.set(stage, uses);
    const use = (x: Ex): void => void uses.set(x, (uses.get(x) ?? 0) + 1);
    for (const x of this.#nodes(stage)) {
      x.args.forEach(use);
      x.index?.terms.forEach((t) => use(t.atom));
    }
    stageRoots(stage).forEach(use);
    for (const s of stage.stores) s.index.terms.forEach((t) => use(t.atom));
    return uses;
  }

  /**
   * The values of the innermost loop that several stores share, in the order in which they were built. A butterfly then
   * ends the life of two values with every two that it makes; store by store it would keep all of them until the last.
   */
  #shared(stage: Stage): readonly Ex[] {
    let shared = this.#stageShared.get(stage);
    if (shared === undefined) {
      const depth = this.#rootDepth(stage);
      const uses = this.#uses(stage);
      const counts = (x: Ex): boolean =>
        x.op !== "load" && x.op !== "const" && x.op !== "axis" && uses.get(x)! > 1 && this.#level(x).depth === depth;
      const sharing = stage.stores.length >= fewestSharing && stage.reductions.length === 0;
      shared = sharing ? [...this.#nodes(stage)].filter(counts).sort((a, b) => a.id - b.id) : [];
      this.#stageShared.set(stage, shared);
    }
    return shared;
  }
  readonly #stageShared = new Map<Stage, readonly Ex[]>();

  /** Holds what belongs to a depth: values that deeper loops use, and partial addresses. */
  #enter(stage: Stage, depth: number, late: boolean): void {
    const rootDepth = this.#rootDepth(stage);
    if (depth >= rootDepth && !late) return;
    this.#ev.setUses(this.#uses(stage));
    for (const { x, spread } of this.#boundary(stage, depth, late)) this.#ev.hold(x, spread);
    const advance = (of: Ex | Store): void => {
      const terms = of.index!.terms.filter((t) => {
        const l = this.#level(t.atom);
        return l.depth === depth && l.late === late;
      });
      if (terms.length > 0 || (depth === -1 && !late && of.index!.c !== 0)) this.#ev.holdAddress(of, terms);
    };
    for (const x of this.#nodes(stage)) if (x.op === "load" && this.#level(x).depth > depth) advance(x);
    if (rootDepth > depth) for (const s of stage.stores) advance(s);
  }

  #rootDepth(stage: Stage): number {
    return this.#nest.outer.length + stage.axes.length - 1;
  }

  #outerLoop(depth: number): void {
    const { outer, stages, ranges } = this.#nest;
    const ev = this.#ev;
    if (depth === outer.length) {
      stages.forEach((s) => this.#stage(s));
      return;
    }
    const axis = outer[depth];
    const range = ranges.indexOf(depth);
    this.#loopOver(axis, range < 0 ? null : 2 * range, this.#plan.outer === axis, null, () => {
      const mark = ev.mark();
      for (const s of stages) this.#enter(s, depth, false);
      this.#outerLoop(depth + 1);
      ev.undo(mark);
    });
  }

  /**
   * A loop over an axis; with lanes, a vector loop and then a scalar one for the rest. `range` is the parameter from which it
   * begins, the next one that at which it ends; null for the whole extent. `endLanes` is told when the vectors are done.
   */
  #loopOver(axis: Axis, range: number | null, vector: boolean, endLanes: (() => void) | null, body: () => void): void {
    const code = this.#code;
    const i = this.#axisLocal(axis);
    const chunked = range !== null;
    const limit = (): void => (chunked ? code.get(range + 1) : code.i32(axis.extent));
    if (chunked) code.get(range);
    else code.i32(0);
    code.set(i);
    if (vector) {
      this.#ev.vectorAxis = axis;
      if (this.#groups > 1 && axis.extent >= lanes * this.#groups) {
        this.#ev.groups = this.#groups;
        this.#steps(i, lanes * this.#groups, limit, body);
        this.#ev.groups = 1;
      }
      if (chunked || this.#groups === 1 || axis.extent < lanes * this.#groups || axis.extent % (lanes * this.#groups) >= lanes)
        this.#steps(i, lanes, limit, body);
      this.#ev.vectorAxis = null;
      endLanes?.();
      if (!chunked && axis.extent % lanes === 0) return;
    }
    this.#steps(i, 1, limit, body);
  }
  readonly #axisLocals = new Map<Axis, number>();
  #axisLocal(axis: Axis): number {
    let local = this.#axisLocals.get(axis);
    if (local === undefined) {
      local = this.#code.local("i32");
      this.#axisLocals.set(axis, local);
      this.#ev.bindAxis(axis, local);
    }
    return local;
  }
  /** Repeats the body while `i + step <= limit`. */
  #steps(i: number, step: number, limit: () => void, body: () => void): void {
    const code = this.#code;
    const test = (): void => {
      code.get(i);
      if (step > 1) {
        code.i32(step - 1);
        code.op("i32.add");
      }
      limit();
      code.op("i32.lt_s");
    };
    test();
    code.if(() => {
      code.loop((againIf) => {
        body();
        code.get(i);
        code.i32(step);
        code.op("i32.add");
        code.set(i);
        test();
        againIf();
      });
    });
  }

  #stage(stage: Stage): void {
    const ev = this.#ev;
    const rowDepth = this.#nest.outer.length - 1;
    const index = this.#nest.stages.indexOf(stage);
    const mark = ev.mark();
    const outerVector = this.#plan.outer !== null && ev.vectorAxis === this.#plan.outer;
    ev.setUses(this.#uses(stage));
    this.#enter(stage, rowDepth, true);
    const inner = this.#plan.inner[index];
    if (inner !== null) this.#groups = groupsFor(stage);
    const folds = stage.reductions.map((r) => new Fold(r, this.#code, ev, outerVector));
    // The accumulators outlive what the stage holds; later stages refer to them.
    const lanesScan = stage.scan && inner !== null;
    for (const f of folds) {
      if (lanesScan) f.startScan(this.#groups);
      else f.start(inner !== null, this.#groups);
    }
    const leaf = (onLanes: boolean): void => {
      const m = ev.mark();
      ev.setUses(this.#uses(stage));
      if (lanesScan && ev.vectorAxis !== null) for (const f of folds) f.scanLanes();
      else {
        for (const f of folds) f.step(onLanes);
        if (stage.scan) for (const f of folds) f.publish(outerVector);
      }
      for (const x of this.#shared(stage)) ev.hold(x, false);
      if (ev.vectorAxis !== null) ev.storeVectors(stage.stores);
      else for (const s of stage.stores) ev.storeScalar(s);
      ev.undo(m);
    };
    const loop = (j: number): void => {
      if (j === stage.axes.length) {
        leaf(outerVector);
        return;
      }
      const axis = stage.axes[j];
      const last = j === stage.axes.length - 1;
      const vector = last && inner === axis;
      const endLanes = (): void => {
        if (lanesScan) folds.forEach((f) => f.endLanes());
      };
      this.#loopOver(axis, null, vector, endLanes, () => {
        const m = ev.mark();
        this.#enter(stage, rowDepth + 1 + j, false);
        if (last) leaf(outerVector || (vector && ev.vectorAxis === axis));
        else loop(j + 1);
        ev.undo(m);
      });
    };
    if (stage.axes.some((a) => a.extent === 0)) {
      // Nothing to fold: the initial values are the result.
    } else loop(0);
    for (const f of folds) f.finish(inner !== null && !lanesScan);
    ev.undo(mark);
    if (!stage.scan) for (const f of folds) f.publish(outerVector);
  }
}
