import { readFileSync } from "node:fs";
import {
  asArray,
  AxisError,
  fromTyped,
  type NDArray,
  printJaxpr,
  setDefaultBackend,
  ShapeError,
  traceToJaxpr,
  TransformError,
  makeAval,
  withAxis,
} from "@traceform/core";
import { grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { close, numbers } from "@traceform/testing/derivatives";
import { describe, expect, test } from "vitest";
import { vmap } from "./index.ts";

setDefaultBackend(referenceBackend());

interface Recorded {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
interface Case {
  readonly x: Recorded;
  readonly value: Recorded;
  readonly inner: Recorded | null;
  readonly outer: Recorded | null;
}
const goldens = JSON.parse(readFileSync(new URL("../../testing/goldens/collectives.json", import.meta.url), "utf8")) as Record<
  "one" | "two",
  Record<string, Case>
>;

type F = (x: NDArray) => NDArray;
const f64 = (shape: readonly number[], data: readonly number[]): NDArray => fromTyped(Float64Array.from(data), shape, "float64");
const vector = (...xs: number[]): NDArray => f64([xs.length], xs);
const at0 = (x: NDArray): NDArray => lax.indexInDim(x, 0, 0, false);
const square: F = (x) => lax.mul(x, x);
const float = (x: NDArray): NDArray => lax.convertElementType(x, "float64");
/** `x` times something that lacks its leading axes. */
const times = (x: NDArray, y: NDArray): NDArray =>
  lax.mul(
    x,
    lax.broadcastInDim(
      y,
      x.shape,
      y.shape.map((_, i) => x.ndim - y.ndim + i),
    ),
  );

/** The functions of `record_collectives.py`, by name. */
const functions: Record<"one" | "two", Record<string, F>> = {
  one: {
    psum: (x) => lax.psum(square(x), "i"),
    "psum used": (x) => lax.mul(lax.psum(lax.sin(x), "i"), x),
    "psum of a shared value": (x) => lax.mul(lax.psum(vector(1, 2), "i"), at0(x)),
    pmean: (x) => lax.mul(lax.pmean(square(x), "i"), x),
    pmax: (x) => lax.pmax(x, "i"),
    pmin: (x) => lax.pmin(x, "i"),
    axisIndex: (x) => lax.mul(x, float(lax.axisIndex("i"))),
    axisSize: (x) => lax.mul(x, lax.axisSize("i")),
    allGather: (x) => times(lax.allGather(square(x), "i"), x),
    "allGather axis 1": (x) => lax.allGather(square(x), "i", { axis: 1 }),
    "allGather axis -1": (x) => lax.allGather(square(x), "i", { axis: -1 }),
    "allGather tiled": (x) => lax.allGather(square(x), "i", { tiled: true }),
    "allGather tiled axis 1": (x) => lax.allGather(square(x), "i", { axis: 1, tiled: true }),
    "allGather of a shared value": (x) => lax.mul(lax.allGather(vector(5), "i"), at0(x)),
    psumScatter: (x) => lax.mul(lax.psumScatter(square(x), "i"), at0(x)),
    "psumScatter dimension 1": (x) => lax.psumScatter(square(x), "i", { scatterDimension: 1 }),
    "psumScatter tiled": (x) => lax.psumScatter(square(x), "i", { tiled: true }),
    "psumScatter tiled dimension 1": (x) => lax.psumScatter(square(x), "i", { scatterDimension: 1, tiled: true }),
    "allToAll 0 0": (x) => lax.allToAll(square(x), "i", 0, 0),
    "allToAll 0 1": (x) => lax.allToAll(square(x), "i", 0, 1),
    "allToAll 1 0": (x) => lax.allToAll(square(x), "i", 1, 0),
    "allToAll tiled 0 0": (x) => lax.allToAll(square(x), "i", 0, 0, { tiled: true }),
    "allToAll tiled 0 1": (x) => lax.allToAll(square(x), "i", 0, 1, { tiled: true }),
    "allToAll tiled 1 0": (x) => lax.allToAll(square(x), "i", 1, 0, { tiled: true }),
    ppermute: (x) =>
      lax.mul(
        lax.ppermute(square(x), "i", [
          [0, 1],
          [1, 2],
          [2, 0],
        ]),
        x,
      ),
    pshuffle: (x) => lax.mul(lax.pshuffle(square(x), "i", [2, 0, 1]), x),
    pswapaxes: (x) => lax.pswapaxes(square(x), "i", 1),
    "psum in scan": (x) =>
      lax.scan((c: NDArray, _: null) => [lax.add(c, lax.psum(lax.mul(x, c), "i")), null], x, null, { length: 2 })[0],
    "psum in while": (x) =>
      lax.whileLoop(
        (c: NDArray) => lax.lt(c, 20),
        (c) => lax.add(c, lax.psum(c, "i")),
        lax.add(x, 2),
      ),
    "psum in the condition of while": (x) =>
      lax.whileLoop(
        (c: NDArray) => lax.lt(lax.psum(c, "i"), 20),
        (c) => lax.mul(c, 2),
        lax.add(x, 2),
      ),
    "psum in a branch": (x) =>
      lax.cond(
        lax.gt(x, 0.5),
        (c: NDArray) => lax.psum(c, "i"),
        (c: NDArray) => c,
        x,
      ),
    "psum in jit": (x) => jit((y: NDArray) => lax.mul(lax.psum(square(y), "i"), y))(x),
  },
  two: {
    "psum over both": (x) => lax.psum(square(x), ["i", "j"]),
    "psum over the outer": (x) => lax.psum(square(x), "i"),
    "psum over the inner": (x) => lax.psum(square(x), "j"),
    "axisIndex of both": (x) => lax.mul(x, float(lax.axisIndex(["i", "j"]))),
    "axisIndex of both, reversed": (x) => lax.mul(x, float(lax.axisIndex(["j", "i"]))),
    "allGather over the outer": (x) => lax.allGather(square(x), "i", { axis: 1 }),
    "allGather one after the other": (x) => lax.allGather(lax.allGather(square(x), "j"), "i"),
    "psumScatter over the outer": (x) => lax.psumScatter(square(x), "i"),
    "allToAll over the outer": (x) => lax.allToAll(square(x), "i", 0, 1),
    "ppermute over the outer": (x) =>
      lax.ppermute(square(x), "i", [
        [0, 1],
        [1, 0],
      ]),
  },
};

const nested: Record<"one" | "two", (f: F) => F> = {
  one: (f) => vmap(f, { axisName: "i" }),
  two: (f) => vmap(vmap(f, { axisName: "j" }), { axisName: "i" }),
};

function weigh(y: NDArray): NDArray {
  const weights = Array.from({ length: y.size }, (_, i) => Math.cos(i));
  return lax.reduceSum(lax.mul(y, f64(y.shape, weights)));
}
function same(got: NDArray, expected: Recorded | NDArray, what: string): void {
  const data = "data" in expected && Array.isArray(expected.data) ? expected.data : numbers(expected as NDArray);
  expect(got.shape, what).toEqual(expected.shape);
  expect(close(numbers(got), data, 1e-11), `${what}: ${numbers(got)} against ${data}`).toBe(true);
}

for (const axes of ["one", "two"] as const) {
  const over = nested[axes];
  test(`the cases over ${axes} are those that were recorded`, () => {
    expect(Object.keys(functions[axes])).toEqual(Object.keys(goldens[axes]));
  });
  describe.each(Object.entries(goldens[axes]))(`over ${axes}: %s, as in JAX`, (name, c) => {
    const f = functions[axes][name];
    const x = f64(c.x.shape, c.x.data);
    const inner = over(grad((y: NDArray) => weigh(f(y))));
    test("values, also compiled", () => {
      same(over(f)(x), c.value, "vmap");
      same(jit(over(f))(x), c.value, "jit(vmap)");
      same(over(jit(f))(x), c.value, "vmap(jit)");
    });
    if (c.inner !== null) test("gradients inside", () => same(inner(x), c.inner!, "vmap(grad)"));
    if (c.outer !== null) {
      const outer = grad((xs: NDArray) => weigh(over(f)(xs)));
      test("gradients outside", () => {
        same(outer(x), c.outer!, "grad(vmap)");
        same(jit(outer)(x), c.outer!, "jit(grad(vmap))");
      });
    }
    // A loop has no reverse mode, and no derivative enters a branch by members that do not take it.
    if (!name.includes("while") && name !== "psum in a branch") {
      test("gradients inside are those of the sum over the members", () => {
        const total = (xs: NDArray): NDArray => lax.reduceSum(over((y) => weigh(f(y)))(xs));
        same(inner(x), grad(total)(x), "vmap(grad) against grad(vmap)");
      });
    }
  });
}

const wave = (...shape: number[]): NDArray =>
  f64(
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i + 1)),
  );

