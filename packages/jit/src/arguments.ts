import { isNDArray, type NDArray, TransformError, type Treedef, treeFlatten, treeUnflatten, valueKey } from "@traceform/core";
import { checkLeaves } from "./leaves.ts";

/** The options that name arguments. */
export interface ArgumentOptions {
  readonly staticArgnums?: number | readonly number[];
  readonly staticArgnames?: string | readonly string[];
  readonly donateArgnums?: number | readonly number[];
  readonly donateArgnames?: string | readonly string[];
}

/** Which arguments are static or donated, as options name them. Plain data: it is part of a cache key. */
export interface ArgumentPlan {
  readonly staticArgnums: readonly number[];
  readonly staticArgnames: readonly string[];
  readonly donateArgnums: readonly number[];
  readonly donateArgnames: readonly string[];
}

/** A static argument: what messages call it, and its value. */
export interface StaticArgument {
  readonly label: string;
  readonly value: unknown;
}

/** The arguments of one call, taken apart. */
export interface SplitArguments<L = NDArray> {
  readonly leaves: readonly L[];
  /** For each leaf, whether it was donated. */
  readonly donated: readonly boolean[];
  readonly treedef: Treedef;
  readonly statics: readonly StaticArgument[];
  readonly staticKey: string;
  /** For each child of `treedef`, the position of the argument. */
  readonly positions: readonly number[];
  /** The arguments again, with `leaves` in place of the originals. */
  rebuild(leaves: readonly unknown[]): unknown[];
}

function list<T>(x: T | readonly T[] | undefined): readonly T[] {
  return x === undefined ? [] : Array.isArray(x) ? (x as readonly T[]) : [x as T];
}

