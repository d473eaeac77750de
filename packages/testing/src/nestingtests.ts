import { fromTyped, type NDArray } from "@traceform/core";
import { describe, expect, test } from "vitest";
import { corpus } from "./corpus.ts";
import { close, numbers } from "./derivatives.ts";
import { moreTransformations, type Transformation } from "./nestings.ts";
import { mulberry32 } from "./primitivecases.ts";

const perTest = 100;

type Fn = (x: NDArray) => NDArray;
const isDerivative = (t: Transformation): boolean => (t.reverse ?? false) || (t.forward ?? false);

/**
 * What the nesting should give: every level by its definition, except that of several derivatives only the outermost is
 * taken by finite differences, because differences of differences have no digits left.
 */
function expected(f: Fn, chain: readonly Transformation[]): { fn: Fn; tolerance: number } {
  const outermost = chain.findIndex(isDerivative);
  const fn = chain.reduceRight((g, t, i) => (isDerivative(t) && i !== outermost ? t.apply(g) : t.define(g)), f);
  return { fn, tolerance: outermost >= 0 ? 1e-4 : 1e-9 };
}

/** Random nestings of three and four transformations over the corpus, each against its definition, on the default backend. */
export function nestingTests(samples: number): void {
  const functions = corpus();
  describe(`${samples} random nestings of depth 3 and 4`, () => {
    test.each(Array.from({ length: Math.ceil(samples / perTest) }, (_, i) => [i]))("seed %i", (seed) => {
      const random = mulberry32(1000 + seed);
      const choose = <T>(xs: readonly T[]): T => xs[Math.floor(random() * xs.length)];
      let finite = 0;
      for (let k = 0; k < perTest; k++) {
        const c = choose(functions);
        const able = moreTransformations.filter((t) => !(c.forwardOnly && t.reverse) && !(c.name === "customVjp" && t.forward));
        const chain = Array.from({ length: random() < 0.6 ? 3 : 4 }, () => choose(able));
        const x = fromTyped(
          Float64Array.from({ length: 3 }, () => random() * 1.6 - 0.8),
          [3],
          "float64",
        );
        const name = `${chain.map((t) => t.name).join("(")}(${c.name})`;
        const got = numbers(chain.reduceRight((g, t) => t.apply(g), c.fn)(x));
        const want = expected(c.fn, chain);
        const wanted = numbers(want.fn(x));
        if (got.every(Number.isFinite)) finite++;
        expect(close(got, wanted, want.tolerance), `${name} at ${numbers(x)}: ${got} against ${wanted}`).toBe(true);
      }
      // The comparison means something only where there are numbers to compare.
      expect(finite).toBeGreaterThan(0.95 * perTest);
    });
  });
}
