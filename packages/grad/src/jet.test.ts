import { definePrimitive, bind1, fromTyped, isFloat, type NDArray, setDefaultBackend, jvpRule } from "@traceform/core";
import { jit, makeJaxpr } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { corpus } from "@traceform/testing/corpus";
import { close, numbers } from "@traceform/testing/derivatives";
import { applyCase, makeOperand, mulberry32, primitiveCases } from "@traceform/testing/primitivecases";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { grad, jvp } from "./index.ts";
import { jet, type JetRule, jetRule, jetRules } from "./jet.ts";

setDefaultBackend(referenceBackend());

const random = mulberry32(77);
const vector = (...xs: number[]): NDArray => fromTyped(Float64Array.from(xs), [xs.length], "float64");
const scalar = (x: number): NDArray => fromTyped(Float64Array.of(x), [], "float64");
const direction = (shape: readonly number[]): NDArray =>
  fromTyped(
    Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random() * 2 - 1),
    shape,
    "float64",
  );
type Fn = (...xs: NDArray[]) => NDArray[];

/** Derivatives of f along the path by forward mode of forward mode. */
function nested(f: Fn, primals: readonly NDArray[], series: readonly (readonly NDArray[])[]): NDArray[][] {
  const order = series[0].length;
  const path = (t: NDArray): NDArray[] =>
    f(
      ...primals.map((x, i) => {
        let factorial = 1;
        return series[i].reduce((sum: NDArray, d, k) => {
          factorial *= k + 1;
          return lax.add(sum, lax.mul(d, lax.div(lax.integerPow(t, k + 1), factorial)));
        }, x);
      }),
    );
  let g = path;
  const all = [g(scalar(0))];
  for (let k = 1; k <= order; k++) {
    const before = g;
    g = (t) => jvp((s: NDArray) => before(s), [t], [scalar(1)])[1];
    all.push(g(scalar(0)));
  }
  return all;
}

/** Both ways agree, for every order. */
function compare(f: Fn, primals: readonly NDArray[], order: number, tolerance = 1e-8, run: Fn = f): void {
  const series = primals.map((x) => Array.from({ length: order }, () => direction(x.shape)));
  const [out, terms] = jet(run, [...primals], series as never);
  const want = nested(f, primals, series);
  [out, ...terms].forEach((ys, k) =>
    ys.forEach((y, i) => {
      expect(y.shape).toEqual(want[k][i].shape);
      expect(close(numbers(y), numbers(want[k][i]), tolerance), `order ${k}: ${numbers(y)} against ${numbers(want[k][i])}`).toBe(
        true,
      );
    }),
  );
}

describe("every primitive agrees with nested jvp to third order", () => {
  const cases = primitiveCases().filter((c) => c.diff.length > 0);
  test.each(cases.map((c) => [c.name, c] as const))("%s", (_name, c) => {
    const args = c.operands.map((o) => makeOperand(o, random));
    const apply = applyCase(c);
    const f: Fn = (...xs) => {
      const all = [...args];
      c.diff.forEach((p, k) => (all[p] = xs[k]));
      return apply(...all).filter((y) => isFloat(y.dtype));
    };
    compare(
      f,
      c.diff.map((i) => args[i]),
      3,
    );
  });

  test("elementwise functions and contractions have rules of their own", () => {
    const own = new Set(jetRules.primitives().map((p) => p.name));
    const floats = cases.filter((c) =>
      applyCase(c)(...c.operands.map((o) => makeOperand(o, random))).some((y) => isFloat(y.dtype)),
    );
    const without = new Set(floats.map((c) => c.primitive.name).filter((name) => !own.has(name)));
    // Decompositions, sorts, products of many, and special functions of several arguments.
    const nestedOnly = [
      "bessel_i0e",
      "bessel_i1e",
      "cholesky",
      "cumlogsumexp",
      "cummax",
      "cummin",
      "cumprod",
      "eigh",
      "igamma",
      "igammac",
      "lu",
      "polygamma",
      "qr",
      "reduce",
      "reduce_prod",
      "reduce_window",
      "reduce_window_max",
      "reduce_window_min",
      "regularized_incomplete_beta",
      "scatter-max",
      "scatter-min",
      "scatter-mul",
      "select_and_gather_add",
      "select_and_scatter_add",
      "sort",
      "svd",
      "top_k",
      "triangular_solve",
      "zeta",
    ];
    expect([...without].sort()).toEqual(nestedOnly);
  });
});

