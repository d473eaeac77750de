import {
  type ArrayLike,
  asArray,
  bind,
  currentTrace,
  definePrimitive,
  evalJaxpr,
  flattenUpTo,
  type Inputs,
  isEager,
  type Jaxpr,
  lowerRule,
  type NDArray,
  type Primitive,
  TransformError,
  TreeError,
  type Treedef,
  treeFlatten,
  treeUnflatten,
} from "@traceform/core";
import { map } from "./loops.ts";
import { traceBody } from "./internal/bodies.ts";

/**
 * The batching rule of a `custom_vmap_call`, on the flattened arguments: those that `inBatched` marks have the batch as
 * leading axis, and so have the results that `outBatched` marks.
 */
export type CustomVmapRule = (
  axisSize: number,
  inBatched: readonly boolean[],
  args: readonly NDArray[],
) => { readonly outs: readonly NDArray[]; readonly outBatched: readonly boolean[] };

export interface CustomVmapCallParams {
  /** (consts, arguments) -> results: what runs when nobody vectorises. */
  readonly callJaxpr: Jaxpr;
  readonly rule: CustomVmapRule;
  /** How many leading operands are closed-over values, of which the rule does not know. */
  readonly numConsts: number;
  readonly name: string;
}

/** Operands: closed-over values, then the flattened arguments. */
export const customVmapCallP: Primitive<CustomVmapCallParams> = /* @__PURE__ */ definePrimitive<CustomVmapCallParams>(
  "custom_vmap_call",
  {
    hiddenParams: ["rule", "numConsts"],
    abstractEval: (_avals, { callJaxpr }) => ({
      avals: callJaxpr.outAvals,
      effects: [...callJaxpr.effects],
    }),
    rules: {
      [lowerRule]: (args: readonly NDArray[], { callJaxpr }: CustomVmapCallParams) => evalJaxpr(callJaxpr, [], args),
    },
  },
);

/** A pytree with a boolean in place of every array: whether it has the batch as leading axis. */
export type Batched<T> = [NDArray] extends [T]
  ? boolean
  : T extends NDArray | number | boolean | bigint
    ? boolean
    : T extends object
      ? { readonly [K in keyof T]: Batched<T[K]> }
      : T;

/** A function with a batching rule of its own. Call `defVmap` once before vectorising it. */
export interface CustomVmap<A extends readonly unknown[], R> {
  (...args: Inputs<A>): R;
  /**
   * `rule` gets the size of the batch, for each argument whether it is batched (a tree of booleans), and the arguments,
   * batched along their leading axes. It returns the results and, in the same structure, which of them are batched.
   */
  defVmap(
    rule: (
      axisSize: number,
      inBatched: { readonly [K in keyof A]: Batched<A[K]> },
      ...args: A
    ) => readonly [out: R, outBatched: Batched<R>],
  ): void;
}

type AnyRule = (axisSize: number, inBatched: unknown, ...args: unknown[]) => unknown;

/**
 * Gives `fn` a batching rule of its own: for functions that do better on a whole batch than `vmap` of what they do on one
 * member, or that `vmap` cannot see through.
 *
 * It may be differentiated: the derivative of `vmap` of it is the derivative of the rule, and without `vmap` it is that of
 * `fn`. In forward mode the tangents of a batch go through the rule as well; in reverse mode without an inner `vmap`
 * they go through `fn`.
 *
 * @throws {TransformError} when it is vectorised without a rule, and when the rule returns something else than the
 *   function does
 * @example
 * ```ts
 * const mean = customVmap((x: NDArray) => divide(sum(x), x.size));
 * mean.defVmap((n, [batched], x) => [divide(sum(x, 1), x.size / n), batched]);
 * vmap(mean)(array([[1, 3], [5, 9]])).jsSync(); // => [2, 7]
 * ```
 */
