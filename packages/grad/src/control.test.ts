import {
  asArray,
  bind1,
  checkJaxpr,
  definePrimitive,
  type Eqn,
  evalJaxpr,
  type Jaxpr,
  makeAval,
  type NDArray,
  printJaxpr,
  setDefaultBackend,
  traceToJaxpr,
  TransformError,
} from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { beforeAll, describe, expect, test } from "vitest";
import {
  checkpoint,
  customJvp,
  customVjp,
  grad,
  jacfwd,
  jvp,
  jvpJaxpr,
  linearize,
  partialEvalJaxpr,
  transposeJaxpr,
  vjp,
} from "./index.ts";

beforeAll(() => {
  setDefaultBackend(referenceBackend());
});

const a = (x: readonly number[]): NDArray => asArray(x as never);
const f32 = (...shape: number[]): ReturnType<typeof makeAval> => makeAval(shape, "float32");

function stage(f: (...xs: NDArray[]) => NDArray, ...avals: ReturnType<typeof makeAval>[]): Jaxpr {
  const { jaxpr } = traceToJaxpr((...xs) => [f(...xs)], avals, "f");
  checkJaxpr(jaxpr);
  return jaxpr;
}
const named = (jaxpr: Jaxpr, name: string): Eqn[] => jaxpr.eqns.filter((e) => e.primitive.name === name);
const body = (eqn: Eqn): Jaxpr => eqn.params["jaxpr"] as Jaxpr;

describe("scan", () => {
  const loss = (w: NDArray, xs: NDArray): NDArray =>
    lax.scan((c: NDArray, x: NDArray) => [lax.tanh(lax.mul(lax.add(c, x), lax.sin(w))), null], w, xs)[0];

  test("the gradient of a scan is a scan", () => {
    const jaxpr = stage(grad(loss), f32(), f32(5));
    const scans = named(jaxpr, "scan");
    expect(scans.map((e) => e.params["reverse"])).toEqual([false, true]);
    expect(scans.map((e) => e.params["length"])).toEqual([5, 5]);
  });
  test("what does not change from one iteration to the next is computed once and not stacked", () => {
    const [forward, backward] = named(stage(grad(loss), f32(), f32(5)), "scan");
    // Stacked: what the tangent of tanh needs, and the sum; sin(w) and cos(w) are the same in every iteration.
    for (const v of forward.outvars.slice(1)) expect(v.aval.shape).toEqual([5]);
    expect(named(body(backward), "sin")).toEqual([]);
    expect(named(body(backward), "cos")).toEqual([]);
    expect(Number(backward.params["numConsts"])).toBe(2);
  });
  test("slices of xs that the backward pass needs are not copied", () => {
    const f = (w: NDArray, xs: NDArray): NDArray => lax.scan((c: NDArray, x: NDArray) => [lax.mul(c, x), null], w, xs)[0];
    const [forward] = named(stage(grad(f), f32(), f32(5)), "scan");
    expect(forward.outvars.length).toBe(1);
  });
  test("a carry that is differentiated only after some iterations", () => {
    // The tangent of the second carry is zero at first and comes from the first carry.
    const f = (x: NDArray): NDArray => {
      const [[, b]] = lax.scan(([p, q], _: null) => [[lax.mul(p, x), lax.add(q, p)], null], [1, 0], null, { length: 4 });
      return b;
    };
    // 1 + x + x² + x³
    expect(grad(f)(2).itemSync()).toBe(1 + 4 + 12);
    expect(jvp(f, [2], [1])[1].itemSync()).toBe(17);
  });
  test("second derivatives, jitted", () => {
    const second = grad((w: NDArray) => grad(loss)(w, a([0.1, 0.2, 0.3])));
    const h = 1e-2;
    const f = (w: number): number => grad(loss)(w, a([0.1, 0.2, 0.3])).itemSync() as number;
    expect(jit(second)(0.5).itemSync()).toBeCloseTo((f(0.5 + h) - f(0.5 - h)) / (2 * h), 2);
    expect(second(0.5).itemSync()).toBeCloseTo(jit(second)(0.5).itemSync() as number, 5);
  });
  test("loops without iterations", () => {
    const f = (x: NDArray): NDArray => lax.scan((c: NDArray, _: null) => [lax.mul(c, x), null], x, null, { length: 0 })[0];
    expect(grad(f)(3).itemSync()).toBe(1);
  });
});

