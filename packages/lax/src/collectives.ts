import {
  type ArrayLike,
  asArray,
  type Aval,
  bind,
  bind1,
  communicatesRule,
  definePrimitive,
  DTypeError,
  dtypeKind,
  isInexact,
  makeAval,
  namedAxisSize,
  type NDArray,
  ownVarying,
  type Primitive,
  tracksVarying,
  TransformError,
  treeFlatten,
  treeMap,
  treeUnflatten,
  updateAval,
} from "@traceform/core";
import { add, div, mul, ne } from "./binary.ts";
import { convertElementType } from "./convert.ts";
import { fullLike } from "./create.ts";
import { checkGroups } from "./internal/groups.ts";
import { reshape } from "./shape.ts";

export interface CollectiveParams {
  readonly axes: readonly string[];
  readonly axisIndexGroups: readonly (readonly number[])[] | null;
}

/** Any number of operands, each reduced over the named axes; shapes unchanged. */
function collective(name: string): Primitive<CollectiveParams> {
  return definePrimitive<CollectiveParams>(name, {
    hiddenParams: ["axisIndexGroups"],
    rules: { [ownVarying]: true, [communicatesRule]: ({ axes }: CollectiveParams) => axes },
    abstractEval: (avals, { axes, axisIndexGroups }) => {
      for (const axis of axes) namedAxisSize(name, axis);
      return avals.map((x: Aval) => {
        const kind = dtypeKind(x.dtype);
        if (kind === "bool" || kind === "extended") {
          throw new DTypeError(name, { message: "needs a numeric dtype", operands: { x }, fix: "convert it to int32 first" });
        }
        if (axisIndexGroups !== null) return varyAlong(x, axes);
        // A reduced value is the same on every device of the axis.
        const varying = x.varying.filter((a) => !axes.includes(a));
        return varying.length === x.varying.length ? x : updateAval(x, { varying });
      });
    },
  });
}
export const psumP: Primitive<CollectiveParams> = /* @__PURE__ */ collective("psum");
export const pmaxP: Primitive<CollectiveParams> = /* @__PURE__ */ collective("pmax");
export const pminP: Primitive<CollectiveParams> = /* @__PURE__ */ collective("pmin");

export interface AxisIndexParams {
  readonly axisName: string;
}
/** No operands: the position along a named axis, int32. */
export const axisIndexP: Primitive<AxisIndexParams> = /* @__PURE__ */ definePrimitive<AxisIndexParams>("axis_index", {
  rules: { [ownVarying]: true },
  abstractEval: (_avals, { axisName }) => {
    namedAxisSize("axisIndex", axisName);
    return [varyAlong(makeAval([], "int32"), [axisName])];
  },
});

/** `aval` also varying along those of the axes along which values know that they vary. @internal */
export function varyAlong(aval: Aval, axes: readonly string[]): Aval {
  const more = axes.filter((a) => tracksVarying(a) && !aval.varying.includes(a));
  return more.length === 0 ? aval : updateAval(aval, { varying: [...aval.varying, ...more].sort() });
}

export interface PvaryParams {
  readonly axes: readonly string[];
}
/** The operand, said to vary along more axes of a mesh. Who runs programs of shards has nothing to do for it. */
export const pvaryP: Primitive<PvaryParams> = /* @__PURE__ */ definePrimitive<PvaryParams>("pvary", {
  rules: { [ownVarying]: true },
  abstractEval: (avals, { axes }) => avals.map((x) => varyAlong(x, axes)),
});

/** `x` varying along all of `varying` at least. @internal */
export function varyTo(x: NDArray, varying: readonly string[]): NDArray {
  if (varying.length === 0) return x;
  const axes = varying.filter((a) => tracksVarying(a) && !x.aval.varying.includes(a));
  return axes.length === 0 ? x : bind1(pvaryP, [x], { axes });
}

/**
 * Each array of the pytree as a value that varies along named axes of a mesh, though it is the same everywhere. Operations do so by
 * themselves where operands differ; said explicitly it is for what must have one type, as derivatives with respect to a value before
 * they are summed over devices. Outside `shardMap` with `checkVma` it does nothing.
 *
 * @throws {TransformError} for `to` other than "varying": use `psum` or `pmax` to make values equal
 */
