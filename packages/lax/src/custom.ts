import {
  type ArrayLike,
  asArray,
  type Aval,
  bind,
  currentTrace,
  definePrimitive,
  DTypeError,
  dtypeName,
  flattenUpTo,
  isEager,
  isInexact,
  isTracer,
  type Jaxpr,
  NDArray,
  type Primitive,
  sameShape,
  scalar,
  ShapeError,
  type StandardDType,
  stepsRule,
  TransformError,
  TreeError,
  type Treedef,
  treeFlatten,
  treeStructure,
  treeUnflatten,
  withCustomRule,
} from "@traceform/core";
import { add } from "./binary.ts";
import { full } from "./create.ts";
import { traceBody } from "./internal/bodies.ts";
import { customSteps } from "./internal/steps.ts";
import { broadcastInDim } from "./shape.ts";

/**
 * The rule of a `custom_jvp_call`, on flat values. `primals` are *all* operands of the equation (what the function
 * closes over comes first; the thunk sets it aside by itself). `tangents[i]` has the aval `tangentAval(primals[i])`;
 * `null` is zero, and the only tangent of primals of integer, boolean or extended dtype.
 *
 * Returns one primal and one tangent for each result of the equation; a `null` tangent is zero (always so for
 * results of integer dtype). Runs under the current trace, any number of times.
 *
 * @throws {TransformError} when something that the function closes over has a tangent
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
}

/** Operands: closed-over values, then the flattened arguments. */
export const customJvpCallP: Primitive<CustomJvpCallParams> = /* @__PURE__ */ definePrimitive<CustomJvpCallParams>(
  "custom_jvp_call",
  {
    hiddenParams: ["jvp"],
    rules: { [stepsRule]: customSteps },
    abstractEval: (_avals, { callJaxpr }) => ({
      avals: callJaxpr.outAvals,
      effects: [...callJaxpr.effects],
    }),
  },
);

/**
 * The forward rule of a `custom_vjp_call`, on flat values: all operands of the equation in, and which of them are
 * differentiated; its results, the residuals, and the backward rule that knows what these residuals are, out. How many
 * residuals there are is the same for the same avals and flags.
 *
 * @throws {TransformError} when something that the function closes over is differentiated
 */
export type CustomVjpFwd = (
  args: readonly NDArray[],
  perturbed: readonly boolean[],
) => { readonly outs: NDArray[]; readonly residuals: NDArray[]; readonly bwd: CustomVjpBwd };

/**
 * The backward rule: the residuals and one cotangent for each result (`null` is zero, and the only one of results of
 * integer dtype) in; one cotangent for each operand of the equation out. `null` is zero: always so for closed-over
 * operands and for those of integer dtype.
 */
export type CustomVjpBwd = (residuals: readonly NDArray[], cotangents: readonly (NDArray | null)[]) => (NDArray | null)[];

export interface CustomVjpCallParams {
  readonly callJaxpr: Jaxpr;
  readonly fwd: CustomVjpFwd;
  readonly name: string;
}

/** Operands: closed-over values, then the flattened arguments. */
export const customVjpCallP: Primitive<CustomVjpCallParams> = /* @__PURE__ */ definePrimitive<CustomVjpCallParams>(
  "custom_vjp_call",
  {
    hiddenParams: ["fwd"],
    rules: { [stepsRule]: customSteps },
    abstractEval: (_avals, { callJaxpr }) => ({
      avals: callJaxpr.outAvals,
      effects: [...callJaxpr.effects],
    }),
  },
);

export interface CustomRuleOptions {
  /** Positions of arguments that are not differentiated: functions, options. The rules get them first. */
  readonly nondiffArgnums?: readonly number[];
}

export interface SymbolicZerosOption {
  /** Zero tangents and cotangents arrive as `null` instead of arrays of zeros. */
  readonly symbolicZeros: true;
}

/** A pytree of tangents (or cotangents) like `T`, in which `null` stands for a zero. */
export type OrZero<T> = [T] extends [NDArray | number]
  ? NDArray | null
  : T extends readonly unknown[] | object
    ? { [K in keyof T]: OrZero<T[K]> }
    : T;

/** An array as a forward rule with symbolic zeros sees it. */
export interface CustomVjpPrimal {
  readonly value: NDArray;
  /** Whether it is differentiated: if not, its cotangent will not be used. */
  readonly perturbed: boolean;
}

/** A pytree like `T` with a `CustomVjpPrimal` for each array. */
export type CustomVjpPrimals<T> = [T] extends [NDArray | number]
  ? CustomVjpPrimal
  : T extends readonly unknown[] | object
    ? { [K in keyof T]: CustomVjpPrimals<T[K]> }
    : T;

