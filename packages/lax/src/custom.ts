import {
  type ArrayLike,
  asArray,
  bind,
  currentTrace,
  definePrimitive,
  flattenUpTo,
  isEager,
  isInexact,
  type Jaxpr,
  type NDArray,
  type Primitive,
  sameShape,
  ShapeError,
  stepsRule,
  TransformError,
  TreeError,
  type Treedef,
  treeFlatten,
  treeStructure,
  treeUnflatten,
} from "@traceform/core";
import { add } from "./binary.ts";
import { full } from "./create.ts";
import { traceBody } from "./internal/bodies.ts";
import { customSteps } from "./internal/steps.ts";
import { varyingLike } from "./internal/infer.ts";

/**
 * The rule of a `custom_jvp_call`, on flat values. `primals` are *all* operands of the equation (what the function
 * closes over comes first; the thunk sets it aside by itself). `tangents[i]` has the aval `tangentAval(primals[i])`,
 * real zeros where nothing is perturbed, and `null` for primals of integer, boolean or extended dtype.
 *
 * Returns one primal and one tangent for each result of the equation; a `null` tangent is zero (always so for
 * results of integer dtype). Runs under the current trace, any number of times.
 */
export type CustomJvpThunk = (
  primals: readonly NDArray[],
  tangents: readonly (NDArray | null)[],
) => [primals: NDArray[], tangents: (NDArray | null)[]];

export interface CustomJvpCallParams {
  /** The function itself, without constvars: what runs when nobody differentiates. */
  readonly callJaxpr: Jaxpr;
  readonly jvp: CustomJvpThunk;
  readonly name: string;
  readonly symbolicZeros: boolean;
}

/** Operands: closed-over values, then the flattened arguments. */
export const customJvpCallP: Primitive<CustomJvpCallParams> = /* @__PURE__ */ definePrimitive<CustomJvpCallParams>(
  "custom_jvp_call",
  {
    hiddenParams: ["jvp", "symbolicZeros"],
    rules: { [stepsRule]: customSteps },
    abstractEval: (avals, { callJaxpr }) => ({
      avals: callJaxpr.outAvals.map((a) => varyingLike(a, avals)),
      effects: [...callJaxpr.effects],
    }),
  },
);

/**
 * The forward rule of a `custom_vjp_call`, on flat values: all operands of the equation in, its results and the
 * residuals out. How many residuals there are is known from the result; it is the same for the same avals.
 */
export type CustomVjpFwd = (args: readonly NDArray[]) => { readonly outs: NDArray[]; readonly residuals: NDArray[] };

/**
 * The backward rule: the residuals of one call of `fwd` and one cotangent for each result (real zeros where nothing
 * flows back; `null` for results of integer dtype) in; one cotangent for each operand of the equation out. `null` is
 * zero: always so for closed-over operands and for those of integer dtype. Call `fwd` before it at least once.
 */
export type CustomVjpBwd = (residuals: readonly NDArray[], cotangents: readonly (NDArray | null)[]) => (NDArray | null)[];

export interface CustomVjpCallParams {
  readonly callJaxpr: Jaxpr;
  readonly fwd: CustomVjpFwd;
  readonly bwd: CustomVjpBwd;
  readonly name: string;
  readonly symbolicZeros: boolean;
}

/** Operands: closed-over values, then the flattened arguments. */
export const customVjpCallP: Primitive<CustomVjpCallParams> = /* @__PURE__ */ definePrimitive<CustomVjpCallParams>(
  "custom_vjp_call",
  {
    hiddenParams: ["fwd", "bwd", "symbolicZeros"],
    rules: { [stepsRule]: customSteps },
    abstractEval: (avals, { callJaxpr }) => ({
      avals: callJaxpr.outAvals.map((a) => varyingLike(a, avals)),
      effects: [...callJaxpr.effects],
    }),
  },
);

export interface CustomRuleOptions {
  /** Positions of arguments that are not differentiated: functions, options. The rules get them first. */
  readonly nondiffArgnums?: readonly number[];
}

/** A rule of a function with `nondiffArgnums`: its first parameters are those arguments. */
type LooseRule<R> = (...args: never[]) => R;

/** One tangent's part in the result's: `(tangent, ans, ...primals) => tangent of the result`. */
export type JvpEntry<A extends readonly unknown[], R> = (tangent: never, ans: R, ...primals: A) => R;

