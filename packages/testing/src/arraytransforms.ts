import { fromTyped, type NDArray } from "@traceform/core";
import { checkpoint, jvp, vjp } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { vmap } from "@traceform/vmap";
import { finiteDifference, numbers } from "./derivatives.ts";
import { mulberry32 } from "./primitivecases.ts";

/** A function of arrays. All transformations keep what it takes; what it gives may change. */
export type ArrayFn = (...xs: NDArray[]) => NDArray[];

/** Where functions are transformed: two points of their domain, and which operands a batch may run over. */
export interface Site {
  readonly other: readonly NDArray[];
  readonly batchable: readonly boolean[];
}

/** A transformation of functions of arrays, and what it means in the plainest terms. */
export interface ArrayTransformation {
  readonly name: string;
  readonly apply: (f: ArrayFn, site: Site) => ArrayFn;
  /** The definition: loops, finite differences, ordinary JavaScript branches. */
  readonly define: (f: ArrayFn, site: Site) => ArrayFn;
  readonly derivative?: "forward" | "reverse";
}

/** Numbers in [-1, 1) that depend on the shape and a salt alone, so that both sides of a comparison have the same. */
export function direction(shape: readonly number[], salt: number): NDArray {
  const random = mulberry32(shape.reduce((h, n) => h * 31 + n + 1, salt));
  const size = shape.reduce((a, b) => a * b, 1);
  return fromTyped(
    Float64Array.from({ length: size }, () => random() * 2 - 1),
    shape,
    "float64",
  );
}

function stack(a: NDArray, b: NDArray, axis: number): NDArray {
  return lax.concatenate([lax.expandDims(a, [axis]), lax.expandDims(b, [axis])], axis);
}
const mixed = (xs: readonly NDArray[], { other, batchable }: Site): NDArray[] => xs.map((x, i) => (batchable[i] ? other[i] : x));

/** What a batch of two members gives: the results of both, stacked. */
function bothMembers(f: ArrayFn, site: Site, axis: (ndim: number) => number): ArrayFn {
  return (...xs) => {
    const [first, second] = [f(...xs), f(...mixed(xs, site))];
    return first.map((y, i) => stack(y, second[i], axis(y.ndim)));
  };
}

/** `vmap` over a batch of the operands and the other point, along the axis that `axis` makes of a rank. */
function overBatch(f: ArrayFn, site: Site, axis: (ndim: number) => number, outAxis: number): ArrayFn {
  return (...xs) => {
    const inAxes = xs.map((x, i) => (site.batchable[i] ? axis(x.ndim) : null));
    const batch = xs.map((x, i) => (inAxes[i] === null ? x : stack(x, site.other[i], inAxes[i])));
    return vmap(f as (...xs: NDArray[]) => NDArray[], { inAxes: inAxes as never, outAxes: outAxis })(...batch);
  };
}

const front = (): number => 0;
const back = (ndim: number): number => ndim;

/** `<weights, f(x)>` for fixed weights. */
function weighted(f: ArrayFn): ArrayFn {
  return (...xs) => [
    f(...xs)
      .map((y, i) => lax.reduceSum(lax.mul(y, direction(y.shape, 7 + i))))
      .reduce((a, b) => lax.add(a, b)),
  ];
}
const tangents = (xs: readonly NDArray[]): NDArray[] => xs.map((x, i) => direction(x.shape, 100 + i));

/** Derivatives along the fixed tangents, by central differences. */
function difference(f: ArrayFn): ArrayFn {
  return (...xs) =>
    finiteDifference(f, xs, tangents(xs).map(numbers), 1e-5).map((d, i) => {
      const { shape } = f(...xs)[i];
      return fromTyped(Float64Array.from(d!), shape, "float64");
    });
}

/** Those whose ordered pairs are tested for every primitive. */
export const basicTransformations: readonly ArrayTransformation[] = [
  { name: "jit", apply: (f) => jit(f) as ArrayFn, define: (f) => f },
  { name: "vmap", apply: (f, site) => overBatch(f, site, front, 0), define: (f, site) => bothMembers(f, site, front) },
  {
    name: "jvp",
    apply:
      (f) =>
      (...xs) =>
        jvp(f as never, xs as never, tangents(xs) as never)[1] as NDArray[],
    define: difference,
    derivative: "forward",
  },
  {
    // All cotangents at once, seen along one direction: so one difference is enough to know what is right.
    name: "vjp",
    apply:
      (f) =>
      (...xs) => {
        const [outs, pullback] = vjp(f as (...xs: NDArray[]) => NDArray[], ...xs);
        const cts = pullback(outs.map((y, i) => direction(y.shape, 7 + i))) as NDArray[];
        const dots = tangents(xs).map((t, i) => lax.reduceSum(lax.mul(cts[i], t)));
        return [dots.reduce((a, b) => lax.add(a, b))];
      },
    define: (f) => difference(weighted(f)),
    derivative: "reverse",
  },
  {
    name: "scan",
    apply:
      (f, site) =>
      (...xs) => {
        const rows = xs.map((x, i) => stack(x, site.batchable[i] ? site.other[i] : x, 0));
        return lax.scan((c: NDArray, row: NDArray[]) => [c, f(...row)], lax.full([], 0, "float32"), rows)[1] as NDArray[];
      },
    define: (f, site) => bothMembers(f, site, front),
  },
];

/** Further ones, which deep nestings draw from too. */
export const moreArrayTransformations: readonly ArrayTransformation[] = [
  ...basicTransformations,
  { name: "vmap at the back", apply: (f, site) => overBatch(f, site, back, -1), define: (f, site) => bothMembers(f, site, back) },
  { name: "checkpoint", apply: (f) => checkpoint(f as never) as ArrayFn, define: (f) => f },
  {
    name: "cond",
    apply:
      (f) =>
      (...xs) =>
        lax.cond(
          lax.gt(lax.reduceSum(xs[0]), 0.05),
          (ys: NDArray[]) => f(...ys),
          (ys: NDArray[]) => f(...ys).map((y) => lax.neg(y)),
          xs,
        ) as NDArray[],
    define:
      (f) =>
      (...xs) => {
        const positive = numbers(xs[0]).reduce((a, b) => a + b, 0) > 0.05;
        return f(...xs).map((y) => (positive ? y : lax.neg(y)));
      },
  },
  {
    name: "map",
    apply:
      (f, site) =>
      (...xs) => {
        const rows = xs.map((x, i) => stack(x, site.batchable[i] ? site.other[i] : x, 0));
        return lax.map((row: NDArray[]) => f(...row), rows) as NDArray[];
      },
    define: (f, site) => bothMembers(f, site, front),
  },
];

/**
 * What a nesting should give: every level by its definition, except that of several derivatives only the outermost is taken by
 * finite differences, because differences of differences have no digits left.
 */
export function expectedNesting(
  f: ArrayFn,
  chain: readonly ArrayTransformation[],
  site: Site,
): { readonly fn: ArrayFn; readonly tolerance: number } {
  const outermost = chain.findIndex((t) => t.derivative !== undefined);
  const fn = chain.reduceRight<ArrayFn>(
    (g, t, i) => (t.derivative !== undefined && i !== outermost ? t.apply(g, site) : t.define(g, site)),
    f,
  );
  return { fn, tolerance: outermost >= 0 ? 1e-4 : 1e-9 };
}
