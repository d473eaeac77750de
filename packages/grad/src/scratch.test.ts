import { test } from "vitest";
import { traceToJaxpr, makeAval, checkJaxpr, printJaxpr, type NDArray } from "@traceform/core";
import { grad, vjp, jvp, jacfwd, jacrev, hessian, checkpoint, customJvp, customVjp } from "./index.ts";
import * as lax from "@traceform/lax";

const f32 = (...s: number[]) => makeAval(s, "float32");
function show(name: string, f: (...xs: NDArray[]) => unknown, ...avals: ReturnType<typeof f32>[]) {
  const { jaxpr } = traceToJaxpr((...xs) => [f(...xs)].flat(9) as NDArray[], avals, name);
  checkJaxpr(jaxpr);
  console.log(name, printJaxpr(jaxpr));
}
test("stage", () => {
  show("sin", grad((x: NDArray) => lax.mul(lax.sin(x), x)) as never, f32());
  show("dot", grad((x: NDArray, y: NDArray) => lax.reduceSum(lax.tanh(lax.dot(x, y))), { argnums: [0, 1] }) as never, f32(3, 4), f32(4, 5));
  show("scan", grad((w: NDArray, xs: NDArray) => lax.scan((c: NDArray, x: NDArray) => [lax.sin(lax.mul(lax.mul(c, lax.cos(w)), x)), c], lax.reduceSum(w), xs)[0]) as never, f32(), f32(5));
  show("cond", grad((x: NDArray) => lax.cond(lax.gt(x, 0), (y: NDArray) => lax.sin(y), (y: NDArray) => lax.mul(lax.exp(y), y), x)) as never, f32());
  show("ckpt", grad((x: NDArray) => checkpoint((y: NDArray) => lax.sin(lax.sin(y)))(x)) as never, f32());
  show("hess", hessian((x: NDArray) => lax.reduceSum(lax.mul(lax.sin(x), x))) as never, f32(3));
  const f = customJvp((x: NDArray) => lax.sin(x)); f.defjvp(([x], [dx]) => [f(x), lax.mul(dx, 2)]);
  show("cj", grad((x: NDArray) => f(x)) as never, f32());
  const g = customVjp((x: NDArray) => lax.sin(x)); g.defvjp((x) => [g(x), x], (r, ct) => [lax.mul(ct, r as NDArray)]);
  show("cv", grad((x: NDArray) => g(x)) as never, f32());
  show("cvscan", grad((w: NDArray, xs: NDArray) => lax.scan((c: NDArray, x: NDArray) => [g(lax.mul(lax.mul(c, lax.cos(w)), x)), null], w, xs)[0]) as never, f32(), f32(5));
});