describe("the corpus", () => {
  const x = (): NDArray => vector(0.4, -0.3, 0.7);
  const functions = corpus().filter((c) => !c.name.startsWith("custom"));
  test.each(functions.map((c) => [c.name, c.fn] as const))("%s agrees with nested jvp", (_name, fn) => {
    compare((v) => [fn(v)], [x()], 3, 1e-7);
  });
  test.each(functions.map((c) => [c.name, c.fn] as const))("%s: jet of jit, jit of jet, and vmap of jet", (_name, fn) => {
    compare((v) => [fn(v)], [x()], 2, 1e-7, jit((v: NDArray) => [fn(v)]) as Fn);
    const series = [[vector(1, -1, 0.5), vector(0.3, 0.2, -0.1)]] as const;
    const second = (v: NDArray): NDArray => jet(fn, [v], series as never)[1][1];
    const want = numbers(second(x()));
    expect(close(numbers(jit(second)(x())), want, 1e-10)).toBe(true);
    const both = lax.concatenate([lax.reshape(x(), [1, 3]), lax.reshape(lax.mul(x(), 0.5), [1, 3])], 0);
    const each = numbers(vmap(second)(both));
    expect(close(each, [...want, ...numbers(second(lax.mul(x(), 0.5)))], 1e-10)).toBe(true);
  });
});

describe("closed forms", () => {
  const coefficients = (f: (x: NDArray) => NDArray, at: number, order: number): number[] => {
    const [y, terms] = jet(f, [scalar(at)], [[scalar(1), ...new Array<null>(order - 1).fill(null)]] as never, {
      factorialScaled: false,
    });
    return [y, ...terms].map((t) => Number(t.itemSync()));
  };
  const n = 12;
  const range = (f: (k: number) => number): number[] => Array.from({ length: n + 1 }, (_, k) => f(k));
  const factorial = (k: number): number => (k < 2 ? 1 : k * factorial(k - 1));
  const one = (k: number): number => (k === 0 ? 1 : 0);

  test.each([
    ["exp", lax.exp, 0, range((k) => 1 / factorial(k))],
    ["log(1+x)", lax.log1p, 0, range((k) => (k === 0 ? 0 : (-1) ** (k + 1) / k))],
    ["sin", lax.sin, 0, range((k) => (k % 2 === 0 ? 0 : (-1) ** ((k - 1) / 2) / factorial(k)))],
    ["cosh", lax.cosh, 0, range((k) => (k % 2 === 1 ? 0 : 1 / factorial(k)))],
    ["1/(1-x)", (x: NDArray) => lax.div(1, lax.sub(1, x)), 0, range(() => 1)],
    ["sqrt(1+x)", (x: NDArray) => lax.sqrt(lax.add(x, 1)), 0, range((k) => binomial(0.5, k))],
    ["atan", lax.atan, 0, range((k) => (k % 2 === 0 ? 0 : (-1) ** ((k - 1) / 2) / k))],
    ["atanh", lax.atanh, 0, range((k) => (k % 2 === 0 ? 0 : 1 / k))],
    // Bernoulli's numbers: 1, 1/3, 2/15, 17/315, 62/2835
    ["tan", lax.tan, 0, [0, 1, 0, 1 / 3, 0, 2 / 15, 0, 17 / 315, 0, 62 / 2835, 0, 1382 / 155925, 0]],
    ["tanh", lax.tanh, 0, [0, 1, 0, -1 / 3, 0, 2 / 15, 0, -17 / 315, 0, 62 / 2835, 0, -1382 / 155925, 0]],
    ["asin", lax.asin, 0, [0, 1, 0, 1 / 6, 0, 3 / 40, 0, 15 / 336, 0, 105 / 3456, 0, 945 / 42240, 0]],
    [
      "erf",
      lax.erf,
      0,
      range((k) => (k % 2 === 0 ? 0 : ((2 / Math.sqrt(Math.PI)) * (-1) ** ((k - 1) / 2)) / (factorial((k - 1) / 2) * k))),
    ],
    ["a polynomial", (x: NDArray) => lax.integerPow(x, 3), 2, [8, 12, 6, 1, ...new Array<number>(n - 3).fill(0)]],
    ["a polynomial at zero", (x: NDArray) => lax.integerPow(x, 5), 0, range((k) => one(k - 5))],
    ["x^-2", (x: NDArray) => lax.integerPow(x, -2), 1, range((k) => (-1) ** k * (k + 1))],
    ["x^2.5", (x: NDArray) => lax.pow(x, 2.5), 1, range((k) => binomial(2.5, k))],
    [
      "x^x",
      (x: NDArray) => lax.log(lax.pow(x, x)),
      1,
      [
        0,
        1,
        0.5,
        ...range((k) => (-1) ** (k + 1) / ((k + 2) * (k + 3)))
          .slice(0, n - 2)
          .map((v) => v),
      ],
    ],
  ] as const)("%s", (_name, f, at, want) => {
    const got = coefficients(f as (x: NDArray) => NDArray, at, n);
    expect(close(got, want.slice(0, n + 1), 1e-12), `${got} against ${want}`).toBe(true);
  });

  function binomial(r: number, k: number): number {
    return k === 0 ? 1 : (binomial(r, k - 1) * (r - k + 1)) / k;
  }

  test("log gamma at one: Euler's constant and the zeta function", () => {
    const zeta = [0, 0, Math.PI ** 2 / 6, 1.2020569031595942, Math.PI ** 4 / 90, 1.03692775514337];
    const got = coefficients(lax.lgamma, 1, 5);
    const want = [0, -0.5772156649015329, ...[2, 3, 4, 5].map((k) => ((-1) ** k * zeta[k]) / k)];
    expect(close(got, want, 1e-10), `${got} against ${want}`).toBe(true);
  });

  test("the example of JAX's documentation: sin along z³", () => {
    const [h0, h1, h2] = [0.5 ** 3, 3 * 0.5 ** 2, 6 * 0.5];
    const [f0, [f1, f2]] = jet((y: NDArray) => lax.sin(y), [scalar(h0)], [[scalar(h1), scalar(h2)]]);
    expect(Number(f0.itemSync())).toBeCloseTo(0.12467473338522769, 12);
    expect(Number(f1.itemSync())).toBeCloseTo(Math.cos(h0) * h1, 12);
    expect(Number(f2.itemSync())).toBeCloseTo(-Math.sin(h0) * h1 ** 2 + Math.cos(h0) * h2, 12);
  });

  test("a differential equation by its own Taylor series", () => {
    // y' = y² with y(0) = 1 is 1 / (1 - t): each order follows from those before.
    let series: NDArray[] = [];
    for (let k = 0; k < 6; k++) {
      const [first, terms] = jet((y: NDArray) => lax.square(y), [scalar(1)], [series]);
      series = [first, ...terms];
    }
    expect(
      close(
        series.map((c) => Number(c.itemSync())),
        [1, 2, 6, 24, 120, 720],
        1e-12,
      ),
    ).toBe(true);
  });
});

