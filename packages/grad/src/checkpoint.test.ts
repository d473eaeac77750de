import {
  bind,
  definePrimitive,
  type Eqn,
  fromTyped,
  innerJaxprs,
  type Jaxpr,
  makeAval,
  type NDArray,
  setDefaultBackend,
  traceToJaxpr,
} from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { describe, expect, test, vi } from "vitest";
import { checkpoint, checkpointName, checkpointPolicies as policies, grad, printSavedResiduals, savedResiduals } from "./index.ts";

setDefaultBackend(referenceBackend());

const vector = (...xs: number[]): NDArray => fromTyped(Float32Array.from(xs), [xs.length], "float32");
const matrix = lax.mul(lax.broadcast(vector(1, 2), [2]), 0.5);
const f = (w: NDArray, x: NDArray): NDArray => {
  const y = checkpointName(lax.sin(lax.dot(w, x)), "first");
  const z = checkpointName(lax.sin(lax.batchMatmul(lax.reshape(y, [2, 1, 1]), lax.reshape(x, [2, 1, 1]))), "second");
  return lax.reduceSum(lax.cos(z));
};
/** The types of what is kept beside arguments, while everything is staged. */
const kept = (g: typeof f): string[] => {
  let found: string[] = [];
  traceToJaxpr(
    (w, x) => {
      found = savedResiduals(g, w, x).flatMap((r) => (r.argument === null ? [String(r.aval)] : []));
      return [w];
    },
    [makeAval([2, 2], "float32"), makeAval([2], "float32")],
    "f",
  );
  return found.sort();
};

const all = (jaxpr: Jaxpr): Eqn[] => jaxpr.eqns.flatMap((e) => [e, ...innerJaxprs(e.params).flatMap(all)]);

describe("savedResiduals", () => {
  test("lists what is kept, and where it comes from", () => {
    const g = (w: NDArray, x: NDArray): NDArray => lax.reduceSum(lax.sin(lax.sin(lax.dot(w, x))));
    const list = (h: typeof g): string[] =>
      savedResiduals(h, matrix, vector(1, 2)).map((r) => `${r.aval} ${r.argument ?? "computed"}`);
    // As JAX lists them: two cosines and both arguments; the arguments alone.
    expect(list(g).sort()).toEqual(["float32[2,2] 0", "float32[2] 1", "float32[2] computed", "float32[2] computed"]);
    expect(list(checkpoint(g)).sort()).toEqual(["float32[2,2] 0", "float32[2] 1"]);
  });
  test("prints them", () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    printSavedResiduals((x: NDArray) => lax.reduceSum(lax.sin(lax.mul(x, x))), vector(1, 2));
    expect(log.mock.calls.flat().sort()).toEqual(["float32[2] computed", "float32[2] from argument leaf 0"]);
    log.mockRestore();
  });
});

