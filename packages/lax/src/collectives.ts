import {
  type ArrayLike,
  asArray,
  type Aval,
  bind,
  bind1,
  definePrimitive,
  DTypeError,
  dtypeKind,
  makeAval,
  namedAxisSize,
  type NDArray,
  type Primitive,
  treeFlatten,
  treeMap,
  treeUnflatten,
  updateAval,
} from "@traceform/core";
import { div } from "./binary.ts";
import { convertElementType } from "./convert.ts";
import { fullLike } from "./create.ts";

export interface CollectiveParams {
  readonly axes: readonly string[];
  readonly axisIndexGroups: readonly (readonly number[])[] | null;
}

/** Any number of operands, each reduced over the named axes; shapes unchanged. */
function collective(name: string): Primitive<CollectiveParams> {
  return definePrimitive<CollectiveParams>(name, {
    hiddenParams: ["axisIndexGroups"],
    abstractEval: (avals, { axes }) => {
      for (const axis of axes) namedAxisSize(name, axis);
      return avals.map((x: Aval) => {
        const kind = dtypeKind(x.dtype);
        if (kind === "bool" || kind === "extended") {
          throw new DTypeError(name, { message: "needs a numeric dtype", operands: { x }, fix: "convert it to int32 first" });
        }
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
  abstractEval: (_avals, { axisName }) => {
    namedAxisSize("axisIndex", axisName);
    return [makeAval([], "int32")];
  },
});

export type AxisName = string | readonly string[];

function axisList(axisName: AxisName): readonly string[] {
  return typeof axisName === "string" ? [axisName] : axisName;
}

function reduceNamed<T>(primitive: Primitive<CollectiveParams>, x: T, axisName: AxisName): T {
  const [leaves, tree] = treeFlatten(x);
  const arrays = leaves.map((l) => {
    const a = asArray(l as ArrayLike);
    return a.dtype === "bool" ? convertElementType(a, "int32") : a;
  });
  return treeUnflatten(tree, bind(primitive, arrays, { axes: axisList(axisName), axisIndexGroups: null })) as T;
}

/**
 * Sums each array of the pytree over a named axis (of `vmap`, `pmap` or a mesh). A JavaScript number is multiplied by
 * the size of the axis at once.
 * @throws {AxisError} for a name that nothing binds
 */
export function psum<T>(x: T, axisName: AxisName): T {
  if (typeof x === "number") return ((x as number) * axisSize(axisName)) as T;
  return reduceNamed(psumP, x, axisName);
}
/** Maximum over a named axis of each array of the pytree. */
export function pmax<T>(x: T, axisName: AxisName): T {
  return reduceNamed(pmaxP, x, axisName);
}
/** Minimum over a named axis of each array of the pytree. */
export function pmin<T>(x: T, axisName: AxisName): T {
  return reduceNamed(pminP, x, axisName);
}
/** Mean over a named axis of each array of the pytree. */
export function pmean<T>(x: T, axisName: AxisName): T {
  const n = axisSize(axisName);
  return treeMap(
    (leaf: never): NDArray => {
      const s = asArray(leaf);
      return div(s, fullLike(s, n, { shape: [] }));
    },
    psum(x, axisName),
  );
}
/** The position along a named axis, as an int32 scalar. */
export function axisIndex(axisName: string): NDArray {
  return bind1(axisIndexP, [], { axisName });
}
/** The size of a named axis (the product for several), a JavaScript number. */
export function axisSize(axisName: AxisName): number {
  return axisList(axisName).reduce((n, name) => n * namedAxisSize("axisSize", name), 1);
}
