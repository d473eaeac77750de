import {
  type ArrayLike,
  asArray,
  type Aval,
  bind,
  definePrimitive,
  DTypeError,
  dtypeName,
  type Effect,
  type HostArray,
  hostFromNested,
  hostFromTyped,
  type HostRule,
  hostRule,
  isNDArray,
  isTypedArray,
  makeAval,
  nestedShape,
  type NDArray,
  flattenUpTo,
  type Nested,
  physical,
  type Primitive,
  isComplex,
  sameShape,
  ShapeDtypeStruct,
  ShapeError,
  type StandardDType,
  TreeError,
  TransformError,
  type Treedef,
  treeFlatten,
  treeUnflatten,
  typedArrayDType,
  ValueError,
} from "@traceform/core";
import type { Arrays, Returned } from "./carrytypes.ts";
import { flattenCallbackArguments, rebuildLeaves } from "./internal/callbackarguments.ts";

/**
 * What `vmap` makes of a `pureCallback`: one call for each member, in a loop (`sequential`) or written out
 * (`sequentialUnrolled`); or one call for the whole batch, with a leading axis on every argument, of size 1 for those that are
 * the same for all members (`expandDims`) or repeated to the size of the batch (`broadcastAll`).
 */
export type VmapMethod = "sequential" | "sequentialUnrolled" | "expandDims" | "broadcastAll";

const vmapMethods: readonly unknown[] = ["sequential", "sequentialUnrolled", "expandDims", "broadcastAll", null];

/** What all callbacks have: a function of pytrees, and how flat arrays become its arguments. */
export interface CallbackParams {
  readonly callback: (...args: never[]) => unknown;
  readonly inTree: Treedef;
  /** Leaves of the arguments that are no arrays, by their position: they reach the function as they are. */
  readonly statics: readonly (readonly [position: number, value: unknown])[];
}
interface ResultParams {
  readonly outTree: Treedef;
  readonly resultAvals: readonly Aval[];
}
export interface PureCallbackParams extends CallbackParams, ResultParams {
  readonly vmapMethod: VmapMethod | null;
}
export interface IoCallbackParams extends CallbackParams, ResultParams {
  readonly ordered: boolean;
}
export interface DebugCallbackParams extends CallbackParams {
  readonly ordered: boolean;
}

/** The effects of callbacks. One object each: effects are compared by identity. */
export const ioEffect: Effect = { name: "IO", ordered: false };
export const orderedIoEffect: Effect = { name: "OrderedIO", ordered: true };
export const debugEffect: Effect = { name: "Debug", ordered: false, mayRepeat: true };
export const orderedDebugEffect: Effect = { name: "OrderedDebug", ordered: true, mayRepeat: true };

const hiddenParams = ["inTree", "outTree", "statics"] as const;

const returning =
  (fn: string): HostRule<CallbackParams & ResultParams> =>
  (args, params, outAvals) => {
    const result = call(fn, args, params);
    const leaves = matchResult(fn, params.outTree, result);
    return leaves.map((x, i) => resultArray(fn, i, x, outAvals[i]));
  };

/** A pure function of JavaScript. Operands: the arrays among the leaves of its arguments. */
export const pureCallbackP: Primitive<PureCallbackParams> = /* @__PURE__ */ definePrimitive<PureCallbackParams>("pure_callback", {
  abstractEval: (_avals, { resultAvals }) => resultAvals,
  rules: { [hostRule]: /* @__PURE__ */ returning("pureCallback") },
  hiddenParams,
});

/** A function of JavaScript with side effects: called once each time the equation runs. */
export const ioCallbackP: Primitive<IoCallbackParams> = /* @__PURE__ */ definePrimitive<IoCallbackParams>("io_callback", {
  abstractEval: (_avals, { resultAvals, ordered }) => ({ avals: resultAvals, effects: [ordered ? orderedIoEffect : ioEffect] }),
  rules: { [hostRule]: /* @__PURE__ */ returning("ioCallback") },
  hiddenParams,
});

/** A function of JavaScript without results, to look at values. */
export const debugCallbackP: Primitive<DebugCallbackParams> = /* @__PURE__ */ definePrimitive<DebugCallbackParams>(
  "debug_callback",
  {
    abstractEval: (_avals, { ordered }) => ({ avals: [], effects: [ordered ? orderedDebugEffect : debugEffect] }),
    rules: {
      [hostRule]: ((args, params) => {
        call("debugCallback", args, params);
        return [];
      }) satisfies HostRule<DebugCallbackParams>,
    },
    hiddenParams,
  },
);

function call(fn: string, args: readonly NDArray[], { callback, inTree, statics }: CallbackParams): unknown {
  const result = callback(...(treeUnflatten(inTree, rebuildLeaves(args, statics)) as never[]));
  if (result instanceof Promise) {
    // The promise is not ours to await; a rejection that follows from this error must not become a second one.
    result.catch(() => {});
    throw new TransformError(fn, {
      message: "the callback is async, but the program that it stops cannot wait for it",
      fix: "read arrays with dataSync, jsSync or itemSync; keep what takes longer in a list, and await that outside",
    });
  }
  return result;
}

