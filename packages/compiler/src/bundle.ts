import type { Bundle, BufferInfo, Nest, Part, Step, View } from "./program.ts";

/** The most nests of one launch, and the most pointers that it may take. */
const mostParts = 32;
const mostPointers = 120;

/**
 * Joins launches of nests that do not depend on each other, such as the updates of the leaves of a pytree: one launch runs the
 * tasks of all of them, so small ones share the threads too.
 *
 * A launch joins the first one that it can move up to, or that can move down to it, past everything in between.
 */
export function bundleSteps(steps: readonly Step[]): Step[] {
  const out: Step[] = [];
  for (const step of steps) {
    const inner = withBundledBodies(step);
    if (!joinEarlier(out, inner)) out.push(inner);
  }
  return out;
}

function withBundledBodies(step: Step): Step {
  switch (step.kind) {
    case "loop":
      return { ...step, condition: bundleSteps(step.condition), body: bundleSteps(step.body) };
    case "branch":
      return { ...step, branches: step.branches.map(bundleSteps) };
    default:
      return step;
  }
}

type Launch = Extract<Step, { kind: "launch" }>;

/** Beyond so many operations a launch of its own costs nothing, and a bundle would only keep more memory alive. */
const largestPart = 1 << 24;

/** What can be a part of a bundle: its iterations are independent. */
function joinable(step: Launch): boolean {
  const { kernel } = step;
  return kernel.kind === "bundle" || (kernel.kind === "nest" && !kernel.serial && kernel.flops <= largestPart);
}

function joinEarlier(out: Step[], step: Step): boolean {
  if (step.kind !== "launch" || !joinable(step)) return false;
  const mine = accesses(step);
  // Up: nothing between the partner and this step may touch what it touches.
  const between: Access[] = [];
  let free = true;
  for (let i = out.length - 1; i >= 0 && i >= out.length - reach; i--) {
    const other = out[i];
    const theirs = accesses(other);
    if (other.kind === "launch" && joinable(other) && !conflict(mine, theirs) && fits(other, step)) {
      if (free) {
        out[i] = join(other, step);
        return true;
      }
      // Down: nothing between may depend on the partner.
      if (!between.some((b) => conflict(b, theirs))) {
        out.splice(i, 1);
        out.push(join(other, step));
        return true;
      }
    }
    free &&= !conflict(mine, theirs);
    between.push(theirs);
  }
  return false;
}

/** How far a launch looks for a partner. */
const reach = 24;

function fits(a: Launch, b: Launch): boolean {
  return partsOf(a).length + partsOf(b).length <= mostParts && a.args.length + b.args.length <= mostPointers;
}

function partsOf(launch: Launch): Bundle["parts"] {
  const { kernel, args } = launch;
  if (kernel.kind === "bundle") return kernel.parts;
  return [{ nest: kernel as Nest, args: args.map((_, i) => i) }];
}

function join(a: Launch, b: Launch): Launch {
  const shift = a.args.length;
  const moved = partsOf(b).map((p) => ({ nest: p.nest, args: p.args.map((i) => i + shift) }));
  const parts = [...partsOf(a), ...moved];
  const kernel: Bundle = {
    kind: "bundle",
    name: parts.map((p) => p.nest.name).join(" + "),
    parts,
    flops: parts.reduce((sum, p) => sum + p.nest.flops, 0),
  };
  return { kind: "launch", kernel, args: [...a.args, ...b.args], origins: [...a.origins, ...b.origins] };
}

interface Access {
  readonly reads: ReadonlySet<BufferInfo>;
  readonly writes: ReadonlySet<BufferInfo>;
}

const known = new WeakMap<Step, Access>();

/** The buffers that a step touches; those of other steps than launches count as written. */
function accesses(step: Step): Access {
  let found = known.get(step);
  if (found === undefined) known.set(step, (found = findAccesses(step)));
  return found;
}

function findAccesses(step: Step): Access {
  const reads = new Set<BufferInfo>();
  const writes = new Set<BufferInfo>();
  const touch = (view: View): void => void writes.add(view.buffer);
  switch (step.kind) {
    case "launch": {
      const written = writtenBy(step);
      step.args.forEach((v, i) => (written === null || written.has(i) ? writes : reads).add(v.buffer));
      break;
    }
    case "copy":
      reads.add(step.from.buffer);
      touch(step.to);
      break;
    case "host":
      step.reads.forEach((v) => reads.add(v.buffer));
      step.writes.forEach(touch);
      break;
    case "branch":
      touch(step.index);
      step.branches.flat().forEach((s) => merge(accesses(s), reads, writes));
      break;
    case "loop":
      if (step.predicate !== null) touch(step.predicate);
      [...step.condition, ...step.body].forEach((s) => merge(accesses(s), reads, writes));
      for (const pair of step.swaps) pair.forEach((b) => writes.add(b));
  }
  return { reads, writes };
}

/** The pointers through which a launch writes; null where that is not known. */
function writtenBy({ kernel }: Launch): ReadonlySet<number> | null {
  const stored = (p: Part): number[] => p.nest.stages.flatMap((s) => s.stores.map((t) => p.args[t.slot]));
  switch (kernel.kind) {
    case "nest":
    case "attention":
      return new Set(kernel.stages.flatMap((s) => s.stores.map((t) => t.slot)));
    case "bundle":
    case "chain":
      return new Set(kernel.parts.flatMap(stored));
    case "contraction":
      // Panels, sums and tiles.
      return new Set([0, 1, 2, 3, ...(kernel.epilogue === null ? [] : stored(kernel.epilogue))]);
    case "routine":
    case "sort":
      return null;
  }
}

function merge(from: Access, reads: Set<BufferInfo>, writes: Set<BufferInfo>): void {
  from.reads.forEach((b) => reads.add(b));
  from.writes.forEach((b) => writes.add(b));
}

function conflict(a: Access, b: Access): boolean {
  for (const x of a.writes) if (b.writes.has(x) || b.reads.has(x)) return true;
  for (const x of b.writes) if (a.reads.has(x)) return true;
  return false;
}
