const alignment = 64;

/** Rounds up to the alignment of every block; empty blocks take one unit, so that pointers differ. */
export function blockSize(bytes: number): number {
  return Math.max(alignment, Math.ceil(bytes / alignment) * alignment);
}

/** Ranges up to this size are kept for the next request of the same size, up to so many of each. */
const smallBytes = 1024;
const mostKept = 32;

/**
 * Hands out ranges of a linear memory. Small ranges that come back wait for a request of their size; others sit in bins by size class and merge with their neighbours when they
 * are returned, and so do the small ones before a request fails; all operations take a time that does not depend on the number of ranges.
 */
export class Allocator {
  /** Size of each free range by its start, and start by its end. */
  readonly #freeSize = new Map<number, number>();
  readonly #freeByEnd = new Map<number, number>();
  readonly #bins: Set<number>[] = Array.from({ length: 33 * 4 }, () => new Set<number>());
  /** Small free ranges by their size in units of the alignment. */
  readonly #kept: number[][] = Array.from({ length: smallBytes / alignment + 1 }, () => []);
  readonly #start: number;
  #end: number;
  readonly #limit: number;
  #free = 0;

  /** Manages [start, limit); `end` is how far the memory reaches now. */
  constructor(start: number, end: number, limit: number) {
    this.#start = start;
    this.#end = start;
    this.#limit = limit;
    if (end > start) this.extend(end);
  }

  get freeBytes(): number {
    return this.#free;
  }
  get end(): number {
    return this.#end;
  }
  get limit(): number {
    return this.#limit;
  }
  /** The largest range there could be. */
  get capacity(): number {
    return this.#limit - this.#start;
  }

  /** The memory now reaches up to `end`. */
  extend(end: number): void {
    const start = this.#end;
    this.#end = end;
    this.#insert(start, end - start);
  }

  /** A range of at least `bytes`, or -1 when no free range is large enough. */
  allocate(bytes: number): number {
    const size = blockSize(bytes);
    // Bins are for sizes of 32 bits.
    if (size > this.#limit) return -1;
    if (size <= smallBytes) {
      const start = this.#kept[size / alignment].pop();
      if (start !== undefined) {
        this.#free -= size;
        return start;
      }
    }
    const start = this.#find(size);
    return start < 0 && this.#giveBackKept() ? this.#find(size) : start;
  }

  #find(size: number): number {
    let bin = binOf(size);
    // In the first bin ranges may be too small; in the later ones all fit.
    for (const start of this.#bins[bin]) if (this.#freeSize.get(start)! >= size) return this.#take(start, size);
    for (bin++; bin < this.#bins.length; bin++) {
      for (const start of this.#bins[bin]) return this.#take(start, size);
    }
    return -1;
  }

  release(start: number, bytes: number): void {
    const size = blockSize(bytes);
    if (size <= smallBytes && this.#kept[size / alignment].length < mostKept) {
      this.#kept[size / alignment].push(start);
      this.#free += size;
    } else this.#merge(start, size);
  }

  /** Returns the small ranges that were kept; false if there were none. */
  #giveBackKept(): boolean {
    let any = false;
    this.#kept.forEach((list, i) => {
      for (const start of list.splice(0)) {
        any = true;
        this.#free -= i * alignment;
        this.#merge(start, i * alignment);
      }
    });
    return any;
  }

  #merge(start: number, size: number): void {
    const after = this.#freeSize.get(start + size);
    if (after !== undefined) {
      this.#remove(start + size, after);
      size += after;
    }
    const before = this.#freeByEnd.get(start);
    if (before !== undefined) {
      const n = this.#freeSize.get(before)!;
      this.#remove(before, n);
      start = before;
      size += n;
    }
    this.#insert(start, size);
  }

  #take(start: number, size: number): number {
    const have = this.#freeSize.get(start)!;
    this.#remove(start, have);
    if (have > size) this.#insert(start + size, have - size);
    return start;
  }
  #insert(start: number, size: number): void {
    this.#free += size;
    this.#freeSize.set(start, size);
    this.#freeByEnd.set(start + size, start);
    this.#bins[binOf(size)].add(start);
  }
  #remove(start: number, size: number): void {
    this.#free -= size;
    this.#freeSize.delete(start);
    this.#freeByEnd.delete(start + size);
    this.#bins[binOf(size)].delete(start);
  }
}

/** Four bins for every power of two. */
function binOf(size: number): number {
  const log = 31 - Math.clz32(size);
  return log * 4 + ((size >>> Math.max(0, log - 2)) & 3);
}