describe("while", () => {
  const f = (x: NDArray): NDArray =>
    lax.whileLoop(
      (c: NDArray) => lax.lt(c, 10),
      (c: NDArray) => lax.mul(c, x),
      x,
    );
  test("forward mode", () => {
    expect(jvp(f, [2], [1])[1].itemSync()).toBe(4 * 8);
    expect(jacfwd(f)(2).itemSync()).toBe(32);
    expect(jit((x: NDArray) => jvp(f, [x], [1])[1])(asArray(2)).itemSync()).toBe(32);
  });
  test("reverse mode says what to do instead", () => {
    expect(() => grad(f)(2)).toThrow(TransformError);
    expect(() => grad(f)(2)).toThrow(/use scan/);
  });
  test("a loop that does not depend on what is differentiated is no obstacle", () => {
    const g = (x: NDArray): NDArray =>
      lax.mul(
        x,
        lax.whileLoop(
          (c: NDArray) => lax.lt(c, 10),
          (c: NDArray) => lax.mul(c, 2),
          1,
        ),
      );
    expect(grad(g)(3).itemSync()).toBe(16);
  });
  test("nor is one with a counter beside the differentiated value, in forward mode under linearize", () => {
    const g = (x: NDArray): NDArray =>
      lax.whileLoop(
        ([i]) => lax.lt(i, 3),
        ([i, v]) => [lax.add(i, 1), lax.mul(v, x)],
        [0, x],
      )[1];
    const [y, push] = linearize(g, 2);
    expect([y.itemSync(), push(1).itemSync()]).toEqual([16, 32]);
  });
});

describe("cond", () => {
  const f = (p: NDArray, x: NDArray): NDArray =>
    lax.cond(
      lax.gt(p, 0),
      (y: NDArray) => lax.mul(lax.sin(y), y),
      (y: NDArray) => lax.exp(y),
      x,
    );
  test("the gradient is a cond, and only one branch runs", () => {
    const jaxpr = stage(grad(f, { argnums: 1 }), f32(), f32());
    expect(named(jaxpr, "cond").length).toBe(2);
    expect(named(jaxpr, "sin")).toEqual([]);
    expect(grad(f, { argnums: 1 })(1, 2).itemSync()).toBeCloseTo(Math.sin(2) + 2 * Math.cos(2), 5);
    expect(grad(f, { argnums: 1 })(-1, 2).itemSync()).toBeCloseTo(Math.exp(2), 4);
  });
  test("branches share the places of their residuals", () => {
    const [forward] = named(stage(grad(f, { argnums: 1 }), f32(), f32()), "cond");
    // sin needs sin(y), cos(y) and y, exp needs its result: three places, not four.
    expect(forward.outvars.length).toBeLessThanOrEqual(4);
  });
  test("a branch without a derivative", () => {
    const g = (x: NDArray): NDArray =>
      lax.cond(
        lax.gt(x, 0),
        (y: NDArray) => lax.mul(y, y),
        (_y: NDArray) => asArray(5),
        x,
      );
    expect(grad(g)(3).itemSync()).toBe(6);
    expect(grad(g)(-3).itemSync()).toBe(0);
  });
});

