import {
  type Aval,
  type ClosedJaxpr,
  type Input,
  type NDArray,
  ShapeDtypeStruct,
  type TracedTree,
  traceTree,
  type Treedef,
  treeUnflatten,
  withAxis,
} from "@traceform/core";
import { type ArgumentOptions, planArguments, splitArguments } from "./arguments.ts";
import { toAbstractLeaf } from "./leaves.ts";

/** The options of `makeJaxpr`. */
export interface MakeJaxprOptions extends Pick<ArgumentOptions, "staticArgnums"> {
  /** Axis names that the function refers to, with their sizes, as `vmap` or a mesh would bind them. */
  readonly axisEnv?: readonly (readonly [name: string, size: number])[];
  /** Return the shapes and dtypes of the results, too. */
  readonly returnShape?: boolean;
}

function trace(fn: string, f: (...args: never[]) => unknown, args: readonly unknown[], options: MakeJaxprOptions = {}): TracedTree {
  const { leaves, rebuild } = splitArguments(fn, planArguments(fn, options), args, toAbstractLeaf, true);
  const run = (): TracedTree =>
    traceTree(
      (...tracers) => f(...(rebuild(tracers) as never[])),
      leaves.map((x) => x.aval),
      fn,
    );
  return (options.axisEnv ?? []).reduceRight<() => TracedTree>(
    (inner, [name, size]) =>
      () =>
        withAxis(name, size, inner),
    run,
  )();
}

/** A pytree of descriptions in the structure of a function's result. @internal */
export function describeTree(tree: Treedef, avals: readonly Aval[]): unknown {
  return treeUnflatten(
    tree,
    avals.map((a) => new ShapeDtypeStruct(a.shape, a.dtype, a.weakType)),
  );
}

/**
 * The jaxpr that tracing `f` gives. Arguments may be arrays or `ShapeDtypeStruct`s; nothing is computed. With
 * `returnShape` the descriptions of the results come second.
 *
 * @example
 * ```ts
 * printJaxpr(makeJaxpr(sin)(new ShapeDtypeStruct([3], "float32")))
 * // => "{ lambda ; a:float32[3]. let b:float32[3] = sin a in (b,) }"
 * ```
 */
export function makeJaxpr<A extends readonly unknown[], R>(
  f: (...args: A) => R,
  options: MakeJaxprOptions & { readonly returnShape: true },
): (...args: Structs<A>) => [jaxpr: ClosedJaxpr, shapes: Shapes<R>];
export function makeJaxpr<A extends readonly unknown[], R>(
  f: (...args: A) => R,
  options?: MakeJaxprOptions & { readonly returnShape?: false },
): (...args: Structs<A>) => ClosedJaxpr;
export function makeJaxpr<A extends readonly unknown[], R>(
  f: (...args: A) => R,
  options: MakeJaxprOptions = {},
): (...args: Structs<A>) => ClosedJaxpr | [jaxpr: ClosedJaxpr, shapes: Shapes<R>] {
  const name = `makeJaxpr(${f.name === "" ? "<anonymous>" : f.name})`;
  return (...args) => {
    const { outTree, ...closed } = trace(name, f as never, args, options);
    return options.returnShape ? [closed, describeTree(outTree, closed.jaxpr.outAvals) as Shapes<R>] : closed;
  };
}

/** Shapes and dtypes of the results of `f`, as a pytree of `ShapeDtypeStruct`, without computing them. */
export function evalShape<A extends readonly unknown[], R>(f: (...args: A) => R, ...args: Structs<A>): Shapes<R> {
  const { jaxpr, outTree } = trace(`evalShape(${f.name === "" ? "<anonymous>" : f.name})`, f as never, args);
  return describeTree(outTree, jaxpr.outAvals) as Shapes<R>;
}

/** Arguments in which every array may be given as a `ShapeDtypeStruct`. */
export type Structs<A extends readonly unknown[]> = { [K in keyof A]: Input<A[K]> | ShapeDtypeStruct | StructTree<A[K]> };
type StructTree<T> = [NDArray] extends [T] ? ShapeDtypeStruct : T extends object ? { [K in keyof T]: T[K] | StructTree<T[K]> } : T;

/** A pytree with a description in place of every array. */
export type Shapes<T> = [NDArray] extends [T]
  ? ShapeDtypeStruct
  : T extends NDArray | number | boolean | bigint
    ? ShapeDtypeStruct
    : T extends object
      ? { [K in keyof T]: Shapes<T[K]> }
      : T;
