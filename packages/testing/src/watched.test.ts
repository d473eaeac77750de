import { cpu } from "@traceform/backend-cpu";
import { check, checkify } from "@traceform/checkify";
import { fromTyped, type NDArray, setDefaultBackend } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { describe, expect, test } from "vitest";
import { corpus } from "./corpus.ts";
import { close, numbers } from "./derivatives.ts";
import { moreTransformations, type Transformation } from "./nestings.ts";
import { mulberry32 } from "./primitivecases.ts";

// Looking at values, and checking them, must change nothing: random nestings of transformations over the corpus, with and
// without callbacks and checks around the function.

type Fn = (x: NDArray) => NDArray;

setDefaultBackend(cpu({ devices: 2 }));

const functions = corpus();
const nest = (f: Fn, chain: readonly Transformation[]): Fn => chain.reduceRight((g, t) => t.apply(g), f);

interface Sample {
  readonly name: string;
  readonly f: Fn;
  readonly chain: readonly Transformation[];
  readonly x: NDArray;
}
function samples(seed: number, count: number): Sample[] {
  const random = mulberry32(seed);
  const choose = <T>(xs: readonly T[]): T => xs[Math.floor(random() * xs.length)];
  return Array.from({ length: count }, () => {
    const c = choose(functions);
    const able = moreTransformations.filter((t) => !(c.forwardOnly && t.reverse) && !(c.name === "customVjp" && t.forward));
    const chain = Array.from({ length: 1 + Math.floor(random() * 3) }, () => choose(able));
    const x = fromTyped(
      Float64Array.from({ length: 3 }, () => random() * 1.6 - 0.8),
      [3],
      "float64",
    );
    return { name: `${chain.map((t) => t.name).join("(")}(${c.name})`, f: c.fn, chain, x };
  });
}

describe.each([1, 2, 3])("seed %i", (seed) => {
  test("callbacks see all that goes in and comes out, and change nothing", () => {
    for (const { name, f, chain, x } of samples(seed, 60)) {
      let [into, outOf] = [0, 0];
      const watched: Fn = (y) => {
        lax.debug.callback((v: NDArray) => {
          into++;
          expect(v.shape).toEqual([3]);
        }, y);
        const z = f(y);
        lax.debug.callback(() => outOf++, z);
        return z;
      };
      const plain = numbers(nest(f, chain)(x));
      expect(close(numbers(nest(watched, chain)(x)), plain, 1e-12), name).toBe(true);
      expect(into, name).toBeGreaterThan(0);
      expect(outOf, name).toBe(into);
      // Compiled as a whole it runs as often.
      const [once, results] = [into, jit(nest(watched, chain))];
      into = outOf = 0;
      expect(close(numbers(results(x)), plain, 1e-12), name).toBe(true);
      expect([into, outOf], name).toEqual([once, once]);
    }
  });

  test("checks that hold change nothing, and one that fails is told", () => {
    let compared = 0;
    for (const { name, f, chain, x } of samples(100 + seed, 40)) {
      const checked =
        (bound: number): Fn =>
        (y) => {
          check(lax.lt(lax.reduceMax(lax.abs(y)), bound), "{} is beyond {bound}", y, { bound });
          return f(y);
        };
      // A predicate that differs between members: both branches would run.
      const run = (bound: number): ReturnType<ReturnType<typeof checkify<[NDArray], NDArray>>> | null => {
        try {
          return jit(checkify(nest(checked(bound), chain)))(x);
        } catch (error) {
          expect((error as Error).message, name).toMatch(/one of them has effects|but it has effects/);
          expect(name).toMatch(/(vmap|map|Map|jac).*cond/);
          return null;
        }
      };
      const good = run(1e9);
      if (good === null) continue;
      compared++;
      expect(good[0].get(), name).toBeNull();
      expect(close(numbers(good[1]), numbers(nest(f, chain)(x)), 1e-12), name).toBe(true);
      expect(run(0)![0].get(), name).toMatch(/^\[.*\] is beyond 0 \(`check` failed\)$/);
    }
    expect(compared).toBeGreaterThan(20);
  });
});
