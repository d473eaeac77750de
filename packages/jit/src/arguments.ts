import {
  checkArrayLeaves,
  isNDArray,
  type NDArray,
  TransformError,
  type Treedef,
  treeFlatten,
  treeUnflatten,
  valueKey,
} from "@traceform/core";
import type { JitOptions } from "./jit.ts";
import { toLeaf } from "./leaves.ts";

/** Which arguments are static or donated, as options name them. Plain data: it is part of a cache key. */
export interface ArgumentPlan {
  readonly staticArgnums: readonly number[];
  readonly staticArgnames: readonly string[];
  readonly donateArgnums: readonly number[];
}

/** The arguments of one call, taken apart. */
export interface SplitArguments {
  readonly leaves: readonly NDArray[];
  /** For each leaf, whether it was donated. */
  readonly donated: readonly boolean[];
  readonly treedef: Treedef;
  readonly staticKey: string;
  /** The arguments again, with `leaves` in place of the originals. */
  rebuild(leaves: readonly unknown[]): unknown[];
}

function list<T>(x: T | readonly T[] | undefined): readonly T[] {
  return x === undefined ? [] : Array.isArray(x) ? (x as readonly T[]) : [x as T];
}

/** Reads and checks the options that name arguments. @throws {TransformError} for positions that are no integers */
export function planArguments(options: JitOptions): ArgumentPlan {
  const plan = {
    staticArgnums: list(options.staticArgnums),
    staticArgnames: list(options.staticArgnames),
    donateArgnums: list(options.donateArgnums),
  };
  for (const n of [...plan.staticArgnums, ...plan.donateArgnums]) {
    if (!Number.isInteger(n)) {
      throw new TransformError("jit", {
        message: `${String(n)} is not the position of an argument`,
        fix: "staticArgnums and donateArgnums are integers",
      });
    }
  }
  const both = plan.staticArgnums.find((n) => plan.donateArgnums.includes(n));
  if (both !== undefined) {
    throw new TransformError("jit", {
      message: `argument ${both} is both static and donated`,
      fix: "only arrays have memory to donate",
    });
  }
  return plan;
}

function positions(fn: string, nums: readonly number[], count: number): Set<number> {
  const out = new Set<number>();
  for (const n of nums) {
    if (n >= count || n < -count) {
      // An optional argument that was left out is not an error; a negative position must exist.
      if (n >= 0) continue;
      throw new TransformError(fn, { message: `position ${n} is outside the ${count} arguments of this call` });
    }
    out.add(n < 0 ? n + count : n);
  }
  return out;
}

function isOptionsObject(x: unknown): x is Record<string, unknown> {
  return typeof x === "object" && x !== null && !Array.isArray(x) && !isNDArray(x) && Object.getPrototypeOf(x) === Object.prototype;
}

/** @throws {TransformError} when a static argument is, or holds, an array */
export function splitArguments(fn: string, plan: ArgumentPlan, args: readonly unknown[]): SplitArguments {
  if (plan.staticArgnums.length + plan.staticArgnames.length + plan.donateArgnums.length === 0) return splitPlain(fn, args);
  const isStatic = positions(fn, plan.staticArgnums, args.length);
  const isDonated = positions(fn, plan.donateArgnums, args.length);
  const dynamic: unknown[] = [];
  const statics: unknown[] = [];
  let staticKey = "";
  const takeStatic = (label: string, value: unknown): void => {
    refuseArray(fn, label, value);
    staticKey += `${label}=${valueKey(value)};`;
    statics.push(value);
  };
  let named: readonly string[] = [];
  args.forEach((arg, i) => {
    if (isStatic.has(i)) return takeStatic(`argument ${i}`, arg);
    if (i === args.length - 1 && plan.staticArgnames.length > 0 && isOptionsObject(arg)) {
      named = plan.staticArgnames.filter((k) => Object.hasOwn(arg, k));
      for (const k of named) takeStatic(k, arg[k]);
      return dynamic.push(Object.fromEntries(Object.entries(arg).filter(([k]) => !named.includes(k))));
    }
    return dynamic.push(arg);
  });
  checkArrayLeaves(fn, dynamic);
  const [raw, treedef] = treeFlatten(dynamic);
  const leaves = raw.map(toLeaf);
  const donated: boolean[] = [];
  let d = 0;
  for (let i = 0; i < args.length; i++) {
    if (isStatic.has(i)) continue;
    const { numLeaves } = treedef.children[d++];
    for (let k = 0; k < numLeaves; k++) donated.push(isDonated.has(i));
  }
  const rebuild = (replaced: readonly unknown[]): unknown[] => {
    const trees = treeUnflatten(treedef, replaced) as unknown[];
    let s = 0;
    let t = 0;
    return args.map((_, i) => {
      if (isStatic.has(i)) return statics[s++];
      const tree = trees[t++];
      if (i !== args.length - 1 || named.length === 0) return tree;
      return { ...(tree as object), ...Object.fromEntries(named.map((k) => [k, statics[s++]])) };
    });
  };
  return { leaves, donated, treedef, staticKey, rebuild };
}

/** The common case, which every call of a small jitted function goes through. */
function splitPlain(fn: string, args: readonly unknown[]): SplitArguments {
  const [raw, treedef] = treeFlatten(args);
  const leaves = new Array<NDArray>(raw.length);
  for (let i = 0; i < raw.length; i++) {
    const leaf = raw[i];
    if (!isNDArray(leaf) && !isPlainLeaf(leaf)) checkArrayLeaves(fn, args);
    leaves[i] = toLeaf(leaf);
  }
  return {
    leaves,
    donated: leaves.map(() => false),
    treedef,
    staticKey: "",
    rebuild: (replaced) => treeUnflatten(treedef, replaced) as unknown[],
  };
}

function isPlainLeaf(x: unknown): boolean {
  return typeof x === "number" || typeof x === "boolean" || typeof x === "bigint" || ArrayBuffer.isView(x);
}

function refuseArray(fn: string, label: string, value: unknown): void {
  if (treeFlatten(value)[0].some((x) => isNDArray(x))) {
    throw new TransformError(fn, {
      message: `the static ${label} is an array; static arguments are compared by value, and arrays are traced`,
      fix: "pass it as an ordinary argument, or make it plain data",
    });
  }
}
