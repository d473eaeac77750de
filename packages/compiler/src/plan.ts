import type { BufferInfo, Step, View } from "./program.ts";

const alignment = 64;

interface Interval {
  readonly buffer: BufferInfo;
  start: number;
  end: number;
}

/** Where temporaries lie. */
export interface MemoryPlan {
  /** By buffer; of memory that threads have for themselves, that of the first thread. */
  readonly offsets: ReadonlyMap<number, number>;
  readonly bytes: number;
  /** From the memory of one thread to that of the next. */
  readonly threadBytes: number;
}

/**
 * Lays the temporaries of a program out in one arena. Lifetimes are intervals over the steps in the order of execution;
 * a buffer from outside a loop that is used inside lives until the loop ends, since the next trip may read it.
 *
 * What threads have for themselves lies apart, all that one thread has in one place: a core writes fastest what no other has touched.
 */
export function planMemory(steps: readonly Step[], threads: number): MemoryPlan {
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
        case "host":
          step.reads.forEach(view);
          step.writes.forEach(view);
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
  const all = [...intervals.values()];
  if (threads < 2) return { ...place(all, (b) => b.bytes, 0), threadBytes: 0 };
  const isOwn = ({ buffer }: Interval): boolean => buffer.threadBytes > 0;
  const common = place(
    all.filter((i) => !isOwn(i)),
    (b) => b.bytes,
    0,
  );
  const own = place(all.filter(isOwn), (b) => b.threadBytes, common.bytes);
  const threadBytes = own.bytes - common.bytes;
  return { offsets: new Map([...common.offsets, ...own.offsets]), bytes: common.bytes + threads * threadBytes, threadBytes };
}

/** Sweeps over the steps in order: each buffer takes the smallest free range that fits, and gives it back at its end. */
function place(
  intervals: readonly Interval[],
  bytesOf: (buffer: BufferInfo) => number,
  first: number,
): { offsets: Map<number, number>; bytes: number } {
  const offsets = new Map<number, number>();
  const free = new FreeRanges(first);
  const starts = [...intervals].sort((a, b) => a.start - b.start || b.buffer.bytes - a.buffer.bytes);
  const ends = [...intervals].sort((a, b) => a.end - b.end);
  let next = 0;
  const sizeOf = ({ buffer }: Interval): number => Math.max(alignment, Math.ceil(bytesOf(buffer) / alignment) * alignment);
  for (const interval of starts) {
    for (; next < ends.length && ends[next].end < interval.start; next++)
      free.release(offsets.get(ends[next].buffer.id)!, sizeOf(ends[next]));
    offsets.set(interval.buffer.id, free.take(sizeOf(interval)));
  }
  return { offsets, bytes: free.end };
}

/** The free ranges below `end`, by offset; neighbours are merged. */
class FreeRanges {
  end: number;
  readonly #ranges: { offset: number; size: number }[] = [];

  constructor(first: number) {
    this.end = first;
  }

  take(size: number): number {
    let best = -1;
    this.#ranges.forEach((r, i) => {
      if (r.size >= size && (best < 0 || r.size < this.#ranges[best].size)) best = i;
    });
    if (best >= 0) {
      const r = this.#ranges[best];
      const { offset } = r;
      if (r.size === size) this.#ranges.splice(best, 1);
      else {
        r.offset += size;
        r.size -= size;
      }
      return offset;
    }
    // Grow; a free range at the end is part of the new one.
    const last = this.#ranges[this.#ranges.length - 1];
    const offset = last !== undefined && last.offset + last.size === this.end ? this.#ranges.pop()!.offset : this.end;
    this.end = offset + size;
    return offset;
  }

  release(offset: number, size: number): void {
    let i = this.#ranges.findIndex((r) => r.offset > offset);
    if (i < 0) i = this.#ranges.length;
    this.#ranges.splice(i, 0, { offset, size });
    for (const k of [i, i - 1]) {
      const a = this.#ranges[k];
      const b = this.#ranges[k + 1];
      if (a !== undefined && b !== undefined && a.offset + a.size === b.offset) {
        a.size += b.size;
        this.#ranges.splice(k + 1, 1);
      }
    }
  }
}
