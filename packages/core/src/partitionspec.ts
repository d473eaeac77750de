/** The mesh axes along which one axis of an array is cut: one, several (the first varies slowest), or none. */
export type SpecEntry = string | readonly string[] | null;

/**
 * How the axes of an array are laid out over the axes of a mesh: an entry for each axis of the array; axes after the last entry
 * are not cut. Mesh axes that are not named hold copies.
 */
export interface PartitionSpec extends Iterable<SpecEntry> {
  readonly entries: readonly SpecEntry[];
  /** The mesh axes of each entry, as lists. */
  readonly axes: readonly (readonly string[])[];
  /** Equal for specs that mean the same. */
  readonly key: string;
  equals(other: unknown): boolean;
  hash(): string;
  toString(): string;
}

class Spec implements PartitionSpec {
  readonly entries: readonly SpecEntry[];
  readonly axes: readonly (readonly string[])[];
  readonly key: string;
  constructor(entries: readonly SpecEntry[]) {
    this.entries = entries;
    this.axes = entries.map((e) => (e === null ? [] : typeof e === "string" ? [e] : [...e]));
    let last = this.axes.length;
    while (last > 0 && this.axes[last - 1].length === 0) last--;
    this.key = this.axes
      .slice(0, last)
      .map((names) => names.join("+"))
      .join(",");
  }
  [Symbol.iterator](): Iterator<SpecEntry> {
    return this.entries[Symbol.iterator]();
  }
  equals(other: unknown): boolean {
    return other instanceof Spec && other.key === this.key;
  }
  hash(): string {
    return this.key;
  }
  toString(): string {
    const entry = (e: SpecEntry): string =>
      e === null ? "None" : typeof e === "string" ? `'${e}'` : `(${e.map((a) => `'${a}'`).join(", ")})`;
    return `P(${this.entries.map(entry).join(", ")})`;
  }
}

/**
 * A partition spec; JAX's users import it as `P`.
 *
 * @example
 * ```ts
 * const rows = PartitionSpec("data"); // the first axis is cut along the mesh axis "data"
 * const both = PartitionSpec(["data", "model"], null); // the first axis along both, the second not at all
 * ```
 */
export function PartitionSpec(...entries: readonly SpecEntry[]): PartitionSpec {
  return new Spec(entries);
}

export function isPartitionSpec(x: unknown): x is PartitionSpec {
  return x instanceof Spec;
}

export { PartitionSpec as P };