/** A function with a derivative of its own. Call `defjvp` or `defjvps` once before differentiating it. */
export interface CustomJvp<A extends readonly unknown[], R> {
  (...args: A): R;
  /** `(primals, tangents) => [primalsOut, tangentsOut]`, linear in the tangents. */
  defjvp(rule: (primals: A, tangents: A) => readonly [primalsOut: R, tangentsOut: R]): void;
  /** One entry for each argument, added up; `null` where the derivative is zero. */
  defjvps(...rules: (JvpEntry<A, R> | null)[]): void;
}

/** `CustomJvp` with `nondiffArgnums`: rules get those arguments before primals and tangents. */
export interface CustomJvpNondiff<A extends readonly unknown[], R> {
  (...args: A): R;
  defjvp(rule: LooseRule<readonly [primalsOut: R, tangentsOut: unknown]>): void;
  defjvps(...rules: (LooseRule<R> | null)[]): void;
}

/** A function with a reverse-mode derivative of its own. Call `defvjp` once before differentiating it. */
export interface CustomVjp<A extends readonly unknown[], R> {
  (...args: A): R;
  /**
   * `fwd` takes the arguments and returns `[result, residuals]`; `bwd` takes the residuals and the cotangent of the
   * result and returns one cotangent for each argument (`null` is zero).
   */
  defvjp<Res>(
    fwd: (...args: A) => readonly [result: R, residuals: Res],
    bwd: (residuals: Res, cotangent: R) => readonly unknown[],
  ): void;
}

/** `CustomVjp` with `nondiffArgnums`: `bwd` gets those arguments first, and returns cotangents for the others. */
export interface CustomVjpNondiff<A extends readonly unknown[], R> {
  (...args: A): R;
  defvjp<Res>(fwd: (...args: A) => readonly [result: R, residuals: Res], bwd: LooseRule<readonly unknown[]>): void;
}

/** Splits arguments into static ones (closed over) and differentiated ones, and puts them together again. */
function splitter(nondiff: readonly number[]): {
  split(args: readonly unknown[]): [nondiff: unknown[], diff: unknown[]];
  merge(nondiff: readonly unknown[], diff: readonly unknown[]): unknown[];
} {
  return {
    split: (args) => [nondiff.map((i) => args[i]), args.filter((_, i) => !nondiff.includes(i))],
    merge: (fixed, diff) => {
      const out = [...diff];
      // Ascending positions keep the earlier insertions in place.
      [...nondiff]
        .map((i, k) => [i, k])
        .sort((a, b) => a[0] - b[0])
        .forEach(([i, k]) => out.splice(i, 0, fixed[k]));
      return out;
    },
  };
}

type AnyFunction = (...args: unknown[]) => unknown;

function flatten(tree: unknown): [NDArray[], Treedef] {
  const [leaves, def] = treeFlatten(tree);
  return [leaves.map((x) => asArray(x as ArrayLike)), def];
}

/**
 * Gives `fn` a forward-mode derivative of its own (which reverse mode transposes): for numerical stability, for
 * functions that autodiff cannot see through, or for gradients that are not the mathematical ones.
 *
 * @example
 * ```ts
 * const log1pexp = customJvp((x: NDArray) => log(add(1, exp(x))));
 * log1pexp.defjvp(([x], [dx]) => [log1pexp(x), mul(dx, logistic(x))]);
 * ```
 */