describe("policies", () => {
  const by = (policy: (typeof policies)["dotsSaveable"]): string[] => kept(checkpoint(f, { policy }));

  test("everything, nothing", () => {
    expect(by(policies.everythingSaveable).length).toBeGreaterThanOrEqual(5);
    expect(by(policies.nothingSaveable)).toEqual([]);
    expect(kept(checkpoint(f))).toEqual([]);
  });
  test("products, with or without those over batches", () => {
    for (const policy of [policies.dotsSaveable, policies.checkpointDots])
      expect(by(policy)).toEqual(["float32[2,1,1]", "float32[2]"]);
    for (const policy of [policies.dotsWithNoBatchDimsSaveable, policies.checkpointDotsWithNoBatchDims]) {
      expect(by(policy)).toEqual(["float32[2]"]);
    }
  });
  test("names", () => {
    expect(by(policies.saveOnlyTheseNames("first"))).toEqual(["float32[2]"]);
    expect(by(policies.saveOnlyTheseNames("second", "third"))).toEqual(["float32[2,1,1]"]);
    expect(by(policies.saveAnyNamesButThese("first"))).toEqual(["float32[2,1,1]"]);
    // The value before it got its name is another one, which is kept, as in JAX.
    expect(by(policies.saveAnythingExceptTheseNames("first"))).toEqual(by(policies.everythingSaveable));
    expect(by(policies.saveAnythingExceptTheseNames("another"))).toEqual(by(policies.everythingSaveable));
  });
  test("two together", () => {
    const both = policies.saveFromBothPolicies(policies.dotsWithNoBatchDimsSaveable, policies.saveOnlyTheseNames("second"));
    expect(by(both)).toEqual(["float32[2,1,1]", "float32[2]"]);
  });
  test("see into jitted functions, and into the steps of a loop that is checkpointed step by step", () => {
    const inside = jit((w: NDArray, x: NDArray) => jit(f)(w, x));
    expect(kept(checkpoint(inside, { policy: policies.dotsSaveable }))).toEqual(["float32[2,1,1]", "float32[2]"]);
    expect(kept(checkpoint(inside, { policy: policies.saveOnlyTheseNames("first") }))).toEqual(["float32[2]"]);
    expect(kept(checkpoint(inside))).toEqual([]);
    const step = (c: NDArray, w: NDArray): NDArray => lax.sin(lax.dot(w, lax.sin(c)));
    const loop = (policy: (typeof policies)["dotsSaveable"] | null) => (w: NDArray, x: NDArray) => {
      const each = checkpoint(step, { policy });
      return lax.reduceSum(lax.scan((c: NDArray, _: null) => [each(c, w), null], x, null, { length: 5 })[0]);
    };
    expect(kept(loop(null))).toEqual(["float32[5,2]"]);
    expect(kept(loop(policies.dotsSaveable))).toEqual(["float32[5,2]", "float32[5,2]"]);
  });
  test("see into the branches of conditionals, in loops too, and nothing is computed twice that they keep", () => {
    const both = policies.saveFromBothPolicies(policies.dotsSaveable, policies.saveOnlyTheseNames("first"));
    const step = (w: NDArray, c: NDArray): NDArray =>
      lax.cond(
        lax.gt(lax.reduceSum(c), 1),
        (v: NDArray) => lax.sin(lax.dot(w, lax.sin(v))),
        (v: NDArray) => checkpointName(lax.sin(lax.mul(lax.cos(lax.dot(lax.mul(w, 2), v)), 0.5)), "first"),
        c,
      );
    const once = (w: NDArray, x: NDArray): NDArray => lax.reduceSum(lax.square(step(w, x)));
    const loop = (w: NDArray, x: NDArray): NDArray =>
      lax.reduceSum(lax.square(lax.scan((c: NDArray, _: null) => [step(w, c), null], x, null, { length: 4 })[0]));
    expect(kept(checkpoint(once))).toEqual([]);
    expect(kept(checkpoint(once, { policy: policies.dotsSaveable }))).toEqual(["float32[2]"]);
    // The second branch has two values to keep, the first one of the same type.
    expect(kept(checkpoint(once, { policy: both }))).toEqual(["float32[2]", "float32[2]"]);
    expect(kept(checkpoint(loop, { policy: both }))).toEqual(["float32[4,2]", "float32[4,2]"]);
    for (const f of [once, loop]) {
      for (const x of [vector(1, 2), vector(-1, 0.5)]) {
        const want = grad(f, { argnums: [0, 1] })(matrix, x);
        for (const policy of [null, policies.dotsSaveable, both, policies.everythingSaveable]) {
          const g = grad(checkpoint(f, { policy }), { argnums: [0, 1] });
          for (const run of [g, jit(g)]) {
            run(matrix, x).forEach((d, i) => expect(d.jsSync()).toEqual(want[i].jsSync()));
          }
        }
      }
    }
    const products = (policy: (typeof policies)["dotsSaveable"] | null): number => {
      const { jaxpr } = traceToJaxpr(
        (w, x) => [grad(checkpoint(once, { policy }))(w, x)],
        [makeAval([2, 2], "float32"), makeAval([2], "float32")],
        "f",
      );
      return all(jaxpr).filter((e) => e.primitive.name === "dot_general").length;
    };
    // Forward, and the cotangent of w, in each branch; without policy once more for the cosine of the sine.
    expect([products(null), products(policies.dotsSaveable)]).toEqual([6, 4]);
  });
  test("see into loops that are checkpointed as a whole, and nothing is computed twice that they keep", () => {
    const nested =
      (reverse: boolean) =>
      (w: NDArray, x: NDArray): NDArray => {
        const inner = (c: NDArray, _: null): readonly [NDArray, null] => [
          checkpointName(lax.sin(lax.dot(w, lax.sin(c))), "inner"),
          null,
        ];
        const outer = (c: NDArray, v: NDArray): readonly [NDArray, NDArray] => {
          const [d] = lax.scan(inner, lax.add(c, v), null, { length: 3, reverse });
          return [d, lax.cos(d)];
        };
        const xs = lax.mul(lax.broadcast(x, [5]), 0.3);
        const [c, ys] = lax.scan(outer, x, xs, { reverse });
        return lax.add(lax.reduceSum(lax.square(c)), lax.reduceSum(ys));
      };
    for (const reverse of [false, true]) {
      const whole = nested(reverse);
      expect(kept(checkpoint(whole))).toEqual([]);
      expect(kept(checkpoint(whole, { policy: policies.dotsSaveable }))).toEqual(["float32[5,3,2]"]);
      expect(kept(checkpoint(whole, { policy: policies.saveOnlyTheseNames("inner") }))).toEqual(["float32[5,3,2]"]);
      const want = grad(whole, { argnums: [0, 1] })(matrix, vector(1, 2)).map((g) => (g.jsSync() as number[]).flat());
      for (const policy of [null, policies.dotsSaveable, policies.saveOnlyTheseNames("inner"), policies.everythingSaveable]) {
        for (const g of [checkpoint(whole, { policy }), jit(checkpoint(whole, { policy })), checkpoint(jit(whole), { policy })]) {
          const got = grad(g, { argnums: [0, 1] })(matrix, vector(1, 2)).map((v) => (v.jsSync() as number[]).flat());
          got.forEach((v, i) => v.forEach((y, k) => expect(y).toBeCloseTo(want[i][k], 4)));
        }
      }
      const products = (policy: (typeof policies)["dotsSaveable"] | null): number => {
        const { jaxpr } = traceToJaxpr(
          (w, x) => [grad(checkpoint(whole, { policy }))(w, x)],
          [makeAval([2, 2], "float32"), makeAval([2], "float32")],
          "f",
        );
        return all(jaxpr).filter((e) => e.primitive.name === "dot_general").length;
      };
      // Forward, again, and two in the backward pass; the second of them is not computed again where it is kept.
      expect([products(null), products(policies.dotsSaveable)]).toEqual([4, 3]);
    }
  });
  test("effects in the steps of a loop happen once", () => {
    const effect = { name: "seen", ordered: false };
    const seen = definePrimitive("seen", { abstractEval: () => ({ avals: [], effects: [effect] }) });
    const loop = (x: NDArray): NDArray => {
      const step = (c: NDArray, _: null): readonly [NDArray, null] => {
        bind(seen, [lax.stopGradient(c)], {});
        return [lax.sin(c), null];
      };
      return lax.reduceSum(lax.scan(step, x, null, { length: 3 })[0]);
    };
    const { jaxpr } = traceToJaxpr((x) => [grad(checkpoint(loop))(x)], [makeAval([2], "float32")], "f");
    expect(all(jaxpr).filter((e) => e.primitive.name === "seen").length).toBe(1);
    expect(all(jaxpr).filter((e) => e.primitive.name === "cos").length).toBe(1);
  });
  test("gradients do not depend on them", () => {
    const want = grad(f)(matrix, vector(1, 2)).jsSync() as number[][];
    for (const policy of [null, ...Object.values(policies).slice(0, 6)] as never[]) {
      const got = jit(grad(checkpoint(f, { policy })))(matrix, vector(1, 2)).jsSync() as number[][];
      got.flat().forEach((v, i) => expect(v).toBeCloseTo(want.flat()[i], 6));
    }
  });
});

test("static arguments reach the function as they are", () => {
  const g = checkpoint((fn: (x: NDArray) => NDArray, x: NDArray, flag: boolean) => lax.reduceSum(flag ? fn(x) : x), {
    staticArgnums: [0, -1],
  });
  expect(grad((x: NDArray) => g(lax.sin, x, false))(vector(0)).jsSync()).toEqual([1]);
  expect(grad((x: NDArray) => g((y) => lax.mul(y, 3), x, true))(vector(0)).jsSync()).toEqual([3]);
});