export function pcast<T>(x: T, axisName: AxisName, { to }: { readonly to: "varying" }): T {
  if (to !== "varying") {
    throw new TransformError("pcast", {
      message: `a value cannot be said to be ${String(to)}: that would have to be made so`,
      fix: 'give { to: "varying" }; reduce with psum, pmax or pmean to get one value for all devices',
    });
  }
  const axes = axisList(axisName);
  for (const name of axes) namedAxisSize("pcast", name);
  return treeMap((leaf: never): NDArray => varyTo(asArray(leaf), axes), x);
}

/** A named axis, or several, of which the first varies slowest. */
export type AxisName = string | readonly string[];

export interface CollectiveOptions {
  /** Communicate within each of these groups of positions only; every position is in exactly one of them. */
  readonly axisIndexGroups?: readonly (readonly number[])[] | null;
}

/** @internal */
export function axisList(axisName: AxisName): readonly string[] {
  return typeof axisName === "string" ? [axisName] : axisName;
}

type Reduction = (x: NDArray) => NDArray;

function reduceNamed<T>(fn: string, primitive: Primitive<CollectiveParams>, x: T, axisName: AxisName, o: CollectiveOptions): T {
  const axes = axisList(axisName);
  const axisIndexGroups = checkGroups(fn, axes, o.axisIndexGroups ?? null, { equalSizes: false });
  const [leaves, tree] = treeFlatten(x);
  const arrays = leaves.map((l) => asArray(l as ArrayLike));
  const outs = bind(
    primitive,
    arrays.map((a) => (a.dtype === "bool" ? convertElementType(a, "int32") : a)),
    { axes, axisIndexGroups },
  );
  // The number of true values is a sum; the largest of truth values is one.
  const back: Reduction[] = arrays.map((a) => (a.dtype === "bool" && primitive !== psumP ? (y) => ne(y, 0) : (y) => y));
  return treeUnflatten(
    tree,
    outs.map((y, i) => back[i](y)),
  ) as T;
}

/**
 * Sums each array of the pytree over a named axis (of `vmap`, `pmap` or a mesh). A JavaScript number is multiplied by
 * the size of the axis at once. Truth values are counted, as int32.
 * @throws {AxisError} for a name that nothing binds
 */
export function psum<T>(x: T, axisName: AxisName, options: CollectiveOptions = {}): T {
  if (typeof x === "number" && !options.axisIndexGroups) return ((x as number) * axisSize(axisName)) as T;
  return reduceNamed("psum", psumP, x, axisName, options);
}
/** Maximum over a named axis of each array of the pytree; of truth values, whether any is true. */
export function pmax<T>(x: T, axisName: AxisName, options: CollectiveOptions = {}): T {
  return reduceNamed("pmax", pmaxP, x, axisName, options);
}
/** Minimum over a named axis of each array of the pytree; of truth values, whether all are true. */
export function pmin<T>(x: T, axisName: AxisName, options: CollectiveOptions = {}): T {
  return reduceNamed("pmin", pminP, x, axisName, options);
}
/** Mean over a named axis of each array of the pytree; integers and truth values give float32. */
export function pmean<T>(x: T, axisName: AxisName, options: CollectiveOptions = {}): T {
  const total = psum(
    treeMap((leaf: never) => asArray(leaf), x),
    axisName,
    options,
  );
  // Groups may have different sizes: each position counts those of its own.
  const n = options.axisIndexGroups ? psum(asArray(Float32Array.of(1)), axisName, options) : axisSize(axisName);
  return treeMap((leaf: never): NDArray => {
    const s = isInexact((leaf as NDArray).dtype) ? (leaf as NDArray) : convertElementType(leaf, "float32");
    return div(s, typeof n === "number" ? fullLike(s, n, { shape: [] }) : convertElementType(reshape(n, []), s.dtype));
  }, total);
}
/**
 * The position along a named axis, as an int32 scalar; of several axes, the position in their product, the first of
 * which varies slowest.
 */
export function axisIndex(axisName: AxisName): NDArray {
  return axisList(axisName)
    .map((name) => ({ at: bind1(axisIndexP, [], { axisName: name }), size: namedAxisSize("axisIndex", name) }))
    .reduce((outer, inner) => ({ at: add(mul(outer.at, inner.size), inner.at), size: outer.size * inner.size })).at;
}
/** The size of a named axis (the product for several), a JavaScript number. */
export function axisSize(axisName: AxisName): number {
  return axisList(axisName).reduce((n, name) => n * namedAxisSize("axisSize", name), 1);
}