describe("the interface", () => {
  test("pytrees of arguments and results, null terms, numbers and integers", () => {
    const f = ({ a, b }: { a: NDArray; b: NDArray }, n: NDArray): { y: NDArray; z: readonly [NDArray, NDArray] } => ({
      y: lax.mul(a, b),
      z: [n, lax.mul(b, 2)],
    });
    const n = fromTyped(Int32Array.of(3), [1], "int32");
    const [out, [d1, d2]] = jet(
      f,
      [{ a: vector(2), b: vector(5) }, n],
      [
        [{ a: vector(1), b: vector(1) }, null],
        [null, null],
      ],
    );
    expect(out.y.jsSync()).toEqual([10]);
    expect([d1.y.jsSync(), d2.y.jsSync()]).toEqual([[7], [2]]);
    expect([d1.z[1].jsSync(), d2.z[1].jsSync()]).toEqual([[2], [0]]);
    expect(typeof d1.z[0].dtype).toBe("object");
  });

  test("complex magnitudes", () => {
    const z = fromTyped(Float64Array.of(0.3, -0.4), [1], "complex128");
    const d = fromTyped(Float64Array.of(1, 2), [1], "complex128");
    const [y, [d1, d2]] = jet((v: NDArray) => lax.abs(v), [z], [[d, null]]);
    // |z + t d|² = 0.25 + 2 t Re(z̄ d) + t² |d|²
    const [b, c] = [-0.5, 5];
    expect(close([...numbers(y), ...numbers(d1), ...numbers(d2)], [0.5, b / 0.5, (c - (b / 0.5) ** 2) / 0.5], 1e-12)).toBe(true);
  });

  test("loops and branches stay what they are, and a jitted function is one jitted function", () => {
    const names = (fn: (x: NDArray) => NDArray): string[] =>
      makeJaxpr((x: NDArray) => jet(fn, [x], [[x, x]])[1])(vector(0.5)).jaxpr.eqns.map((e) => e.primitive.name);
    const scan = (x: NDArray): NDArray =>
      lax.scan((c: NDArray, _: null) => [lax.sin(lax.mul(c, x)), null], x, null, { length: 50 })[0];
    expect(names(scan).filter((n) => n === "scan")).toEqual(["scan"]);
    expect(names(jit(scan)).filter((n) => n === "jit")).toEqual(["jit"]);
    const loop = (x: NDArray): NDArray =>
      lax.whileLoop(
        (c: NDArray) => lax.lt(lax.reduceSum(c), 9),
        (c: NDArray) => lax.mul(c, lax.add(c, 1.5)),
        x,
      );
    expect(names(loop)).toContain("while");
    compare((v) => [loop(v)], [vector(0.7)], 4);
  });

  test("the price grows with the square of the order, not with its exponential", () => {
    const f = (x: NDArray): NDArray => lax.exp(lax.sin(lax.mul(x, lax.tanh(x))));
    const count = (order: number): number =>
      makeJaxpr((x: NDArray) => jet(f, [x], [new Array<NDArray>(order).fill(x)])[1])(vector(0.5)).jaxpr.eqns.length;
    expect(count(16)).toBeLessThan(5 * count(8));
  });

  test("customJvp functions are expanded, not linearised", () => {
    const f = lax.customJvp((x: NDArray) => lax.sin(x));
    f.defjvp(([x], [dx]) => [f(x), lax.mul(dx, 100)]);
    const [, [, second]] = jet(f, [vector(0.5)], [[vector(1), null]]);
    expect(second.jsSync()).toEqual([-Math.sin(0.5)]);
  });

  test("derivatives of jet are derivatives of derivatives", () => {
    const second = (x: NDArray): NDArray => lax.reduceSum(jet((v: NDArray) => lax.sin(v), [x], [[vector(1), null]])[1][1]);
    expect(grad(second)(vector(0.5)).jsSync()).toEqual([expect.closeTo(-Math.cos(0.5), 12)]);
    const [, [d1]] = jet(
      grad((x: NDArray) => lax.reduceSum(lax.sin(x))),
      [vector(0.5)],
      [[vector(1)]],
    );
    expect(d1.jsSync()).toEqual([expect.closeTo(-Math.sin(0.5), 12)]);
  });

  test("a primitive may bring its rule; without one it is differentiated order by order", () => {
    const rule: JetRule = ([x]) => [[lax.mul(x[0]!, 2), ...x.slice(1).map((c) => (c === null ? null : lax.mul(c, 3)))]];
    const withRule = definePrimitive("twice", { abstractEval: ([x]) => [x], rules: { [jetRule]: rule } });
    expect(jet((x: NDArray) => bind1(withRule, [x], {}), [vector(1)], [[vector(1)]])[1][0].jsSync()).toEqual([3]);
    const withJvp = definePrimitive("cube", {
      abstractEval: ([x]) => [x],
      rules: { [jvpRule]: ([x]: NDArray[], [dx]: NDArray[]) => [[lax.integerPow(x, 3)], [lax.mul(lax.mul(lax.square(x), 3), dx)]] },
    });
    const terms = jet((x: NDArray) => bind1(withJvp, [x], {}), [vector(2)], [[vector(1), null, null, null]])[1];
    expect(terms.map((t) => t.jsSync())).toEqual([[12], [12], [6], [0]]);
  });

  test("misuse", () => {
    const f = (x: NDArray, y: NDArray): NDArray => lax.mul(x, y);
    expect(() => jet(f, [vector(1), vector(1)], [[vector(1)], []])).toThrow(/as many terms for each of 2 arguments/);
    expect(() => jet(f, [vector(1), vector(1)], [[vector(1, 2)], [vector(1)]])).toThrow(/must have the shape of its value/);
    expect(jet(f, [vector(2), vector(3)], [[], []])).toEqual([expect.anything(), []]);
  });
});