describe("several names are one axis of the size of their product", () => {
  const functionsOf: Record<string, (x: NDArray, names: lax.AxisName) => NDArray> = {
    psum: (x, k) => lax.psum(x, k),
    pmean: (x, k) => lax.pmean(x, k),
    pmax: (x, k) => lax.pmax(x, k),
    axisIndex: (x, k) => lax.mul(x, float(lax.axisIndex(k))),
    allGather: (x, k) => lax.allGather(x, k, { axis: 1 }),
    "allGather tiled": (x, k) => lax.allGather(x, k, { axis: 1, tiled: true }),
    psumScatter: (x, k) => lax.psumScatter(x, k, { scatterDimension: 1 }),
    "psumScatter tiled": (x, k) => lax.psumScatter(x, k, { tiled: true }),
    "allToAll 1 0": (x, k) => lax.allToAll(x, k, 1, 0),
    "allToAll 1 2": (x, k) => lax.allToAll(x, k, 1, 2),
    "allToAll tiled 0 1": (x, k) => lax.allToAll(x, k, 0, 1, { tiled: true }),
    "allToAll tiled 2 2": (x, k) => lax.allToAll(x, k, 2, 2, { tiled: true }),
    ppermute: (x, k) =>
      lax.ppermute(x, k, [
        [0, 5],
        [5, 1],
        [2, 3],
      ]),
    pshuffle: (x, k) => lax.pshuffle(x, k, [5, 4, 3, 2, 1, 0]),
  };
  test.each(Object.entries(functionsOf))("%s", (_name, f) => {
    const x = wave(2, 3, 12, 6, 6);
    const flat = lax.reshape(x, [6, 12, 6, 6]);
    const one = vmap((y: NDArray) => f(y, "k"), { axisName: "k" });
    const two = (run: (f: F) => F = (g) => g): F =>
      vmap(
        vmap(
          run((y) => f(y, ["i", "j"])),
          { axisName: "j" },
        ),
        { axisName: "i" },
      );
    const expected = one(flat);
    const got = two()(x);
    same(lax.reshape(got, expected.shape), expected, "values");
    same(two(jit)(x), got, "compiled inside");
    const gradient = vmap(
      grad((y: NDArray) => weigh(f(y, "k"))),
      { axisName: "k" },
    )(flat);
    same(lax.reshape(two((g) => grad((y: NDArray) => weigh(g(y))))(x), gradient.shape), gradient, "gradients");
  });
});

