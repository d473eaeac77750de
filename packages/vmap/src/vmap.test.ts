import {
  asArray,
  AxisError,
  batchRule,
  bind1,
  defaultDevice,
  definePrimitive,
  makeAval,
  type NDArray,
  printJaxpr,
  RuleError,
  scalar,
  setDefaultBackend,
  TracerError,
  traceToJaxpr,
  TransformError,
  TreeError,
  checkJaxpr,
  fromTyped,
} from "@traceform/core";
import { grad, jvp } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { elementwise, vmap } from "./index.ts";

beforeAll(() => {
  setDefaultBackend(referenceBackend());
});

const a = (x: readonly number[] | readonly (readonly number[])[]): NDArray => asArray(x as never);
const js = (x: NDArray): unknown => x.jsSync();

function caught(fn: () => unknown): Error {
  try {
    fn();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}

describe("axes", () => {
  const xs = (): NDArray =>
    a([
      [1, 2, 3],
      [4, 5, 6],
    ]);
  test("rows by default, columns by axis 1 or -1", () => {
    expect(js(vmap((x: NDArray) => lax.reduceSum(x))(xs()))).toEqual([6, 15]);
    expect(js(vmap((x: NDArray) => lax.reduceSum(x), { inAxes: 1 })(xs()))).toEqual([5, 7, 9]);
    expect(js(vmap((x: NDArray) => lax.reduceSum(x), { inAxes: -1 })(xs()))).toEqual([5, 7, 9]);
  });
  test("null leaves an argument as it is, and numbers are unmapped", () => {
    expect(js(vmap((x: NDArray, y: NDArray) => lax.mul(x, y), { inAxes: [0, null] })(a([1, 2]), a([3, 4])))).toEqual([
      [3, 4],
      [6, 8],
    ]);
    expect(js(vmap((x: NDArray, y: NDArray) => lax.mul(x, y), { inAxes: [0, null] })(a([1, 2]), 10))).toEqual([10, 20]);
  });
  test("prefix trees", () => {
    const f = (p: { w: NDArray; b: NDArray }, x: NDArray): NDArray => lax.add(lax.mul(p.w, x), p.b);
    const p = { w: a([1, 2]), b: scalar(10, "float32") };
    expect(js(vmap(f, { inAxes: [{ w: 0, b: null }, 0] })(p, a([3, 4])))).toEqual([13, 18]);
    expect(js(vmap(f, { inAxes: [null, 0] })({ w: scalar(2, "float32"), b: scalar(1, "float32") }, a([3, 4])))).toEqual([7, 9]);
  });
  test("outAxes", () => {
    const f = (x: NDArray): { y: NDArray; s: NDArray } => ({ y: lax.mul(x, 2), s: lax.reduceSum(x) });
    const out = vmap(f, { outAxes: { y: 1, s: 0 } })(xs());
    expect(js(out.y)).toEqual([
      [2, 8],
      [4, 10],
      [6, 12],
    ]);
    expect(js(out.s)).toEqual([6, 15]);
    expect(js(vmap((x: NDArray) => x, { outAxes: -1 })(xs()))).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ]);
  });
  test("a result that is the same for all is repeated, or taken once with null", () => {
    expect(js(vmap((_x: NDArray) => scalar(7, "float32"))(a([1, 2])))).toEqual([7, 7]);
    expect(js(vmap((_x: NDArray) => scalar(7, "float32"), { outAxes: null })(a([1, 2])))).toBe(7);
  });
  test("axisSize without mapped arguments", () => {
    expect(js(vmap((x: NDArray) => lax.mul(x, 2), { inAxes: null, axisSize: 3 })(4))).toEqual([8, 8, 8]);
  });
  test("other leaves reach the function as they are", () => {
    const f = (x: NDArray, options: { scale: (v: NDArray) => NDArray; name: string }): NDArray =>
      options.name === "on" ? options.scale(x) : x;
    expect(js(vmap(f, { inAxes: [0, null] })(a([1, 2]), { scale: (v) => lax.mul(v, 3), name: "on" }))).toEqual([3, 6]);
  });
  test("functions may close over arrays, and over values of transformations around them", () => {
    const w = a([1, 10]);
    expect(js(vmap((x: NDArray) => lax.mul(w, x))(a([1, 2])))).toEqual([
      [1, 10],
      [2, 20],
    ]);
    const outer = (y: NDArray): NDArray => lax.reduceSum(vmap((x: NDArray) => lax.mul(x, y))(a([1, 2])));
    expect(js(vmap(outer)(a([1, 2, 3])))).toEqual([3, 6, 9]);
    expect(js(grad(outer)(5))).toBe(3);
    expect(js(jit(outer)(5))).toBe(15);
    expect(js(jit(vmap(grad(outer)))(a([1, 2])))).toEqual([3, 3]);
    const [out, dot] = jvp(outer, [scalar(5, "float32")], [scalar(2, "float32")]);
    expect([js(out), js(dot)]).toEqual([15, 6]);
  });
  test("empty batches", () => {
    expect(js(vmap((x: NDArray) => lax.sin(lax.reduceSum(x)))(fromTyped(new Float32Array(0), [0, 3], "float32")))).toEqual([]);
  });
});

