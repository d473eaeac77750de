import { asArray, fromTyped, type NDArray, scalar, setDefaultBackend } from "@traceform/core";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { expect, test } from "vitest";
import { customJvp, customVjp, grad, valueAndGrad } from "./index.ts";

const backend = setDefaultBackend(referenceBackend());
const live = (): number => backend.devices[0].memoryStats().liveBuffers;
const vector = (): NDArray => lax.mul(fromTyped(Float32Array.of(0.1, 0.2, 0.3), [3], "float32"), 1);

test("an eager gradient gives its intermediate values back", () => {
  const x = vector();
  const f = (v: NDArray): NDArray => {
    let y = v;
    for (let i = 0; i < 20; i++) y = lax.tanh(lax.mul(lax.sin(y), v));
    return lax.reduceSum(y);
  };
  const g0 = grad(f)(x); // constants move to the device once
  const before = live();
  const [value, g] = valueAndGrad(f)(x);
  expect(live() - before).toBe(2);
  expect(g.jsSync()).toEqual(g0.jsSync());
  expect(typeof value.itemSync()).toBe("number");
  // What is kept by the caller works on.
  expect(lax.add(g, value).shape).toEqual([3]);
});

test("what user code has seen stays alive", () => {
  const seen: NDArray[] = [];
  const f = (v: NDArray): readonly [NDArray, { aux: NDArray[] }] => {
    const table = lax.sin(vector());
    const mask = lax.gt(v, 0.15);
    const stopped = lax.stopGradient(lax.mul(v, 2));
    const aux = lax.mul(lax.mul(v, v), 3);
    seen.push(table, mask);
    return [lax.reduceSum(lax.select(mask, lax.mul(v, table), lax.mul(v, stopped))), { aux: [aux, stopped] }] as const;
  };
  const [, { aux }] = grad(f, { hasAux: true })(vector());
  for (const x of [...seen, ...aux]) expect(x.jsSync()).toBeDefined();
});

test("what custom rules make and get stays alive", () => {
  const seen: NDArray[] = [];
  const f = customJvp((x: NDArray) => lax.sin(x));
  f.defjvp(([x], [dx]) => {
    const slope = lax.cos(x);
    seen.push(x, slope);
    return [f(x), lax.mul(dx, slope)];
  });
  const g = customVjp((x: NDArray) => lax.sin(x));
  g.defvjp(
    (x) => [g(x), lax.cos(x)],
    (c, ct) => {
      const out = lax.mul(ct, c as NDArray);
      seen.push(c as NDArray, ct, out);
      return [out];
    },
  );
  const loss = (x: NDArray): NDArray => lax.reduceSum(lax.mul(g(lax.mul(f(lax.mul(x, 2)), 3)), 4));
  const gradient = grad(loss)(vector());
  expect(gradient.shape).toEqual([3]);
  expect(seen.length).toBe(5);
  for (const x of seen) expect(x.jsSync()).toBeDefined();
});

test("gradients that are inputs, constants or each other are not released", () => {
  const x = vector();
  const y = vector();
  const [gx, gy] = grad((a: NDArray, b: NDArray) => lax.reduceSum(lax.add(a, b)), { argnums: [0, 1] })(x, y);
  expect(gx.jsSync()).toEqual([1, 1, 1]);
  expect(gy.jsSync()).toEqual([1, 1, 1]);
  const [gz, gw] = grad((a: NDArray, b: NDArray) => lax.mul(a, b), { argnums: [0, 1] })(scalar(2, "float32"), asArray(3));
  expect([gz.itemSync(), gw.itemSync()]).toEqual([3, 2]);
  expect(x.jsSync()).toBeDefined();
  const h = grad((a: NDArray) => lax.dot(a, y))(x);
  expect(h.jsSync()).toEqual(y.jsSync());
  expect(y.jsSync()).toBeDefined();
});

test("nested gradients", () => {
  const f = (v: NDArray): NDArray => lax.reduceSum(lax.mul(lax.sin(v), v));
  const second = grad((v: NDArray) => lax.reduceSum(grad(f)(v)));
  const x = vector();
  const first = second(x).jsSync();
  const before = live();
  expect(second(x).jsSync()).toEqual(first);
  // The result, and what the inner gradient computed from constants alone: the outer one cannot know who has it.
  expect(live() - before).toBeLessThanOrEqual(3);
});
