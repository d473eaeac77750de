import { fromTyped, type NDArray } from "@traceform/core";
import { describe, expect, test } from "vitest";
import { corpus } from "./corpus.ts";
import { close, numbers } from "./derivatives.ts";
import { transformations } from "./nestings.ts";

const x = (): NDArray => fromTyped(Float64Array.of(0.4, -0.3, 0.7), [3], "float64");

/**
 * Every corpus function under every transformation and every ordered pair of them, on the default backend.
 * Call it when a backend is chosen: the corpus has constants that are computed.
 */
export function compositionTests(): void {
  describe.each(corpus().map((c) => [c.name, c] as const))("%s", (_name, c) => {
    const able = transformations.filter((t) => !(c.forwardOnly && t.reverse) && !(c.name === "customVjp" && t.forward));

    test("each transformation agrees with its definition", () => {
      for (const t of able) {
        const got = numbers(t.apply(c.fn)(x()));
        const wanted = numbers(t.define(c.fn)(x()));
        expect(close(got, wanted, t.tolerance), `${t.name}: ${got} against ${wanted}`).toBe(true);
      }
    });

    test("each pair of transformations agrees with the definition of the outer one", () => {
      for (const outer of able) {
        for (const inner of able) {
          // Forward over reverse and the like differentiate the rule of a customVjp function, which is allowed.
          const f = inner.apply(c.fn);
          const got = numbers(outer.apply(f)(x()));
          const wanted = numbers(outer.define(f)(x()));
          expect(close(got, wanted, outer.tolerance), `${outer.name}(${inner.name}): ${got} against ${wanted}`).toBe(true);
        }
      }
    });
  });
}
