import {
  config,
  type ArrayLike,
  asArray,
  type Aval,
  bind,
  dceRule,
  definePrimitive,
  isInteger,
  joinEffects,
  joinVarying,
  type Jaxpr,
  lowerRule,
  makeAval,
  type NDArray,
  type Primitive,
  providedVmap,
  refuseAsync,
  refuseTracedIntegers,
  scalar,
  ShapeError,
  stepsRule,
  TransformError,
  treeFlatten,
  type Treedef,
  treeMap,
  treeUnflatten,
  TreeError,
  ValueError,
  updateAval,
  DTypeError,
} from "@traceform/core";
import type { Arrays, Returned } from "./carrytypes.ts";
import { add, lt } from "./binary.ts";
import { varyTo } from "./collectives.ts";
import { convertElementTypeWeak } from "./convert.ts";
import { convertResults, traceBody, type TracedBody } from "./internal/bodies.ts";
import { dceScan, dceWhile } from "./internal/dce.ts";
import { refuseDivergence } from "./internal/divergence.ts";
import { scanSteps, whileSteps } from "./internal/steps.ts";
import { unrolled } from "./internal/unroll.ts";
import { checkStructure, joinTypes, typeMismatch } from "./internal/carry.ts";
import { result, varyingLike } from "./internal/infer.ts";
import { unstagedScan, unstagedWhile } from "./internal/unstaged.ts";
import { concatenate, reshape } from "./shape.ts";
import { sliceInDim } from "./slice.ts";

export interface ScanParams {
  /** (consts, carry, x) -> (carry, y). No constvars. */
  readonly jaxpr: Jaxpr;
  readonly length: number;
  readonly reverse: boolean;
  readonly unroll: number;
  readonly numConsts: number;
  readonly numCarry: number;
}
/** Operands: consts, initial carry, xs with a leading axis of `length`. Results: final carry, ys likewise stacked. */
export const scanP: Primitive<ScanParams> = /* @__PURE__ */ definePrimitive<ScanParams>("scan", {
  rules: {
    [dceRule]: dceScan,
    [stepsRule]: scanSteps,
    [lowerRule]: {
      where: ({ length, unroll }: ScanParams) => unroll > 1 && length > 0,
      lower: (operands: readonly NDArray[], p: ScanParams) => unrolled(operands, p, (xs, q) => bind(scanP, xs, q)),
    },
  },
  abstractEval: (avals, { jaxpr, length, numConsts, numCarry }) => {
    avals.slice(numConsts + numCarry).forEach((x) => {
      if (x.shape[0] !== length) {
        throw new ShapeError("scan", {
          message: `xs must have a leading axis of ${length}`,
          operands: { x },
          fix: "give xs one element for each step",
        });
      }
    });
    const outs = jaxpr.outAvals;
    return {
      avals: [
        ...outs.slice(0, numCarry).map((a, i) => varyingLike(a, [avals[numConsts + i]])),
        ...outs.slice(numCarry).map((a) => result([length, ...a.shape], a.dtype, [a])),
      ],
      effects: [...jaxpr.effects],
    };
  },
});

export interface WhileParams {
  readonly condNconsts: number;
  /** (condConsts, carry) -> bool scalar. */
  readonly condJaxpr: Jaxpr;
  readonly bodyNconsts: number;
  /** (bodyConsts, carry) -> carry. */
  readonly bodyJaxpr: Jaxpr;
}
/** Operands: condConsts, bodyConsts, initial carry. Results: final carry. */
export const whileP: Primitive<WhileParams> = /* @__PURE__ */ definePrimitive<WhileParams>("while", {
  rules: { [dceRule]: dceWhile, [stepsRule]: whileSteps },
  abstractEval: (_avals, { condJaxpr, bodyJaxpr }) => {
    refuseDivergence("whileLoop", condJaxpr.outAvals[0].varying, [condJaxpr, bodyJaxpr]);
    return { avals: bodyJaxpr.outAvals, effects: [...joinEffects([condJaxpr.effects, bodyJaxpr.effects])] };
  },
});

type Body = (...args: unknown[]) => unknown;

/** Carries and inputs as arrays, remembering which were JavaScript numbers. */
interface FlatTree {
  readonly arrays: NDArray[];
  readonly tree: Treedef;
  readonly integralNumbers: readonly boolean[];
}

function flattenTree(x: unknown): FlatTree {
  const [leaves, tree] = treeFlatten(x);
  return {
    arrays: leaves.map((l) => asArray(l as ArrayLike)),
    tree,
    integralNumbers: leaves.map((l) => typeof l === "number" && Number.isInteger(l)),
  };
}

