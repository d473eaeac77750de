import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ArrayFn, expectedNesting, moreArrayTransformations, type Site } from "./arraytransforms.ts";
import { close, numbers } from "./derivatives.ts";
import { programInputs, type RandomProgram, randomPrograms, runProgram } from "./programs.ts";

const perTest = 100;

const nestings = fc.array(fc.constantFrom(...moreArrayTransformations.map((t) => t.name)), { minLength: 3, maxLength: 4 });
const byName = new Map(moreArrayTransformations.map((t) => [t.name, t]));

/** What is wrong with a program under a nesting of transformations; null if nothing. `sees` is told whether there were numbers to compare. */
function difference(program: RandomProgram, names: readonly string[], sees: (finite: boolean) => void): string | null {
  const f: ArrayFn = (...xs) => runProgram(program, xs);
  const site: Site = { other: programInputs(program, 1), batchable: program.inputs.map((_, i) => i !== 1) };
  const at = programInputs(program, 0);
  const chain = names.map((n) => byName.get(n)!);
  const got = chain.reduceRight((g, t) => t.apply(g, site), f)(...at);
  const { fn, tolerance } = expectedNesting(f, chain, site);
  const wanted = fn(...at);
  sees(got.every((y) => numbers(y).every(Number.isFinite)));
  for (const [i, y] of got.entries()) {
    const [a, b] = [numbers(y), numbers(wanted[i])];
    const shapes = [y, wanted[i]].map((x) => x.shape.join(","));
    if (shapes[0] !== shapes[1]) return `result ${i} has the shape [${shapes[0]}], expected [${shapes[1]}]`;
    if (!close(a, b, tolerance)) return `result ${i} is ${a}, expected ${b}`;
  }
  return got.length === wanted.length ? null : `${got.length} results, expected ${wanted.length}`;
}

/**
 * Random programs over inputs of random shapes, under random nestings of three and four transformations, against the
 * definitions of those, on the default backend. What fails is made smaller before it is reported.
 */
export function programTests(samples: number): void {
  describe(`${samples} random programs under nestings of depth 3 and 4`, () => {
    test.each(Array.from({ length: Math.ceil(samples / perTest) }, (_, i) => [i]))("seed %i", (seed) => {
      let finite = 0;
      fc.assert(
        fc.property(randomPrograms, nestings, (program, names) => {
          expect(difference(program, names, (f) => (finite += Number(f)))).toBeNull();
        }),
        { numRuns: perTest, seed: 20_261_123 + seed },
      );
      // The comparison means something only where there are numbers to compare.
      expect(finite).toBeGreaterThan(0.95 * perTest);
    });
  });
}
