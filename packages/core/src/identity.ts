/**
 * Numbers for values that have no structure to compare: objects and functions by identity, and values that bring
 * `equals` and `hash` by those.
 */
export interface Hashable {
  equals(other: unknown): boolean;
  hash(): number | string;
}

export function isHashable(x: unknown): x is Hashable {
  const h = x as Partial<Hashable>;
  return typeof h.equals === "function" && typeof h.hash === "function";
}

// One number for each class of equal values. Held weakly through the first value of each class.
const classes = new Map<number | string, { ref: WeakRef<object>; id: number }[]>();
let nextClass = 1;

/** A number that two equal values share. */
export function representative(x: Hashable): number {
  const hash = x.hash();
  const bucket = (classes.get(hash) ?? []).filter((c) => c.ref.deref() !== undefined);
  for (const c of bucket) {
    const other = c.ref.deref();
    if (other === x || (other !== undefined && x.equals(other))) return c.id;
  }
  const id = nextClass++;
  bucket.push({ ref: new WeakRef(x as object), id });
  classes.set(hash, bucket);
  return id;
}

const identities = new WeakMap<object, number>();
const symbolIdentities = new Map<symbol, number>();
let nextIdentity = 1;

/** A number that stays with an object, function or symbol for its life. */
export function identity(x: object | symbol): number {
  const table: { get(k: unknown): number | undefined; set(k: unknown, v: number): unknown } =
    typeof x === "symbol" ? (symbolIdentities as never) : (identities as never);
  let id = table.get(x);
  if (id === undefined) table.set(x, (id = nextIdentity++));
  return id;
}