describe("jit", () => {
  test("the derivative of a jitted function is two jitted functions", () => {
    const f = jit((x: NDArray) => lax.sin(lax.mul(x, x)));
    const jaxpr = stage(
      grad((x: NDArray) => f(x)),
      f32(),
    );
    expect(named(jaxpr, "jit").length).toBe(2);
  });
  test("residuals that the caller has already do not come back", () => {
    const f = jit((x: NDArray, y: NDArray) => lax.mul(x, y));
    const [forward] = named(
      stage((x, y) => grad((v: NDArray) => f(v, y))(x), f32(), f32()),
      "jit",
    );
    expect(forward.outvars.length).toBe(1);
  });
  test("transformed jaxprs are made once", () => {
    const jaxpr = stage((x) => lax.sin(x), f32());
    const j = jvpJaxpr(jaxpr, [true]);
    expect(jvpJaxpr(jaxpr, [true])).toBe(j);
    const p = partialEvalJaxpr(j.jaxpr, [false, true]);
    expect(partialEvalJaxpr(j.jaxpr, [false, true])).toBe(p);
    const linear = p.residuals.map(() => false).concat(true);
    expect(transposeJaxpr(p.unknown, linear, [true])).toBe(transposeJaxpr(p.unknown, linear, [true]));
    for (const made of [j.jaxpr, p.known, p.unknown, transposeJaxpr(p.unknown, linear, [true]).jaxpr]) checkJaxpr(made);
  });
  test("known and unknown part compute together what the whole computes", () => {
    const jaxpr = stage((x, y) => lax.mul(lax.sin(lax.exp(x)), lax.mul(y, x)), f32(), f32());
    const { known, unknown, residuals } = partialEvalJaxpr(jaxpr, [false, true]);
    const res = evalJaxpr(known, [], [asArray(0.3)]);
    expect(res.length).toBe(residuals.length);
    expect(evalJaxpr(unknown, [], [...res, asArray(2)])[0].itemSync()).toBeCloseTo(Math.sin(Math.exp(0.3)) * 0.6, 5);
    expect(named(unknown, "sin")).toEqual([]);
  });
});

describe("checkpoint", () => {
  test("the backward pass computes intermediate values again", () => {
    const f = (x: NDArray): NDArray => lax.sin(lax.sin(lax.sin(x)));
    const plain = stage(grad(f), f32());
    const remat = stage(grad(checkpoint(f)), f32());
    expect(named(plain, "checkpoint").length).toBe(0);
    const [again] = named(remat, "checkpoint");
    // Only the argument and the cotangent cross over.
    expect(again.invars.length).toBe(2);
    expect(named(body(again), "sin").length).toBe(2);
    expect(grad(checkpoint(f))(0.5).itemSync()).toBeCloseTo(grad(f)(0.5).itemSync() as number, 6);
  });
  test("a policy keeps what it names", () => {
    const f = (x: NDArray): NDArray => lax.sin(lax.exp(lax.sin(x)));
    const remat = stage(grad(checkpoint(f, { policy: (p) => p.name === "exp" })), f32());
    const [again] = named(remat, "checkpoint");
    expect(named(body(again), "exp")).toEqual([]);
    expect(again.invars.length).toBe(3);
    expect(grad(checkpoint(f, { policy: (p) => p.name === "exp" }))(0.5).itemSync()).toBeCloseTo(
      grad(f)(0.5).itemSync() as number,
      6,
    );
  });
  test("effects are not repeated", () => {
    const effect = { name: "seen", ordered: false };
    const seen = definePrimitive("seen", { abstractEval: ([x]) => ({ avals: [x], effects: [effect] }) });
    const f = (x: NDArray): NDArray => lax.sin(lax.mul(lax.stopGradient(bind1(seen, [lax.stopGradient(x)], {})), x));
    const jaxpr = stage(grad(checkpoint(f)), f32());
    const [again] = named(jaxpr, "checkpoint");
    expect(named(jaxpr, "seen").length).toBe(1);
    expect(named(body(again), "seen")).toEqual([]);
  });
  test("in scans, with second derivatives, jitted", () => {
    const step = (c: NDArray, x: NDArray): NDArray => lax.tanh(lax.mul(lax.add(c, x), c));
    const run =
      (s: typeof step) =>
      (w: NDArray): NDArray =>
        lax.scan((c: NDArray, x: NDArray) => [s(c, x), null], w, a([0.1, 0.2, 0.3]))[0];
    const second = (s: typeof step): number => jit(grad(grad(run(s))))(0.7).itemSync() as number;
    expect(second(checkpoint(step))).toBeCloseTo(second(step), 5);
  });
});

