import {
  type ArrayLike,
  asArray,
  type Aval,
  bind,
  dceRule,
  definePrimitive,
  DTypeError,
  isInteger,
  joinEffects,
  joinVarying,
  type Jaxpr,
  type NDArray,
  type Primitive,
  ShapeError,
  stepsRule,
  TreeError,
  treeFlatten,
  treeUnflatten,
  updateAval,
  ValueError,
} from "@traceform/core";
import type { Arrays, Returned } from "./carrytypes.ts";
import { ne } from "./binary.ts";
import { convertElementType } from "./convert.ts";
import { convertResults, shareConsts, traceBody, type TracedBody } from "./internal/bodies.ts";
import { joinTypes, typeMismatch } from "./internal/carry.ts";
import { refuseDivergence } from "./internal/divergence.ts";
import { dceCond } from "./internal/dce.ts";
import { condSteps } from "./internal/steps.ts";
import { varyingLike } from "./internal/infer.ts";
import { unstagedBranch } from "./internal/unstaged.ts";
import { clamp } from "./select.ts";

export interface CondParams {
  /** All take the operands after the index and return the same types. No constvars. */
  readonly branches: readonly Jaxpr[];
}
/** Operands: an int32 scalar index (clamped to the branches), then the operands of the branches. */
export const condP: Primitive<CondParams> = /* @__PURE__ */ definePrimitive<CondParams>("cond", {
  rules: { [dceRule]: dceCond, [stepsRule]: condSteps },
  abstractEval: (avals, { branches }) => {
    const [index] = avals;
    if (index.dtype !== "int32" || index.ndim !== 0) {
      throw new DTypeError("cond", {
        message: "the index must be an int32 scalar",
        operands: { index },
        fix: 'convert it with convertElementType(index, "int32")',
      });
    }
    refuseDivergence("cond", index.varying, branches);
    // Whatever is picked by a varying index varies, and what varies in one branch.
    return {
      avals: branches[0].outAvals.map((a, i) => varyingLike(a, [index, ...branches.map((b) => b.outvars[i].aval)])),
      effects: [...joinEffects(branches.map((b) => b.effects))],
    };
  },
});

/** The operands as branches see them. */
type ArraysOf<A extends readonly unknown[]> = { [K in keyof A]: Arrays<A[K]> };

/**
 * `trueFn(...operands)` where `pred` holds, else `falseFn(...operands)`. Both are traced; one runs. `pred` is a bool
 * or number scalar; operands and results are pytrees, and both functions return the same types (weak types and
 * JavaScript numbers give way).
 *
 * @throws {TreeError} when the structures of the results differ
 * @throws {ShapeError} listing the leaves whose types differ
 */
export function cond<A extends readonly unknown[], R>(
  pred: ArrayLike,
  trueFn: (...operands: ArraysOf<A>) => R,
  falseFn: (...operands: ArraysOf<A>) => Returned<NoInfer<R>>,
  ...operands: A
): Arrays<R> {
  const p = scalarPredicate("cond", asArray(pred));
  return branch("cond", convertElementType(p, "int32"), [falseFn, trueFn] as never, operands, ["falseFn", "trueFn"]) as Arrays<R>;
}

/** `branches[index](...operands)`, the index clamped to the list. See `cond`. */
export function switch_<A extends readonly unknown[], R>(
  index: ArrayLike,
  branches: readonly ((...operands: ArraysOf<A>) => R)[],
  ...operands: A
): Arrays<R> {
  if (branches.length === 0)
    throw new ValueError("switch_", { message: "needs at least one branch", fix: "give the branches as a list of functions" });
  const i = asArray(typeof index === "number" ? integral(index) : index);
  if (i.ndim !== 0 || !(isInteger(i.dtype) || i.dtype === "bool")) {
    throw new DTypeError("switch_", {
      message: "the index must be an integer scalar",
      operands: { index: i },
      fix: 'reduce it to a scalar, and convert it with astype("int32")',
    });
  }
  const clamped = clamp(0, convertElementType(i, "int32"), branches.length - 1);
  return branch(
    "switch_",
    clamped,
    branches as never,
    operands,
    branches.map((_, k) => `branch ${k}`),
  ) as Arrays<R>;
}

function integral(index: number): bigint {
  if (!Number.isInteger(index))
    throw new ValueError("switch_", {
      message: `the index ${index} is not an integer`,
      fix: "give an integer; it is clamped to the branches there are",
    });
  return BigInt(index);
}

/** A bool scalar from a predicate that may be a number. */
function scalarPredicate(fn: string, pred: NDArray): NDArray {
  if (pred.ndim !== 0) {
    throw new ShapeError(fn, {
      message: "the predicate must be a scalar",
      operands: { pred },
      fix: "reduce it with any or all, or choose elementwise with select",
    });
  }
  return pred.dtype === "bool" ? pred : ne(pred, 0);
}

function branch(
  fn: string,
  index: NDArray,
  fns: readonly ((...operands: never[]) => unknown)[],
  operands: readonly unknown[],
  names: readonly string[],
): unknown {
  const known = unstagedBranch(fn, index, fns as never, operands);
  if (known !== null) return known.result;
  const [leaves, inTree] = treeFlatten([...operands]);
  const flat = leaves.map((x) => asArray(x as ArrayLike));
  const avals = flat.map((x) => x.aval);
  const bodies = fns.map((f, i) => traceBody(`${fn} ${names[i]}`, f as (...args: unknown[]) => unknown, inTree, avals));
  const unified = unifyBranches(fn, bodies, names, index.aval);
  const { jaxprs, consts } = shareConsts(unified);
  const outs = bind(condP, [index, ...consts, ...flat], { branches: jaxprs });
  return treeUnflatten(bodies[0].outTree, outs);
}

function unifyBranches(fn: string, bodies: readonly TracedBody[], names: readonly string[], index: Aval): TracedBody[] {
  const [first] = bodies;
  let types = leavesOf(first);
  bodies.forEach((body, k) => {
    if (body.outTree !== first.outTree) {
      throw new TreeError(fn, {
        message: `${names[0]} returns ${first.outTree}, but ${names[k]} returns ${body.outTree}`,
        fix: "return the same containers from every branch",
      });
    }
    const own = leavesOf(body);
    types = types.map((a, i) => {
      const joined = joinTypes(a, own[i]);
      if (joined === null) {
        throw typeMismatch(
          fn,
          "the branches return different types",
          first.outTree,
          [names[0], types.map((t) => t.aval)],
          [names[k], body.jaxpr.outAvals],
          "convert the results to one dtype and shape, e.g. with astype or broadcastTo",
        );
      }
      return { aval: joined, integralNumber: a.integralNumber && own[i].integralNumber };
    });
  });
  return bodies.map((b) => ({
    ...b,
    jaxpr: convertResults(
      b.jaxpr,
      types.map((t, i) =>
        updateAval(t.aval, { varying: joinVarying([index, ...bodies.map(({ jaxpr }) => jaxpr.outvars[i].aval)]) }),
      ),
      b.numbers,
    ),
  }));
}

function leavesOf({ jaxpr, numbers }: TracedBody): { aval: Jaxpr["outAvals"][number]; integralNumber: boolean }[] {
  return jaxpr.outvars.map((v, i) => ({
    aval: v.aval,
    integralNumber: numbers[i] && "value" in v && Number.isInteger(v.value),
  }));
}
