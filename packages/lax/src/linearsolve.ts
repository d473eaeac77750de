import {
  type ArrayLike,
  asArray,
  type Aval,
  bind,
  currentTrace,
  definePrimitive,
  DTypeError,
  evalJaxpr,
  flattenUpTo,
  isEager,
  isInexact,
  type Jaxpr,
  lowerRule,
  type NDArray,
  type Primitive,
  sameShape,
  ShapeError,
  TransformError,
  TreeError,
  type Treedef,
  treeFlatten,
  treeUnflatten,
} from "@traceform/core";
import { traceBody, type TracedBody } from "./internal/bodies.ts";

export interface CustomLinearSolveParams {
  /** (consts, x) -> A x, linear in x. */
  readonly matvec: Jaxpr;
  /** (consts, b) -> (x with A x = b, auxiliary results). */
  readonly solve: Jaxpr;
  /** (consts, c) -> (y with Aᵀ y = c, auxiliary results); `null` where it is not known. */
  readonly transposeSolve: Jaxpr | null;
  /** How many operands are constants of the three. */
  readonly numConsts: readonly [matvec: number, solve: number, transposeSolve: number];
  /** The map is its own transpose. */
  readonly symmetric: boolean;
}

/**
 * Operands: constants of the three functions, then b. Results: x, then auxiliary ones. Derivatives come from `A x = b` alone,
 * whatever `solve` does.
 */
export const customLinearSolveP: Primitive<CustomLinearSolveParams> = /* @__PURE__ */ definePrimitive<CustomLinearSolveParams>(
  "custom_linear_solve",
  {
    abstractEval: (_avals, { solve }) => ({ avals: solve.outAvals, effects: [...solve.effects] }),
    rules: {
      [lowerRule]: (operands: readonly NDArray[], { solve, numConsts: [m, s, t] }: CustomLinearSolveParams) =>
        evalJaxpr(solve, [], [...operands.slice(m, m + s), ...operands.slice(m + s + t)]),
    },
  },
);

export interface TransposedCallParams {
  /** (consts, x) -> y, linear in x. */
  readonly jaxpr: Jaxpr;
  readonly numConsts: number;
}

/**
 * The transpose of a linear jaxpr, named before anybody can compute it: operands are its constants and one cotangent for each
 * result; results are cotangents of x. Whoever transposes replaces it by what it means.
 */
export const transposedCallP: Primitive<TransposedCallParams> = /* @__PURE__ */ definePrimitive<TransposedCallParams>(
  "transposed_call",
  { abstractEval: (_avals, { jaxpr, numConsts }) => jaxpr.inAvals.slice(numConsts) },
);

/** A linear function of pytrees. */
export type LinearMap<B> = (x: B) => B;

export interface LinearSolveOptions<B, Out> {
  /** Solves the transposed equation `vecmat(y) = c`; reverse-mode differentiation needs it, unless the map is symmetric. */
  readonly transposeSolve?: (vecmat: LinearMap<B>, c: B) => Out;
  /** The map is its own transpose, so `solve` serves for both. */
  readonly symmetric?: boolean;
}

/** `customLinearSolve` whose `solve` returns `[x, aux]`: `aux` (the number of iterations, say) is not differentiated. */
export function customLinearSolve<B, Aux>(
  matvec: LinearMap<B>,
  b: B,
  solve: (matvec: LinearMap<B>, b: B) => readonly [x: B, aux: Aux],
  options: LinearSolveOptions<B, readonly [x: B, aux: Aux]> & { readonly hasAux: true },
): [x: B, aux: Aux];
/**
 * The solution of a linear equation, `x = solve(matvec, b)` with `matvec(x) = b`, whose derivatives follow from the equation:
 * `A dx = db - dA x`, solved in the same way. So `solve` need not be differentiable, and no iteration is kept for the
 * backward pass. Derivatives are with respect to `b` and to what `matvec` closes over.
 *
 * `b` and `x` are floating-point or complex pytrees of one structure.
 *
 * @throws {TreeError} {ShapeError} when `matvec` or `solve` return something unlike `b`
 * @example
 * ```ts
 * // x with 2 x = b, found by an iteration that reverse mode could not pass.
 * const half = (b: NDArray) =>
 *   customLinearSolve((x: NDArray) => mul(x, 2), b, (matvec, b) => foriLoop(0, 40, (_, x: NDArray) => sub(x, mul(sub(matvec(x), b), 0.3)), b), {
 *     symmetric: true,
 *   });
 * grad(half)(3).itemSync(); // => 0.5
 * ```
 */