/** A rule of a function with `nondiffArgnums`: its first parameters are those arguments. */
type LooseRule<R> = (...args: never[]) => R;

/** One tangent's part in the result's: `(tangent, ans, ...primals) => tangent of the result`. */
export type JvpEntry<A extends readonly unknown[], R> = (tangent: never, ans: R, ...primals: A) => R;

/** A function with a derivative of its own. Call `defjvp` or `defjvps` once before differentiating it. */
export interface CustomJvp<A extends readonly unknown[], R> {
  (...args: A): R;
  /** `(primals, tangents) => [primalsOut, tangentsOut]`, linear in the tangents. */
  defjvp(rule: (primals: A, tangents: A) => readonly [primalsOut: R, tangentsOut: R]): void;
  /** The same with `null` for tangents that are zero, on both sides. */
  defjvp(
    rule: (primals: A, tangents: OrZero<A>) => readonly [primalsOut: R, tangentsOut: OrZero<R>],
    options: SymbolicZerosOption,
  ): void;
  /** One entry for each argument, added up; `null` where the derivative is zero. */
  defjvps(...rules: (JvpEntry<A, R> | null)[]): void;
}

/** `CustomJvp` with `nondiffArgnums`: rules get those arguments before primals and tangents. */
export interface CustomJvpNondiff<A extends readonly unknown[], R> {
  (...args: A): R;
  defjvp(rule: LooseRule<readonly [primalsOut: R, tangentsOut: unknown]>, options?: SymbolicZerosOption): void;
  defjvps(...rules: (LooseRule<R> | null)[]): void;
}

/** A function with a reverse-mode derivative of its own. Call `defvjp` once before differentiating it. */
export interface CustomVjp<A extends readonly unknown[], R> {
  (...args: A): R;
  /**
   * `fwd` takes the arguments and returns `[result, residuals]`; `bwd` takes the residuals and the cotangent of the
   * result and returns one cotangent for each argument (`null` is zero). Residuals are a pytree; JavaScript numbers,
   * booleans and functions in it stay what they are.
   */
  defvjp<Res>(
    fwd: (...args: A) => readonly [result: R, residuals: Res],
    bwd: (residuals: Res, cotangent: R) => readonly unknown[],
  ): void;
  /** The same; `fwd` is told what is differentiated, and cotangents that are zero are `null`. */
  defvjp<Res>(
    fwd: (...args: CustomVjpPrimals<A> & readonly unknown[]) => readonly [result: R, residuals: Res],
    bwd: (residuals: Res, cotangent: OrZero<R>) => readonly unknown[],
    options: SymbolicZerosOption,
  ): void;
}

/** `CustomVjp` with `nondiffArgnums`: `bwd` gets those arguments first, and returns cotangents for the others. */
export interface CustomVjpNondiff<A extends readonly unknown[], R> {
  (...args: A): R;
  defvjp<Res>(
    fwd: (...args: A) => readonly [result: R, residuals: Res],
    bwd: LooseRule<readonly unknown[]>,
    options?: SymbolicZerosOption,
  ): void;
}

/**
 * Splits arguments into static ones (closed over) and differentiated ones, and puts them together again. Negative positions count
 * from the end.
 */
function splitter(nondiff: readonly number[]): {
  split(args: readonly unknown[]): [nondiff: unknown[], diff: unknown[]];
  merge(nondiff: readonly unknown[], diff: readonly unknown[]): unknown[];
} {
  const positions = (count: number): number[] => nondiff.map((i) => (i < 0 ? i + count : i));
  return {
    split: (args) => {
      const fixed = positions(args.length);
      return [fixed.map((i) => args[i]), args.filter((_, i) => !fixed.includes(i))];
    },
    merge: (fixed, diff) => {
      const out = [...diff];
      // Ascending positions keep the earlier insertions in place.
      positions(fixed.length + diff.length)
        .map((i, k) => [i, k])
        .sort((a, b) => a[0] - b[0])
        .forEach(([i, k]) => out.splice(i, 0, fixed[k]));
      return out;
    },
  };
}

type AnyFunction = (...args: unknown[]) => unknown;

function closedOver(name: string, maker: string): TransformError {
  return new TransformError(name, {
    message: `a value that the ${maker} function closes over is differentiated, but its rule speaks of arguments only`,
    fix: "make the value an argument of the function and of its rule, or cut it off with stopGradient",
  });
}

function zerosLike(aval: Aval): NDArray {
  return broadcastInDim(scalar(0, aval.dtype as StandardDType, aval.weakType), aval.shape, []);
}

