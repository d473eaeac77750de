import { TreeError } from "./errors.ts";
import { isNDArray, NDArray } from "./ndarray.ts";
import { valueKey } from "./structure.ts";

/**
 * Pytrees: nested containers of leaves. Containers are arrays, plain objects, `null` and `undefined` (both empty),
 * and classes that are registered or carry the `pytreeNode` symbol. Everything else is a leaf. Objects flatten in
 * the order of their sorted keys, as JAX's dicts do.
 */
export type Pytree = unknown;

/** How a class takes part: its children, and auxiliary data compared by value (plain data) or identity. */
export interface PytreeNode<T, Aux = unknown> {
  flatten(value: T): readonly [children: readonly unknown[], aux: Aux];
  unflatten(aux: Aux, children: readonly unknown[]): T;
  /** Names of the children for messages. */
  names?(aux: Aux): readonly string[];
}

/** A static member of a class under this symbol makes its instances pytree nodes, without registration. */
export const pytreeNode: unique symbol = Symbol.for("traceform.pytreeNode") as never;

type Constructor = abstract new (...args: never[]) => unknown;
const registered = new Map<unknown, PytreeNode<never>>();

/**
 * Makes instances of `cls` pytree nodes.
 * @throws {TreeError} when the class is registered already
 */
export function registerPytreeNode<T, Aux>(cls: abstract new (...args: never[]) => T, node: PytreeNode<T, Aux>): void {
  if (registered.has(cls)) {
    throw new TreeError("registerPytreeNode", {
      message: `${(cls as Constructor).name} is registered already`,
      fix: "register a class once",
    });
  }
  registered.set(cls, node as unknown as PytreeNode<never>);
}

type NodeKind = "leaf" | "null" | "undefined" | "array" | "object" | "class";

/** The structure of a pytree. Interned: equal structures are the same object, and `id` is a key for caches. */
export interface Treedef {
  readonly id: number;
  readonly kind: NodeKind;
  readonly children: readonly Treedef[];
  /** Keys of an object; auxiliary data of a class. */
  readonly keys: readonly string[] | null;
  readonly cls: Constructor | null;
  readonly aux: unknown;
  readonly numLeaves: number;
  toString(): string;
}

class TreedefImpl implements Treedef {
  readonly id: number;
  readonly kind: NodeKind;
  readonly children: readonly Treedef[];
  readonly keys: readonly string[] | null;
  readonly cls: Constructor | null;
  readonly aux: unknown;
  readonly numLeaves: number;

  constructor(
    id: number,
    kind: NodeKind,
    children: readonly Treedef[],
    keys: readonly string[] | null,
    cls: Constructor | null,
    aux: unknown,
  ) {
    this.id = id;
    this.kind = kind;
    this.children = children;
    this.keys = keys;
    this.cls = cls;
    this.aux = aux;
    this.numLeaves = kind === "leaf" ? 1 : children.reduce((n, c) => n + c.numLeaves, 0);
  }
  toString(): string {
    switch (this.kind) {
      case "leaf":
        return "*";
      case "array":
        return `[${this.children.join(", ")}]`;
      case "object":
        return `{${this.children.map((c, i) => `${this.keys![i]}: ${c}`).join(", ")}}`;
      case "class":
        return `${this.cls!.name}(${this.children.join(", ")})`;
      default:
        return this.kind;
    }
  }
}

const interned = new Map<string, Treedef>();
let nextId = 1;
const internLimit = 1 << 16;

function intern(
  kind: NodeKind,
  children: readonly Treedef[],
  keys: readonly string[] | null = null,
  cls: Constructor | null = null,
  aux: unknown = null,
): Treedef {
  let key = `${kind}:`;
  for (const c of children) key += `${c.id},`;
  if (keys !== null) key += JSON.stringify(keys);
  if (cls !== null) key += `${valueKey(cls)}:${valueKey(aux)}`;
  let def = interned.get(key);
  if (def === undefined) {
    // Bounded: after this many distinct structures the table starts anew; ids stay unique.
    if (interned.size >= internLimit) interned.clear();
    interned.set(key, (def = new TreedefImpl(nextId++, kind, children, keys, cls, aux)));
  }
  return def;
}

const leafDef = intern("leaf", []);
const nullDef = intern("null", []);
const undefinedDef = intern("undefined", []);

function nodeOf(x: object): [Constructor, PytreeNode<never>] | null {
  const cls = x.constructor as Constructor | undefined;
  if (cls === undefined) return null;
  const tagged = (cls as { [pytreeNode]?: PytreeNode<never> })[pytreeNode];
  const node = tagged ?? registered.get(cls);
  return node === undefined ? null : [cls, node];
}