function matchResult(fn: string, outTree: Treedef, result: unknown): unknown[] {
  // A callback without results may return whatever it likes, as arrow functions do.
  if (outTree.numLeaves === 0) return [];
  try {
    return flattenUpTo(outTree, result, fn);
  } catch (cause) {
    throw new TreeError(fn, {
      message: `the callback must return ${outTree}, as the description of its result says`,
      fix: "return the same containers, or change the description",
      cause,
    });
  }
}

/** A result of a callback as the program holds it: numbers and nested arrays take the dtype, arrays must have it. */
function resultArray(fn: string, i: number, x: unknown, aval: Aval): HostArray {
  const { shape, dtype } = physical(aval);
  if (isNDArray(x)) {
    if (!sameShape(x.shape, aval.shape)) throw wrongShape(fn, i, x.shape, aval);
    if (x.dtype === aval.dtype) return x.toHost(fn);
    if (!x.weakType) throw wrongDtype(fn, i, dtypeName(x.dtype), aval);
    return hostFromTyped(x.dataSync(), shape, dtype);
  }
  if (isTypedArray(x)) {
    const given = typedArrayDType(x);
    // Elements in row-major order, as `dataSync` gives them.
    if (x.length !== aval.size * (isComplex(dtype) ? 2 : 1)) throw wrongShape(fn, i, [x.length], aval);
    // What `dataSync` gives of these dtypes has another one.
    const stands: Partial<Record<StandardDType, string>> = {
      bool: "uint8",
      float16: "float32",
      bfloat16: "float32",
      complex64: "float32",
      complex128: "float64",
    };
    if (given !== dtype && given !== stands[dtype]) throw wrongDtype(fn, i, given!, aval);
    return hostFromTyped(x, shape, dtype);
  }
  if (typeof x === "number" || typeof x === "boolean" || typeof x === "bigint" || Array.isArray(x)) {
    if (holdsArrays(x)) return resultArray(fn, i, asArray(x as ArrayLike), aval);
    const own = nestedShape(x as Nested);
    if (!sameShape(own, aval.shape)) throw wrongShape(fn, i, own, aval);
    return hostFromNested(x as Nested, shape, dtype);
  }
  throw new TreeError(fn, {
    message: `the callback returned ${x === null ? "null" : `a ${typeof x}`} where its result is described as ${aval}`,
    fix: "return an array, a typed array, a number or nested numbers",
  });
}

function holdsArrays(x: unknown): boolean {
  return Array.isArray(x) ? x.some(holdsArrays) : isNDArray(x) || isTypedArray(x);
}

function wrongShape(fn: string, i: number, shape: readonly number[], aval: Aval): ShapeError {
  return new ShapeError(fn, {
    message: `result ${i} of the callback has the shape [${shape.join(",")}], but was described as ${aval}`,
    fix: "return an array of that shape, or describe the one that is returned",
  });
}
function wrongDtype(fn: string, i: number, dtype: string, aval: Aval): DTypeError {
  return new DTypeError(fn, {
    message: `result ${i} of the callback has the dtype ${dtype}, but was described as ${aval}`,
    fix: "convert it with astype, or describe the dtype that is returned",
  });
}

/** Options of `pureCallback`. */
export interface PureCallbackOptions {
  /** What `vmap` does with the callback; without one it refuses. */
  readonly vmapMethod?: VmapMethod;
}
/** Options of `ioCallback` and `debugCallback`. */
export interface EffectOptions {
  /** Whether calls keep their order among all ordered ones. */
  readonly ordered?: boolean;
}

/** The arguments of a call without the options that may end it. */
export type WithoutOptions<A extends readonly unknown[], O> = A extends readonly [...infer Rest, infer Last]
  ? IsOptions<Last, O> extends true
    ? Rest
    : A
  : A;
type IsOptions<T, O> = T extends NDArray
  ? false
  : T extends object
    ? keyof T extends keyof O
      ? keyof T extends never
        ? false
        : true
      : false
    : false;
/** What a callback gets: concrete arrays in place of tracers and numbers. */
export type CallbackArguments<A extends readonly unknown[]> = { -readonly [K in keyof A]: Arrays<A[K]> };

/** The results that a pytree of `ShapeDtypeStruct`s, or of arrays like them, describes. */
export type Described<R> = R extends ShapeDtypeStruct | NDArray
  ? NDArray
  : R extends null | undefined
    ? R
    : { -readonly [K in keyof R]: Described<R[K]> };