/**
 * Traces a loop body until its carry has one type: a carry that came in weak takes the type that the body returns.
 * `trace` stages the body for given carry avals; the first results are the carry.
 *
 * @throws {TreeError} when the body returns another structure; @throws {ShapeError} listing the leaves that differ
 */
function fixCarry(
  fn: string,
  init: FlatTree,
  trace: (carry: readonly Aval[]) => TracedBody,
  carryTree: (body: TracedBody) => Treedef,
): { body: TracedBody; carry: NDArray[] } {
  let avals = init.arrays.map((x) => x.aval);
  // Types only move up a finite lattice, weak to strong, so this ends; the bound guards against a mistake here.
  for (let round = 0; round < 8; round++) {
    const body = trace(avals);
    checkStructure(fn, "the carry that the body returns", init.tree, carryTree(body));
    const outs = body.jaxpr.outvars.slice(0, avals.length);
    const joined = outs.map((out, i) =>
      joinTypes(
        { aval: avals[i], integralNumber: init.integralNumbers[i] && avals[i].weakType },
        { aval: out.aval, integralNumber: body.numbers[i] && "value" in out && Number.isInteger(out.value) },
      ),
    );
    if (joined.includes(null)) {
      throw typeMismatch(
        fn,
        "the carry must keep its type from one iteration to the next",
        init.tree,
        ["came in as", avals],
        ["went out as", outs.map((v) => v.aval)],
        "convert the initial value, or what the body returns, to one dtype and shape",
      );
    }
    // A carry that varies along an axis of a mesh after a step varies from the start.
    const next = joined.map((a, i) =>
      updateAval(avals[i], { dtype: a!.dtype, weakType: a!.weakType, varying: joinVarying([avals[i], outs[i].aval]) }),
    );
    if (next.every((a, i) => a === avals[i])) {
      const jaxpr = convertResults(body.jaxpr, next, body.numbers);
      const carry = init.arrays.map((x, i) => convertCarry(x, next[i]));
      return { body: { ...body, jaxpr }, carry };
    }
    avals = next;
  }
  throw new Error(`${fn}: the type of the carry does not settle`);
}

function convertCarry(x: NDArray, aval: Aval): NDArray {
  return varyTo(convertElementTypeWeak(x, aval.dtype, aval.weakType), aval.varying);
}

export interface ScanOptions {
  /** The number of iterations; needed when `xs` has no arrays. */
  readonly length?: number;
  /** From the last element of `xs` to the first. */
  readonly reverse?: boolean;
  /** How many iterations are compiled as one, which a compiler can then fuse; `true` is all of them. */
  readonly unroll?: number | boolean;
}

/**
 * A loop with a fixed number of iterations that carries a state and stacks results: `[carry, y] = f(carry, x)` for
 * every `x` along the leading axis of `xs`. Carry, `xs` and `ys` are pytrees; the carry keeps its type. Differentiable
 * in both modes; compiled once, whatever its length.
 *
 * @returns the last carry, and the `y`s stacked along a new leading axis
 * @example
 * ```ts
 * const [total, partial] = scan((c: NDArray, x: NDArray) => [add(c, x), add(c, x)], 0, array([1, 2, 3]));
 * // total 6, partial [1, 3, 6]
 * ```
 */
export function scan<const C, X, Y>(
  f: (carry: Arrays<C>, x: X) => readonly [carry: Returned<C>, y: Y],
  init: C,
  xs: X,
  options: ScanOptions = {},
): [carry: Arrays<C>, ys: Arrays<Y>] {
  const start = flattenTree(init);
  const inputs = flattenTree(xs);
  const length = scanLength(inputs.arrays, options.length);
  if (config.disableJit) {
    return unstagedScan(f as unknown as Body, init, inputs.arrays, inputs.tree, length, options.reverse ?? false) as [
      Arrays<C>,
      Arrays<Y>,
    ];
  }
  const numCarry = start.arrays.length;
  const xAvals = inputs.arrays.map((x) =>
    makeAval(x.shape.slice(1), x.dtype, { weakType: x.aval.weakType, varying: x.aval.varying }),
  );
  const [, inTree] = treeFlatten([init, xs]);
  const { body, carry } = fixCarry(
    "scan",
    start,
    (avals) => traceBody("scan", f as unknown as Body, inTree, [...avals, ...xAvals]),
    ({ outTree }) => {
      if (outTree.kind !== "array" || outTree.children.length !== 2) {
        throw new TreeError("scan", {
          message: `the body must return [carry, y], but returns ${outTree}`,
          fix: "return [carry, null] when there is nothing to stack",
        });
      }
      return outTree.children[0];
    },
  );
  const unroll = options.unroll === true ? Math.max(1, length) : options.unroll || 1;
  const outs = bind(scanP, [...body.consts, ...carry, ...inputs.arrays], {
    jaxpr: body.jaxpr,
    length,
    reverse: options.reverse ?? false,
    unroll,
    numConsts: body.consts.length,
    numCarry,
  });
  return [
    treeUnflatten(body.outTree.children[0], outs.slice(0, numCarry)) as Arrays<C>,
    treeUnflatten(body.outTree.children[1], outs.slice(numCarry)) as Arrays<Y>,
  ];
}

