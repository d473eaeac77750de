import type { BufferInfo, Step, View } from "./program.ts";

const alignment = 64;

interface Interval {
  readonly buffer: BufferInfo;
  start: number;
  end: number;
}

/**
 * Lays the temporaries of a program out in one arena. Lifetimes are intervals over the steps in the order of execution;
 * a buffer from outside a loop that is used inside lives until the loop ends, since the next trip may read it.
 */
export function planMemory(steps: readonly Step[]): { readonly offsets: ReadonlyMap<number, number>; readonly bytes: number } {
  const intervals = new Map<number, Interval>();
  // The end of each enclosing loop is not known yet when its body is walked: extensions are applied on leaving.
  const open: { readonly loop: number; readonly start: number; readonly used: Set<number> }[] = [];
  const closed: { readonly start: number; readonly end: number }[] = [];
  let now = 0;

  const touch = (buffer: BufferInfo): void => {
    if (buffer.kind !== "temporary") return;
    const found = intervals.get(buffer.id);
    if (found === undefined) intervals.set(buffer.id, { buffer, start: now, end: now });
    else found.end = now;
    for (const loop of open) loop.used.add(buffer.id);
  };
  const view = (v: View): void => {
    touch(v.buffer);
    const interval = intervals.get(v.buffer.id);
    // A buffer of which each trip touches a part lives during all trips.
    for (const s of v.steps) {
      const loop = open.find((l) => l.loop === s.loop);
      if (loop !== undefined && interval !== undefined) interval.start = Math.min(interval.start, loop.start);
    }
  };
  const walk = (list: readonly Step[]): void => {
    for (const step of list) {
      now++;
      switch (step.kind) {
        case "launch":
          step.args.forEach(view);
          break;
        case "copy":
          view(step.from);
          view(step.to);
          break;
        case "branch":
          view(step.index);
          step.branches.forEach(walk);
          break;
        case "loop": {
          // Both halves of a carry exist before the loop and after it.
          for (const [a, b] of step.swaps) {
            touch(a);
            touch(b);
          }
          const scope = { loop: step.loop, start: now, used: new Set<number>() };
          open.push(scope);
          walk(step.condition);
          now++;
          if (step.predicate !== null) view(step.predicate);
          walk(step.body);
          now++;
          open.pop();
          closed.push({ start: scope.start, end: now });
          for (const id of scope.used) {
            const interval = intervals.get(id)!;
            if (interval.start <= scope.start) interval.end = now;
          }
          for (const [a, b] of step.swaps) {
            touch(a);
            touch(b);
          }
          break;
        }
      }
    }
  };
  walk(steps);
  // What leaves a loop was there for all of its trips. Inner loops were closed first.
  for (const loop of closed) {
    for (const i of intervals.values()) if (i.start > loop.start && i.start <= loop.end && i.end > loop.end) i.start = loop.start;
  }
  // Halves that traded places may each hold the result, so both live as long as either.
  const join = (list: readonly Step[]): void => {
    for (const step of list) {
      if (step.kind === "branch") step.branches.forEach(join);
      if (step.kind !== "loop") continue;
      join(step.condition);
      join(step.body);
      for (const [a, b] of step.swaps) {
        const x = intervals.get(a.id);
        const y = intervals.get(b.id);
        if (x === undefined || y === undefined) continue;
        x.end = y.end = Math.max(x.end, y.end);
        x.start = y.start = Math.min(x.start, y.start);
      }
    }
  };
  join(steps);
  return place([...intervals.values()]);
}

/** First fit, largest first: each buffer takes the lowest offset free during its life. */
function place(intervals: readonly Interval[]): { offsets: Map<number, number>; bytes: number } {
  const offsets = new Map<number, number>();
  const placed: { readonly offset: number; readonly size: number; readonly start: number; readonly end: number }[] = [];
  let bytes = 0;
  for (const { buffer, start, end } of [...intervals].sort((a, b) => b.buffer.bytes - a.buffer.bytes || a.start - b.start)) {
    const size = Math.max(alignment, Math.ceil(buffer.bytes / alignment) * alignment);
    const busy = placed.filter((p) => p.start <= end && start <= p.end).sort((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const p of busy) {
      if (offset + size <= p.offset) break;
      offset = Math.max(offset, p.offset + p.size);
    }
    offsets.set(buffer.id, offset);
    placed.push({ offset, size, start, end });
    bytes = Math.max(bytes, offset + size);
  }
  return { offsets, bytes };
}
