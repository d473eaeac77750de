import {
  DTypeError,
  isComplex,
  isInexact,
  type NDArray,
  providedVmap,
  type Treedef,
  treeUnflatten,
  type Inputs,
} from "@traceform/core";
import { broadcastedIota, convertElementType, eq, full, map, reshape, transpose } from "@traceform/lax";
import { stripAux } from "./internal/aux.ts";
import { checkInputs } from "./internal/check.ts";
import { argumentPositions, type GradOptions } from "./grad.ts";
import { pullBack, pushForward } from "./internal/linear.ts";
import { flatten, flattenArrays, nameOf } from "./internal/trees.ts";
import { zeros } from "./internal/zeros.ts";
import { linearizeFlat, type Linearized } from "./linearize.ts";
import type { ArgnumsOf, Gradients } from "./types.ts";

/** For each array of a result, the gradients `G` of it: axes of the result, then axes of the argument. */
export type Jacobian<R, G> = [R] extends [NDArray | number]
  ? G
  : R extends readonly unknown[] | object
    ? { [K in keyof R]: Jacobian<R[K], G> }
    : G;

type JacobianOptions<N extends number | readonly number[]> = Omit<GradOptions<N>, "hasAux"> & { readonly hasAux?: false };
type AuxOptions<N extends number | readonly number[]> = Omit<GradOptions<N>, "hasAux"> & { readonly hasAux: true };

/** The `n` standard basis vectors of arrays of `shape`, stacked: [n, ...shape]. */
function basis(like: NDArray): NDArray {
  const n = like.size;
  const eye = convertElementType(eq(broadcastedIota("int32", [n, n], 0), broadcastedIota("int32", [n, n], 1)), like.dtype);
  return reshape(eye, [n, ...like.shape]);
}

/**
 * Applies a linear function to each basis vector of `like`: to all of them at once where a `vmap` was provided (see
 * `provideVmap`), otherwise one after the other in one compiled loop.
 */
function overBasis(like: NDArray, fn: (e: NDArray) => NDArray[]): readonly NDArray[] {
  const vmap = providedVmap();
  if (vmap === null) return map(fn as (e: NDArray) => never, basis(like)) as unknown as NDArray[];
  return vmap(fn as (...xs: NDArray[]) => NDArray[])(basis(like));
}

interface Point {
  readonly name: string;
  readonly lin: Linearized;
  readonly values: readonly NDArray[];
  readonly inTree: Treedef;
  readonly outTree: Treedef;
  readonly single: boolean;
  readonly aux: unknown;
}

function linearizeAt(
  transformation: string,
  f: (...args: never[]) => unknown,
  options: GradOptions<number | readonly number[]>,
  args: readonly unknown[],
): Point {
  const name = nameOf(transformation, f);
  const { argnums = 0, hasAux = false, holomorphic = false, allowInt = false } = options;
  const positions = argumentPositions(name, argnums, args.length);
  const [values, inTree] = flattenArrays(
    name,
    positions.map((i) => args[i]),
  );
  checkInputs(
    name,
    values.map((x) => ({ path: "the argument", x })),
    { holomorphic, allowInt },
  );
  const aux = stripAux(name, f, hasAux);
  const flat = flatten(
    name,
    (...xs: never[]) => {
      const all = [...args];
      positions.forEach((p, k) => (all[p] = xs[k]));
      return aux.fn(...(all as never[]));
    },
    inTree,
  );
  const lin = linearizeFlat(name, aux.around(flat), values);
  return { name, lin, values, inTree, outTree: flat.outTree!, single: typeof argnums === "number", aux: aux.value };
}

function zerosBlock(y: NDArray, x: NDArray): NDArray {
  return full([...y.shape, ...x.shape], 0, isInexact(y.dtype) ? y.dtype : "float32");
}

/** A real Jacobian has no place for complex values. */
function refuseComplex(name: string, fn: string, xs: readonly NDArray[], holomorphic: boolean): void {
  for (const x of xs) {
    if (holomorphic || !isComplex(x.dtype)) continue;
    throw new DTypeError(name, {
      message: fn === "jacfwd" ? "jacfwd needs real inputs" : "jacrev needs real results",
      operands: { x },
      fix: "pass { holomorphic: true } for a holomorphic function, or differentiate real and imaginary parts",
    });
  }
}

/** A tree of results, each leaf a tree of arguments, from blocks[result][argument]. */
function assemble({ inTree, outTree, single }: Point, blocks: readonly (readonly NDArray[])[]): unknown {
  const rows = blocks.map((row) => {
    const trees = treeUnflatten(inTree, row) as unknown[];
    return single ? trees[0] : trees;
  });
  return treeUnflatten(outTree, rows);
}