/** Tangents as a rule wants them: symbolic zeros stay, or become zeros where the type has any. */
function presented(tangents: readonly (NDArray | null)[], avals: readonly Aval[], symbolicZeros: boolean): (NDArray | null)[] {
  return tangents.map((t, i) => t ?? (symbolicZeros || !isInexact(avals[i].dtype) ? null : zerosLike(avals[i])));
}

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
  let symbolicZeros = false;

  const call = (...args: unknown[]): unknown => {
    if (rule === null) {
      throw new TransformError(name, { message: "has no derivative yet", fix: "call defjvp before using the function" });
    }
    // Nothing differentiates or stages: the rule cannot matter, and closures see concrete values.
    if (isEager(currentTrace())) return run(...args);
    const jvpRule = rule;
    const symbolic = symbolicZeros;
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
      if (tangents.slice(0, numConsts).some((t) => t !== null)) throw closedOver(name, "customJvp");
      const own = primals.slice(numConsts);
      const dots = presented(
        tangents.slice(numConsts),
        own.map((x) => x.aval),
        symbolic,
      );
      const result = withCustomRule(name, () =>
        jvpRule(...fixed, treeUnflatten(inTree, own), treeUnflatten(inTree, dots)),
      ) as readonly unknown[];
      if (!Array.isArray(result) || result.length !== 2) {
        throw new TransformError(name, {
          message: "the rule given to defjvp must return [primalsOut, tangentsOut]",
          fix: "return a list of the two, each like the function's result",
        });
      }
      const outs = matchTree(name, "primalsOut", body.outTree, result[0]).map((x) => asArray(x as ArrayLike));
      const outDots = matchTree(name, "tangentsOut", body.outTree, result[1], true);
      return [
        outs.map((x, i) => checkAval(name, `result ${i} of the rule`, x, body.jaxpr.outAvals[i])),
        outDots.map((t, i) => {
          const out = body.jaxpr.outAvals[i];
          if (t === null || t === undefined || !isInexact(out.dtype)) return null;
          if (typeof t === "number") return full(out.shape, t, out.dtype);
          return checkAval(name, `tangent ${i} of the rule`, asArray(t as ArrayLike), out);
        }),
      ];
    };
    const outs = bind(customJvpCallP, [...body.consts, ...flat], { callJaxpr: body.jaxpr, jvp, name });
    return treeUnflatten(body.outTree, outs);
  };

  const defjvp = (r: AnyFunction, o?: SymbolicZerosOption): void => {
    rule = r;
    symbolicZeros = o?.symbolicZeros ?? false;
  };
  const defjvps = (...entries: (AnyFunction | null)[]): void => {
    symbolicZeros = true;
    rule = (...args: unknown[]) => {
      const tangents = args.at(-1) as unknown[];
      const primals = args.at(-2) as unknown[];
      const ans = (call as AnyFunction)(...merge(args.slice(0, -2), primals));
      let total: unknown = null;
      entries.forEach((entry, i) => {
        const tangent = entry === null ? null : instantiated(tangents[i], primals[i]);
        if (tangent === null) return;
        const part = entry!(tangent, ans, ...primals);
        total = total === null ? part : addTrees(total, part);
      });
      return [ans, total ?? zerosOf(ans)];
    };
  };
  return Object.assign(call, { defjvp, defjvps }) as unknown as CustomJvp<A, R>;
}