export function customJvp<A extends readonly unknown[], R>(fn: (...args: A) => R): CustomJvp<A, R>;
export function customJvp<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  options: CustomRuleOptions,
): CustomJvpNondiff<A, R>;
export function customJvp<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  options: CustomRuleOptions = {},
): CustomJvp<A, R> | CustomJvpNondiff<A, R> {
  const name = fn.name || "customJvp";
  const { split, merge } = splitter(options.nondiffArgnums ?? []);
  const run = fn as unknown as AnyFunction;
  let rule: AnyFunction | null = null;

  const call = (...args: unknown[]): unknown => {
    if (rule === null) {
      throw new TransformError(name, { message: "has no derivative yet", fix: "call defjvp before using the function" });
    }
    // Nothing differentiates or stages: the rule cannot matter, and closures see concrete values.
    if (isEager(currentTrace())) return run(...args);
    const jvpRule = rule;
    const [fixed, diff] = split(args);
    const [flat, inTree] = flatten(diff);
    const body = traceBody(
      name,
      (...xs) => run(...merge(fixed, xs)),
      inTree,
      flat.map((x) => x.aval),
    );
    const numConsts = body.consts.length;
    const jvp: CustomJvpThunk = (primals, tangents) => {
      const own = primals.slice(numConsts);
      const result = jvpRule(
        ...fixed,
        treeUnflatten(inTree, own),
        treeUnflatten(inTree, tangents.slice(numConsts)),
      ) as readonly unknown[];
      if (!Array.isArray(result) || result.length !== 2) {
        throw new TransformError(name, { message: "the rule given to defjvp must return [primalsOut, tangentsOut]" });
      }
      const outs = matchTree(name, "primalsOut", body.outTree, result[0]).map((x) => asArray(x as ArrayLike));
      const dots = matchTree(name, "tangentsOut", body.outTree, result[1], true);
      return [
        outs.map((x, i) => checkAval(name, `result ${i} of the rule`, x, body.jaxpr.outAvals[i].shape)),
        dots.map((t, i) => {
          const out = body.jaxpr.outAvals[i];
          if (t === null || t === undefined || !isInexact(out.dtype)) return null;
          const tangent = asArray(t as ArrayLike);
          if (tangent.ndim === 0 && out.ndim > 0 && typeof t === "number") return full(out.shape, t, out.dtype);
          return checkAval(name, `tangent ${i} of the rule`, tangent, out.shape);
        }),
      ];
    };
    const outs = bind(customJvpCallP, [...body.consts, ...flat], { callJaxpr: body.jaxpr, jvp, name, symbolicZeros: false });
    return treeUnflatten(body.outTree, outs);
  };

  const defjvp = (r: AnyFunction): AnyFunction => (rule = r);
  const defjvps = (...entries: (AnyFunction | null)[]): void => {
    rule = (...args: unknown[]) => {
      const tangents = args.at(-1) as unknown[];
      const primals = args.at(-2) as unknown[];
      const ans = (call as AnyFunction)(...merge(args.slice(0, -2), primals));
      let total: unknown = null;
      entries.forEach((entry, i) => {
        if (entry === null || tangents[i] === null) return;
        const part = entry(tangents[i], ans, ...primals);
        total = total === null ? part : addTrees(total, part);
      });
      return [ans, total ?? zerosOf(ans)];
    };
  };
  return Object.assign(call, { defjvp, defjvps }) as unknown as CustomJvp<A, R>;
}

function addTrees(a: unknown, b: unknown): unknown {
  const [xs, def] = treeFlatten(a);
  const ys = flattenUpTo(def, b, "defjvps");
  return treeUnflatten(
    def,
    xs.map((x, i) => add(x as ArrayLike, ys[i] as ArrayLike)),
  );
}

function zerosOf(tree: unknown): unknown {
  const [xs, def] = flatten(tree);
  return treeUnflatten(
    def,
    xs.map((x) => (isInexact(x.dtype) ? full(x.shape, 0, x.dtype) : null)),
  );
}

/** The leaves of a rule's result, whose structure must be that of the function's. `null` may stand for a leaf. */
function matchTree(fn: string, what: string, expected: Treedef, got: unknown, nulls = false): unknown[] {
  try {
    return flattenUpTo(expected, got, fn);
  } catch (cause) {
    throw new TreeError(fn, {
      message: `${what} of the rule has the structure ${treeStructure(got)}, the function returns ${expected}`,
      fix: nulls ? "return one tangent (or null for zero) for each result" : "return what the function itself returns",
      cause,
    });
  }
}

function checkAval(fn: string, what: string, x: NDArray, shape: readonly number[]): NDArray {
  if (sameShape(x.shape, shape)) return x;
  throw new ShapeError(fn, {
    message: `${what} must have the shape of the function's result, [${shape.join(",")}]`,
    operands: { returned: x },
  });
}

/**
 * Gives `fn` a reverse-mode derivative of its own. The function cannot be differentiated in forward mode then.
 *
 * @example
 * ```ts
 * const clipGradient = customVjp((x: NDArray) => x);
 * clipGradient.defvjp((x) => [x, null], (_residuals, ct) => [clamp(-1, ct, 1)]);
 * ```
 */
