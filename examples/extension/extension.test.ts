import { cpu } from "@traceform/backend-cpu";
import { DTypeError, type NDArray, RuleError, setDefaultBackend, ShapeError } from "@traceform/core";
import { checkGrads, grad, linearTranspose } from "@traceform/grad";
import { jit, ShapeDtypeStruct } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { add, array, dot, exp, mean, multiply, sin, square, subtract, sum, tanh } from "@traceform/numpy";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { circularConvolve } from "./convolve.ts";
import { countFlops } from "./flops.ts";
import { inverse, inverseRules } from "./inverse.ts";
import { Module } from "./module.ts";

setDefaultBackend(cpu());

const x = array([1, 2, 3, 4]);
const k = array([1, 0.5, 0, -1]);

/** The definition, in numbers. */
function direct(a: readonly number[], b: readonly number[]): number[] {
  const n = a.length;
  return a.map((_, i) => b.reduce((s, v, j) => s + v * a[(i - j + n) % n], 0));
}
function close(got: NDArray, expected: readonly number[]): void {
  const values = Array.from(got.dataSync(), Number);
  expect(values).toHaveLength(expected.length);
  values.forEach((v, i) => expect(v).toBeCloseTo(expected[i], 4));
}

describe("a primitive", () => {
  const xs = x.jsSync() as number[];
  const ks = k.jsSync() as number[];
  test("computes, alone and compiled", () => {
    close(circularConvolve(x, k), direct(xs, ks));
    close(jit(circularConvolve)(x, k), direct(xs, ks));
  });
  test("is differentiated in both modes, to second order", () => {
    checkGrads((a: NDArray, b: NDArray) => circularConvolve(multiply(a, a), b), [x, k], { order: 2 });
  });
  test("is transposed: <A x, y> is <x, At y>", () => {
    const [back] = linearTranspose((a: NDArray) => circularConvolve(a, k), x)(k);
    expect(dot(circularConvolve(x, k), k).itemSync()).toBeCloseTo(Number(dot(x, back).itemSync()), 4);
  });
  test("is vectorised along any axis, over one operand or both", () => {
    const rows = array([
      [1, 2, 3, 4],
      [0, 1, 0, -1],
    ]);
    const expected = (rows.jsSync() as number[][]).flatMap((row) => direct(row, ks));
    close(vmap(circularConvolve, { inAxes: [0, null] })(rows, k), expected);
    close(vmap(circularConvolve, { inAxes: [1, null] })(lax.transpose(rows, [1, 0]), k), expected);
    close(
      jit(vmap(circularConvolve))(rows, rows),
      (rows.jsSync() as number[][]).flatMap((row) => direct(row, row)),
    );
    const whole = grad((a: NDArray) => sum(square(vmap(circularConvolve, { inAxes: [0, null] })(a, k))))(rows);
    close(vmap(grad((a: NDArray) => sum(square(circularConvolve(a, k)))))(rows), Array.from(whole.dataSync(), Number));
  });
  test("works in loops", () => {
    const twice = lax.scan((c: NDArray, _: null) => [circularConvolve(c, k), null], x, null, { length: 2 })[0];
    close(twice, direct(direct(xs, ks), ks));
  });
  test("refuses what does not fit, when it is traced", () => {
    expect(() => circularConvolve(x, array([1, 2]))).toThrow(ShapeError);
    expect(() => jit(circularConvolve)(x, lax.convertElementType(k, "int32"))).toThrow(DTypeError);
  });
});

describe("an interpreter that counts", () => {
  const f32 = (...shape: number[]): ShapeDtypeStruct => new ShapeDtypeStruct(shape, "float32");
  test("products, elementwise functions and sums", () => {
    expect(countFlops((a: NDArray, b: NDArray) => dot(a, b))(f32(10, 20), f32(20, 30))).toBe(2 * 10 * 20 * 30);
    expect(countFlops((a: NDArray) => sum(exp(a)))(f32(100))).toBe(100 + 99);
  });
  test("loops and branches, and what transformations make", () => {
    const loop = (a: NDArray): NDArray => lax.scan((c: NDArray, _: null) => [lax.sin(c), null], a, null, { length: 7 })[0];
    expect(countFlops(loop)(f32(5))).toBe(35);
    expect(countFlops(vmap(loop))(f32(3, 5))).toBe(105);
    const branch = (a: NDArray): NDArray =>
      lax.cond(
        lax.gt(a, 0),
        (b: NDArray) => lax.sin(lax.sin(b)),
        (b: NDArray) => b,
        a,
      );
    // The comparison, the conversion of the predicate, and the longer branch.
    expect(countFlops(branch)(f32())).toBe(1 + 1 + 2);
    expect(countFlops(jit((a: NDArray) => lax.sin(a)))(f32(4))).toBe(4);
  });
});