describe("custom rules", () => {
  test("customJvp serves both modes", () => {
    const f = customJvp((x: NDArray) => lax.sin(x));
    f.defjvp(([x], [dx]) => [f(x), lax.mul(dx, 10)]);
    expect(grad((x: NDArray) => f(x))(1).itemSync()).toBe(10);
    expect(jvp((x: NDArray) => f(x), [1], [1])[1].itemSync()).toBe(10);
    expect(jit(grad((x: NDArray) => f(lax.mul(x, 2))))(1).itemSync()).toBe(20);
  });
  test("customJvp inside a jitted loop", () => {
    const f = customJvp((x: NDArray) => lax.mul(x, 2));
    f.defjvp(([x], [dx]) => [f(x), lax.mul(dx, 3)]);
    const loop = (x: NDArray): NDArray => lax.scan((c: NDArray, _: null) => [f(c), null], x, null, { length: 3 })[0];
    expect(jit(grad(loop))(1).itemSync()).toBe(27);
  });
  test("customVjp: the rule runs in reverse, forward mode is refused", () => {
    const f = customVjp((x: NDArray) => lax.sin(x));
    f.defvjp(
      (x) => [f(x), x],
      (x, ct) => [lax.mul(ct, lax.mul(x as NDArray, 100))],
    );
    expect(grad((x: NDArray) => f(x))(2).itemSync()).toBe(200);
    expect(jit(grad(jit((x: NDArray) => f(x))))(2).itemSync()).toBe(200);
    expect(vjp((x: NDArray) => f(x), 2)[1](1)[0].itemSync()).toBe(200);
    for (const forward of [
      () => jvp((x: NDArray) => f(x), [1], [1]),
      () => jacfwd((x: NDArray) => f(x))(1),
      () => linearize((x: NDArray) => f(x), 1)[1](1),
      () => jit((x: NDArray) => jvp((y: NDArray) => f(y), [x], [1])[1])(asArray(1)),
    ]) {
      expect(forward).toThrow(/forward-mode/);
    }
  });
  test("customVjp rules are themselves differentiated", () => {
    const f = customVjp((x: NDArray) => lax.integerPow(x, 3));
    f.defvjp(
      (x) => [f(x), x],
      (x, ct) => [lax.mul(ct, lax.mul(lax.square(x as NDArray), 3))],
    );
    expect(grad(grad((x: NDArray) => f(x)))(2).itemSync()).toBe(12);
  });
  test("rules may close over arrays, also inside jitted loops", () => {
    const factor = a([1, 2, 3]);
    const f = customJvp((x: NDArray) => lax.sin(x));
    f.defjvp(([x], [dx]) => [f(x), lax.mul(dx, lax.reduceSum(factor))]);
    const g = customVjp((x: NDArray) => lax.sin(x));
    g.defvjp(
      (x) => [g(x), null],
      (_r, ct) => [lax.mul(ct, lax.reduceSum(factor))],
    );
    for (const h of [f, g]) {
      const loop = (x: NDArray): NDArray => lax.scan((c: NDArray, _: null) => [h(c), null], x, null, { length: 2 })[0];
      expect(jit(grad(loop))(1).itemSync()).toBe(36);
      expect(
        grad((x: NDArray) =>
          lax.cond(
            lax.gt(x, 0),
            (y: NDArray) => h(y),
            (y: NDArray) => y,
            x,
          ),
        )(1).itemSync(),
      ).toBe(6);
      expect(grad(checkpoint((x: NDArray) => h(x)))(1).itemSync()).toBe(6);
    }
  });
});

test("jaxprs print as JAX prints them", () => {
  expect(
    printJaxpr(
      stage(
        grad((x: NDArray) => lax.mul(lax.sin(x), x)),
        f32(),
      ),
    ),
  ).toMatchInlineSnapshot(`
    "{ lambda ; a:float32[]. let
        b:float32[] = sin a
        c:float32[] = cos a
        d:float32[] = mul b a
        e:float32[] = mul b 1.0:float32[]
        f:float32[] = mul 1.0:float32[] a
        g:float32[] = mul f c
        h:float32[] = add e g
      in (h,) }"
  `);
});