/** Reads and checks the options that name arguments. @throws {TransformError} for positions that are no integers */
export function planArguments(fn: string, options: ArgumentOptions): ArgumentPlan {
  const plan = {
    staticArgnums: list(options.staticArgnums),
    staticArgnames: list(options.staticArgnames),
    donateArgnums: list(options.donateArgnums),
    donateArgnames: list(options.donateArgnames),
  };
  for (const n of [...plan.staticArgnums, ...plan.donateArgnums]) {
    if (!Number.isInteger(n)) {
      throw new TransformError(fn, {
        message: `${String(n)} is not the position of an argument`,
        fix: "staticArgnums and donateArgnums are integers",
      });
    }
  }
  for (const name of [...plan.staticArgnames, ...plan.donateArgnames]) {
    if (typeof name !== "string") {
      throw new TransformError(fn, {
        message: `${String(name)} is not the name of an argument`,
        fix: "staticArgnames and donateArgnames are keys of a last options object",
      });
    }
  }
  const both =
    plan.staticArgnums.find((n) => plan.donateArgnums.includes(n)) ??
    plan.staticArgnames.find((n) => plan.donateArgnames.includes(n));
  if (both !== undefined) {
    throw new TransformError(fn, {
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
      throw new TransformError(fn, {
        message: `position ${n} is outside the ${count} arguments of this call`,
        fix: "count from the end of the arguments that are given, or name positions from the front",
      });
    }
    out.add(n < 0 ? n + count : n);
  }
  return out;
}

function isOptionsObject(x: unknown): x is Record<string, unknown> {
  return typeof x === "object" && x !== null && !Array.isArray(x) && !isNDArray(x) && Object.getPrototypeOf(x) === Object.prototype;
}

/**
 * Takes the arguments of a call apart. `leafOf` makes a leaf of what is at one; `abstract` says that descriptions of arrays pass.
 * @throws {TransformError} when a static argument is, or holds, an array or something else that cannot be a key
 */
export function splitArguments<L>(
  fn: string,
  plan: ArgumentPlan,
  args: readonly unknown[],
  leafOf: (x: unknown) => L,
  abstract = false,
): SplitArguments<L> {
  const { staticArgnums, staticArgnames, donateArgnums, donateArgnames } = plan;
  if (staticArgnums.length + staticArgnames.length + donateArgnums.length + donateArgnames.length === 0) {
    return splitPlain(fn, args, leafOf, abstract);
  }
  const isStatic = positions(fn, staticArgnums, args.length);
  const isDonated = positions(fn, donateArgnums, args.length);
  const dynamic: unknown[] = [];
  const places: number[] = [];
  const statics: StaticArgument[] = [];
  let staticKey = "";
  const takeStatic = (label: string, value: unknown): void => {
    refuseUnhashable(fn, label, value);
    staticKey += `${label}=${valueKey(value)};`;
    statics.push({ label, value });
  };
  let named: readonly string[] = [];
  args.forEach((arg, i) => {
    if (isStatic.has(i)) return takeStatic(`argument ${i}`, arg);
    places.push(i);
    if (i === args.length - 1 && staticArgnames.length > 0 && isOptionsObject(arg)) {
      named = staticArgnames.filter((k) => Object.hasOwn(arg, k));
      for (const k of named) takeStatic(`argument ${k}`, arg[k]);
      return dynamic.push(Object.fromEntries(Object.entries(arg).filter(([k]) => !named.includes(k))));
    }
    return dynamic.push(arg);
  });
  const [raw, treedef] = treeFlatten(dynamic);
  checkLeaves(fn, dynamic, raw, abstract);
  const leaves = raw.map(leafOf);
  const donated: boolean[] = [];
  treedef.children.forEach((child, d) => {
    const i = places[d];
    const byName = i === args.length - 1 && donateArgnames.length > 0 && child.kind === "object";
    if (!byName) {
      donated.push(...new Array<boolean>(child.numLeaves).fill(isDonated.has(i)));
      return;
    }
    child.children.forEach(({ numLeaves }, k) => {
      donated.push(...new Array<boolean>(numLeaves).fill(isDonated.has(i) || donateArgnames.includes(child.keys![k])));
    });
  });
  const rebuild = (replaced: readonly unknown[]): unknown[] => {
    const trees = treeUnflatten(treedef, replaced) as unknown[];
    let s = 0;
    let t = 0;
    return args.map((_, i) => {
      if (isStatic.has(i)) return statics[s++].value;
      const tree = trees[t++];
      if (i !== args.length - 1 || named.length === 0) return tree;
      return { ...(tree as object), ...Object.fromEntries(named.map((k) => [k, statics[s++].value])) };
    });
  };
  return { leaves, donated, treedef, statics, staticKey, positions: places, rebuild };
}

const noStatics: readonly StaticArgument[] = [];

/** The common case, which every call of a small jitted function goes through. */
function splitPlain<L>(fn: string, args: readonly unknown[], leafOf: (x: unknown) => L, abstract: boolean): SplitArguments<L> {
  const [raw, treedef] = treeFlatten(args);
  checkLeaves(fn, args, raw, abstract);
  const leaves = new Array<L>(raw.length);
  for (let i = 0; i < raw.length; i++) leaves[i] = leafOf(raw[i]);
  return {
    leaves,
    donated: leaves.map(() => false),
    treedef,
    statics: noStatics,
    staticKey: "",
    positions: args.map((_, i) => i),
    rebuild: (replaced) => treeUnflatten(treedef, replaced) as unknown[],
  };
}

function refuseUnhashable(fn: string, label: string, value: unknown): void {
  for (const x of treeFlatten(value)[0]) {
    const what = isNDArray(x)
      ? "an array; static arguments are compared by value, and arrays are traced"
      : ArrayBuffer.isView(x)
        ? "a typed array, whose elements may change unnoticed"
        : x instanceof Map || x instanceof Set
          ? `a ${x.constructor.name}, whose entries may change unnoticed`
          : null;
    if (what === null) continue;
    throw new TransformError(fn, {
      message: `the static ${label} is, or holds, ${what}`,
      fix: "pass it as an ordinary argument, or make it plain data: numbers, strings, arrays and objects of them",
    });
  }
}
