import type { Axis, Index } from "./expr.ts";
import { sameView } from "./kernels.ts";
import { extentOf, reachable, rootsOf } from "./nest.ts";
import type { Chain, Launch, Nest, Step } from "./program.ts";

/**
 * Joins folds for each element of a matrix, such as a product, with the kernel after it that goes on with the matrix row by row, such as a softmax: who has
 * computed whole rows can go on with them. Rows may have `most` elements.
 */
export function chainSteps(steps: readonly Step[], most: number): Step[] {
  const out: Step[] = [];
  for (const step of steps) {
    const inner = withChainedBodies(step, most);
    const before = out[out.length - 1];
    const chain = before?.kind === "launch" && inner.kind === "launch" ? chainOf(before, inner, most) : null;
    if (chain === null) out.push(inner);
    else out[out.length - 1] = chain;
  }
  return out;
}

function withChainedBodies(step: Step, most: number): Step {
  switch (step.kind) {
    case "loop":
      return { ...step, condition: chainSteps(step.condition, most), body: chainSteps(step.body, most) };
    case "branch":
      return { ...step, branches: step.branches.map((b) => chainSteps(b, most)) };
    default:
      return step;
  }
}

function chainOf(a: Launch, b: Launch, most: number): Launch | null {
  if (a.kernel.kind !== "nest" || b.kernel.kind !== "nest" || a.kernel.serial || b.kernel.serial) return null;
  const [first, second] = [a.kernel, b.kernel];
  const [fold, ...results] = first.stages;
  if (fold === undefined || fold.scan || fold.stores.length > 0 || fold.axes.length === 0 || results.length !== 1) return null;
  const [{ axes, reductions, stores }] = results;
  if (axes.length > 0 || reductions.length > 0 || stores.length !== 1 || stores[0].guard !== null) return null;
  // What is joined are rows of folds of their own.
  if (!second.stages.some((s) => s.axes.length > 0)) return null;
  const matrix = a.args[stores[0].slot];
  const written = slotsWritten(second).map((slot) => b.args[slot].buffer);
  if (a.args.some((v) => written.includes(v.buffer))) return null;
  const n = rowLength(first, stores[0].index, extentOf(second.outer));
  if (n === null || n > most) return null;
  const reads = loadsOf(second).filter(({ slot }) => b.args[slot].buffer === matrix.buffer);
  if (reads.length === 0 || !reads.every(({ slot, index }) => sameView(b.args[slot], matrix) && isOwnRow(second, index, n)))
    return null;
  const args = [...a.args, ...b.args];
  const kernel: Chain = {
    kind: "chain",
    name: `${first.name}.${second.name}`,
    parts: [
      { nest: first, args: a.args.map((_, i) => i) },
      { nest: second, args: b.args.map((_, i) => a.args.length + i) },
    ],
    rows: extentOf(second.outer),
    n,
    flops: first.flops + second.flops,
  };
  return { kind: "launch", kernel, args, origins: [...a.origins, ...b.origins] };
}

/** The length of the rows, of which there are so many, if an index walks densely through the outer axes of a nest. */
function rowLength({ outer }: Nest, index: Index, rows: number): number | null {
  const n = extentOf(outer) / rows;
  let split = outer.length;
  let inner = 1;
  while (split > 0 && inner < n) inner *= outer[--split].extent;
  return inner === n && n > 1 && isFlat(index, outer, 1) ? n : null;
}
/** Whether an index is the position in the product of the axes, times a step, and nothing else. */
function isFlat({ c, terms }: Index, axes: readonly Axis[], step: number): boolean {
  let stride = step;
  const wanted = new Map<Axis, number>();
  for (const axis of axes.toReversed()) {
    wanted.set(axis, stride);
    stride *= axis.extent;
  }
  return c === 0 && terms.length === axes.length && terms.every((t) => t.atom.axis !== null && wanted.get(t.atom.axis) === t.coef);
}

/** Whether an element is in the row of `n` elements that the nest is at. */
function isOwnRow({ outer }: Nest, { c, terms }: Index, n: number): boolean {
  const own = terms.filter((t) => t.atom.axis !== null && outer.includes(t.atom.axis));
  if (!isFlat({ c: 0, terms: own }, outer, n) || c < 0) return false;
  const within = terms.filter((t) => !own.includes(t));
  const last = within.reduce(
    (sum, { atom, coef }) => (atom.axis === null || coef < 0 ? Infinity : sum + coef * (atom.axis.extent - 1)),
    c,
  );
  return last < n;
}

function loadsOf(nest: Nest): { readonly slot: number; readonly index: Index }[] {
  return [...reachable(rootsOf(nest.stages))].filter((x) => x.op === "load").map((x) => ({ slot: x.slot, index: x.index! }));
}
function slotsWritten(nest: Nest): number[] {
  return nest.stages.flatMap((s) => s.stores.map((t) => t.slot));
}
