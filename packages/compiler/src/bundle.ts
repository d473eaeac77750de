import { type Access, accesses, conflict } from "./accesses.ts";
import type { Bundle, Launch, Nest, Step } from "./program.ts";

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
    // What comes after a meeting may wait for the one before it.
    if (other.kind === "host" && other.meets) return false;
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