describe("axisIndexGroups: a collective in each group", () => {
  const groups = [
    [0, 3],
    [2, 1],
  ];
  const functionsOf: Record<string, (x: NDArray, options: lax.CollectiveOptions) => NDArray> = {
    psum: (x, o) => lax.psum(x, "i", o),
    pmean: (x, o) => lax.pmean(x, "i", o),
    pmax: (x, o) => lax.pmax(x, "i", o),
    pmin: (x, o) => lax.pmin(x, "i", o),
    allGather: (x, o) => lax.allGather(x, "i", { ...o, axis: 1 }),
    psumScatter: (x, o) => lax.psumScatter(x, "i", { ...o, tiled: true }),
    allToAll: (x, o) => lax.allToAll(x, "i", 0, 1, { ...o, tiled: true }),
    pswapaxes: (x, o) => lax.pswapaxes(x, "i", 1, o),
  };
  test.each(Object.entries(functionsOf))("%s", (_name, f) => {
    const x = wave(4, 6, 2);
    const rows = (xs: NDArray, group: readonly number[]): NDArray =>
      lax.concatenate(
        group.map((i) => lax.sliceInDim(xs, i, i + 1)),
        0,
      );
    const within = vmap((y: NDArray) => f(y, {}), { axisName: "i" });
    const whole = vmap((y: NDArray) => f(y, { axisIndexGroups: groups }), { axisName: "i" });
    const slope = (run: F) => (xs: NDArray) => grad((y: NDArray) => lax.reduceSum(square(run(y))))(xs);
    for (const group of groups) {
      same(rows(whole(x), group), within(rows(x, group)), `group ${group}`);
      same(rows(slope(whole)(x), group), slope(within)(rows(x, group)), `gradient of group ${group}`);
    }
  });
  test("groups of a reduction may have different sizes", () => {
    const uneven = { axisIndexGroups: [[0, 1, 3], [2]] };
    const x = vector(1, 2, 3, 6);
    expect(vmap((y: NDArray) => lax.psum(y, "i", uneven), { axisName: "i" })(x).jsSync()).toEqual([9, 9, 3, 9]);
    expect(vmap((y: NDArray) => lax.pmean(y, "i", uneven), { axisName: "i" })(x).jsSync()).toEqual([3, 3, 3, 3]);
    expect(() => vmap((y: NDArray) => lax.allGather(y, "i", uneven), { axisName: "i" })(x)).toThrow(/equal sizes/);
    expect(() => vmap((y: NDArray) => lax.psum(y, "i", { axisIndexGroups: [[0, 1]] }), { axisName: "i" })(x)).toThrow(
      /each of the 4 positions along "i" once/,
    );
  });
});

