import { isComplex, isFloat, type NDArray } from "@traceform/core";
import { imag, real } from "@traceform/lax";
import { describe, expect, test } from "vitest";
import { type ArrayFn, type ArrayTransformation, basicTransformations, expectedNesting, type Site } from "./arraytransforms.ts";
import { close, numbers } from "./derivatives.ts";
import { applyCase, makeOperand, mulberry32, type PrimitiveCase, primitiveCases } from "./primitivecases.ts";

/** A case as a function of some of its operands. */
interface Subject {
  readonly f: ArrayFn;
  readonly at: readonly NDArray[];
  readonly site: Site;
}

function subject(c: PrimitiveCase, args: readonly NDArray[], other: readonly NDArray[], positions: readonly number[]): Subject {
  const apply = applyCase(c);
  const differentiable = positions === c.diff;
  const f: ArrayFn = (...xs) => {
    const all = [...args];
    positions.forEach((p, k) => (all[p] = xs[k]));
    const outs = apply(...all);
    if (!differentiable) return outs;
    return outs.flatMap((y) => (isComplex(y.dtype) ? [real(y), imag(y)] : isFloat(y.dtype) ? [y] : []));
  };
  const able = c.batch ?? c.operands.map((_, i) => i);
  return {
    f,
    at: positions.map((p) => args[p]),
    site: { other: positions.map((p) => other[p]), batchable: positions.map((p) => able.includes(p)) },
  };
}

function check({ f, at, site }: Subject, chain: readonly ArrayTransformation[], looser: number): void {
  const got = chain.reduceRight((g, t) => t.apply(g, site), f)(...at);
  const { fn, tolerance } = expectedNesting(f, chain, site);
  const wanted = fn(...at);
  const name = chain.map((t) => t.name).join(" of ");
  expect(
    got.map((y) => y.shape),
    name,
  ).toEqual(wanted.map((y) => y.shape));
  got.forEach((y, i) => {
    const [a, b] = [numbers(y), numbers(wanted[i])];
    expect(close(a, b, Math.max(tolerance, looser)), `${name}: ${a} against ${b}`).toBe(true);
  });
}

/**
 * Every primitive under every ordered pair of transformations, each against its definition, on the default backend: call it when that
 * is chosen.
 */
export function primitivePairTests(): void {
  const random = mulberry32(4711);
  const cases = primitiveCases().filter((c) => c.operands.length > 0);
  describe.each(cases.map((c) => [c.name, c] as const))("%s", (_name, c) => {
    const [args, other] = [c.operands.map((o) => makeOperand(o, random)), c.operands.map((o) => makeOperand(o, random))];
    const plain = basicTransformations.filter((t) => t.derivative === undefined);
    test("pairs of jit, vmap and scan", () => {
      const s = subject(
        c,
        args,
        other,
        c.operands.map((_, i) => i),
      );
      for (const outer of plain) for (const inner of plain) check(s, [outer, inner], 0);
    });
    const able = basicTransformations.filter((t) => !(c.forwardOnly && t.derivative === "reverse"));
    const differentiated = subject(c, args, other, c.diff);
    // Comparisons and the like take floats, but give none.
    if (c.diff.length === 0 || differentiated.f(...differentiated.at).length === 0) return;
    test("pairs with derivatives", () => {
      for (const outer of able)
        for (const inner of able)
          if (outer.derivative !== undefined || inner.derivative !== undefined)
            check(differentiated, [outer, inner], c.tolerance ?? 0);
    });
  });
}