function scanLength(xs: readonly NDArray[], length: number | undefined): number {
  let n = length;
  for (const x of xs) {
    if (x.ndim === 0) {
      throw new ShapeError("scan", {
        message: "xs must have a leading axis to loop over, but one of them is a scalar",
        operands: { x },
        fix: "close over values that do not change from one iteration to the next",
      });
    }
    n ??= x.shape[0];
    if (x.shape[0] !== n) {
      throw new ShapeError("scan", {
        message: "the leading axes of xs (and length) must be equal",
        operands: { ...Object.fromEntries(xs.map((v, i) => [`xs${i}`, v])), length: length ?? "not given" },
        fix: "slice xs to one length, or leave length away",
      });
    }
  }
  if (n === undefined) throw new ValueError("scan", { message: "xs has no arrays", fix: "give { length }" });
  refuseTracedIntegers("scan", "length", [n]);
  if (!Number.isInteger(n) || n < 0)
    throw new ValueError("scan", { message: `length must be a non-negative integer, got ${n}`, fix: "pass the number of steps" });
  return n;
}

/**
 * Runs `bodyFn` while `condFn` holds. The carry is a pytree that keeps its type. Differentiable in forward mode only,
 * because the number of iterations is not known beforehand.
 */
export function whileLoop<const C>(
  condFn: (carry: Arrays<C>) => ArrayLike,
  bodyFn: (carry: Arrays<C>) => Returned<C>,
  initVal: C,
): Arrays<C> {
  if (config.disableJit) {
    const known = unstagedWhile(condFn as unknown as Body, bodyFn as unknown as Body, initVal);
    if (known !== null) return known.carry as Arrays<C>;
  }
  const start = flattenTree(initVal);
  const [, inTree] = treeFlatten([initVal]);
  const traceLoop = (init: FlatTree): { body: TracedBody; carry: NDArray[]; cond: TracedBody } => {
    const { body, carry } = fixCarry(
      "whileLoop",
      init,
      (avals) => traceBody("whileLoop body", bodyFn as unknown as Body, inTree, avals),
      ({ outTree }) => outTree,
    );
    const cond = traceBody(
      "whileLoop cond",
      condFn as unknown as Body,
      inTree,
      carry.map((x) => x.aval),
    );
    // Where devices do different numbers of steps, what the loop carries differs between them.
    const { varying } = cond.jaxpr.outAvals[0] ?? { varying: [] };
    if (carry.every((x) => varying.every((a) => x.aval.varying.includes(a)))) return { body, carry, cond };
    return traceLoop({ ...init, arrays: init.arrays.map((x) => varyTo(x, varying)) });
  };
  const { body, carry, cond } = traceLoop(start);
  const outs = cond.jaxpr.outAvals;
  if (outs.length !== 1 || outs[0].ndim !== 0 || outs[0].dtype !== "bool") {
    throw new DTypeError("whileLoop", {
      message: `the condition must return one bool scalar, but returns ${outs.join(", ")}`,
      fix: "compare with lt, gt, …; reduce with any or all",
    });
  }
  const results = bind(whileP, [...cond.consts, ...body.consts, ...carry], {
    condNconsts: cond.consts.length,
    condJaxpr: cond.jaxpr,
    bodyNconsts: body.consts.length,
    bodyJaxpr: body.jaxpr,
  });
  return treeUnflatten(body.outTree, results) as Arrays<C>;
}

/**
 * `bodyFn(i, value)` for `i` from `lower` to `upper - 1`. Bounds that are JavaScript numbers make a `scan`, which can be
 * differentiated in reverse; traced bounds make a `whileLoop`.
 */