describe("dtypes", () => {
  const run = (f: F, x: NDArray): NDArray => vmap(f, { axisName: "i" })(x);
  test("truth values are counted by psum, and stay truth values in pmax and pmin", () => {
    const x = fromTyped(Uint8Array.of(1, 0, 1), [3], "bool");
    const outs = [lax.psum<NDArray>, lax.pmax<NDArray>, lax.pmin<NDArray>].map((f) => run((y) => f(y, "i"), x));
    expect(outs.map((y) => [y.dtype, y.jsSync()])).toEqual([
      ["int32", [2, 2, 2]],
      ["bool", [true, true, true]],
      ["bool", [false, false, false]],
    ]);
  });
  test("the mean of integers is a float", () => {
    const mean = run((y) => lax.pmean(y, "i"), asArray(Int32Array.of(1, 2, 4, 4)));
    expect([mean.dtype, mean.jsSync()]).toEqual(["float32", [2.75, 2.75, 2.75, 2.75]]);
  });
  test("pytrees, and numbers at once", () => {
    const f = (x: NDArray): unknown => [lax.psum({ a: x, b: [x] }, "i"), lax.psum(2, "i"), lax.allGather({ a: x }, "i")];
    const [sums, two, all] = vmap(f, { axisName: "i", outAxes: null })(vector(1, 2)) as [
      { a: NDArray; b: [NDArray] },
      NDArray,
      { a: NDArray },
    ];
    expect([sums.a.jsSync(), sums.b[0].jsSync(), two.jsSync(), all.a.jsSync()]).toEqual([3, 3, 4, [1, 2]]);
  });
});

test("the largest value's derivative is shared by those who have it", () => {
  const slope = grad((xs: NDArray) => weigh(vmap((x: NDArray) => lax.mul(lax.pmax(x, "i"), x), { axisName: "i" })(xs)));
  const dense = grad((xs: NDArray) => weigh(lax.mul(lax.reduceMax(xs), xs)));
  for (const x of [vector(1, 3, 2), vector(3, 1, 3)]) same(slope(x), dense(x), "pmax");
  const least = grad((xs: NDArray) => weigh(vmap((x: NDArray) => lax.mul(lax.pmin(x, "i"), x), { axisName: "i" })(xs)));
  same(least(vector(2, 1, 1)), grad((xs: NDArray) => weigh(lax.mul(lax.reduceMin(xs), xs)))(vector(2, 1, 1)), "pmin");
});

