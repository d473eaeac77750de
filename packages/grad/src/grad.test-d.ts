import type { NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import {
  customJvp,
  customVjp,
  type CustomVjpPrimal,
  grad,
  hessian,
  jacfwd,
  jacrev,
  jvp,
  linearize,
  valueAndGrad,
  vjp,
} from "./index.ts";
import { jet } from "./jet.ts";

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

const [hx, seen]: [NDArray, string] = hessian((z: NDArray) => [z, "seen"], { hasAux: true })(x);
void [hx, seen];

// Rules see trees of the arguments' types, with null for zeros where they asked for them.
const withJvp = customJvp((p: Params, z: NDArray) => ({ y: lax.mul(p.w, z) }));
withJvp.defjvp(([p, z], [dp, dz]) => [withJvp(p, z), { y: lax.add(lax.mul(dp.w, z), lax.mul(p.w, dz)) }]);
withJvp.defjvp(
  ([p, z], [dp, dz]) => {
    const zero: NDArray | null = dp.w;
    return [withJvp(p, z), { y: zero === null ? dz : lax.mul(zero, z) }];
  },
  { symbolicZeros: true },
);
const withVjp = customVjp((p: Params, z: NDArray) => lax.mul(p.w, z));
withVjp.defvjp(
  (p, z) => [withVjp(p, z), { w: p.w, n: 3 }],
  ({ w, n }, ct) => [{ w: lax.mul(ct, n), b: null }, lax.mul(ct, w)],
);
withVjp.defvjp(
  (p, z) => {
    const moving: CustomVjpPrimal = p.w;
    return [lax.mul(moving.value, z.value), moving.perturbed];
  },
  (perturbed, ct) => [perturbed && ct !== null ? { w: ct, b: null } : null, null],
  { symbolicZeros: true },
);

// Solutions have the types of right-hand sides and guesses.
const solution: Params = lax.customLinearSolve(
  (p: Params) => p,
  params,
  (_, b) => b,
);
const [root, steps]: [Params, number] = lax.customRoot(
  (p: Params) => p,
  params,
  (_, guess) => [guess, 3] as const,
  (_, y) => y,
  { hasAux: true },
);
const [jetOut, terms]: [{ y: NDArray }, { y: NDArray }[]] = jet((p: Params) => ({ y: p.w }), [params], [[params, null]]);
void [solution, root, steps, jetOut, terms];

// @ts-expect-error gradients are of scalars, not of trees
grad((p: Params) => p);
// @ts-expect-error async functions cannot be traced
grad(async (z: NDArray) => z);
// @ts-expect-error a missing argument
grad(loss)(params);
// @ts-expect-error a wrong argument
grad(loss)(x, x);
// @ts-expect-error a zero must be looked at before it is used
withJvp.defjvp(([p, z], [dp, dz]) => [withJvp(p, z), { y: lax.mul(dp.w, dz) }], { symbolicZeros: true });
lax.customLinearSolve(
  (p: Params) => p,
  params,
  // @ts-expect-error a solver returns what it is given
  () => x,
);
// @ts-expect-error one list of terms for each argument
jet(loss, [params, x], [[params]]);