function isPlainObject(x: object): x is Record<string, unknown> {
  const proto = Object.getPrototypeOf(x);
  return proto === Object.prototype || proto === null;
}

export type IsLeaf = (x: unknown) => boolean;

function flattenInto(x: unknown, leaves: unknown[], isLeaf: IsLeaf | undefined): Treedef {
  if (x instanceof NDArray || (isLeaf !== undefined && isLeaf(x))) {
    leaves.push(x);
    return leafDef;
  }
  if (x === null) return nullDef;
  if (x === undefined) return undefinedDef;
  if (typeof x !== "object") {
    leaves.push(x);
    return leafDef;
  }
  if (Array.isArray(x))
    return intern(
      "array",
      x.map((c) => flattenInto(c, leaves, isLeaf)),
    );
  if (isPlainObject(x)) {
    const keys = Object.keys(x).sort();
    return intern(
      "object",
      keys.map((k) => flattenInto(x[k], leaves, isLeaf)),
      keys,
    );
  }
  const found = nodeOf(x);
  if (found === null) {
    leaves.push(x);
    return leafDef;
  }
  const [cls, node] = found;
  const [children, aux] = node.flatten(x as never);
  return intern(
    "class",
    children.map((c) => flattenInto(c, leaves, isLeaf)),
    null,
    cls,
    aux,
  );
}

/** The leaves of a tree, in order, and its structure. */
export function treeFlatten(tree: Pytree, isLeaf?: IsLeaf): [leaves: unknown[], treedef: Treedef] {
  const leaves: unknown[] = [];
  const def = flattenInto(tree, leaves, isLeaf);
  return [leaves, def];
}

/** Rebuilds a tree of the given structure. @throws {TreeError} for a wrong number of leaves */
export function treeUnflatten(def: Treedef, leaves: readonly unknown[]): Pytree {
  if (leaves.length !== def.numLeaves) {
    throw new TreeError("treeUnflatten", {
      message: `${def} has ${def.numLeaves} leaves, but ${leaves.length} were given`,
      fix: "give one leaf for each, as treeFlatten lists them",
    });
  }
  let i = 0;
  const build = (d: Treedef): unknown => {
    switch (d.kind) {
      case "leaf":
        return leaves[i++];
      case "null":
        return null;
      case "undefined":
        return undefined;
      case "array":
        return d.children.map(build);
      case "object": {
        const out: Record<string, unknown> = {};
        d.children.forEach((c, k) => (out[d.keys![k]] = build(c)));
        return out;
      }
      case "class": {
        const node = (d.cls as { [pytreeNode]?: PytreeNode<never> })[pytreeNode] ?? registered.get(d.cls)!;
        return node.unflatten(d.aux as never, d.children.map(build));
      }
    }
  };
  return build(def);
}

export function treeLeaves(tree: Pytree, isLeaf?: IsLeaf): unknown[] {
  return treeFlatten(tree, isLeaf)[0];
}

export function treeStructure(tree: Pytree, isLeaf?: IsLeaf): Treedef {
  return treeFlatten(tree, isLeaf)[1];
}

/**
 * Applies `fn` to the leaves of `tree` and, with them, to the corresponding parts of `rest`, whose structure must
 * start with that of `tree`.
 * @throws {TreeError} when the structures differ
 */
export function treeMap<T>(fn: (leaf: never, ...rest: never[]) => unknown, tree: T, ...rest: readonly Pytree[]): T {
  const [leaves, def] = treeFlatten(tree);
  const others = rest.map((r) => flattenUpTo(def, r, "treeMap"));
  return treeUnflatten(
    def,
    leaves.map((x, i) => (fn as (...xs: unknown[]) => unknown)(x, ...others.map((o) => o[i]))),
  ) as T;
}

/** Folds the leaves from the left. */
export function treeReduce<A>(fn: (acc: A, leaf: never) => A, tree: Pytree, initial: A): A {
  return treeLeaves(tree).reduce<A>((acc, x) => fn(acc, x as never), initial);
}

/** True when every leaf is truthy. */
export function treeAll(tree: Pytree): boolean {
  return treeLeaves(tree).every(Boolean);
}

/**
 * Splits `tree` into the parts that correspond to the leaves of `def`; each part may be a tree itself.
 * @throws {TreeError} naming the place where the structures differ
 */