test("ppermute gives zeros to whom nobody sends", () => {
  expect(vmap((x: NDArray) => lax.ppermute(x, "i", [[0, 2]]), { axisName: "i" })(vector(5, 6, 7)).jsSync()).toEqual([0, 0, 5]);
});

test("an inner axis hides an outer one of the same name, as in JAX", () => {
  const f = vmap(
    vmap((x: NDArray) => lax.psum(x, "i"), { axisName: "i" }),
    { axisName: "i" },
  );
  expect(f(f64([2, 2], [1, 2, 3, 4])).jsSync()).toEqual([
    [3, 3],
    [7, 7],
  ]);
});

test("custom rules may use the name, also when they run after vmap has returned", () => {
  const f = lax.customVjp((x: NDArray) => x);
  f.defvjp(
    (x) => [x, null],
    (_res, ct) => [lax.pmean(ct, "i")],
  );
  const slope = grad((xs: NDArray) => weigh(vmap((x: NDArray) => f(x), { axisName: "i" })(xs)));
  const mean = (1 + Math.cos(1) + Math.cos(2)) / 3;
  same(slope(vector(1, 2, 3)), { shape: [3], data: [mean, mean, mean] }, "pmean of cotangents");
});

test("a collective outside of vmap is one equation", () => {
  const { jaxpr } = withAxis("i", 3, () => traceToJaxpr((x) => [lax.allGather(x, "i")], [makeAval([2], "float32")], "f"));
  expect(printJaxpr(jaxpr)).toMatchInlineSnapshot(`
    "{ lambda ; a:float32[2]. let
        b:float32[3,2] = all_gather[all_gather_dimension=0 axis_name=i axis_size=3 tiled=False] a
      in (b,) }"
  `);
});

describe("errors", () => {
  const run = (f: F, x: NDArray = wave(3, 4)): unknown => vmap(f, { axisName: "i" })(x);
  test("names that nothing binds", () => {
    const uses: F[] = [
      (x) => lax.psum(x, "k"),
      (x) => lax.allGather(x, "k"),
      (x) => lax.psumScatter(x, "k"),
      (x) => lax.allToAll(x, "k", 0, 0),
      (x) => lax.ppermute(x, "k", []),
      () => lax.axisIndex("k"),
    ];
    for (const f of uses) {
      expect(() => run(f)).toThrow(AxisError);
      expect(() => run(f)).toThrow(/unbound axis name "k"[\s\S]*axis names in scope: i/);
    }
  });
  test("axes that cannot be divided", () => {
    expect(() => run((x) => lax.psumScatter(x, "i"))).toThrow(ShapeError);
    expect(() => run((x) => lax.psumScatter(x, "i"))).toThrow(/one element for each of the 3 positions, but has 4/);
    expect(() => run((x) => lax.psumScatter(x, "i", { tiled: true }))).toThrow(/cannot be cut into 3 equal parts/);
    expect(() => run((x) => lax.allToAll(x, "i", 0, 0))).toThrow(ShapeError);
    expect(() => run((x) => lax.allToAll(x, "i", 1, 0))).toThrow(AxisError);
    expect(() => run((x) => lax.allGather(x, "i", { axis: 2 }))).toThrow(AxisError);
  });
  test("permutations that are none", () => {
    const permute = (...perm: [number, number][]): unknown => run((x) => lax.ppermute(x, "i", perm));
    expect(() => permute([0, 1], [0, 2])).toThrow(/source 0 occurs twice/);
    expect(() => permute([0, 1], [2, 1])).toThrow(/destination 1 occurs twice/);
    expect(() => permute([0, 5])).toThrow(/destination 5 is outside the axis, which has 3 positions/);
    expect(() => run((x) => lax.pshuffle(x, "i", [2, 0, 0]))).toThrow(TransformError);
  });
});
