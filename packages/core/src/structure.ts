import type { Aval } from "./avals.ts";
import { dtypeName } from "./dtypes.ts";
import { type Atom, Jaxpr, Var } from "./jaxpr.ts";
import { valueKey } from "./valuekey.ts";

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
  const atom = (a: Atom): string =>
    a instanceof Var ? String(numbers.get(a)) : `${valueKey(a.value)}:${avalKey(a.aval)}`;
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
