import {
  type ArrayLike,
  asArray,
  bind,
  currentTrace,
  definePrimitive,
  evalJaxpr,
  flattenUpTo,
  isEager,
  type Jaxpr,
  lowerRule,
  type NDArray,
  type Primitive,
  treeFlatten,
  treeUnflatten,
} from "@traceform/core";
import { traceBody } from "./internal/bodies.ts";
import { checked, checkLike, type LinearMap } from "./linearsolve.ts";

export interface CustomRootParams {
  /** (consts, x) -> f(x). */
  readonly fn: Jaxpr;
  /** (consts, guess) -> (x with f(x) = 0, auxiliary results). */
  readonly solve: Jaxpr;
  /** (consts, x, y) -> v with f'(x) v = y, linear in y. */
  readonly tangentSolve: Jaxpr;
  /** How many operands are constants of the three. */
  readonly numConsts: readonly [fn: number, solve: number, tangentSolve: number];
}

/** Operands: constants of the three functions, then the guess. Results: the root, then auxiliary ones. */
export const customRootP: Primitive<CustomRootParams> = /* @__PURE__ */ definePrimitive<CustomRootParams>("custom_root", {
  abstractEval: (_avals, { solve }) => ({ avals: solve.outAvals, effects: [...solve.effects] }),
  rules: {
    [lowerRule]: (operands: readonly NDArray[], { solve, numConsts: [f, s, t] }: CustomRootParams) =>
      evalJaxpr(solve, [], [...operands.slice(f, f + s), ...operands.slice(f + s + t)]),
  },
});

export interface TangentCallParams {
  /** (consts, x) -> y. */
  readonly jaxpr: Jaxpr;
  readonly numConsts: number;
}

/**
 * The derivative of a jaxpr, named before anybody can compute it: operands are its constants, x, and a tangent of x; results
 * are tangents of y. Whoever differentiates replaces it by what it means.
 */
export const tangentCallP: Primitive<TangentCallParams> = /* @__PURE__ */ definePrimitive<TangentCallParams>("tangent_call", {
  abstractEval: (_avals, { jaxpr }) => jaxpr.outAvals,
});

/** `customRoot` whose `solve` returns `[x, aux]`: `aux` is not differentiated. */
export function customRoot<X, Aux>(
  f: (x: X) => X,
  initialGuess: X,
  solve: (f: (x: X) => X, initialGuess: X) => readonly [x: X, aux: Aux],
  tangentSolve: (g: LinearMap<X>, y: X) => X,
  options: { readonly hasAux: true },
): [x: X, aux: Aux];
/**
 * A root of a function, `x = solve(f, initialGuess)` with `f(x) = 0`, whose derivatives with respect to what `f` closes over
 * follow from the implicit function theorem: `f'(x) dx = -df`. So `solve` need not be differentiable, and no iteration is
 * kept for the backward pass. The guess has no derivative.
 *
 * `tangentSolve(g, y)` solves `g(v) = y` for the linear function `g = f'(x)`: for scalars `(g, y) => div(y, g(1))`.
 *
 * @throws {TreeError} {ShapeError} when the functions return something unlike the guess
 * @see Krantz & Parks (2013), "The Implicit Function Theorem"
 * @example
 * ```ts
 * // The square root, by bisection or whatever finds it.
 * const root = (s: NDArray) =>
 *   customRoot((x: NDArray) => sub(mul(x, x), s), s, (f, x) => foriLoop(0, 20, (_, x: NDArray) => mul(add(x, div(s, x)), 0.5), x), (g, y) => div(y, g(array(1))));
 * grad(root)(4).itemSync(); // => 0.25
 * ```
 */
export function customRoot<X>(
  f: (x: X) => X,
  initialGuess: X,
  solve: (f: (x: X) => X, initialGuess: X) => X,
  tangentSolve: (g: LinearMap<X>, y: X) => X,
  options?: { readonly hasAux?: false },
): X;
export function customRoot(
  f: (x: unknown) => unknown,
  initialGuess: unknown,
  solve: (f: (x: unknown) => unknown, initialGuess: unknown) => unknown,
  tangentSolve: (g: LinearMap<unknown>, y: unknown) => unknown,
  options: { readonly hasAux?: boolean } = {},
): unknown {
  const name = "customRoot";
  const { hasAux = false } = options;
  const [leaves, tree] = treeFlatten(initialGuess);
  const values = leaves.map((x) => asArray(x as ArrayLike));
  const avals = values.map((x) => x.aval);
  const guess = treeUnflatten(tree, values);
  if (isEager(currentTrace())) return checked(name, "solve", tree, solve(f, guess), hasAux);

  const [, one] = treeFlatten([guess]);
  const [, two] = treeFlatten([guess, guess]);
  const fn = traceBody(`${name} f`, f, one, avals);
  checkLike(name, "f", tree, avals, fn.outTree, fn.jaxpr.outAvals);
  const solved = traceBody(`${name} solve`, (x) => checked(name, "solve", tree, solve(f, x), hasAux), one, avals);
  const rootTree = hasAux ? solved.outTree.children[0] : solved.outTree;
  checkLike(name, "solve", tree, avals, rootTree, solved.jaxpr.outAvals.slice(0, values.length));
  const derivative =
    (x: unknown): LinearMap<unknown> =>
    (v) => {
      const at = flattenUpTo(tree, x, name) as NDArray[];
      const dots = flattenUpTo(tree, v, name).map((t, i) => asArray(t as ArrayLike, { dtype: avals[i].dtype }));
      const { jaxpr, consts } = fn;
      return treeUnflatten(tree, bind(tangentCallP, [...consts, ...at, ...dots], { jaxpr, numConsts: consts.length }));
    };
  const tangent = traceBody(`${name} tangentSolve`, (x, y) => tangentSolve(derivative(x), y), two, [...avals, ...avals]);
  checkLike(name, "tangentSolve", tree, avals, tangent.outTree, tangent.jaxpr.outAvals);
  const consts = [fn.consts, solved.consts, tangent.consts] as const;
  const outs = bind(customRootP, [...consts.flat(), ...values], {
    fn: fn.jaxpr,
    solve: solved.jaxpr,
    tangentSolve: tangent.jaxpr,
    numConsts: [consts[0].length, consts[1].length, consts[2].length],
  });
  return treeUnflatten(solved.outTree, outs);
}