/** Takes the options off the end of a list of arguments: a plain object whose keys are all options. */
function splitOptions(args: readonly unknown[], names: readonly string[]): [unknown[], Readonly<Record<string, unknown>>] {
  const last = args.at(-1);
  if (typeof last !== "object" || last === null || Object.getPrototypeOf(last) !== Object.prototype) return [[...args], {}];
  const keys = Object.keys(last);
  if (keys.length === 0 || !keys.every((k) => names.includes(k))) return [[...args], {}];
  return [args.slice(0, -1), last as Readonly<Record<string, unknown>>];
}

function describeResults(fn: string, results: unknown): ResultParams {
  const [leaves, outTree] = treeFlatten(results);
  const resultAvals = leaves.map((x) => {
    if (x instanceof ShapeDtypeStruct || isNDArray(x)) return makeAval(x.shape, x.dtype);
    throw new TreeError(fn, {
      message: `the description of the results holds ${x === null ? "null" : `a ${typeof x}`}`,
      fix: "describe each result as new ShapeDtypeStruct(shape, dtype), or by an array of its type; null for no result",
    });
  });
  return { outTree, resultAvals };
}

/**
 * Calls a pure function of JavaScript on the values of `args`, also inside `jit`, loops and `vmap`: the program stops for it.
 * `results` describes what it returns, as a pytree of `ShapeDtypeStruct`s (or arrays of those types).
 *
 * The function gets concrete arrays, copies of its own, is synchronous, and may use the library. Since it is pure, it may be
 * called more than once, or not at all when nothing needs its result. It returns arrays, typed arrays with the elements in
 * row-major order, or (nested) numbers. What it throws reaches the caller of the program. The last argument may be options: `{ vmapMethod }`.
 *
 * It has no derivative: give it one with `customJvp` or `customVjp`.
 *
 * @throws {ShapeError} and {DTypeError} when it runs, for results of other types than described
 * @example
 * ```ts
 * const sine = (x: NDArray): NDArray =>
 *   pureCallback((v: NDArray) => Float32Array.from(v.dataSync() as Float32Array, Math.sin), x, x, { vmapMethod: "broadcastAll" });
 * ```
 */
export function pureCallback<A extends readonly unknown[], R>(
  callback: (...args: WithoutOptions<CallbackArguments<A>, PureCallbackOptions>) => Returned<Described<NoInfer<R>>>,
  results: R,
  ...args: A
): Described<R> {
  const fn = "pureCallback";
  const [own, options] = splitOptions(args, ["vmapMethod"]);
  const vmapMethod = (options["vmapMethod"] ?? null) as VmapMethod | null;
  if (!vmapMethods.includes(vmapMethod)) {
    throw new ValueError(fn, {
      message: `${String(vmapMethod)} is no vmapMethod`,
      fix: `choose one of ${vmapMethods.slice(0, -1).join(", ")}`,
    });
  }
  const { flat, params } = flattenCallbackArguments(fn, own, false);
  const described = describeResults(fn, results);
  const outs = bind(pureCallbackP, flat, { callback: callback as CallbackParams["callback"], ...params, ...described, vmapMethod });
  return treeUnflatten(described.outTree, outs) as Described<R>;
}

/**
 * Calls a function of JavaScript with side effects: exactly once each time the program comes by, even if nobody needs its
 * result. With `{ ordered: true }` as the last argument, such calls keep their order. `results` is `null` when there are none.
 * Otherwise see `pureCallback`.
 *
 * It cannot be differentiated, and when ordered, not be vectorised; `vmap` calls an unordered one once for each member.
 */
export function ioCallback<A extends readonly unknown[], R>(
  callback: (
    ...args: WithoutOptions<CallbackArguments<A>, EffectOptions>
  ) => R extends null ? unknown : Returned<Described<NoInfer<R>>>,
  results: R,
  ...args: A
): Described<R> {
  const fn = "ioCallback";
  const [own, options] = splitOptions(args, ["ordered"]);
  const { flat, params } = flattenCallbackArguments(fn, own, false);
  const described = describeResults(fn, results);
  const outs = bind(ioCallbackP, flat, {
    callback: callback as CallbackParams["callback"],
    ...params,
    ...described,
    ordered: options["ordered"] === true,
  });
  return treeUnflatten(described.outTree, outs) as Described<R>;
}

/**
 * Calls a function of JavaScript with values, to look at them: it has no results, and derivatives pass it by (it sees the primal
 * values, once). Leaves of `args` that are no arrays, such as strings, reach it as they are. The last argument may be
 * options: `{ ordered }`.
 */
export function debugCallback<A extends readonly unknown[]>(
  callback: (...args: WithoutOptions<CallbackArguments<A>, EffectOptions>) => unknown,
  ...args: A
): void {
  const [own, options] = splitOptions(args, ["ordered"]);
  const { flat, params } = flattenCallbackArguments("debugCallback", own, true);
  bind(debugCallbackP, flat, {
    callback: callback as CallbackParams["callback"],
    ...params,
    ordered: options["ordered"] === true,
  });
}