/** The tangents of one argument with zeros in full; `null` when all of them are zero, which costs nothing then. */
function instantiated(tangent: unknown, primal: unknown): unknown {
  const [xs, def] = flatten(primal);
  const ts = flattenUpTo(def, tangent, "defjvps") as (NDArray | null)[];
  if (ts.every((t) => t === null)) return null;
  return treeUnflatten(
    def,
    presented(
      ts,
      xs.map((x) => x.aval),
      false,
    ),
  );
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

function checkAval(fn: string, what: string, x: NDArray, { shape, dtype }: Aval): NDArray {
  const operands = { returned: x };
  if (!sameShape(x.shape, shape)) {
    throw new ShapeError(fn, {
      message: `${what} must have the shape of the function's result, [${shape.join(",")}]`,
      operands,
      fix: "return results as the function does, and tangents of their shapes; a number stands for an array of it",
    });
  }
  if (x.dtype === dtype) return x;
  throw new DTypeError(fn, {
    message: `${what} must have the dtype of the function's result, ${dtypeName(dtype)}`,
    operands,
    fix: "convert it with astype in the rule",
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
  let rules: { fwd: AnyFunction; bwd: AnyFunction; symbolicZeros: boolean } | null = null;

  const call = (...args: unknown[]): unknown => {
    if (rules === null) {
      throw new TransformError(name, { message: "has no derivative yet", fix: "call defvjp before using the function" });
    }
    if (isEager(currentTrace())) return run(...args);
    const { fwd: fwdRule, bwd: bwdRule, symbolicZeros } = rules;
    const [fixed, diff] = split(args);
    refuseTracers(name, fixed);
    const [flat, inTree] = flatten(diff);
    const body = traceBody(
      name,
      (...xs) => run(...merge(fixed, xs)),
      inTree,
      flat.map((x) => x.aval),
    );
    const numConsts = body.consts.length;
    const argDefs = inTree.children;

    const fwd: CustomVjpFwd = (operands, perturbed) => {
      if (perturbed.slice(0, numConsts).includes(true)) throw closedOver(name, "customVjp");
      const own = operands.slice(numConsts);
      const leaves = symbolicZeros ? own.map((value, i): CustomVjpPrimal => ({ value, perturbed: perturbed[numConsts + i] })) : own;
      const xs = treeUnflatten(inTree, leaves) as unknown[];
      const result = withCustomRule(name, () => fwdRule(...merge(fixed, xs))) as readonly unknown[];
      if (!Array.isArray(result) || result.length !== 2) {
        throw new TransformError(name, {
          message: "the fwd rule must return [result, residuals]",
          fix: "return a list of the two; null where nothing is kept for bwd",
        });
      }
      const outs = matchTree(name, "the result of fwd", body.outTree, result[0]).map((x, i) =>
        checkAval(name, `result ${i} of fwd`, asArray(x as ArrayLike), body.jaxpr.outAvals[i]),
      );
      const [kept, residualTree] = treeFlatten(result[1]);
      const isArray = kept.map((x) => typeof x === "object");
      const residuals = kept.filter((_, i) => isArray[i]).map((x) => asArray(x as ArrayLike));
      const restore = (arrays: readonly NDArray[]): unknown => {
        let k = 0;
        return treeUnflatten(
          residualTree,
          kept.map((x, i) => (isArray[i] ? arrays[k++] : x)),
        );
      };
      return { outs, residuals, bwd: (rs, cotangents) => backward(restore(rs), cotangents) };
    };
    const backward = (residuals: unknown, cotangents: readonly (NDArray | null)[]): (NDArray | null)[] => {
      const given = treeUnflatten(body.outTree, presented(cotangents, body.jaxpr.outAvals, symbolicZeros));
      const cts = withCustomRule(name, () => bwdRule(...fixed, residuals, given)) as readonly unknown[];
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
        return checkCotangent(name, i, asArray(ct as ArrayLike), aval);
      });
      return [...new Array<null>(numConsts).fill(null), ...own];
    };
    const outs = bind(customVjpCallP, [...body.consts, ...flat], { callJaxpr: body.jaxpr, fwd, name });
    return treeUnflatten(body.outTree, outs);
  };

  const defvjp = (fwd: AnyFunction, bwd: AnyFunction, o?: SymbolicZerosOption): void => {
    rules = { fwd, bwd, symbolicZeros: o?.symbolicZeros ?? false };
  };
  return Object.assign(call, { defvjp }) as unknown as CustomVjp<A, R>;
}

/** The rules of a customVjp function run at different times, so what is fixed must not belong to one of them. */
function refuseTracers(name: string, fixed: readonly unknown[]): void {
  for (const tree of fixed) {
    if (typeof tree === "function") continue;
    const tracer = treeFlatten(tree)[0].find((x) => x instanceof NDArray && isTracer(x));
    if (tracer === undefined) continue;
    throw new TransformError(name, {
      message: "an argument that nondiffArgnums names is traced",
      operands: { argument: tracer },
      fix: "leave arrays out of nondiffArgnums and return null for their cotangents: it is for functions and options",
    });
  }
}

function checkCotangent(fn: string, i: number, ct: NDArray, { shape, dtype }: Aval): NDArray {
  const operands = { returned: ct };
  if (!sameShape(ct.shape, shape)) {
    throw new ShapeError(fn, {
      message: `cotangent ${i} of bwd must have the shape of its argument, [${shape.join(",")}]`,
      operands,
      fix: "sum it over the axes along which the argument was broadcast",
    });
  }
  if (ct.dtype === dtype) return ct;
  throw new DTypeError(fn, {
    message: `cotangent ${i} of bwd must have the dtype of its argument, ${dtypeName(dtype)}`,
    operands,
    fix: "convert it with astype; the cotangent of a real argument is the real part",
  });
}
