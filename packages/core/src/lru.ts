/** A map that forgets what was used longest ago. */
export class LruCache<V> {
  readonly #entries = new Map<string, V>();
  readonly #limit: number;
  readonly #evict: (value: V) => void;
  constructor(limit: number, evict: (value: V) => void = () => {}) {
    this.#limit = limit;
    this.#evict = evict;
  }
  get size(): number {
    return this.#entries.size;
  }
  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    // Moving an entry to the end costs a delete and a set, so it is done only when eviction may be near.
    if (value !== undefined && this.#entries.size > this.#limit / 2) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }
  set(key: string, value: V): void {
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#limit) return;
    const [oldest, evicted] = this.#entries.entries().next().value as [string, V];
    this.#entries.delete(oldest);
    this.#evict(evicted);
  }
  /** What is held, from what was used longest ago. */
  values(): Iterable<V> {
    return this.#entries.values();
  }
  clear(): void {
    for (const value of this.#entries.values()) this.#evict(value);
    this.#entries.clear();
  }
}
