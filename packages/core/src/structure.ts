import type { Aval } from "./avals.ts";
import { dtypeName } from "./dtypes.ts";
import { identity, isHashable, representative } from "./identity.ts";
import { type Atom, Jaxpr, Literal, Var } from "./jaxpr.ts";

// Bounded by the characters it holds; ids are never given out twice, so clearing costs recompilation, not correctness.
const ids = new Map<string, number>();
let held = 0;
const heldLimit = 1 << 26;
let nextId = 1;
const memo = new WeakMap<Jaxpr, number>();

/** A number that two jaxprs share exactly when they compute the same: same equations up to the names of variables. */
export function jaxprId(jaxpr: Jaxpr): number {
  let id = memo.get(jaxpr);
  if (id === undefined) {
    const text = structureText(jaxpr);
    id = ids.get(text);
    if (id === undefined) {
      if (held + text.length > heldLimit) {
        ids.clear();
        held = 0;
      }
      held += text.length;
      ids.set(text, (id = nextId++));
    }
    memo.set(jaxpr, id);
  }
  return id;
}

/** Weak types do not change what is computed, so they are not part of the structure. */
export function avalKey(aval: Aval): string {
  const dtype = typeof aval.dtype === "string" ? aval.dtype : `${dtypeName(aval.dtype)}${valueKey(aval.dtype)}`;
  const sharding = aval.sharding === null ? "" : `@${aval.sharding.key}`;
  const varying = aval.varying.length === 0 ? "" : `V${aval.varying.join(",")}`;
  return `${dtype}[${aval.shape.join(",")}]${sharding}${varying}`;
}

function structureText(jaxpr: Jaxpr): string {
  const numbers = new Map<Var, number>();
  const binder = (v: Var): string => {
    numbers.set(v, numbers.size);
    return avalKey(v.aval);
  };
  const atom = (a: Atom): string => (a instanceof Var ? String(numbers.get(a)) : `${valueKey(a.value)}:${avalKey(a.aval)}`);
  let text = `${jaxpr.constvars.map(binder).join(" ")};${jaxpr.invars.map(binder).join(" ")}.`;
  for (const eqn of jaxpr.eqns) {
    const { primitive, params } = eqn;
    // Primitives are told apart by identity: two libraries may both define a `sinc`.
    text += `${primitive.id} ${eqn.invars.map(atom).join(" ")}|${paramsKey(params)}|${eqn.outvars.map(binder).join(" ")}\n`;
  }
  return `${text}in ${jaxpr.outvars.map(atom).join(" ")}`;
}

const paramsMemo = new WeakMap<object, string>();

/** The key of an equation's parameters; names are labels, so they do not count. */
export function paramsKey(params: Readonly<Record<string, unknown>>): string {
  let key = paramsMemo.get(params);
  if (key === undefined) {
    key = "";
    for (const name in params) {
      if (name === "name" && "jaxpr" in params) continue;
      key += `${name}=${valueKey(params[name])};`;
    }
    paramsMemo.set(params, key);
  }
  return key;
}

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
