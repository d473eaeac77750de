import { Jaxpr, Literal } from "./jaxpr.ts";
import { jaxprId } from "./structure.ts";

/**
 * A string that two parameter values share exactly when they are equal: plain data by value (numbers by `Object.is`),
 * jaxprs by structure, values that bring `equals` and `hash` by those, everything else by identity.
 */
export function valueKey(x: unknown): string {
  switch (typeof x) {
    case "string":
      return JSON.stringify(x);
    case "number":
      return Object.is(x, -0) ? "-0" : String(x);
    case "bigint":
      return `${x}n`;
    case "boolean":
    case "undefined":
      return String(x);
    case "symbol":
      return `@${identity(x)}`;
    case "function":
      return `@${identity(x)}`;
    default:
  }
  if (x === null) return "null";
  if (Array.isArray(x)) {
    let key = "[";
    for (const item of x) key += `${valueKey(item)},`;
    return `${key}]`;
  }
  if (x instanceof Jaxpr) return `J${jaxprId(x)}`;
  if (x instanceof Literal) return `L${valueKey(x.value)}:${x.aval.id}`;
  const proto = Object.getPrototypeOf(x);
  if (proto === Object.prototype || proto === null) {
    if ("physicalDtype" in (x as object)) return `@${identity(x as object)}`;
    let key = "{";
    for (const [name, value] of Object.entries(x as object)) key += `${JSON.stringify(name)}:${valueKey(value)},`;
    return `${key}}`;
  }
  if (isHashable(x)) return `#${representative(x)}`;
  return `@${identity(x as object)}`;
}

interface Hashable {
  equals(other: unknown): boolean;
  hash(): number | string;
}

function isHashable(x: unknown): x is Hashable {
  const h = x as Partial<Hashable>;
  return typeof h.equals === "function" && typeof h.hash === "function";
}

// One number for each class of equal values. Held weakly through the first value of each class.
const classes = new Map<number | string, { ref: WeakRef<object>; id: number }[]>();
let nextClass = 1;

function representative(x: Hashable): number {
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
