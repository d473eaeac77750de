import { asArray, type NDArray, scalar, setDefaultBackend, TransformError } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { vmap } from "@traceform/vmap";
import { beforeAll, expect, test } from "vitest";
import { closureConvert, customGradient, fwdAndBwd, grad, vjp } from "./index.ts";

beforeAll(() => {
  setDefaultBackend(referenceBackend());
});

const a = (...xs: number[]): NDArray => asArray(xs);

test("closureConvert makes what is closed over explicit", () => {
  const w = a(1, 2, 3);
  const [f, consts] = closureConvert((x: NDArray) => lax.reduceSum(lax.mul(x, w)), a(0, 0, 0));
  expect(consts).toEqual([w]);
  expect(f(a(1, 1, 1), a(2, 2, 2)).itemSync()).toBe(6);
  expect(grad((v: NDArray) => f(a(1, 2, 3), v))(w).jsSync()).toEqual([1, 2, 3]);
});

test("customGradient: the pullback that the function returns is its gradient", () => {
  const f = customGradient((x: NDArray, y: NDArray) => [
    lax.mul(x, y),
    (ct: NDArray) => [lax.mul(ct, lax.mul(y, 10)), lax.mul(ct, lax.sin(x))],
  ]);
  const g = (x: NDArray, y: NDArray): NDArray => f(x, y);
  expect(f(asArray(2), asArray(3)).itemSync()).toBe(6);
  expect(grad(g)(2, 3).itemSync()).toBe(30);
  expect(grad(g, { argnums: 1 })(2, 3).itemSync()).toBeCloseTo(Math.sin(2), 6);
  expect(jit(grad(g))(scalar(2, "float32"), scalar(3, "float32")).itemSync()).toBe(30);
  expect(vmap(grad(g))(a(1, 2), a(3, 4)).jsSync()).toEqual([30, 40]);
  const wrong = ((x: NDArray) => x) as unknown as (x: NDArray) => readonly [NDArray, (ct: NDArray) => NDArray];
  expect(() => customGradient(wrong)(asArray(1))).toThrow(TransformError);
});

test("fwdAndBwd: forward and backward pass jitted apart", () => {
  const f = (p: { w: NDArray }, x: NDArray): NDArray => lax.tanh(lax.mul(p.w, x));
  const [fwd, bwd] = fwdAndBwd(f);
  const [out, residuals] = jit((p: { w: NDArray }, x: NDArray) => fwd(p, x))({ w: a(1, 2) }, a(3, 4));
  const [dp, dx] = jit((r: NDArray[], ct: NDArray) => bwd(r, ct))(residuals, a(1, 1));
  const [wanted, pullback] = vjp(f, { w: a(1, 2) }, a(3, 4));
  expect(out.jsSync()).toEqual(wanted.jsSync());
  const [wp, wx] = pullback(a(1, 1));
  expect([dp.w.jsSync(), dx.jsSync()]).toEqual([wp.w.jsSync(), wx.jsSync()]);
  expect(() => fwdAndBwd(f)[1]([], a(1))).toThrow(TransformError);
});
