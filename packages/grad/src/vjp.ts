import { type NDArray, treeUnflatten, type Inputs } from "@traceform/core";
import { matchTangents } from "./internal/check.ts";
import { pullBack, pushForward } from "./internal/linear.ts";
import { stripAux } from "./internal/aux.ts";
import { flatten, flattenArrays, nameOf } from "./internal/trees.ts";
import { float0Zeros, hasTangent, zeros } from "./internal/zeros.ts";
import { runJvp } from "./jvp.ts";
import { linearizeFlat, type Linearized } from "./linearize.ts";
import type { Tangent } from "./rule.ts";
import type { Gradient } from "./types.ts";

/** The gradients of all arguments. */
export type Cotangents<A extends readonly unknown[]> = { -readonly [K in keyof A]: Gradient<A[K]> };

/** The tangent (or cotangent) of a value: zero for integers. */
function present(t: Tangent, x: NDArray): NDArray {
  return t ?? (hasTangent(x.aval) ? zeros(x.aval) : float0Zeros(x.shape));
}

/**
 * The Jacobian-vector product: `f(...primals)` and its directional derivative along `tangents`, computed together.
 *
 * Primals and tangents are lists of pytrees of one structure; a tangent has shape and dtype of its primal (`null` is
 * zero, and the only tangent of an integer).
 *
 * @throws {TreeError} for tangents of another structure, {ShapeError} or {DTypeError} for other types
 * @example
 * ```ts
 * const [y, dy] = jvp((x: NDArray) => sin(x), [0.5], [1]);
 * [y.itemSync(), dy.itemSync()]; // => [0.47942555, 0.87758255]
 * ```
 */
export function jvp<A extends unknown[], R>(
  f: (...args: A) => R,
  primals: Inputs<A>,
  tangents: NoInfer<Inputs<A>> | readonly unknown[],
): [out: R, tangentOut: R];
export function jvp<A extends unknown[], R, Aux>(
  f: (...args: A) => readonly [R, Aux],
  primals: Inputs<A>,
  tangents: NoInfer<Inputs<A>> | readonly unknown[],
  options: { readonly hasAux: true },
): [out: R, tangentOut: R, aux: Aux];
export function jvp(
  f: (...args: never[]) => unknown,
  primals: readonly unknown[],
  tangents: readonly unknown[],
  options: { readonly hasAux?: boolean } = {},
): [unknown, unknown] | [unknown, unknown, unknown] {
  const name = nameOf("jvp", f);
  const [values, inTree] = flattenArrays(name, [...primals]);
  const dots = matchTangents(name, "tangent", inTree, [...tangents], values);
  const aux = stripAux(name, f, options.hasAux ?? false);
  const flat = flatten(name, aux.fn, inTree);
  const run = runJvp(name, aux.around(flat), values, dots);
  const out = treeUnflatten(flat.outTree!, run.outs);
  const tangentOut = treeUnflatten(
    flat.outTree!,
    run.outs.map((x, i) => present(run.tangents[i], x)),
  );
  return options.hasAux ? [out, tangentOut, aux.value] : [out, tangentOut];
}

interface LinearizedTree {
  readonly name: string;
  readonly lin: Linearized;
  readonly values: readonly NDArray[];
  readonly inTree: ReturnType<typeof flattenArrays>[1];
  readonly outTree: ReturnType<typeof flattenArrays>[1];
  readonly out: unknown;
  readonly aux: unknown;
}

function linearizeTree(
  transformation: string,
  f: (...args: never[]) => unknown,
  primals: readonly unknown[],
  hasAux: boolean,
): LinearizedTree {
  const name = nameOf(transformation, f);
  const [values, inTree] = flattenArrays(name, [...primals]);
  const aux = stripAux(name, f, hasAux);
  const flat = flatten(name, aux.fn, inTree);
  const lin = linearizeFlat(name, aux.around(flat), values);
  const outTree = flat.outTree!;
  return { name, lin, values, inTree, outTree, out: treeUnflatten(outTree, lin.outs), aux: aux.value };
}

/** The derivative of a function at a point: tangents of its arguments in, the tangent of its result out. */
export type Pushforward<A extends readonly unknown[], R> = (...tangents: Inputs<A>) => R;

function pushforward({ name, lin, values, inTree, outTree }: LinearizedTree): (...tangents: unknown[]) => unknown {
  return (...tangents) => {
    const dots = matchTangents(name, "tangent", inTree, tangents, values);
    return treeUnflatten(outTree, pushForward(lin, dots));
  };
}

/**
 * `f(...primals)` and the derivative of `f` there as a linear function, which can be applied many times without
 * evaluating `f` again.
 */
export function linearize<A extends unknown[], R>(
  f: (...args: A) => R,
  ...primals: Inputs<A>
): [out: R, pushforward: Pushforward<A, R>] {
  const tree = linearizeTree("linearize", f as (...args: never[]) => unknown, primals as readonly unknown[], false);
  return [tree.out as R, pushforward(tree) as Pushforward<A, R>];
}

/** `linearize` of a function that returns `[result, aux]`. */
export function linearizeWithAux<A extends unknown[], R, Aux>(
  f: (...args: A) => readonly [R, Aux],
  ...primals: Inputs<A>
): [out: R, pushforward: Pushforward<A, R>, aux: Aux] {
  const tree = linearizeTree("linearize", f as (...args: never[]) => unknown, primals as readonly unknown[], true);
  return [tree.out as R, pushforward(tree) as Pushforward<A, R>, tree.aux as Aux];
}

/** The transposed derivative at a point: the cotangent of the result in, one cotangent for each argument out. */
export type Pullback<A extends readonly unknown[], R> = (cotangent: R | number) => Cotangents<A>;

function pullback({ name, lin, values, inTree, outTree }: LinearizedTree): (cotangent: unknown) => unknown {
  return (cotangent) => {
    const cts = matchTangents(name, "cotangent", outTree, cotangent, lin.outs);
    const grads = pullBack(lin, cts);
    return treeUnflatten(
      inTree,
      grads.map((g, i) => present(g, values[i])),
    );
  };
}

/**
 * The vector-Jacobian product: `f(...primals)`, and a function from cotangents of the result to cotangents of the
 * arguments. The work of the backward pass is proportional to that of `f`.
 *
 * @example
 * ```ts
 * const [y, pullback] = vjp((x: NDArray) => sin(x), 0.5);
 * pullback(1)[0].itemSync(); // => 0.87758255
 * ```
 */
export function vjp<A extends unknown[], R>(f: (...args: A) => R, ...primals: Inputs<A>): [out: R, pullback: Pullback<A, R>] {
  const tree = linearizeTree("vjp", f as (...args: never[]) => unknown, primals as readonly unknown[], false);
  return [tree.out as R, pullback(tree) as Pullback<A, R>];
}

/** `vjp` of a function that returns `[result, aux]`: `aux` is not differentiated. */
export function vjpWithAux<A extends unknown[], R, Aux>(
  f: (...args: A) => readonly [R, Aux],
  ...primals: Inputs<A>
): [out: R, pullback: Pullback<A, R>, aux: Aux] {
  const tree = linearizeTree("vjp", f as (...args: never[]) => unknown, primals as readonly unknown[], true);
  return [tree.out as R, pullback(tree) as Pullback<A, R>, tree.aux as Aux];
}