describe("errors", () => {
  test("different sizes are listed with their places", () => {
    const error = caught(() => vmap((p: { w: NDArray }, x: NDArray) => lax.mul(p.w, x))({ w: a([1, 2, 3]) }, a([1, 2])));
    expect(error).toBeInstanceOf(TransformError);
    expect(error.message).toContain("args[0].w float32[3] has size 3 along axis 0");
    expect(error.message).toContain("args[1] float32[2] has size 2 along axis 0");
  });
  test("scalars and missing axes", () => {
    expect(caught(() => vmap((x: NDArray) => x)(1))).toBeInstanceOf(AxisError);
    expect(caught(() => vmap((x: NDArray) => x, { inAxes: 2 })(a([1])))).toBeInstanceOf(AxisError);
    expect(caught(() => vmap((x: NDArray) => x, { outAxes: 3 })(a([1])))).toBeInstanceOf(AxisError);
  });
  test("nothing mapped", () => {
    expect(caught(() => vmap((x: NDArray) => x, { inAxes: null })(1)).message).toContain("axisSize");
  });
  test("inAxes that do not fit the arguments", () => {
    expect(
      caught(() => vmap((x: NDArray, y: NDArray) => lax.mul(x, y), { inAxes: [0] as never })(a([1]), a([1]))).message,
    ).toContain("1 entries");
    expect(caught(() => vmap((p: { w: NDArray }) => p.w, { inAxes: [{ v: 0 }] as never })({ w: a([1]) }))).toBeInstanceOf(
      TreeError,
    );
  });
  test("outAxes null for a result that differs", () => {
    const error = caught(() => vmap((x: NDArray) => ({ y: x }), { outAxes: { y: null } })(a([1, 2])));
    expect(error).toBeInstanceOf(TransformError);
    expect(error.message).toContain(".y");
  });
  test("async functions, leaks and reading values", () => {
    expect(caught(() => vmap((async (x: NDArray) => x) as unknown as (x: NDArray) => NDArray)(a([1])))).toBeInstanceOf(
      TransformError,
    );
    let kept: NDArray | undefined;
    vmap(function member(x: NDArray) {
      kept = x;
      return x;
    })(a([1]));
    expect(caught(() => lax.add(kept!, 1)).message).toContain("vmap(member)");
    expect(caught(() => vmap((x: NDArray) => scalar(Number(x.itemSync()), "float32"))(a([1])))).toBeInstanceOf(TracerError);
  });
  test("a primitive without a rule says how to add one", () => {
    const odd = definePrimitive("odd", { abstractEval: ([x]) => [x] });
    const error = caught(() => vmap((x: NDArray) => bind1(odd, [x], {}))(a([1])));
    expect(error).toBeInstanceOf(RuleError);
    expect(error.message).toContain("batchRule");
    const even = definePrimitive("even", { abstractEval: ([x]) => [x], rules: { [batchRule]: elementwise } });
    const { jaxpr } = traceToJaxpr((x) => [vmap((v: NDArray) => bind1(even, [v], {}))(x)], [makeAval([3], "float32")], "f");
    expect(printJaxpr(jaxpr)).toContain("even a");
  });
});

