import { type ArrayLike, asArray, bind1, canonicalAxis, definePrimitive, type NDArray, type Primitive } from "@traceform/core";
import { checkAxes, checkDTypeSet, type DTypeSet, floating, numeric, ordered } from "./internal/infer.ts";

export interface CumulativeParams {
  readonly axis: number;
  /** From the last element to the first. */
  readonly reverse: boolean;
}

/** An inclusive scan along one axis; same shape and dtype. */
function cumulativePrimitive(name: string, set: DTypeSet): Primitive<CumulativeParams> {
  return definePrimitive<CumulativeParams>(name, {
    abstractEval: ([x], { axis }) => {
      checkDTypeSet(name, "x", x, set);
      checkAxes(name, [axis], x.ndim, { x });
      return [x];
    },
  });
}

export const cumsumP: Primitive<CumulativeParams> = /* @__PURE__ */ cumulativePrimitive("cumsum", numeric);
export const cumprodP: Primitive<CumulativeParams> = /* @__PURE__ */ cumulativePrimitive("cumprod", numeric);
export const cummaxP: Primitive<CumulativeParams> = /* @__PURE__ */ cumulativePrimitive("cummax", ordered);
export const cumminP: Primitive<CumulativeParams> = /* @__PURE__ */ cumulativePrimitive("cummin", ordered);
export const cumlogsumexpP: Primitive<CumulativeParams> = /* @__PURE__ */ cumulativePrimitive("cumlogsumexp", floating);

function cumulative(primitive: Primitive<CumulativeParams>, x: ArrayLike, axis: number, reverse: boolean): NDArray {
  const a = asArray(x);
  return bind1(primitive, [a], { axis: canonicalAxis(primitive.name, axis, a.ndim), reverse });
}

/** Running sum along `axis`; from the end when `reverse`. */
export function cumsum(x: ArrayLike, axis = 0, reverse = false): NDArray {
  return cumulative(cumsumP, x, axis, reverse);
}
/** Running product along `axis`; from the end when `reverse`. */
export function cumprod(x: ArrayLike, axis = 0, reverse = false): NDArray {
  return cumulative(cumprodP, x, axis, reverse);
}
/** Running maximum along `axis`; from the end when `reverse`. */
export function cummax(x: ArrayLike, axis = 0, reverse = false): NDArray {
  return cumulative(cummaxP, x, axis, reverse);
}
/** Running minimum along `axis`; from the end when `reverse`. */
export function cummin(x: ArrayLike, axis = 0, reverse = false): NDArray {
  return cumulative(cumminP, x, axis, reverse);
}
/** Running `log(sum(exp(x)))` along `axis`, computed without overflow; from the end when `reverse`. */
export function cumlogsumexp(x: ArrayLike, axis = 0, reverse = false): NDArray {
  return cumulative(cumlogsumexpP, x, axis, reverse);
}