/** `jacfwd` of a function that returns `[value, aux]`: `aux` is passed through and not differentiated. */
export function jacfwd<A extends unknown[], R, Aux, const N extends number | readonly number[] = 0>(
  f: (...args: A) => readonly [R, Aux],
  options: AuxOptions<N> & ArgnumsOf<A, N>,
): (...args: Inputs<A>) => [jacobian: Jacobian<R, Gradients<A, N>>, aux: Aux];
/**
 * The Jacobian of a function of arrays, column by column by forward-mode differentiation: best for functions with more
 * results than inputs. For a result of shape `r` and an argument of shape `a` it has shape `[...r, ...a]`.
 */
export function jacfwd<A extends unknown[], R, const N extends number | readonly number[] = 0>(
  f: (...args: A) => R,
  options?: JacobianOptions<N> & ArgnumsOf<A, N>,
): (...args: Inputs<A>) => Jacobian<R, Gradients<A, N>>;
export function jacfwd(
  f: (...args: never[]) => unknown,
  options: GradOptions<number | readonly number[]> = {},
): (...args: never[]) => unknown {
  return (...args) => {
    const point = linearizeAt("jacfwd", f, options, args);
    const { lin, values, name } = point;
    refuseComplex(name, "jacfwd", values, options.holomorphic ?? false);
    const columns = values.map((x, j) => {
      if (!lin.nonzeroIn[j]) return lin.outs.map((y) => zerosBlock(y, x));
      return overBasis(x, (e) =>
        pushForward(
          lin,
          values.map((_, i) => (i === j ? e : null)),
        ),
      ).map((stacked, i) => {
        // [n, ...r] -> [...r, n] -> [...r, ...a]
        const y = lin.outs[i];
        const last = transpose(stacked, [...y.shape.map((_, d) => d + 1), 0]);
        return reshape(last, [...y.shape, ...x.shape]);
      });
    });
    const jacobian = assemble(
      point,
      lin.outs.map((_, i) => columns.map((column) => column[i])),
    );
    return options.hasAux ? [jacobian, point.aux] : jacobian;
  };
}

/** `jacrev` of a function that returns `[value, aux]`: `aux` is passed through and not differentiated. */
export function jacrev<A extends unknown[], R, Aux, const N extends number | readonly number[] = 0>(
  f: (...args: A) => readonly [R, Aux],
  options: AuxOptions<N> & ArgnumsOf<A, N>,
): (...args: Inputs<A>) => [jacobian: Jacobian<R, Gradients<A, N>>, aux: Aux];
/**
 * The Jacobian of a function of arrays, row by row by reverse-mode differentiation: best for functions with more inputs
 * than results. Shapes as `jacfwd`.
 */
export function jacrev<A extends unknown[], R, const N extends number | readonly number[] = 0>(
  f: (...args: A) => R,
  options?: JacobianOptions<N> & ArgnumsOf<A, N>,
): (...args: Inputs<A>) => Jacobian<R, Gradients<A, N>>;
export function jacrev(
  f: (...args: never[]) => unknown,
  options: GradOptions<number | readonly number[]> = {},
): (...args: never[]) => unknown {
  return (...args) => {
    const point = linearizeAt("jacrev", f, options, args);
    const { lin, values, name } = point;
    refuseComplex(name, "jacrev", lin.outs, options.holomorphic ?? false);
    const rows = lin.outs.map((y, i) => {
      if (!lin.nonzeroOut[i]) return values.map((x) => zerosBlock(y, x));
      const stacked = overBasis(y, (e) =>
        pullBack(
          lin,
          lin.outs.map((_, k) => (k === i ? e : null)),
        ).map((g, j) => g ?? zeros(values[j].aval)),
      );
      return stacked.map((s, j) => reshape(s, [...y.shape, ...values[j].shape]));
    });
    const jacobian = assemble(point, rows);
    return options.hasAux ? [jacobian, point.aux] : jacobian;
  };
}

/** The Jacobian: see `jacrev`, which it is. */
export const jacobian: typeof jacrev = jacrev;

/** `hessian` of a function that returns `[value, aux]`: `aux` is passed through and not differentiated. */
export function hessian<A extends unknown[], R, Aux, const N extends number | readonly number[] = 0>(
  f: (...args: A) => readonly [R, Aux],
  options: AuxOptions<N> & ArgnumsOf<A, N>,
): (...args: Inputs<A>) => [hessian: Jacobian<Jacobian<R, Gradients<A, N>>, Gradients<A, N>>, aux: Aux];
/**
 * The matrix of second derivatives of a scalar function (of each result for others): forward over reverse. For an
 * argument of shape `a`, shape `[...a, ...a]`.
 */
export function hessian<A extends unknown[], R, const N extends number | readonly number[] = 0>(
  f: (...args: A) => R,
  options?: JacobianOptions<N> & ArgnumsOf<A, N>,
): (...args: Inputs<A>) => Jacobian<Jacobian<R, Gradients<A, N>>, Gradients<A, N>>;
export function hessian(
  f: (...args: never[]) => unknown,
  options: GradOptions<number | readonly number[]> = {},
): (...args: never[]) => unknown {
  return jacfwd(jacrev(f as never, options as never) as never, options as never) as never;
}