export function customLinearSolve<B>(
  matvec: LinearMap<B>,
  b: B,
  solve: (matvec: LinearMap<B>, b: B) => B,
  options?: LinearSolveOptions<B, B> & { readonly hasAux?: false },
): B;
export function customLinearSolve(
  matvec: LinearMap<unknown>,
  b: unknown,
  solve: (matvec: LinearMap<unknown>, b: unknown) => unknown,
  options: LinearSolveOptions<unknown, unknown> & { readonly hasAux?: boolean } = {},
): unknown {
  const fn = "customLinearSolve";
  const { transposeSolve, symmetric = false, hasAux = false } = options;
  const [leaves, tree] = treeFlatten(b);
  const values = leaves.map((x) => asArray(x as ArrayLike));
  const avals = values.map((x) => x.aval);
  for (const x of values) {
    if (isInexact(x.dtype)) continue;
    throw new DTypeError(fn, { message: "b must be floating-point or complex", operands: { b: x }, fix: "convert it with astype" });
  }
  const rhs = treeUnflatten(tree, values);
  if (isEager(currentTrace())) return checked(fn, "solve", tree, solve(matvec, rhs), hasAux);

  const [, inTree] = treeFlatten([rhs]);
  const body = (what: string, f: (x: unknown) => unknown): TracedBody => traceBody(`${fn} ${what}`, f, inTree, avals);
  const forward = body("matvec", matvec);
  checkLike(fn, "matvec", tree, avals, forward.outTree, forward.jaxpr.outAvals);
  const vecmat = (c: unknown): unknown => {
    const cts = flattenUpTo(tree, c, fn).map((x, i) => asArray(x as ArrayLike, { dtype: avals[i].dtype }));
    const { jaxpr, consts } = forward;
    return treeUnflatten(tree, bind(transposedCallP, [...consts, ...cts], { jaxpr, numConsts: consts.length }));
  };
  const run = (f: (map: LinearMap<unknown>, x: unknown) => unknown, map: LinearMap<unknown>, what: string): TracedBody => {
    const traced = body(what, (x) => checked(fn, what, tree, f(map, x), hasAux));
    const n = values.length;
    checkLike(fn, what, tree, avals, hasAux ? traced.outTree.children[0] : traced.outTree, traced.jaxpr.outAvals.slice(0, n));
    return traced;
  };
  const back = transposeSolve ?? (symmetric ? solve : null);
  const solved = run(solve, matvec, "solve");
  const transposed = back === null ? null : run(back, symmetric ? matvec : vecmat, "transposeSolve");
  const consts = [forward.consts, solved.consts, transposed?.consts ?? []] as const;
  const outs = bind(customLinearSolveP, [...consts.flat(), ...values], {
    matvec: forward.jaxpr,
    solve: solved.jaxpr,
    transposeSolve: transposed?.jaxpr ?? null,
    numConsts: [consts[0].length, consts[1].length, consts[2].length],
    symmetric,
  });
  return treeUnflatten(solved.outTree, outs);
}

/** The result of a solver. @throws {TransformError} {TreeError} when it is not like `b`, or not `[x, aux]` */
export function checked(fn: string, what: string, tree: Treedef, result: unknown, hasAux: boolean): unknown {
  if (hasAux && !(Array.isArray(result) && result.length === 2)) {
    throw new TransformError(fn, {
      message: `with hasAux ${what} must return [x, aux]`,
      fix: "return a list of the solution and the rest, or leave hasAux away",
    });
  }
  const [, got] = treeFlatten(hasAux ? (result as unknown[])[0] : result);
  if (got !== tree) {
    throw new TreeError(fn, {
      message: `${what} must return the structure that it is given, ${tree}, but returns ${got}`,
      fix: "return x in the containers in which b came, or pass { hasAux: true } for [x, aux]",
    });
  }
  return result;
}

/** @throws {TreeError} {ShapeError} unless results have the structure, shapes and dtypes of `avals` */
export function checkLike(
  fn: string,
  what: string,
  tree: Treedef,
  avals: readonly Aval[],
  gotTree: Treedef,
  got: readonly Aval[],
): void {
  if (gotTree !== tree) {
    throw new TreeError(fn, {
      message: `${what} must return the structure that it is given, ${tree}, but returns ${gotTree}`,
      fix: "return the containers that it is given",
    });
  }
  const i = got.findIndex((a, k) => !sameShape(a.shape, avals[k].shape) || a.dtype !== avals[k].dtype);
  if (i < 0) return;
  throw new ShapeError(fn, {
    message: `${what} must return shapes and dtypes as it is given them`,
    operands: { given: avals[i], returned: got[i] },
    fix: "reshape or convert what it returns to the type that it is given",
  });
}