describe("an interpreter that inverts", () => {
  const f = (a: NDArray): NDArray => lax.exp(lax.neg(lax.div(lax.add(lax.tanh(lax.mul(a, 0.5)), 3), 2)));
  test("gives back the argument", () => {
    close(inverse(f)(f(x)), [1, 2, 3, 4]);
    close(inverse((a) => lax.sub(5, a))(x), [4, 3, 2, 1]);
  });
  test("composes with the other transformations", () => {
    const g = inverse((a) => lax.exp(lax.mul(a, 2)));
    close(
      jit(g)(x),
      [1, 2, 3, 4].map((v) => Math.log(v) / 2),
    );
    close(
      vmap(grad(g))(x),
      [1, 2, 3, 4].map((v) => 1 / (2 * v)),
    );
    close(inverse(inverse((a) => lax.exp(a)))(x), [1, 2, 3, 4].map(Math.exp));
  });
  test("names what it cannot solve, and takes more rules", () => {
    expect(() => inverse((a) => lax.sin(a))(x)).toThrow(RuleError);
    expect(() => inverse((a) => lax.mul(a, a))(x)).toThrow(/cannot solve mul/);
    close(inverse((a) => lax.sinh(a), { ...inverseRules, sinh: (v) => lax.asinh(v) })(lax.sinh(x)), [1, 2, 3, 4]);
  });
});

class Linear extends Module {
  readonly w: NDArray;
  readonly b: NDArray;
  constructor(w: NDArray, b: NDArray) {
    super();
    this.w = w;
    this.b = b;
  }
  apply(v: NDArray): NDArray {
    return add(dot(v, this.w), this.b);
  }
}
class Mlp extends Module {
  readonly layers: readonly Linear[];
  readonly activation: (v: NDArray) => NDArray;
  readonly name: string;
  constructor(layers: readonly Linear[], activation: (v: NDArray) => NDArray, name: string) {
    super();
    this.layers = layers;
    this.activation = activation;
    this.name = name;
  }
  apply(v: NDArray): NDArray {
    const last = this.layers.length - 1;
    return this.layers.reduce((h, layer, i) => (i < last ? this.activation(layer.apply(h)) : layer.apply(h)), v);
  }
}

describe("modules that are pytrees", () => {
  const wave = (rows: number, cols: number): NDArray =>
    array(Array.from({ length: rows }, (_, i) => Array.from({ length: cols }, (_, j) => Math.sin(1 + i * cols + j))));
  const model = new Mlp(
    [new Linear(wave(1, 8), array(new Array<number>(8).fill(0))), new Linear(wave(8, 1), array([0]))],
    tanh,
    "mlp",
  );
  const inputs = array([[-1], [-0.5], [0], [0.5], [1]]);
  const targets = sin(multiply(inputs, 2));
  const loss = (m: Mlp, v: NDArray, t: NDArray): NDArray => mean(square(subtract(m.apply(v), t)));

  test("a gradient of a model is a model, with its methods and its other fields", () => {
    const g: Mlp = grad(loss)(model, inputs, targets);
    expect(g).toBeInstanceOf(Mlp);
    expect([g.name, g.activation]).toEqual(["mlp", tanh]);
    expect(g.layers[0].w.shape).toEqual([1, 8]);
    expect(g.apply(inputs).shape).toEqual([5, 1]);
  });
  test("training lowers the loss, in one compiled step", () => {
    const step = jit((m: Mlp): Mlp => {
      const g = grad(loss)(m, inputs, targets);
      const moved = m.layers.map((layer, i) =>
        layer.replace({
          w: subtract(layer.w, multiply(g.layers[i].w, 0.2)),
          b: subtract(layer.b, multiply(g.layers[i].b, 0.2)),
        }),
      );
      return m.replace({ layers: moved });
    });
    let trained = model;
    for (let i = 0; i < 400; i++) trained = step(trained);
    expect(loss(trained, inputs, targets).itemSync()).toBeLessThan(Number(loss(model, inputs, targets).itemSync()) / 50);
    expect(trained.name).toBe("mlp");
    expect(step(trained)).toBeInstanceOf(Mlp);
  });
  test("an ensemble is vmap over models", () => {
    const two = vmap((s: NDArray) => model.layers[0].replace({ w: multiply(model.layers[0].w, s) }))(array([1, 2]));
    expect(two.w.shape).toEqual([2, 1, 8]);
    expect(vmap((layer: Linear) => layer.apply(inputs))(two).shape).toEqual([2, 5, 8]);
  });
});
