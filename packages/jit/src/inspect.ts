import {
  type Aval,
  type ClosedJaxpr,
  makeAval,
  ShapeDtypeStruct,
  type TracedTree,
  traceTree,
  treeFlatten,
  treeUnflatten,
} from "@traceform/core";
import { toLeaf } from "./leaves.ts";

function leafAval(x: unknown): Aval {
  return x instanceof ShapeDtypeStruct ? makeAval(x.shape, x.dtype, { weakType: x.weakType }) : toLeaf(x).aval;
}

function trace<A extends readonly unknown[], R>(fn: string, f: (...args: A) => R, args: readonly unknown[]): TracedTree {
  const [leaves, treedef] = treeFlatten(args, (x) => x instanceof ShapeDtypeStruct);
  return traceTree((...tracers) => f(...(treeUnflatten(treedef, tracers) as unknown as A)), leaves.map(leafAval), fn);
}

/**
 * The jaxpr that tracing `f` gives. Arguments may be arrays or `ShapeDtypeStruct`s; nothing is computed.
 *
 * @example
 * ```ts
 * printJaxpr(makeJaxpr(sin)(new ShapeDtypeStruct([3], "float32")))
 * // => "{ lambda ; a:float32[3]. let b:float32[3] = sin a in (b,) }"
 * ```
 */
export function makeJaxpr<A extends readonly unknown[], R>(f: (...args: A) => R): (...args: Structs<A>) => ClosedJaxpr {
  const name = `makeJaxpr(${f.name === "" ? "<anonymous>" : f.name})`;
  return (...args) => trace(name, f, args);
}

/** Shapes and dtypes of the results of `f`, as a pytree of `ShapeDtypeStruct`, without computing them. */
export function evalShape<A extends readonly unknown[], R>(f: (...args: A) => R, ...args: Structs<A>): unknown {
  const { jaxpr, outTree } = trace(`evalShape(${f.name})`, f, args);
  return treeUnflatten(
    outTree,
    jaxpr.outAvals.map((a) => new ShapeDtypeStruct(a.shape, a.dtype, a.weakType)),
  );
}

/** Arguments in which every array may be given as a `ShapeDtypeStruct`. */
export type Structs<A extends readonly unknown[]> = { [K in keyof A]: A[K] | ShapeDtypeStruct | StructTree<A[K]> };
type StructTree<T> = T extends { readonly aval: unknown }
  ? ShapeDtypeStruct
  : T extends object
    ? { [K in keyof T]: T[K] | StructTree<T[K]> }
    : T;