export function foriLoop<const C>(
  lower: ArrayLike,
  upper: ArrayLike,
  bodyFn: (i: NDArray, value: Arrays<C>) => Returned<C>,
  initVal: C,
  options: { readonly unroll?: number | boolean } = {},
): Arrays<C> {
  const body = (i: NDArray, value: unknown): unknown =>
    refuseAsync("foriLoop", (bodyFn as (i: NDArray, value: unknown) => unknown)(i, value));
  if (typeof lower === "number" && typeof upper === "number") {
    for (const n of [lower, upper]) {
      if (!Number.isInteger(n))
        throw new ValueError("foriLoop", {
          message: `bounds must be integers, got ${n}`,
          fix: "give JavaScript integers, or integer arrays",
        });
    }
    const step = ([i, v]: [NDArray, unknown]): unknown => [[add(i, 1), body(i, v)], null];
    const length = Math.max(0, upper - lower);
    if (length === 0 && config.disableJit) return treeMap((x: never) => asArray(x), initVal) as Arrays<C>;
    const [carry] = scan<unknown, null, null>(step as never, [scalar(lower, "int32"), initVal], null, {
      length,
      unroll: options.unroll,
    });
    return (carry as [NDArray, Arrays<C>])[1];
  }
  const from = loopBound(lower);
  const to = loopBound(upper);
  const dtype = typeof lower === "number" ? to.dtype : from.dtype;
  const carry = whileLoop<unknown>(
    (([i, end]: [NDArray, NDArray]) => lt(i, end)) as never,
    (([i, end, v]: [NDArray, NDArray, unknown]) => [add(i, 1), end, body(i, v)]) as never,
    [convertElementTypeWeak(from, dtype, false), convertElementTypeWeak(to, dtype, false), initVal],
  );
  return (carry as [NDArray, NDArray, Arrays<C>])[2];
}

function loopBound(x: ArrayLike): NDArray {
  const a = typeof x === "number" && Number.isInteger(x) ? scalar(x, "int32") : asArray(x);
  if (isInteger(a.dtype) && a.ndim === 0) return a;
  throw new DTypeError("foriLoop", {
    message: "bounds must be integer scalars",
    operands: { bound: a },
    fix: "convert them to int32, or use whileLoop",
  });
}

export interface MapOptions {
  /**
   * How many elements to work on at once, by `vmap`: between a loop over single elements (1) and one batch of all (0). Elements
   * that are left over are a batch of their own.
   */
  readonly batchSize?: number;
}

/**
 * `f` applied to every element along the leading axis of `xs`, one after the other or in batches; results stacked.
 *
 * @throws {TransformError} for a `batchSize` where no `vmap` was provided: see `provideVmap` in core
 */
export function map<X, Y>(f: (x: X) => Y, xs: X, options: MapOptions = {}): Arrays<Y> {
  const each = (x: X): Y => refuseAsync("map", f(x));
  const { batchSize } = options;
  if (batchSize === undefined) return scan<null, X, Y>((c, x) => [c, each(x)], null, xs)[1];
  if (!Number.isInteger(batchSize) || batchSize < 0) {
    throw new ValueError("map", {
      message: `batchSize must be a non-negative integer, got ${batchSize}`,
      fix: "pass how many elements go together, or leave it away",
    });
  }
  return mapBatches(each as (x: unknown) => unknown, flattenTree(xs), batchSize) as Arrays<Y>;
}

function mapBatches(f: (x: unknown) => unknown, { arrays, tree }: FlatTree, batchSize: number): unknown {
  const vmap = providedVmap();
  if (vmap === null) {
    throw new TransformError("map", {
      message: "batchSize works by vmap, and none was provided",
      fix: 'call provideVmap(vmap) once, with vmap from "@traceform/vmap" and provideVmap from "@traceform/core"; the package traceform does',
    });
  }
  let outTree: Treedef | null = null;
  const batch = vmap((...members) => {
    const [outs, def] = treeFlatten(f(treeUnflatten(tree, members)));
    outTree = def;
    return outs.map((x) => asArray(x as ArrayLike));
  });
  const n = scanLength(arrays, undefined);
  const size = batchSize === 0 || batchSize > n ? n : batchSize;
  const loops = size === 0 ? 0 : Math.floor(n / size);
  const inBatches = loops * size;
  const rest = inBatches < n || n === 0 ? batch(...arrays.map((x) => sliceInDim(x, inBatches, n, 1, 0))) : null;
  if (loops === 0) return treeUnflatten(outTree!, rest!);
  const stacks = arrays.map((x) => reshape(sliceInDim(x, 0, inBatches, 1, 0), [loops, size, ...x.shape.slice(1)]));
  const looped: readonly NDArray[] =
    loops === 1 && rest === null
      ? batch(...arrays)
      : scan<null, NDArray[], readonly NDArray[]>((c, members) => [c, batch(...members)], null, stacks)[1].map((y) =>
          reshape(y, [inBatches, ...y.shape.slice(2)]),
        );
  const outs = rest === null ? looped : looped.map((y, i) => concatenate([y, rest[i]], 0));
  return treeUnflatten(outTree!, outs);
}
