import { cpu } from "@traceform/backend-cpu";
import {
  type Backend,
  bind,
  definePrimitive,
  evalJaxpr,
  type Jaxpr,
  lowerRule,
  makeAval,
  type NDArray,
  setDefaultBackend,
  traceToJaxpr,
  TransformError,
} from "@traceform/core";
import { checkpoint, customJvp, customVjp, grad, jvp, valueAndGrad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import "@traceform/numpy/methods";
import * as random from "@traceform/random";
import { referenceBackend } from "@traceform/testing";
import { customVmap, vmap } from "@traceform/vmap";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  allChecks,
  automaticChecks,
  check,
  checkError,
  checkify,
  debugCheck,
  divChecks,
  Error as CheckError,
  floatChecks,
  indexChecks,
  JaxRuntimeError,
  nanChecks,
  userChecks,
} from "./index.ts";

const backends: readonly (readonly [string, () => Backend])[] = [
  ["reference", () => referenceBackend()],
  ["cpu", () => cpu()],
];
const here = (): number => Number(/:(\d+):\d+\)?$/.exec(new Error().stack!.split("\n")[2])![1]);
const js = (x: NDArray): unknown => x.jsSync();

describe.each(backends)("checkify on %s", (_name, make) => {
  beforeAll(() => {
    setDefaultBackend(make());
  });
  afterAll(() => {
    setDefaultBackend(null);
  });

  const positive = (x: NDArray): NDArray => {
    check(np.greater(x, 0), "must be positive, {x} {}", np.add(x, 1), { x });
    return np.sqrt(np.abs(x));
  };

  test("a check that holds leaves no error, and one that fails tells which, with its values", () => {
    const [ok, out] = checkify(positive)(np.array(4));
    expect(ok.get()).toBeNull();
    expect(ok.getException()).toBeNull();
    ok.throw();
    expect(js(out)).toBe(2);
    const [err, still] = checkify(positive)(np.array(-4));
    expect(err.get()).toBe("must be positive, -4 -3 (`check` failed)");
    expect(js(still)).toBe(2);
    expect(() => err.throw()).toThrow(JaxRuntimeError);
    expect(err.getException()?.message).toMatch(/check: must be positive, -4 -3[\s\S]*at: .*checkify\.test\.ts:\d+/);
  });

  test("an error is the same on the host", async () => {
    const [err] = checkify(positive)(np.array(-4));
    const there = await err.onHost();
    expect(there.get()).toBe(err.get());
    expect(there.getException()?.message).toBe(err.getException()?.message);
  });

  test("the first failure is what is told", () => {
    const f = (x: NDArray): NDArray => {
      check(np.greater(x, 1), "one");
      check(np.greater(x, 0), "two {}", x);
      return x;
    };
    const run = (x: number): string | null => jit(checkify(f))(np.array(x))[0].get();
    expect(run(-1)).toBe("one (`check` failed)");
    expect(run(1)).toBe("one (`check` failed)");
    expect(run(2)).toBeNull();
  });

  test("eager checks throw at once; debugCheck does nothing", () => {
    expect(() => check(false, "boo {}", np.array(1))).toThrow(/boo 1 \(`check` failed\)/);
    check(true, "fine");
    expect(() => vmap(positive)(np.array([1, -1]))).toThrow(/at mapped index 1: must be positive, -1 0/);
    expect(() => grad(positive)(np.array(-1))).toThrow(JaxRuntimeError);
    debugCheck(false, "nothing");
    expect(js(jit((x: NDArray) => (debugCheck(np.less(x, 0), "nothing"), x))(np.array(1)))).toBe(1);
    const [err] = checkify((x: NDArray) => debugCheck(np.less(x, 0), "seen {}", x))(np.array(1));
    expect(err.get()).toBe("seen 1 (`check` failed)");
  });

  test("a check that is staged and never made a value is refused", () => {
    expect(() => jit(positive)(np.array(1))).toThrow(TransformError);
    expect(() => jit(positive)(np.array(1))).toThrow(/wrap the function with checkify/);
    expect(() => lax.scan((c: NDArray, x: NDArray) => [c, positive(x)], 0, np.array([1]))).toThrow(
      /wrap the function with checkify/,
    );
    // Other checks than those that are asked for stay checks.
    expect(() => jit(checkify(positive, { errors: nanChecks }))(np.array(1))).toThrow(/wrap the function with checkify/);
    expect(() => checkify(positive, { errors: nanChecks })(np.array(-1))).toThrow(/must be positive/);
  });

  const loop = (xs: NDArray): NDArray => lax.scan((c: NDArray, x: NDArray) => [np.add(c, positive(x)), c], 0, xs)[0];
  const whileCheck = (x: NDArray): NDArray =>
    lax.whileLoop(
      (c: NDArray) => {
        check(np.less(c, 4), "condition at {}", c);
        return np.less(c, 5);
      },
      (c: NDArray) => {
        check(np.less(c, 9), "body at {c}", { c });
        return np.add(c, 1);
      },
      x,
    );
  const viaJvp = (): ((x: NDArray) => NDArray) => {
    const f = customJvp((x: NDArray) => positive(x));
    f.defjvp(([x], [dx]) => [f(x), np.multiply(dx, 7)]);
    return f;
  };
  const viaVjp = (): ((x: NDArray) => NDArray) => {
    const f = customVjp((x: NDArray) => positive(x));
    f.defvjp(
      (x) => [f(x), null],
      (_res, ct) => [np.multiply(ct, 7)],
    );
    return f;
  };
  const bad = "must be positive, -4 -3 (`check` failed)";
  type Fn = (x: NDArray) => unknown;
  const programs: Record<string, { f: Fn; good: NDArray; wrong: NDArray; message: string }> = {
    jit: { f: jit(positive) as Fn, good: np.array(4), wrong: np.array(-4), message: bad },
    "jit inside jit": { f: jit((x: NDArray) => jit(positive)(x)), good: np.array(4), wrong: np.array(-4), message: bad },
    checkpoint: { f: checkpoint(positive), good: np.array(4), wrong: np.array(-4), message: bad },
    customJvp: { f: (x) => viaJvp()(x), good: np.array(4), wrong: np.array(-4), message: bad },
    customVjp: { f: (x) => viaVjp()(x), good: np.array(4), wrong: np.array(-4), message: bad },
    grad: { f: grad(positive) as Fn, good: np.array(4), wrong: np.array(-4), message: bad },
    "grad of jit": { f: grad(jit(positive)) as Fn, good: np.array(4), wrong: np.array(-4), message: bad },
    "grad of checkpoint": { f: grad(checkpoint(positive)) as Fn, good: np.array(4), wrong: np.array(-4), message: bad },
    "grad of checkpoint of scan": {
      f: grad(checkpoint(loop)) as Fn,
      good: np.array([1, 2]),
      wrong: np.array([1, -4, -5]),
      message: bad,
    },
    "grad of customJvp": { f: (x) => grad(viaJvp())(x), good: np.array(4), wrong: np.array(-4), message: bad },
    "grad of customVjp": { f: (x) => grad(viaVjp())(x), good: np.array(4), wrong: np.array(-4), message: bad },
    jvp: { f: (x) => jvp(positive, [x], [x]), good: np.array(4), wrong: np.array(-4), message: bad },
    vmap: { f: vmap(positive) as Fn, good: np.array([4, 5]), wrong: np.array([4, -4, -5]), message: bad },
    "vmap of jit": { f: vmap(jit(positive)) as Fn, good: np.array([4, 5]), wrong: np.array([4, -4, -5]), message: bad },
    "vmap of vmap": {
      f: vmap(vmap(positive)) as Fn,
      good: np.array([[4, 5]]),
      wrong: np.array([
        [4, 5],
        [6, -4],
      ]),
      message: bad,
    },
    scan: { f: loop, good: np.array([1, 2]), wrong: np.array([1, -4, -5]), message: bad },
    "grad of scan": { f: grad(loop) as Fn, good: np.array([1, 2]), wrong: np.array([1, -4, -5]), message: bad },
    "vmap of scan": {
      f: vmap(loop) as Fn,
      good: np.array([[1, 2]]),
      wrong: np.array([
        [1, 2],
        [2, -4],
      ]),
      message: bad,
    },
    cond: {
      f: (x) => lax.cond(np.less(x, 0), positive, (y: NDArray) => y, x),
      good: np.array(4),
      wrong: np.array(-4),
      message: bad,
    },
    "switch with checks of several kinds": {
      f: (x) =>
        lax.switch_(
          np.array(1, { dtype: "int32" }),
          [(y: NDArray) => y, positive, (y: NDArray) => (check(false, "never {}", np.array([1])), y)],
          x,
        ),
      good: np.array(4),
      wrong: np.array(-4),
      message: bad,
    },
    "whileLoop, its condition": {
      f: whileCheck,
      good: np.array(5),
      wrong: np.array(2),
      message: "condition at 4 (`check` failed)",
    },
  };
  // The condition of the good run of `whileCheck` fails at once: it has no good argument.
  test.each(Object.entries(programs))("%s, eager and compiled", (name, { f, good, wrong, message }) => {
    for (const g of [checkify(f as (x: NDArray) => NDArray), jit(checkify(f as (x: NDArray) => NDArray))]) {
      if (name !== "whileLoop, its condition") expect(g(good)[0].get()).toBeNull();
      expect(g(wrong)[0].get()).toBe(message);
    }
  });

  test("results are what they are without checks", () => {
    const [err, [value, slope]] = jit(checkify(valueAndGrad(positive)))(np.array(4));
    expect(err.get()).toBeNull();
    expect([js(value), js(slope)]).toEqual([2, 0.25]);
    expect(js(jit(checkify(grad(loop)))(np.array([1, 4]))[1])).toEqual([0.5, 0.25]);
    expect(js(checkify((x: NDArray) => grad(viaVjp())(x))(np.array(4))[1])).toBe(7);
    expect(js(jit(checkify(whileCheck))(np.array(2))[1])).toBe(5);
  });

  test("the body of whileLoop, and a condition that never fails", () => {
    const f = (x: NDArray): NDArray =>
      lax.whileLoop(
        (c: NDArray) => np.less(c, 5),
        (c: NDArray) => {
          check(np.less(c, 3), "c {c}", { c });
          return np.add(c, 1);
        },
        x,
      );
    const [err, out] = jit(checkify(f))(np.array(0));
    expect(err.get()).toBe("c 3 (`check` failed)");
    expect(js(out)).toBe(5);
  });

  test("what a program does beside its checks it does as often as without them", () => {
    let calls: unknown[] = [];
    const see = (x: NDArray): void => lax.debug.callback((v: NDArray) => calls.push(v.itemSync()), x);
    const f = (x: NDArray): NDArray =>
      lax.whileLoop(
        (c: NDArray) => {
          see(c);
          check(np.less(c, 3), "condition at {}", c);
          return np.less(c, 4);
        },
        (c: NDArray) => {
          see(np.negative(c));
          return jit(lax.add)(c, 1);
        },
        x,
      );
    for (const g of [checkify(f), jit(checkify(f)), jit(checkify(f, { errors: allChecks }))]) {
      calls = [];
      const [err, out] = g(np.array(2));
      expect(err.get()).toBe("condition at 3 (`check` failed)");
      expect(js(out)).toBe(4);
      expect(calls).toEqual([2, -2, 3, -3, 4]);
    }
  });

  test("under vmap each member has an error of its own", () => {
    for (const f of [vmap(checkify(positive)), jit(vmap(checkify(positive)))]) {
      const [err, out] = f(np.array([1, -1, 4, -4]));
      expect(err.failure.shape).toEqual([4]);
      expect(err.get()).toBe(
        "at mapped index 1: must be positive, -1 0 (`check` failed)\nat mapped index 3: must be positive, -4 -3 (`check` failed)",
      );
      expect(js(out)).toEqual([1, 1, 2, 2]);
    }
    const [nested] = vmap(vmap(checkify(positive)))(
      np.array([
        [1, 2],
        [3, -4],
      ]),
    );
    expect(nested.get()).toBe("at mapped index 1, 1: must be positive, -4 -3 (`check` failed)");
    const branches = vmap(checkify((x: NDArray) => lax.cond(np.less(x, 2), (y: NDArray) => y, positive, x)));
    expect(branches(np.array([-1, 3]))[0].get()).toBeNull();
  });

  test("automatic checks: NaN", () => {
    let at = 0;
    const f = (x: NDArray): NDArray => {
      at = here() + 1;
      return np.sum(np.sin(x));
    };
    for (const g of [checkify(f, { errors: nanChecks }), jit(checkify(jit(f), { errors: floatChecks }))]) {
      expect(g(np.array([1, 2]))[0].get()).toBeNull();
      const [err] = g(np.array([1, Infinity]));
      expect(err.get()).toBe("nan generated by primitive: sin.");
      expect(err.getException()?.message).toMatch(new RegExp(`at: .*checkify\\.test\\.ts:${at}:`));
    }
    const inLoop = (x: NDArray): NDArray => lax.scan((c: NDArray, y: NDArray) => [np.add(c, np.log(y)), y], 0, x)[0];
    expect(checkify(inLoop, { errors: nanChecks })(np.array([1, -1]))[0].get()).toBe("nan generated by primitive: log.");
    expect(checkify((x: NDArray) => np.add(x, 1), { errors: nanChecks })(np.array([1], { dtype: "int32" }))[0].get()).toBeNull();
  });

  test("automatic checks: division by zero", () => {
    const f = checkify((x: NDArray) => np.divide(1, x), { errors: divChecks });
    expect(f(np.array([1, 0]))[0].get()).toBe("division by zero");
    expect(f(np.array([1, 2]))[0].get()).toBeNull();
    const ints = jit(checkify((x: NDArray) => lax.div(np.array(7, { dtype: "int32" }), x), { errors: allChecks }));
    expect(ints(np.array(0, { dtype: "int32" }))[0].get()).toBe("division by zero");
  });

  const i32 = (x: unknown): NDArray => np.array(x as number, { dtype: "int32" });
  test("automatic checks: indices", () => {
    const xs = np.array([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const oob = (i: number, axis: number): string =>
      `out-of-bounds indexing for array of shape [2,3]: index ${i} is out of bounds for axis ${axis} with size ${[2, 3][axis]}.`;
    const reads: readonly (readonly [(x: NDArray, i: NDArray) => NDArray, number, number, string])[] = [
      [(x, i) => np.take(x, i, 0), 1, 5, oob(5, 0)],
      [(x, i) => x.slice(i), 1, 2, oob(2, 0)],
      [(x, i) => x.slice([], i) as never, 2, 3, oob(3, 1)],
      [(x, i) => x.at(i).set(0), 1, 3, oob(3, 0)],
      [(x, i) => x.at([], i).add(1), 2, 3, oob(3, 1)],
      [(x, i) => lax.dynamicSlice(x, [i, 0], [1, 2]), 1, 2, oob(2, 0)],
      [(x, i) => lax.dynamicUpdateSlice(x, np.ones([1, 1]), [0, i]), 2, 4, oob(4, 1)],
    ];
    reads.forEach(([read, fine, wrong, message], k) => {
      for (const f of [checkify(read, { errors: indexChecks }), jit(checkify(read, { errors: automaticChecks }))]) {
        expect(f(xs, i32(fine))[0].get(), `case ${k}`).toBeNull();
        expect(f(xs, i32(wrong))[0].get(), `case ${k}`).toBe(message);
      }
    });
    // Indices from the end are within bounds; of many, the first that is not is told.
    expect(checkify((x: NDArray, i: NDArray) => x.slice(i), { errors: indexChecks })(xs, i32(-1))[0].get()).toBeNull();
    const many = checkify((x: NDArray, i: NDArray) => np.take(x, i, 1), { errors: indexChecks });
    expect(many(xs, i32([0, 7, 9]))[0].get()).toBe(oob(7, 1));
    expect(
      vmap(many, { inAxes: [null, 0] })(
        xs,
        i32([
          [0, 1],
          [2, 3],
        ]),
      )[0].get(),
    ).toBe(`at mapped index 1: ${oob(3, 1)}`);
  });

  test("checkError rethrows an error value, inside and outside of transformed code", () => {
    const [err] = checkify(positive)(np.array(-4));
    expect(() => checkError(err)).toThrow(bad);
    checkError(checkify(positive)(np.array(4))[0]);
    const outer = (x: NDArray): NDArray => {
      const [inner, out] = checkify(positive)(x);
      checkError(inner);
      return out;
    };
    for (const f of [checkify(outer), jit(checkify(outer)), checkify(jit(outer))]) {
      expect(f(np.array(-4))[0].get()).toBe(bad);
      expect(f(np.array(4))[0].get()).toBeNull();
    }
    const batch = checkify(vmap(outer));
    expect(batch(np.array([1, -4]))[0].get()).toBe(bad);
    expect(() => jit(outer)(np.array(1))).toThrow(/wrap the function with checkify/);
    expect(() => checkError(null as never)).toThrow(/takes the error value/);
  });

  test("derivatives of checked functions: rules run with their checks, and effects happen once", () => {
    let calls = 0;
    const f = customJvp((x: NDArray) => {
      lax.debug.callback(() => calls++, x);
      return positive(x);
    });
    f.defjvp(([x], [dx]) => {
      check(np.less(x, 100), "{} in the rule", x);
      return [f(x), np.multiply(dx, 7)];
    });
    const g = customVjp((x: NDArray) => {
      lax.debug.callback(() => calls++, x);
      return positive(x);
    });
    g.defvjp(
      (x) => {
        check(np.less(x, 100), "{} in the rule", np.array([1, 2]));
        return [g(x), null];
      },
      (_res, ct) => [np.multiply(ct, 7)],
    );
    for (const h of [f, g]) {
      for (const errors of [userChecks, allChecks]) {
        const loss = (x: NDArray): readonly [NDArray, CheckError] => {
          const [err, out] = checkify((y: NDArray) => jit(h)(y), { errors })(x);
          return [np.multiply(out, 2), err];
        };
        for (const d of [grad(loss, { hasAux: true }), jit(grad(loss, { hasAux: true }))]) {
          calls = 0;
          const [slope, err] = d(np.array(4));
          expect(js(slope)).toBe(14);
          expect(err.get()).toBeNull();
          expect(calls).toBe(1);
          expect(d(np.array(-4))[1].get()).toBe(bad);
          expect(d(np.array(400))[1].get()).toMatch(/in the rule \(`check` failed\)$/);
        }
      }
    }
  });

  describe("checks inside functions with rules of their own", () => {
    const positive = (x: NDArray): NDArray => {
      check(x.greater(0), "{} is not positive", x);
      return x;
    };
    const ownRule = customVmap((x: NDArray) => positive(x).mul(3));
    ownRule.defVmap((_n, [batched], x) => {
      check(np.all(x.less(10)), "{} is large", x);
      return [x.mul(3), batched];
    });
    const cases: Readonly<Record<string, (x: NDArray) => NDArray>> = {
      customLinearSolve: (x) =>
        lax.customLinearSolve(
          (v: NDArray) => positive(v).mul(2),
          x,
          (matvec, b) => lax.foriLoop(0, 60, (_i, y: NDArray) => y.sub(matvec(y).sub(positive(b)).mul(0.4)), np.onesLike(b)),
          { transposeSolve: (vecmat, c) => positive(c).mul(c).div(vecmat(c)) },
        ),
      customRoot: (x) =>
        lax.customRoot(
          (y: NDArray) => y.mul(2).sub(positive(x)),
          np.array(1),
          (f, y) => y.sub(f(y).div(2)),
          (g, y) => positive(y).div(g(np.array(1))),
        ),
      customVmap: (x) => ownRule(x),
      linearCall: (x) =>
        lax.linearCall(
          (r: NDArray, v: NDArray) => positive(r).mul(v),
          (r: NDArray, ct: NDArray) => positive(r).mul(ct),
          x,
          np.array(2),
        ),
    };
    test.each(Object.entries(cases))("%s", (name, f) => {
      const slope = name === "customVmap" ? 3 : name === "linearCall" ? 2 : 0.5;
      for (const wrap of [(g: typeof f) => g, (g: typeof f) => jit(g)] as const) {
        const checked = checkify(wrap(f));
        for (const x of [3, -3]) {
          const failure = x < 0 ? expect.stringContaining("-3 is not positive") : null;
          const [err, y] = checked(np.array(x));
          expect(err.get()).toEqual(failure);
          expect(js(y)).toBeCloseTo(slope * x, 4);
          // Differentiated inside, outside, and in forward mode.
          const [inside, slopeInside] = checkify(grad(wrap(f)))(np.array(x));
          expect(inside.get()).toEqual(failure);
          expect(js(slopeInside)).toBeCloseTo(slope, 4);
          expect(js(grad((z: NDArray) => checked(z)[1])(np.array(x)))).toBeCloseTo(slope, 4);
          expect(js(jvp((z: NDArray) => checked(z)[1], [np.array(x)], [np.array(1)])[1])).toBeCloseTo(slope, 4);
        }
        // Each member of a batch has its error.
        const [each, ys] = vmap(checked)(np.array([2, -3]));
        if (name === "customVmap") expect(each.get()).toBeNull();
        else expect(each.get()).toContain("at mapped index 1: -3 is not positive");
        expect((js(ys) as number[])[1]).toBeCloseTo(-3 * slope, 4);
      }
    });
    test("a batching rule checks the batch; members that have failed before keep their error", () => {
      const f = checkify((x: NDArray) => ownRule(positive(x)));
      const [err] = jit(vmap(f))(np.array([20, -1]));
      // The state has no place for values that only the rule knows of.
      expect(err.get()).toContain("at mapped index 0: {} is large");
      expect(err.get()).toContain("at mapped index 1: -1 is not positive");
    });
    test("a library author's primitive that holds a jaxpr", () => {
      const apply = definePrimitive<{ readonly jaxpr: Jaxpr }>("apply_twice", {
        abstractEval: (_avals, { jaxpr }) => ({ avals: jaxpr.outAvals, effects: [...jaxpr.effects] }),
        rules: {
          [lowerRule]: (xs: readonly NDArray[], { jaxpr }: { readonly jaxpr: Jaxpr }) =>
            evalJaxpr(jaxpr, [], evalJaxpr(jaxpr, [], xs)),
        },
      });
      const { jaxpr } = traceToJaxpr((x) => [positive(x).sub(2)], [makeAval([], "float32")], "body");
      const [err, y] = jit(checkify((x: NDArray) => bind(apply, [x], { jaxpr })[0]))(np.array(1));
      expect(err.get()).toContain("-1 is not positive");
      expect(js(y)).toBe(-3);
    });
  });

  test("errors are pytrees that go through transformations", () => {
    const f = jit(checkify(positive));
    const pick = jit((e: CheckError): CheckError => e);
    expect(pick(f(np.array(-4))[0]).get()).toBe(bad);
    expect(pick(f(np.array(-4))[0])).toBeInstanceOf(CheckError);
  });

  test("keys among the values of a message, checkify inside checkify, and checks of what callbacks return", () => {
    const [err] = jit(
      checkify((k: NDArray, x: NDArray) => {
        check(np.less(x, 0), "with {}", k);
        return x;
      }),
    )(random.key(3), np.array(1));
    expect(err.get()).toBe("with Array<key<fry>[]> (`check` failed)");
    const [outer, [inner]] = checkify((x: NDArray) => checkify(positive)(x))(np.array(-4));
    expect(outer.get()).toBeNull();
    expect(inner.get()).toBe(bad);
    const called = jit(
      checkify((xs: NDArray) =>
        lax.scan(
          (c: NDArray, x: NDArray) => {
            const y = lax.pureCallback((v: NDArray) => np.log(v), x, x);
            check(np.isfinite(y), "log is {} at {x}", y, { x });
            return [np.add(c, y), null];
          },
          0,
          xs,
        ),
      ),
    );
    expect(called(np.array([1, -1]))[0].get()).toBe("log is NaN at -1 (`check` failed)");
    expect(called(np.array([1, 2]))[0].get()).toBeNull();
  });

  test("misuse", () => {
    expect(() => check(np.array([true, false]), "no")).toThrow(/the condition must be a scalar/);
    expect(() => check(1, "no")).toThrow(/the condition must be a bool/);
    expect(() => check(true, "{}")).toThrow(/needs 1 positional arguments, got 0/);
    expect(() => check(true, "{x}", { y: 1 })).toThrow(/an argument named x/);
    expect(() => check(true, "no", 1)).toThrow(/does not use the argument at position 0/);
    expect(() => check(true, "{}", "text")).toThrow(/write what is not an array into the message/);
    expect(() => checkify(async (x: NDArray) => x)(np.array(1))).toThrow(/async/);
    expect([...allChecks].sort()).toEqual(["div", "index", "nan", "user"]);
    expect([...userChecks]).toEqual(["user"]);
  });

  test("shapes stay: no check changes what is traced", () => {
    const [err, out] = checkify((x: NDArray) => ({ y: positive(np.sum(x)), z: [x] }), { errors: allChecks })(np.ones([2, 3]));
    expect(err.failure.aval).toBe(makeAval([], "int32"));
    expect(out.z[0].shape).toEqual([2, 3]);
  });
});