describe("named axes", () => {
  test("psum, pmean, pmax, pmin and axisIndex", () => {
    const f = (x: NDArray): NDArray[] => [
      lax.psum(x, "i"),
      lax.pmean(x, "i"),
      lax.pmax(x, "i"),
      lax.pmin(x, "i"),
      lax.axisIndex("i"),
    ];
    const expected = [
      [7, 7, 7],
      [7 / 3, 7 / 3, 7 / 3],
      [4, 4, 4],
      [1, 1, 1],
      [0, 1, 2],
    ];
    for (const run of [vmap(f, { axisName: "i" }), jit(vmap(f, { axisName: "i" })), vmap(jit(f), { axisName: "i" })]) {
      run(a([1, 2, 4]))
        .map(js)
        .forEach((got, k) => (got as number[]).forEach((v, m) => expect(v).toBeCloseTo(expected[k][m], 6)));
    }
  });
  test("a reduced value is the same for all", () => {
    expect(js(vmap((x: NDArray) => lax.psum(x, "i"), { axisName: "i", outAxes: null })(a([1, 2, 4])))).toBe(7);
  });
  test("psum of a value that is the same for all multiplies by the size", () => {
    expect(
      js(vmap((_x: NDArray, y: NDArray) => lax.psum(y, "i"), { axisName: "i", inAxes: [0, null], outAxes: null })(a([1, 2, 4]), 5)),
    ).toBe(15);
    expect(js(vmap((_x: NDArray) => lax.psum(scalar(5, "float32"), "i"), { axisName: "i", outAxes: null })(a([1, 2, 4])))).toBe(15);
  });
  test("two axes, also inside loops and branches", () => {
    const f = (x: NDArray): NDArray =>
      lax.scan((c: NDArray, _: null) => [lax.div(lax.psum(lax.psum(c, "i"), "j"), 4), null], x, null, { length: 2 })[0];
    const both = vmap(vmap(f, { axisName: "i" }), { axisName: "j" });
    expect(
      js(
        both(
          a([
            [1, 2],
            [3, 6],
          ]),
        ),
      ),
    ).toEqual([
      [3, 3],
      [3, 3],
    ]);
    const g = (x: NDArray): NDArray =>
      lax.cond(
        true,
        (y: NDArray) => lax.psum(y, ["i", "j"]),
        (y: NDArray) => y,
        x,
      );
    expect(
      js(
        vmap(vmap(g, { axisName: "i" }), { axisName: "j" })(
          a([
            [1, 2],
            [3, 6],
          ]),
        ),
      ),
    ).toEqual([
      [12, 12],
      [12, 12],
    ]);
  });
  test("gradients through psum, as in JAX", () => {
    expect(
      js(
        vmap(
          grad((x: NDArray) => lax.psum(lax.mul(x, x), "i")),
          { axisName: "i" },
        )(a([0, 1, 2])),
      ),
    ).toEqual([0, 6, 12]);
  });
  test("names of axes are not confused with other strings among parameters", () => {
    const table = a([1, 2, 3]);
    const dims = { offsetDims: [], collapsedSliceDims: [0], startIndexMap: [0] };
    const f = (x: NDArray): NDArray =>
      lax.mul(x, lax.reduceSum(lax.gather(table, lax.reshape(scalar(1, "int32"), [1, 1]), dims, [1], { mode: "clip" })));
    expect(js(vmap(f, { axisName: "clip" })(a([1, 2])))).toEqual([2, 4]);
  });
  test("an unbound name", () => {
    expect(caught(() => vmap((x: NDArray) => lax.psum(x, "j"), { axisName: "i" })(a([1])))).toBeInstanceOf(AxisError);
  });
});

