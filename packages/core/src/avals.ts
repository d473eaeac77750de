import { type DType, dtypeName, tangentDType } from "./dtypes.ts";
import type { Sharding } from "./sharding.ts";

/**
 * An abstract value: what is known of an array while it is traced. Avals are interned, so two equal
 * avals are the same object and `id` is a key for caches.
 */
export interface Aval {
  readonly id: number;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** A weakly typed value (from a JavaScript number) gives way to any other dtype of its kind. */
  readonly weakType: boolean;
  readonly sharding: Sharding | null;
  /** The mesh axes over which the value differs between devices, sorted. Empty outside `shardMap`. */
  readonly varying: readonly string[];
  readonly ndim: number;
  readonly size: number;
  toString(): string;
}

class ShapedArray implements Aval {
  readonly id: number;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly weakType: boolean;
  readonly sharding: Sharding | null;
  readonly varying: readonly string[];
  readonly size: number;

  constructor(id: number, shape: readonly number[], dtype: DType, options: AvalOptions) {
    this.id = id;
    this.shape = shape;
    this.dtype = dtype;
    this.weakType = options.weakType ?? false;
    this.sharding = options.sharding ?? null;
    this.varying = options.varying ?? [];
    this.size = shape.reduce((a, b) => a * b, 1);
  }
  get ndim(): number {
    return this.shape.length;
  }
  toString(): string {
    const varying = this.varying.length > 0 ? `{V:${this.varying.join(",")}}` : "";
    return `${dtypeName(this.dtype)}[${this.shape.join(",")}]${varying}`;
  }
}

export interface AvalOptions {
  readonly weakType?: boolean;
  readonly sharding?: Sharding | null;
  readonly varying?: readonly string[];
}

// Interned weakly: an aval that nothing uses any more leaves the table, and its id is never given out again.
const table = new Map<string, WeakRef<Aval>>();
const swept = new FinalizationRegistry<string>((key) => {
  if (table.get(key)?.deref() === undefined) table.delete(key);
});
// The most recent avals by key, held strongly: without it every eager operation would pay for a WeakRef.
const recent = new Map<string, Aval>();
const recentLimit = 512;
let nextId = 1;

const extendedIds = new WeakMap<object, number>();
let nextExtendedId = 1;
function dtypeKey(dtype: DType): string {
  if (typeof dtype === "string") return dtype;
  let id = extendedIds.get(dtype);
  if (id === undefined) extendedIds.set(dtype, (id = nextExtendedId++));
  return `#${id}`;
}

/** The interned aval of the given shape and dtype. */
export function makeAval(shape: readonly number[], dtype: DType, options: AvalOptions = {}): Aval {
  let key = `${dtypeKey(dtype)}[${shape.join(",")}]`;
  if (options.weakType) key += "w";
  if (options.sharding) key += `@${options.sharding.key}`;
  if (options.varying && options.varying.length > 0) key += `V${options.varying.join(",")}`;
  const hot = recent.get(key);
  if (hot !== undefined) return hot;
  let aval = table.get(key)?.deref();
  if (aval === undefined) {
    aval = new ShapedArray(nextId++, Object.freeze([...shape]), dtype, options);
    table.set(key, new WeakRef(aval));
    swept.register(aval, key);
  }
  if (recent.size >= recentLimit) recent.clear();
  recent.set(key, aval);
  return aval;
}

/** The same aval with some fields replaced. */
export function updateAval(aval: Aval, fields: AvalOptions & { readonly shape?: readonly number[]; readonly dtype?: DType }): Aval {
  return makeAval(fields.shape ?? aval.shape, fields.dtype ?? aval.dtype, {
    weakType: fields.weakType ?? aval.weakType,
    sharding: fields.sharding === undefined ? aval.sharding : fields.sharding,
    varying: fields.varying ?? aval.varying,
  });
}

/** The aval of tangents of values of `aval`: same shape; float0 where the dtype is not inexact. Weak types stay. */
export function tangentAval(aval: Aval): Aval {
  const dtype = tangentDType(aval.dtype);
  return dtype === aval.dtype ? aval : updateAval(aval, { dtype, weakType: false });
}

/** The union of the varying axes of several avals, sorted: what an operation on all of them varies over. */
export function joinVarying(avals: readonly Aval[]): readonly string[] {
  let union: readonly string[] = [];
  for (const { varying } of avals) {
    if (varying.length > 0 && varying !== union) {
      union = union.length === 0 ? varying : [...new Set([...union, ...varying])].sort();
    }
  }
  return union;
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** `float32[8,3]`, as every error and jaxpr prints it. */
export function formatShape(shape: readonly number[], dtype?: DType): string {
  return `${dtype === undefined ? "" : dtypeName(dtype)}[${shape.join(",")}]`;
}
