import type { BufferInfo, Launch, Part, Step, View } from "./program.ts";

/** The buffers that a step reads and writes, or may. */
export interface Access {
  readonly reads: ReadonlySet<BufferInfo>;
  readonly writes: ReadonlySet<BufferInfo>;
}

const known = new WeakMap<Step, Access>();

export function accesses(step: Step): Access {
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

/** Whether two steps have to stay in their order. */
export function conflict(a: Access, b: Access): boolean {
  for (const x of a.writes) if (b.writes.has(x) || b.reads.has(x)) return true;
  for (const x of b.writes) if (a.reads.has(x)) return true;
  return false;
}