describe("control flow", () => {
  test("a loop with a batched condition freezes finished members", () => {
    const steps = (x: NDArray): readonly [NDArray, NDArray] =>
      lax.whileLoop(
        ([v]) => lax.lt(v, 100),
        ([v, n]) => [lax.mul(v, 2), lax.add(n, 1)],
        [x, 0],
      ) as readonly [NDArray, NDArray];
    const [v, n] = vmap(steps)(a([1, 60, 200]));
    expect(js(v)).toEqual([128, 120, 200]);
    expect(js(n)).toEqual([7, 1, 0]);
  });
  test("a loop with an unbatched condition stays one", () => {
    const f = (x: NDArray): NDArray =>
      lax.whileLoop(
        ([i]) => lax.lt(i, 3),
        ([i, v]) => [lax.add(i, 1), lax.mul(v, x)],
        [0, x],
      )[1] as NDArray;
    const { jaxpr } = traceToJaxpr((xs) => [vmap(f)(xs)], [makeAval([2], "float32")], "f");
    checkJaxpr(jaxpr);
    expect(printJaxpr(jaxpr)).not.toContain("select_n");
    expect(js(vmap(f)(a([2, 3])))).toEqual([16, 81]);
  });
  test("a batched predicate runs both branches and selects", () => {
    const f = (x: NDArray): NDArray =>
      lax.cond(
        lax.gt(x, 0),
        (y: NDArray) => lax.sqrt(y),
        (y: NDArray) => lax.neg(y),
        x,
      );
    const { jaxpr } = traceToJaxpr((xs) => [vmap(f)(xs)], [makeAval([2], "float32")], "f");
    expect(printJaxpr(jaxpr)).not.toContain("cond");
    expect(js(vmap(f)(a([4, -9])))).toEqual([2, 9]);
  });
  test("no derivative enters a branch by members that do not take it, as in JAX", () => {
    const f = (x: NDArray, w: NDArray): NDArray =>
      lax.cond(
        lax.gt(x, 0),
        (y: NDArray, v: NDArray) => lax.pow(y, v),
        (y: NDArray, v: NDArray) => lax.mul(y, v),
        x,
        w,
      );
    // The derivatives of pow at a base of 0 are infinite and NaN; only member 0 is there.
    const loss = (xs: NDArray, w: NDArray): NDArray => lax.reduceSum(vmap(f, { inAxes: [0, null] })(xs, w));
    for (const slope of [grad(loss, { argnums: [0, 1] }), jit(grad(loss, { argnums: [0, 1] }))]) {
      const [gx, gw] = slope(a([0, 4]), 0.5);
      expect(js(gx)).toEqual([0.5, 0.25]);
      expect(js(gw)).toBeCloseTo(2 * Math.log(4), 5);
    }
    const [gx] = vmap(grad(f, { argnums: [0, 1] }), { inAxes: [0, null] })(a([0, 4]), 0.5);
    expect(js(gx)).toEqual([0.5, 0.25]);
  });
  test("the batch of a scan is a scan", () => {
    const f = (x: NDArray, ys: NDArray): NDArray =>
      lax.scan((c: NDArray, y: NDArray) => [lax.add(lax.mul(c, 0.5), y), c], x, ys)[0];
    const { jaxpr } = traceToJaxpr(
      (xs, ys) => [vmap(f, { inAxes: [0, null] })(xs, ys)],
      [makeAval([2], "float32"), makeAval([3], "float32")],
      "f",
    );
    expect(jaxpr.eqns.filter((e) => e.primitive.name === "scan").length).toBe(1);
    expect(
      js(
        vmap(f, { inAxes: [null, 1] })(
          0,
          a([
            [1, 2],
            [3, 4],
            [5, 6],
          ]),
        ),
      ),
    ).toEqual([6.75, 8.5]);
  });
});

describe("custom rules", () => {
  test("customJvp keeps its rule under vmap", () => {
    const f = lax.customJvp((x: NDArray) => lax.sin(x));
    f.defjvp(([x], [dx]) => [f(x), lax.mul(dx, 10)]);
    expect(js(grad((xs: NDArray) => lax.reduceSum(vmap(f)(xs)))(a([1, 2])))).toEqual([10, 10]);
    expect(js(vmap((x: NDArray) => jvp((y: NDArray) => f(y), [x], [x])[1])(a([1, 2])))).toEqual([10, 20]);
    expect(js(vmap(vmap(grad((x: NDArray) => f(x))))(a([[1, 2]])))).toEqual([[10, 10]]);
  });
  test("customVjp keeps its rule under vmap; cotangents of shared operands are summed", () => {
    const f = lax.customVjp((x: NDArray, w: NDArray) => lax.mul(x, w));
    f.defvjp(
      (x, w) => [f(x, w), [x, w] as const],
      ([x, w], ct) => [lax.mul(ct, lax.mul(w, 10)), lax.mul(ct, lax.mul(x, 10))],
    );
    const loss = (xs: NDArray, w: NDArray): NDArray => lax.reduceSum(vmap(f, { inAxes: [0, null] })(xs, w));
    const [gx, gw] = grad(loss, { argnums: [0, 1] })(a([1, 2]), 3);
    expect(js(gx)).toEqual([30, 30]);
    expect(js(gw)).toBe(30);
    expect(js(jit(grad(loss, { argnums: 1 }))(a([1, 2]), scalar(3, "float32")))).toBe(30);
  });
});

