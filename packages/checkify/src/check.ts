import {
  type ArrayLike,
  asArray,
  batchRule,
  bind,
  ConcreteArray,
  definePrimitive,
  DTypeError,
  type Effect,
  type HostRule,
  hostRule,
  isNDArray,
  jvpRule,
  lowerRule,
  makeAval,
  type NDArray,
  type Params,
  type Primitive,
  refuseRule,
  ShapeError,
  TransformError,
  treeFlatten,
  type Treedef,
  TreeError,
  treeStructure,
  treeUnflatten,
} from "@traceform/core";
import { broadcastInDim, debug, ne, transpose } from "@traceform/lax";
import { type CheckSite, Error as CheckError, internSite, slotFor } from "./error.ts";

/** A check that has not been made a value. It is neither dropped nor repeated. */
export const checkEffect: Effect = { name: "Check", ordered: false, idempotent: true };

export interface CheckParams {
  /** A format string. */
  readonly message: string;
  /** The structure of its arguments: positional ones, then an object of named ones. */
  readonly inTree: Treedef;
  /** Leading axes of all operands that `vmap` has added. */
  readonly batchAxes: number;
}

interface BatchContext {
  readonly primitive: Primitive<never>;
  readonly axisSize: number;
}

/** All operands get the batch as one more leading axis. */
function batchCheck<P extends { readonly batchAxes: number }>(
  args: readonly NDArray[],
  dims: readonly (number | null)[],
  params: P,
  { primitive, axisSize }: BatchContext,
): readonly [outs: readonly NDArray[], dims: readonly number[]] {
  const front = args.map((x, i) => {
    const axes = x.shape.map((_, d) => d);
    const dim = dims[i];
    if (dim !== null) return transpose(x, [dim, ...axes.filter((d) => d !== dim)]);
    return broadcastInDim(
      x,
      [axisSize, ...x.shape],
      axes.map((d) => d + 1),
    );
  });
  bind(primitive as unknown as Primitive, front, { ...params, batchAxes: params.batchAxes + 1 } as Params);
  return [[], []];
}

/** Differentiation passes checks by: they see the primal values. */
function differentiateCheck(primitive: () => Primitive<never>): object {
  return {
    symbolicZeros: true,
    rule: (primals: readonly NDArray[], _tangents: unknown, params: never) => [bind(primitive(), primals, params), []],
  };
}

function refusal(): TransformError {
  return new TransformError("check", {
    message: "a check was staged (by jit, scan, cond, …) that nothing turns into an error value",
    fix: "wrap the function with checkify, outside of the transformation that stages it: const [err, out] = checkify(f)(x); err.throw()",
  });
}

const throwOnHost: HostRule<CheckParams> = ([pred, ...payload], params) => {
  checkErrorOf(params, pred, payload).throw();
  return [];
};

/** Operands: bool[...batch], then what the message shows. */
export const checkP: Primitive<CheckParams> = /* @__PURE__ */ definePrimitive<CheckParams>("check", {
  abstractEval: () => ({ avals: [], effects: [checkEffect] }),
  hiddenParams: ["inTree", "batchAxes"],
  rules: {
    [hostRule]: throwOnHost,
    [refuseRule]: refusal,
    [batchRule]: batchCheck,
    [jvpRule]: /* @__PURE__ */ differentiateCheck(() => checkP as never),
  },
});

/** The same, which is left out where nothing turns it into an error value. */
export const debugCheckP: Primitive<CheckParams> = /* @__PURE__ */ definePrimitive<CheckParams>("debug_check", {
  abstractEval: () => ({ avals: [], effects: [checkEffect] }),
  hiddenParams: ["inTree", "batchAxes"],
  rules: {
    [hostRule]: () => [],
    [lowerRule]: () => [],
    [batchRule]: batchCheck,
    [jvpRule]: /* @__PURE__ */ differentiateCheck(() => debugCheckP as never),
  },
});

export interface CheckErrorParams {
  /** The structure of the error value. */
  readonly tree: Treedef;
  readonly batchAxes: number;
}

/** Operands: the arrays of an error value. */
export const checkErrorP: Primitive<CheckErrorParams> = /* @__PURE__ */ definePrimitive<CheckErrorParams>("check_error", {
  abstractEval: () => ({ avals: [], effects: [checkEffect] }),
  hiddenParams: ["tree", "batchAxes"],
  rules: {
    [hostRule]: ((args, { tree }) => {
      (treeUnflatten(tree, args) as CheckError).throw();
      return [];
    }) satisfies HostRule<CheckErrorParams>,
    [refuseRule]: refusal,
    [batchRule]: batchCheck,
    [jvpRule]: /* @__PURE__ */ differentiateCheck(() => checkErrorP as never),
  },
});