export function customVjp<A extends readonly unknown[], R>(fn: (...args: A) => R): CustomVjp<A, R>;
export function customVjp<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  options: CustomRuleOptions,
): CustomVjpNondiff<A, R>;
export function customVjp<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  options: CustomRuleOptions = {},
): CustomVjp<A, R> | CustomVjpNondiff<A, R> {
  const name = fn.name || "customVjp";
  const { split, merge } = splitter(options.nondiffArgnums ?? []);
  const run = fn as unknown as AnyFunction;
  let rules: { fwd: AnyFunction; bwd: AnyFunction } | null = null;

  const call = (...args: unknown[]): unknown => {
    if (rules === null) {
      throw new TransformError(name, { message: "has no derivative yet", fix: "call defvjp before using the function" });
    }
    if (isEager(currentTrace())) return run(...args);
    const { fwd: fwdRule, bwd: bwdRule } = rules;
    const [fixed, diff] = split(args);
    const [flat, inTree] = flatten(diff);
    const body = traceBody(
      name,
      (...xs) => run(...merge(fixed, xs)),
      inTree,
      flat.map((x) => x.aval),
    );
    const numConsts = body.consts.length;
    const argDefs = inTree.children;
    let residualTree: Treedef | null = null;

    const fwd: CustomVjpFwd = (operands) => {
      const xs = treeUnflatten(inTree, operands.slice(numConsts)) as unknown[];
      const result = fwdRule(...merge(fixed, xs)) as readonly unknown[];
      if (!Array.isArray(result) || result.length !== 2) {
        throw new TransformError(name, { message: "the fwd rule must return [result, residuals]" });
      }
      const outs = matchTree(name, "the result of fwd", body.outTree, result[0]).map((x, i) =>
        checkAval(name, `result ${i} of fwd`, asArray(x as ArrayLike), body.jaxpr.outAvals[i].shape),
      );
      const [residuals, def] = flatten(result[1]);
      residualTree = def;
      return { outs, residuals };
    };
    const bwd: CustomVjpBwd = (residuals, cotangents) => {
      if (residualTree === null) throw new TransformError(name, { message: "bwd was called before fwd" });
      const cts = bwdRule(
        ...fixed,
        treeUnflatten(residualTree, residuals),
        treeUnflatten(body.outTree, cotangents),
      ) as readonly unknown[];
      if (!Array.isArray(cts) || cts.length !== argDefs.length) {
        throw new TreeError(name, {
          message: `the bwd rule must return a list of ${argDefs.length} cotangents, one for each differentiated argument`,
          fix: "wrap a single cotangent in a list; use null for zero",
        });
      }
      const flatCts = cts.flatMap((ct, i) =>
        ct === null || ct === undefined
          ? new Array<null>(argDefs[i].numLeaves).fill(null)
          : matchTree(name, `cotangent ${i}`, argDefs[i], ct, true),
      );
      const own = flatCts.map((ct, i) => {
        const { aval } = flat[i];
        if (ct === null || ct === undefined || !isInexact(aval.dtype)) return null;
        if (typeof ct === "number") return full(aval.shape, ct, aval.dtype);
        return checkCotangent(name, i, asArray(ct as ArrayLike), aval.shape);
      });
      return [...new Array<null>(numConsts).fill(null), ...own];
    };
    const outs = bind(customVjpCallP, [...body.consts, ...flat], { callJaxpr: body.jaxpr, fwd, bwd, name, symbolicZeros: false });
    return treeUnflatten(body.outTree, outs);
  };

  const defvjp = (fwd: AnyFunction, bwd: AnyFunction): void => {
    rules = { fwd, bwd };
  };
  return Object.assign(call, { defvjp }) as unknown as CustomVjp<A, R>;
}

function checkCotangent(fn: string, i: number, ct: NDArray, shape: readonly number[]): NDArray {
  if (sameShape(ct.shape, shape)) return ct;
  throw new ShapeError(fn, {
    message: `cotangent ${i} of bwd must have the shape of its argument, [${shape.join(",")}]`,
    operands: { returned: ct },
    fix: "sum it over the axes along which the argument was broadcast",
  });
}
