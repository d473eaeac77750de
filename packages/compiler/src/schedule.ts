import type { Axis, Ex, Index } from "./expr.ts";
import { reachable, stageRoots } from "./nest.ts";
import type { Nest, Stage, Store } from "./program.ts";

/** Which axis becomes the lanes of vectors: the last parallel axis for the whole nest, or a stage's own last axis. */
export interface VectorPlan {
  readonly outer: Axis | null;
  readonly inner: readonly (Axis | null)[];
}

/** How an index moves when an axis advances by one: by a constant, or in a way only known at run time. */
export function strideAlong(index: Index, axis: Axis): number | null {
  let stride = 0;
  for (const { atom, coef } of index.terms) {
    if (atom.axis === axis) stride += coef;
    else if (dependsOn(atom, axis)) return null;
  }
  return stride;
}

const dependence = new WeakMap<Ex, Map<Axis, boolean>>();

/** Whether a value changes along an axis. Collapsed axes are asked about only after collapsing. */
export function dependsOn(x: Ex, axis: Axis): boolean {
  if (x.axis !== null) return x.axis === axis;
  let memo = dependence.get(x);
  if (memo === undefined) dependence.set(x, (memo = new Map()));
  let known = memo.get(axis);
  if (known === undefined) {
    known = x.args.some((a) => dependsOn(a, axis)) || (x.index?.terms.some((t) => dependsOn(t.atom, axis)) ?? false);
    memo.set(axis, known);
  }
  return known;
}

/** Good and bad memory accesses of a stage when an axis is the lanes; null when a store forbids it. */
function score(stage: Stage, axis: Axis): number | null {
  let points = 0;
  for (const s of stage.stores) {
    const stride = strideAlong(s.index, axis);
    if (stride === 0) return null;
    points += stride === 1 ? 3 : -3;
  }
  for (const x of reachable([...stageRoots(stage), ...stage.stores.flatMap((s) => s.index.terms.map((t) => t.atom))])) {
    if (x.op !== "load") continue;
    const stride = strideAlong(x.index!, axis);
    const guardVaries = x.args.length > 0 && dependsOn(x.args[0], axis);
    points += stride === 0 && !guardVaries ? 0 : stride === 1 && !guardVaries ? 2 : -3;
  }
  return points;
}

function denseStore(s: Store, axis: Axis | undefined): boolean {
  return axis !== undefined && strideAlong(s.index, axis) === 1 && (s.guard === null || !dependsOn(s.guard, axis));
}

/** Whether the running value of a stage can be computed for several neighbours at a time. */
function scansOnLanes(stage: Stage): boolean {
  const [fold, ...others] = stage.reductions;
  return stage.axes.length === 1 && others.length === 0 && fold.init.length === 1 && fold.init[0].type !== "bool";
}

/** Chooses the lanes of a nest for vectors of `lanes` elements. */
export function planVectors(nest: Nest, lanes: number): VectorPlan {
  const none: VectorPlan = { outer: null, inner: nest.stages.map(() => null) };
  // Iterations in order: lanes of one iteration must not meet, so each store walks densely along them.
  if (
    nest.serial &&
    !nest.stages.every((s) => s.axes.length === 0 && s.stores.every((t) => denseStore(t, nest.outer[nest.outer.length - 1])))
  )
    return none;
  const last = nest.outer[nest.outer.length - 1];
  let outerScore: number | null = null;
  if (last !== undefined && last.extent >= lanes) {
    outerScore = 0;
    for (const s of nest.stages) {
      const points = s.stores.length + s.reductions.length === 0 ? 0 : score(s, last);
      if (points === null) {
        outerScore = null;
        break;
      }
      outerScore += points;
    }
  }
  const inner = nest.stages.map((s) => {
    const axis = s.axes[s.axes.length - 1];
    if (axis === undefined || axis.extent < lanes || s.reductions.some((r) => !r.reorder)) return null;
    if (s.scan && !scansOnLanes(s)) return null;
    return (score(s, axis) ?? -1) >= 0 ? axis : null;
  });
  const innerScore = nest.stages.reduce((sum, s, i) => sum + (inner[i] === null ? 0 : score(s, inner[i])!), 0);
  if (inner.every((a) => a === null)) return outerScore === null ? none : { outer: last, inner: none.inner };
  if (outerScore !== null && outerScore > innerScore) return { outer: last, inner: none.inner };
  return { outer: null, inner };
}
