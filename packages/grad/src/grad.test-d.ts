import type { NDArray } from "@traceform/core";
import { grad, hessian, jacfwd, jacrev, jvp, linearize, valueAndGrad, vjp } from "./index.ts";

interface Params {
  readonly w: NDArray;
  readonly b: NDArray;
}
declare const params: Params;
declare const x: NDArray;
declare function loss(params: Params, x: NDArray): NDArray;

// The gradient of Params is Params.
const g: Params = grad(loss)(params, x);
const [value, grads]: [NDArray, Params] = valueAndGrad(loss)(params, x);
void [g, value, grads];

// argnums choose the argument, or several.
const gx: NDArray = grad(loss, { argnums: 1 })(params, x);
const [g0, g1]: [Params, NDArray] = grad(loss, { argnums: [0, 1] })(params, x);
void [gx, g0, g1];

// Numbers go where arrays go, and their gradients are arrays.
const d: NDArray = grad((y: NDArray) => y)(3);
const e: NDArray = grad((y: number | NDArray) => y as NDArray)(3);
void [d, e];

// Auxiliary results.
const [ga, aux]: [Params, { seen: NDArray }] = grad((p: Params) => [p.w, { seen: p.b }], { hasAux: true })(params);
const [[v, extra], gv]: [[NDArray, string], Params] = valueAndGrad((p: Params): [NDArray, string] => [p.w, "x"], { hasAux: true })(
  params,
);
void [ga, aux, v, extra, gv];

// jvp, vjp, linearize.
const [out, dot]: [{ y: NDArray }, { y: NDArray }] = jvp((p: Params) => ({ y: p.w }), [params], [params]);
const [y, pullback] = vjp(loss, params, x);
const [dp, dx]: [Params, NDArray] = pullback(y);
const [, push] = linearize(loss, params, x);
const pushed: NDArray = push(params, x);
void [out, dot, dp, dx, pushed];

// Jacobians: a tree of results, each leaf a tree of arguments.
const j: { y: Params } = jacrev((p: Params) => ({ y: p.w }))(params);
const jx: { y: NDArray } = jacfwd((z: NDArray) => ({ y: z }))(x);
const h: NDArray = hessian((z: NDArray) => z)(x);
void [j, jx, h];

// @ts-expect-error gradients are of scalars, not of trees
grad((p: Params) => p);
// @ts-expect-error async functions cannot be traced
grad(async (z: NDArray) => z);
// @ts-expect-error a missing argument
grad(loss)(params);
// @ts-expect-error a wrong argument
grad(loss)(x, x);