describe("typed keys and other dtypes", () => {
  const fry = { name: "key<fry>", physicalShape: [2], physicalDtype: "uint32" } as const;
  test("wrapping, choosing and unwrapping keys", () => {
    const f = (data: NDArray, p: NDArray): NDArray => {
      const key = bind1(lax.randomWrapP, [data], { impl: fry });
      const other = bind1(lax.randomWrapP, [lax.add(data, 1)], { impl: fry });
      return bind1(
        lax.randomUnwrapP,
        [
          lax.cond(
            lax.gt(p, 0),
            (k: NDArray) => k,
            (_k: NDArray) => other,
            key,
          ),
        ],
        {},
      );
    };
    const data = fromTyped(Uint32Array.of(1, 2, 3, 4), [2, 2], "uint32");
    expect(js(vmap(f)(data, a([1, -1])))).toEqual([
      [1, 2],
      [4, 5],
    ]);
    expect(js(vmap(f, { inAxes: [1, 0], outAxes: 1 })(data, a([1, -1])))).toEqual([
      [1, 3],
      [3, 5],
    ]);
  });
  test("complex values", () => {
    const f = (re: NDArray, im: NDArray): NDArray[] => {
      const z = lax.complex(re, im);
      return [lax.real(lax.conj(z)), lax.imag(lax.conj(z)), lax.abs(z)];
    };
    expect(vmap(f)(a([3, 5]), a([4, 12])).map(js)).toEqual([
      [3, 5],
      [-4, -12],
      [5, 13],
    ]);
    expect(vmap(f, { inAxes: [0, null] })(a([3]), 4).map(js)).toEqual([[3], [-4], [5]]);
  });
});

describe("memory", () => {
  const live = (): number => defaultDevice().memoryStats().liveBuffers;
  const f = (x: NDArray, y: NDArray): NDArray => {
    let z = lax.mul(x, y);
    for (let i = 0; i < 10; i++) z = lax.sin(lax.add(z, x));
    return lax.reduceSum(z);
  };
  test("an eager vmap gives its intermediate values back", () => {
    const [xs, y] = [
      lax.mul(
        a([
          [1, 2],
          [3, 4],
        ]),
        1,
      ),
      lax.mul(a([5, 6]), 1),
    ];
    const run = (): NDArray => vmap(f, { inAxes: [0, null] })(xs, y);
    const first = js(run());
    const before = live();
    expect(js(run())).toEqual(first);
    expect(live() - before).toBe(1);
    const gradients = (): NDArray => vmap(grad(f), { inAxes: [0, null] })(xs, y);
    const wanted = js(gradients());
    const start = live();
    expect(js(gradients())).toEqual(wanted);
    expect(live() - start).toBeLessThanOrEqual(3);
  });
  test("what user code has seen stays alive, and so do arguments", () => {
    const seen: NDArray[] = [];
    const [xs, y] = [
      lax.mul(
        a([
          [1, 2],
          [3, 4],
        ]),
        1,
      ),
      lax.mul(a([5, 6]), 1),
    ];
    const outs = vmap(
      (x: NDArray, w: NDArray) => {
        seen.push(lax.sin(w), lax.mul(w, 2), w);
        return [x, lax.mul(x, seen[0]), seen[1]];
      },
      { inAxes: [0, null] },
    )(xs, y);
    for (const v of [...seen, ...outs, xs, y]) expect(js(v)).toBeDefined();
  });
});