export function customVmap<A extends readonly unknown[], R>(fn: (...args: A) => R): CustomVmap<A, R> {
  const name = fn.name || "customVmap";
  const run = fn as unknown as (...args: unknown[]) => unknown;
  let rule: AnyRule | null = null;
  const flatRules = new Map<string, CustomVmapRule>();

  // One function for one structure, so that programs which hold it are found again.
  const flatRule = (inTree: Treedef, outTree: Treedef): CustomVmapRule => {
    const key = `${inTree.id}:${outTree.id}`;
    let flat = flatRules.get(key);
    if (flat === undefined) {
      flatRules.set(key, (flat = (...args) => flatten(name, requireRule(name, rule), inTree, outTree, ...args)));
    }
    return flat;
  };
  const call = (...args: unknown[]): unknown => {
    // Nothing vectorises or stages: the rule cannot matter.
    if (isEager(currentTrace())) return run(...args);
    const [leaves, inTree] = treeFlatten(args);
    const flat = leaves.map((x) => asArray(x as ArrayLike));
    const body = traceBody(
      name,
      run,
      inTree,
      flat.map((x) => x.aval),
    );
    const outs = bind(customVmapCallP, [...body.consts, ...flat], {
      callJaxpr: body.jaxpr,
      rule: flatRule(inTree, body.outTree),
      numConsts: body.consts.length,
      name,
    });
    return treeUnflatten(body.outTree, outs);
  };
  const defVmap = (own: AnyRule): void => {
    rule = own;
  };
  return Object.assign(call, { defVmap }) as unknown as CustomVmap<A, R>;
}

function requireRule(name: string, rule: AnyRule | null): AnyRule {
  if (rule !== null) return rule;
  throw new TransformError(name, { message: "has no batching rule yet", fix: "call defVmap before vectorising the function" });
}

function flatten(
  name: string,
  rule: AnyRule,
  inTree: Treedef,
  outTree: Treedef,
  axisSize: number,
  inBatched: readonly boolean[],
  args: readonly NDArray[],
): ReturnType<CustomVmapRule> {
  const result = rule(axisSize, treeUnflatten(inTree, inBatched), ...(treeUnflatten(inTree, args) as unknown[]));
  if (!Array.isArray(result) || result.length !== 2) {
    throw new TransformError(name, {
      message: "the batching rule must return [results, which of them are batched]",
      fix: "return [out, true] for one batched result",
    });
  }
  return {
    outs: inStructure(name, "results", outTree, result[0]).map((x) => asArray(x as ArrayLike)),
    outBatched: inStructure(name, "booleans", outTree, result[1]).map((b) => {
      if (typeof b === "boolean") return b;
      throw new TransformError(name, {
        message: `the batching rule says ${String(b)} where it must say whether a result is batched`,
        fix: "return a boolean for each result",
      });
    }),
  };
}

function inStructure(name: string, what: string, def: Treedef, tree: unknown): unknown[] {
  try {
    const parts = flattenUpTo(def, tree, name);
    if (treeFlatten(parts)[1].children.every((c) => c.kind === "leaf")) return parts;
  } catch (cause) {
    if (!(cause instanceof TreeError)) throw cause;
  }
  throw new TreeError(name, {
    message: `the batching rule must return ${what} in the structure of the function's result, ${def}, but returns ${treeFlatten(tree)[1]}`,
    fix: "return the same containers as the function, once with the results and once with booleans",
  });
}

/** A function that `vmap` runs for one member after the other, in a compiled loop: for what needs too much memory at once. */
export function sequentialVmap<A extends readonly unknown[], R>(fn: (...args: A) => R): CustomVmap<A, R> {
  const f = customVmap(fn);
  f.defVmap((_axisSize, inBatched, ...args) => {
    const [leaves, inTree] = treeFlatten(args);
    const batched = treeFlatten(inBatched)[0] as boolean[];
    const out = map(
      (members: unknown[]) => {
        let k = 0;
        return f(
          ...(treeUnflatten(
            inTree,
            leaves.map((x, i) => (batched[i] ? members[k++] : x)),
          ) as unknown as Inputs<A>),
        );
      },
      leaves.filter((_, i) => batched[i]),
    ) as R;
    const [outs, outTree] = treeFlatten(out);
    return [
      out,
      treeUnflatten(
        outTree,
        outs.map(() => true),
      ) as Batched<R>,
    ];
  });
  return f;
}