/** The error value of one check, from concrete operands. */
function checkErrorOf(params: CheckParams, pred: NDArray, payload: readonly NDArray[]): CheckError {
  const site = siteOfCheck(params, payload, null);
  const failed = ne(pred, true);
  const codes = asArray(Int32Array.from(failed.dataSync() as Uint8Array, (f) => (f ? site.code : 0)));
  const host = { ...codes.toHost("check"), shape: pred.shape };
  return new CheckError(ConcreteArray.fromHost(host), new Map(site.slot === null ? [] : [[site.slot, payload]]));
}

/** The site of a check that a user wrote. */
export function siteOfCheck(
  { message, inTree, batchAxes }: CheckParams,
  payload: readonly NDArray[],
  at: string | null,
): CheckSite {
  const slot = slotFor(payload.map((x) => makeAval(x.shape.slice(batchAxes), x.dtype)));
  return internSite(JSON.stringify(["user", message, inTree.id, slot, at]), (code) => ({
    code,
    category: "user",
    at,
    slot,
    describe: (values) => {
      // A derivative rule may have checks that the function itself has not: nothing was set aside for their values.
      if (values === null) return `${message} (\`check\` failed)`;
      const [positional, named] = treeUnflatten(inTree, values) as [unknown[], Record<string, unknown>];
      return `${debug.formatText(message, positional, named)} (\`check\` failed)`;
    },
  }));
}

/**
 * Makes sure that `pred`, a bool scalar, holds: inside a function that `checkify` transforms, a failure becomes its error value;
 * outside of transformations it throws at once. `message` is a format string as for `debug.print`, and the arguments are for it:
 * pytrees of arrays, and an object of named ones at the end.
 *
 * @throws {JaxRuntimeError} when `pred` is false and nothing is traced
 * @throws {TransformError} when a function that holds it is staged by `jit` or control flow without `checkify`
 */
export function check(pred: ArrayLike, message: string, ...args: readonly unknown[]): void {
  bindCheck("check", checkP, pred, message, args);
}

/** `check` for debugging: it does nothing unless `checkify` turns it into an error value. */
export function debugCheck(pred: ArrayLike, message: string, ...args: readonly unknown[]): void {
  bindCheck("debugCheck", debugCheckP, pred, message, args);
}

function bindCheck(
  fn: string,
  primitive: Primitive<CheckParams>,
  pred: ArrayLike,
  message: string,
  args: readonly unknown[],
): void {
  const p = asArray(pred);
  if (p.dtype !== "bool") {
    throw new DTypeError(fn, { message: "the condition must be a bool", operands: { pred: p }, fix: "compare: greater(x, 0)" });
  }
  if (p.ndim !== 0) {
    throw new ShapeError(fn, { message: "the condition must be a scalar", operands: { pred: p }, fix: "reduce it: all(pred)" });
  }
  const [leaves, inTree] = treeFlatten(debug.formatArguments(fn, message, args));
  const payload = leaves.map((x) => {
    if (typeof x === "number" || typeof x === "boolean" || typeof x === "bigint" || ArrayBuffer.isView(x) || isNDArray(x))
      return asArray(x as ArrayLike);
    throw new TreeError(fn, {
      message: `an argument of the message is ${typeof x === "string" ? "a string" : `a ${typeof x}`}, not an array`,
      fix: "write what is not an array into the message itself",
    });
  });
  bind(primitive, [p, ...payload], { message, inTree, batchAxes: 0 });
}

/**
 * Makes sure that an error value tells of no failure, like a `check`: the way to throw it from inside transformed code.
 *
 * @throws {JaxRuntimeError} when it does, and nothing is traced
 */
export function checkError(error: CheckError): void {
  if (!(error instanceof CheckError)) {
    throw new TreeError("checkError", {
      message: `takes the error value that a checkified function returns, got ${String(error)}`,
      fix: "pass the first of [err, out]",
    });
  }
  const [leaves] = treeFlatten(error);
  bind(checkErrorP, leaves as NDArray[], { tree: treeStructure(error), batchAxes: 0 });
}
