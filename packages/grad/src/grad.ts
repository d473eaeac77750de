import {
  type NDArray,
  Ownership,
  scalar,
  treeFlattenWithPath,
  treeLeaves,
  treeUnflatten,
  TransformError,
  type Inputs,
} from "@traceform/core";
import { stripAux } from "./internal/aux.ts";
import { checkInputs, checkScalarOutput } from "./internal/check.ts";
import { pullBack } from "./internal/linear.ts";
import { flatten, flattenArrays, nameOf } from "./internal/trees.ts";
import { float0Zeros, hasTangent, zeros } from "./internal/zeros.ts";
import { linearizeFlat } from "./linearize.ts";
import type { ArgnumsOf, Gradients } from "./types.ts";

export interface GradOptions<N extends number | readonly number[] = 0> {
  /** Which argument to differentiate with respect to, or a list of them; the first by default. Negative counts back. */
  readonly argnums?: N;
  /** The function returns `[value, aux]`: `aux` is passed through and not differentiated. */
  readonly hasAux?: boolean;
  /** The function is complex-differentiable and returns a complex value. */
  readonly holomorphic?: boolean;
  /** Integer inputs get gradients of dtype float0 instead of an error. */
  readonly allowInt?: boolean;
}
type NoAux<N extends number | readonly number[]> = GradOptions<N> & { readonly hasAux?: false };
type WithAux<N extends number | readonly number[]> = GradOptions<N> & { readonly hasAux: true };

/** What a function to differentiate may return. */
export type ScalarOutput = NDArray | number;

/** `grad` of a function that returns `[value, aux]`: `aux` is passed through and not differentiated. */
export function grad<A extends unknown[], Aux, const N extends number | readonly number[] = 0>(
  f: (...args: A) => readonly [ScalarOutput, Aux],
  options: WithAux<N> & ArgnumsOf<A, N>,
): (...args: Inputs<A>) => [gradient: Gradients<A, N>, aux: Aux];
/**
 * The gradient of a scalar function: a function of the same arguments that returns, for the argument (or arguments) at
 * `argnums`, a pytree of the same type with one derivative for each element.
 *
 * @throws {DTypeError} for integer inputs, and for results that are not real
 * @throws {ShapeError} when the function does not return a scalar
 * @throws {TransformError} for async functions, and for `argnums` that name no argument
 * @example
 * ```ts
 * grad((x: NDArray) => sin(x))(0.5).itemSync(); // => 0.87758255
 * ```
 */
export function grad<A extends unknown[], const N extends number | readonly number[] = 0>(
  f: (...args: A) => ScalarOutput,
  options?: NoAux<N> & ArgnumsOf<A, N>,
): (...args: Inputs<A>) => Gradients<A, N>;
export function grad(
  f: (...args: never[]) => unknown,
  options: GradOptions<number | readonly number[]> = {},
): (...args: never[]) => unknown {
  const run = valueAndGradient("grad", f, options);
  return (...args) => {
    const { gradient, aux } = run(args);
    return options.hasAux ? [gradient, aux] : gradient;
  };
}

/** `valueAndGrad` of a function that returns `[value, aux]`: `aux` is passed through and not differentiated. */
export function valueAndGrad<A extends unknown[], Aux, const N extends number | readonly number[] = 0>(
  f: (...args: A) => readonly [ScalarOutput, Aux],
  options: WithAux<N> & ArgnumsOf<A, N>,
): (...args: Inputs<A>) => [valueAndAux: [value: NDArray, aux: Aux], gradient: Gradients<A, N>];
/**
 * The value of a scalar function together with its gradient, for about the price of the gradient. With `hasAux` the
 * value is `[value, aux]`. See `grad`.
 */
export function valueAndGrad<A extends unknown[], const N extends number | readonly number[] = 0>(
  f: (...args: A) => ScalarOutput,
  options?: NoAux<N> & ArgnumsOf<A, N>,
): (...args: Inputs<A>) => [value: NDArray, gradient: Gradients<A, N>];
export function valueAndGrad(
  f: (...args: never[]) => unknown,
  options: GradOptions<number | readonly number[]> = {},
): (...args: never[]) => unknown {
  const run = valueAndGradient("valueAndGrad", f, options);
  return (...args) => {
    const { value, gradient, aux } = run(args);
    return [options.hasAux ? [value, aux] : value, gradient];
  };
}

function valueAndGradient(
  transformation: string,
  f: (...args: never[]) => unknown,
  options: GradOptions<number | readonly number[]>,
): (args: readonly unknown[]) => { value: NDArray; gradient: unknown; aux: unknown } {
  const name = nameOf(transformation, f);
  const { argnums = 0, hasAux = false, holomorphic = false, allowInt = false } = options;
  return (args) => {
    const positions = argumentPositions(name, argnums, args.length);
    const chosen = positions.map((i) => args[i]);
    const [values, inTree] = flattenArrays(name, chosen);
    const paths = treeFlattenWithPath(chosen).map(([path]) =>
      path.replace(/^\[(\d+)\]/, (_, k) => `argument ${positions[Number(k)]}`),
    );
    checkInputs(
      name,
      values.map((x, i) => ({ path: paths[i], x })),
      { holomorphic, allowInt },
    );

    const ownership = Ownership.begin();
    const aux = stripAux(name, f, hasAux);
    const fn = (...xs: never[]): unknown => {
      const all = [...args];
      positions.forEach((p, k) => (all[p] = xs[k]));
      return aux.fn(...(all as never[]));
    };
    const flat = flatten(name, fn, inTree);
    const lin = linearizeFlat(name, aux.around(flat), values, ownership);
    checkScalarOutput(name, lin.outs, flat.outTree!, holomorphic);
    const [value] = lin.outs;
    const grads = pullBack(lin, [scalar(1, value.dtype)], ownership).map(
      (g, i) => g ?? (hasTangent(values[i].aval) ? zeros(values[i].aval) : float0Zeros(values[i].shape)),
    );
    ownership?.end([value, ...grads, ...treeLeaves(aux.value)]);
    const gradients = treeUnflatten(inTree, grads) as unknown[];
    return { value, gradient: typeof argnums === "number" ? gradients[0] : gradients, aux: aux.value };
  };
}

/** Positions from the front. @throws {TransformError} for positions without an argument, or named twice */
export function argumentPositions(fn: string, argnums: number | readonly number[], count: number): number[] {
  const list = typeof argnums === "number" ? [argnums] : argnums;
  const positions = list.map((i) => {
    const p = i < 0 ? i + count : i;
    if (Number.isInteger(i) && p >= 0 && p < count) return p;
    throw new TransformError(fn, {
      message: `argnums names argument ${i}, but the function was called with ${count} argument${count === 1 ? "" : "s"}`,
      fix: "count positions from 0, and pass the argument by position",
    });
  });
  if (new Set(positions).size !== positions.length) {
    throw new TransformError(fn, {
      message: `argnums [${list.join(", ")}] names an argument twice`,
      fix: "name each argument once",
    });
  }
  return positions;
}
