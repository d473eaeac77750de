import {
  asArray,
  definePrimitive,
  DTypeError,
  fromTyped,
  jvpRule,
  makeAval,
  type NDArray,
  printJaxpr,
  RuleError,
  scalar,
  setDefaultBackend,
  ShapeError,
  TracerError,
  traceToJaxpr,
  TransformError,
  transposeRule,
  TreeError,
  bind1,
  float0,
  checkJaxpr,
  registerPytreeNode,
} from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { beforeAll, describe, expect, test } from "vitest";
import {
  grad,
  hessian,
  jacfwd,
  jacrev,
  jvp,
  linearize,
  linearTranspose,
  stopGradient,
  valueAndGrad,
  vjp,
  vjpWithAux,
} from "./index.ts";

beforeAll(() => {
  setDefaultBackend(referenceBackend());
});

const a = (x: readonly number[] | readonly (readonly number[])[]): NDArray => asArray(x as never);
const js = (x: NDArray): unknown => x.jsSync();
const sin = (x: NDArray): NDArray => lax.sin(x);

function caught(fn: () => unknown): Error {
  try {
    fn();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}

describe("grad", () => {
  test("number arguments work and give arrays", () => {
    expect(grad((x: NDArray) => lax.mul(x, x))(3).itemSync()).toBe(6);
    expect(grad(sin)(0).dtype).toBe("float32");
  });
  test("the gradient has the structure of the argument", () => {
    const params = {
      w: a([
        [1, 2],
        [3, 4],
      ]),
      b: [a([1, 2]), null] as const,
      s: 2,
    };
    const loss = (p: typeof params, x: NDArray): NDArray => lax.mul(lax.reduceSum(lax.add(lax.dot(p.w, x), p.b[0])), p.s);
    const g = grad(loss)(params, a([5, 6]));
    expect(js(g.w)).toEqual([
      [10, 12],
      [10, 12],
    ]);
    expect(js(g.b[0])).toEqual([2, 2]);
    expect(g.b[1]).toBe(null);
    expect((g.s as unknown as NDArray).itemSync()).toBe(17 + 1 + 39 + 2);
  });
  test("argnums: one, several, negative", () => {
    const f = (x: NDArray, y: NDArray, z: NDArray): NDArray => lax.add(lax.mul(x, y), lax.mul(z, 5));
    expect(grad(f, { argnums: 1 })(2, 3, 4).itemSync()).toBe(2);
    expect(grad(f, { argnums: [2, 0] })(2, 3, 4).map((g) => g.itemSync())).toEqual([5, 3]);
    expect(grad(f, { argnums: -1 })(2, 3, 4).itemSync()).toBe(5);
  });
  test("hasAux passes anything through, without tracers", () => {
    const [g, aux] = grad((x: NDArray) => [lax.mul(x, x), { twice: lax.mul(x, 2), label: "seen" }] as const, { hasAux: true })(3);
    expect(g.itemSync()).toBe(6);
    expect(aux.label).toBe("seen");
    expect(aux.twice.itemSync()).toBe(6);
    const [[value, extra], gradient] = valueAndGrad((x: NDArray) => [lax.mul(x, x), lax.sin(x)] as const, { hasAux: true })(3);
    expect([value.itemSync(), gradient.itemSync()]).toEqual([9, 6]);
    expect(extra.itemSync()).toBeCloseTo(Math.sin(3), 6);
  });
  test("arguments that are not differentiated may be anything", () => {
    const f = (x: NDArray, power: { readonly name: string; readonly n: number }): NDArray => lax.integerPow(x, power.n);
    expect(grad(f)(2, { name: "cube", n: 3 }).itemSync()).toBe(12);
  });
  test("values can be read while differentiating eagerly", () => {
    const relu = (x: NDArray): NDArray => ((x.itemSync() as number) > 0 ? lax.mul(x, 3) : lax.mul(x, 0));
    expect(grad(relu)(2).itemSync()).toBe(3);
    expect(grad(relu)(-2).itemSync()).toBe(0);
    expect(grad(grad((x: NDArray) => ((x.itemSync() as number) > 0 ? lax.mul(lax.mul(x, x), x) : x)))(2).itemSync()).toBe(12);
  });
  test("an argument that is not used has a gradient of zeros", () => {
    const g = grad((p: { used: NDArray; unused: NDArray }) => lax.reduceSum(p.used))({ used: a([1, 2]), unused: a([[1], [2]]) });
    expect(js(g.unused)).toEqual([[0], [0]]);
  });
  test("derivatives where they do not exist: JAX's choices, and 0 for abs", () => {
    expect(grad((x: NDArray) => lax.abs(x))(0).itemSync()).toBe(0);
    expect(grad((x: NDArray) => lax.max(x, 0))(0).itemSync()).toBe(0.5);
    expect(grad((x: NDArray) => lax.sqrt(x))(0).itemSync()).toBe(Infinity);
    expect(js(grad((x: NDArray) => lax.reduceMax(x))(a([2, 2, 1])))).toEqual([0.5, 0.5, 0]);
  });
  test("stopGradient", () => {
    expect(grad((x: NDArray) => lax.mul(x, stopGradient(x)))(3).itemSync()).toBe(3);
  });
  test("third derivatives", () => {
    const f = (x: NDArray): NDArray => lax.integerPow(x, 4);
    expect(grad(grad(grad(f)))(2).itemSync()).toBe(48);
  });
  test("perturbations of nested derivatives are not confused", () => {
    // d/dx (x * d/dy (x + y)) = 1, not 2.
    const f = (x: NDArray): NDArray => lax.mul(x, grad((y: NDArray) => lax.add(x, y))(1));
    expect(grad(f)(1).itemSync()).toBe(1);
    expect(jvp((x: NDArray) => lax.mul(x, jvp((y: NDArray) => lax.add(x, y), [1], [1])[1]), [1], [1])[1].itemSync()).toBe(1);
  });
  test("complex inputs with a real result give the unconjugated gradient, as in JAX", () => {
    const z = fromTyped(Float32Array.of(1, 2), [], "complex64");
    const g = grad((x: NDArray) => lax.integerPow(lax.abs(x), 2))(z);
    expect((js(g) as number[]).map((v) => Math.round(v * 1e4) / 1e4)).toEqual([2, -4]);
    const h = grad((x: NDArray) => lax.mul(x, x), { holomorphic: true })(z);
    expect(js(h)).toEqual([2, 4]);
  });
  test("allowInt gives float0 gradients", () => {
    const g = grad((p: { w: NDArray; n: NDArray }) => lax.mul(lax.reduceSum(p.w), lax.convertElementType(p.n, "float32")), {
      allowInt: true,
    })({ w: a([1, 2]), n: scalar(3, "int32") });
    expect(js(g.w)).toEqual([3, 3]);
    expect(g.n.dtype).toBe(float0);
    expect(g.n.shape).toEqual([]);
  });
});

describe("errors of grad", () => {
  test("integer inputs", () => {
    const error = caught(() => grad((p: { n: NDArray }) => lax.convertElementType(p.n, "float32"))({ n: scalar(3, "int32") }));
    expect(error).toBeInstanceOf(DTypeError);
    expect(error.message).toContain("argument 0.n int32[]");
    expect(error.message).toContain("allowInt");
  });
  test("results that are no real scalars", () => {
    expect(caught(() => grad((x: NDArray) => x)(a([1, 2])))).toBeInstanceOf(ShapeError);
    expect(caught(() => grad((x: NDArray) => lax.gt(x, 0))(1))).toBeInstanceOf(DTypeError);
    expect(caught(() => grad((x: NDArray) => lax.complex(x, x))(1)).message).toContain("real scalar");
    const pair = caught(() => grad(((x: NDArray) => [x, x]) as unknown as (x: NDArray) => NDArray)(1));
    expect(pair).toBeInstanceOf(TransformError);
    expect(pair.message).toContain("hasAux");
  });
  test("async functions", () => {
    const error = caught(() => grad((async (x: NDArray) => x) as unknown as (x: NDArray) => NDArray)(1));
    expect(error).toBeInstanceOf(TransformError);
    expect(error.message).toContain("async");
  });
  test("leaves that are no arrays are named with their place", () => {
    class Box {}
    const error = caught(() => grad((p: { box: Box }) => scalar(Number(p.box instanceof Box), "float32"))({ box: new Box() }));
    expect(error).toBeInstanceOf(TreeError);
    expect(error.message).toContain(".box");
    expect(error.message).toContain("registerPytreeNode");
  });
  test("argnums without an argument", () => {
    expect(caught(() => grad((x: NDArray) => x, { argnums: 2 as 0 })(1)).message).toContain("argument 2");
    expect(caught(() => grad((x: NDArray, y: NDArray) => lax.mul(x, y), { argnums: [0, -2] })(1, 2)).message).toContain("twice");
  });
  test("a leaked tracer names the function that leaked it", () => {
    let kept: NDArray | undefined;
    grad(function loss(x: NDArray) {
      kept = x;
      return lax.mul(x, x);
    })(1);
    const error = caught(() => lax.add(kept!, 1));
    expect(error).toBeInstanceOf(TracerError);
    expect(error.message).toContain("grad(loss)");
  });
  test("a primitive without a rule says how to add one", () => {
    const odd = definePrimitive("odd", { abstractEval: ([x]) => [x] });
    const error = caught(() => traceToJaxpr((x) => [grad((y: NDArray) => bind1(odd, [y], {}))(x)], [makeAval([], "float32")], "f"));
    expect(error).toBeInstanceOf(RuleError);
    expect(error.message).toContain('"odd"');
    expect(error.message).toContain("jvpRule");
  });
  test("a throw inside leaves no trace behind", () => {
    expect(() =>
      grad((): NDArray => {
        throw new Error("mine");
      })(),
    ).toThrow();
    expect(() =>
      grad((_x: NDArray): NDArray => {
        throw new Error("mine");
      })(1),
    ).toThrow("mine");
    expect(grad(sin)(0).itemSync()).toBe(1);
  });
});

describe("jvp, vjp, linearize", () => {
  test("jvp of a tree of arguments and results", () => {
    const [out, dot] = jvp(
      (p: { x: NDArray }, y: NDArray) => ({ s: lax.add(p.x, y), m: [lax.mul(p.x, y)] }),
      [{ x: a([1, 2]) }, a([3, 4])],
      [{ x: a([1, 0]) }, a([0, 1])],
    );
    expect(js(out.m[0])).toEqual([3, 8]);
    expect(js(dot.s)).toEqual([1, 1]);
    expect(js(dot.m[0])).toEqual([3, 2]);
  });
  test("jvp checks its tangents", () => {
    expect(caught(() => jvp(sin, [a([1, 2])], [a([1])]))).toBeInstanceOf(ShapeError);
    expect(caught(() => jvp(sin, [a([1, 2])], [fromTyped(Float64Array.of(1, 2), [2], "float64")]))).toBeInstanceOf(DTypeError);
    expect(caught(() => jvp(sin, [1], []))).toBeInstanceOf(TreeError);
    expect(caught(() => jvp((n: NDArray) => lax.convertElementType(n, "float32"), [scalar(1, "int32")], [1])).message).toContain(
      "float0",
    );
  });
  test("integer results have float0 tangents", () => {
    const [, dot] = jvp((x: NDArray) => [x, lax.convertElementType(x, "int32")] as const, [a([1, 2])], [a([1, 1])]);
    expect(dot[1].dtype).toBe(float0);
    expect(dot[1].shape).toEqual([2]);
  });
  test("vjp of several arguments and results, cotangents of zero as null", () => {
    const [[s, m], pullback] = vjp((x: NDArray, y: NDArray) => [lax.add(x, y), lax.mul(x, y)] as const, a([1, 2]), a([3, 4]));
    expect([js(s), js(m)]).toEqual([
      [4, 6],
      [3, 8],
    ]);
    expect(pullback([a([1, 1]), a([1, 1])]).map(js)).toEqual([
      [4, 5],
      [2, 3],
    ]);
    expect(pullback([null as never, a([1, 1])]).map(js)).toEqual([
      [3, 4],
      [1, 2],
    ]);
  });
  test("vjpWithAux", () => {
    const [y, pullback, aux] = vjpWithAux((x: NDArray) => [lax.mul(x, x), lax.add(x, 1)] as const, 3);
    expect([y.itemSync(), aux.itemSync()]).toEqual([9, 4]);
    expect(pullback(1)[0].itemSync()).toBe(6);
  });
  test("linearize evaluates the function once", () => {
    let calls = 0;
    const [y, push] = linearize(
      (x: NDArray) => {
        calls++;
        return lax.mul(x, x);
      },
      a([1, 2]),
    );
    expect(js(y)).toEqual([1, 4]);
    expect(js(push(a([1, 0])))).toEqual([2, 0]);
    expect(js(push(a([0, 1])))).toEqual([0, 4]);
    expect(calls).toBe(1);
  });
  test("the derivative of a function that ignores its argument", () => {
    const [y, push] = linearize((_x: NDArray) => a([1, 2]), 1);
    expect(js(y)).toEqual([1, 2]);
    expect(js(push(1))).toEqual([0, 0]);
    expect(vjp((_x: NDArray) => a([1, 2]), 1)[1](a([1, 1]))[0].itemSync()).toBe(0);
  });
  test("linearTranspose needs types only, and a linear function", () => {
    const f = (x: NDArray): NDArray => lax.mul(lax.reduceSum(x), 2);
    const [t] = linearTranspose(f, { shape: [3], dtype: "float32" })(scalar(1, "float32"));
    expect(js(t)).toEqual([2, 2, 2]);
    expect(caught(() => linearTranspose((x: NDArray) => lax.mul(x, x), a([1]))(a([1]))).message).toContain("not linear");
    expect(caught(() => linearTranspose((x: NDArray) => lax.sin(x), a([1]))(a([1])))).toBeInstanceOf(RuleError);
    // A loop with a counter is split into the counting and the linear part.
    const looped = (x: NDArray): NDArray =>
      lax.foriLoop(0, 3, (i, v: NDArray) => lax.mul(v, lax.convertElementType(lax.add(i, 1), "float32")), x);
    expect(linearTranspose(looped, a([1]))(a([1])).map(js)).toEqual([[6]]);
  });
});

describe("Jacobians", () => {
  const f = (x: NDArray): NDArray => lax.concatenate([lax.mul(x, x), lax.expandDims(lax.reduceSum(x), [0])], 0);
  test("forward and reverse agree", () => {
    const expected = [
      [2, 0],
      [0, 4],
      [1, 1],
    ];
    expect(js(jacfwd(f)(a([1, 2])))).toEqual(expected);
    expect(js(jacrev(f)(a([1, 2])))).toEqual(expected);
    expect(js(jit(jacrev(f))(a([1, 2])))).toEqual(expected);
  });
  test("trees on both sides", () => {
    const g = (p: { x: NDArray; y: NDArray }): { s: NDArray; m: NDArray } => ({
      s: lax.reduceSum(lax.mul(p.x, p.y)),
      m: lax.mul(p.x, 2),
    });
    for (const jac of [jacfwd(g), jacrev(g)]) {
      const j = jac({ x: a([1, 2]), y: a([3, 4]) });
      expect(js(j.s.x)).toEqual([3, 4]);
      expect(js(j.s.y)).toEqual([1, 2]);
      expect(js(j.m.x)).toEqual([
        [2, 0],
        [0, 2],
      ]);
      expect(js(j.m.y)).toEqual([
        [0, 0],
        [0, 0],
      ]);
    }
  });
  test("argnums and aux", () => {
    const h = (x: NDArray, y: NDArray): readonly [NDArray, NDArray] => [lax.mul(x, y), lax.add(x, y)];
    const [[jx, jy], aux] = jacfwd(h, { argnums: [0, 1], hasAux: true })(a([1, 2]), a([3, 4]));
    expect([js(jx), js(jy), js(aux)]).toEqual([
      [
        [3, 0],
        [0, 4],
      ],
      [
        [1, 0],
        [0, 2],
      ],
      [4, 6],
    ]);
  });
  test("hessian of a quadratic form", () => {
    const q = a([
      [2, 1],
      [1, 4],
    ]);
    expect(js(hessian((x: NDArray) => lax.dot(x, lax.dot(q, x)))(a([1, 2])))).toEqual([
      [4, 2],
      [2, 8],
    ]);
  });
  test("complex values need holomorphic", () => {
    const z = fromTyped(Float32Array.of(1, 2), [1], "complex64");
    expect(caught(() => jacfwd((x: NDArray) => lax.mul(x, x))(z))).toBeInstanceOf(DTypeError);
    expect(js(jacfwd((x: NDArray) => lax.mul(x, x), { holomorphic: true })(z))).toEqual([[[2, 4]]]);
    expect(js(jacrev((x: NDArray) => lax.mul(x, x), { holomorphic: true })(z))).toEqual([[[2, 4]]]);
  });
});

describe("a library author's primitive", () => {
  const twice = definePrimitive("twice", {
    abstractEval: ([x]) => [x],
    rules: {
      [jvpRule]: ([x]: readonly NDArray[], [dx]: readonly NDArray[]) => [[apply(x)], [apply(dx)]],
      [transposeRule]: ([ct]: readonly NDArray[]) => [apply(ct)],
    },
  });
  const apply = (x: NDArray): NDArray => bind1(twice, [x], {});
  test("carries its rules", () => {
    const { jaxpr } = traceToJaxpr((x) => [grad((y: NDArray) => apply(lax.sin(y)))(x)], [makeAval([], "float32")], "f");
    checkJaxpr(jaxpr);
    expect(printJaxpr(jaxpr)).toContain("twice 1.0:float32[]");
  });
});

test("registered classes come back as themselves", () => {
  class Params {
    readonly w: NDArray;
    readonly label: string;
    constructor(w: NDArray, label: string) {
      this.w = w;
      this.label = label;
    }
  }
  registerPytreeNode(Params, {
    flatten: (p) => [[p.w], p.label],
    unflatten: (label: string, [w]) => new Params(w as NDArray, label),
  });
  const g = grad((p: Params) => lax.reduceSum(lax.mul(p.w, p.w)))(new Params(a([1, 2]), "layer"));
  expect(g).toBeInstanceOf(Params);
  expect(g.label).toBe("layer");
  expect(js(g.w)).toEqual([2, 4]);
});