export function flattenUpTo(def: Treedef, tree: Pytree, fn: string): unknown[] {
  const out: unknown[] = [];
  const walk = (d: Treedef, x: unknown, path: string): void => {
    if (d.kind === "leaf") {
      out.push(x);
      return;
    }
    const differ = (): TreeError =>
      new TreeError(fn, {
        message: `the trees differ at ${path === "" ? "the root" : path}: expected ${d}, got ${describeNode(x)}`,
        fix: "give trees of the same structure",
      });
    const top = shallow(x);
    if (top === null || top.kind !== d.kind || top.children.length !== d.children.length || top.cls !== d.cls) throw differ();
    if (d.keys !== null && d.keys.some((k, i) => k !== top.keys![i])) throw differ();
    if (d.kind === "class" && valueKey(d.aux) !== valueKey(top.aux)) throw differ();
    d.children.forEach((c, i) => walk(c, top.children[i], path + top.paths[i]));
  };
  walk(def, tree, "");
  return out;
}

interface Shallow {
  readonly kind: NodeKind;
  readonly children: readonly unknown[];
  readonly paths: readonly string[];
  readonly keys: readonly string[] | null;
  readonly cls: Constructor | null;
  readonly aux: unknown;
}

function shallow(x: unknown): Shallow | null {
  const empty = { children: [], paths: [], keys: null, cls: null, aux: null };
  if (x === null) return { kind: "null", ...empty };
  if (x === undefined) return { kind: "undefined", ...empty };
  if (typeof x !== "object" || x instanceof NDArray) return null;
  if (Array.isArray(x)) return { ...empty, kind: "array", children: x, paths: x.map((_, i) => `[${i}]`) };
  if (isPlainObject(x)) {
    const keys = Object.keys(x).sort();
    return { ...empty, kind: "object", keys, children: keys.map((k) => x[k]), paths: keys.map((k) => `.${k}`) };
  }
  const found = nodeOf(x);
  if (found === null) return null;
  const [children, aux] = found[1].flatten(x as never);
  const names = found[1].names?.(aux as never);
  return {
    kind: "class",
    children,
    paths: children.map((_, i) => (names ? `.${names[i]}` : `[${i}]`)),
    keys: null,
    cls: found[0],
    aux,
  };
}

function describeNode(x: unknown): string {
  const top = shallow(x);
  return top === null ? "a leaf" : String(treeStructure(x));
}

/** The leaves with their paths: `[".w", leaf]`, as messages print them. */
export function treeFlattenWithPath(tree: Pytree): [path: string, leaf: unknown][] {
  const out: [string, unknown][] = [];
  const walk = (x: unknown, path: string): void => {
    const top = shallow(x);
    if (top === null) out.push([path, x]);
    else top.children.forEach((c, i) => walk(c, path + top.paths[i]));
  };
  walk(tree, "");
  return out;
}

/**
 * Expands a prefix of a tree (such as `inAxes`) to one entry per leaf of `def`: an entry that stands where `def` has
 * a subtree applies to all of its leaves. In a prefix `null` is a value, not an empty tree.
 * @throws {TreeError} when `prefix` is not a prefix
 */
export function broadcastPrefix(prefix: Pytree, def: Treedef, fn: string, what: string): unknown[] {
  const out: unknown[] = [];
  const walk = (p: unknown, d: Treedef, path: string): void => {
    const top = p === null || p === undefined ? null : shallow(p);
    if (top === null) {
      for (let i = 0; i < d.numLeaves; i++) out.push(p);
      return;
    }
    if (top.kind !== d.kind || top.children.length !== d.children.length || top.keys?.some((k, i) => k !== d.keys![i])) {
      throw new TreeError(fn, {
        message: `${what} is not a prefix of its tree at ${path === "" ? "the root" : path}: ${describeNode(p)} does not match ${d}`,
        fix: `give one entry for the whole argument, or a tree whose containers match the argument's`,
      });
    }
    top.children.forEach((c, i) => walk(c, d.children[i], path + top.paths[i]));
  };
  walk(prefix, def, "");
  return out;
}

/** Refuses leaves that no transformation can take, naming their place. */
export function checkArrayLeaves(fn: string, tree: Pytree): void {
  for (const [path, leaf] of treeFlattenWithPath(tree)) {
    const kind = typeof leaf;
    if (kind === "number" || kind === "boolean" || kind === "bigint" || ArrayBuffer.isView(leaf) || isNDArray(leaf)) continue;
    const name = kind === "object" ? `an instance of ${(leaf as object).constructor?.name ?? "a class"}` : `a ${kind}`;
    throw new TreeError(fn, {
      message: `the value at ${path === "" ? "the argument" : `argument${path}`} is ${name}, neither an array nor a pytree node`,
      fix:
        kind === "object"
          ? "register its class with registerPytreeNode, or give it a static [pytreeNode]"
          : "pass arrays, or mark the argument static",
    });
  }
}
