import { fromTyped, isFloat, jvpRule, type NDArray, type Primitive, setDefaultBackend, TraceformError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { close, dotProduct, finiteDifference, numbers } from "@traceform/testing/derivatives";
import {
  applyCase,
  makeOperand,
  mulberry32,
  type PrimitiveCase,
  primitiveCases,
  untabledPrimitives,
} from "@traceform/testing/primitivecases";
import { beforeAll, describe, expect, test } from "vitest";
import { jvp, jvpRules, vjp } from "./index.ts";

beforeAll(() => {
  setDefaultBackend(referenceBackend());
});

const random = mulberry32(20260);
const direction = (shape: readonly number[]): NDArray =>
  fromTyped(
    Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random() * 2 - 1),
    shape,
    "float64",
  );

/** The case as a function of the operands that are differentiated, with the floating-point results only. */
function restrict(c: PrimitiveCase, args: readonly NDArray[]): (...xs: NDArray[]) => NDArray[] {
  const apply = applyCase(c);
  return (...xs) => {
    const all = [...args];
    c.diff.forEach((p, k) => (all[p] = xs[k]));
    return apply(...all).filter((y) => isFloat(y.dtype));
  };
}

const cases = primitiveCases();

test("the table has every primitive of lax", () => {
  const exported = Object.entries(lax)
    .filter(([name]) => /[a-z0-9]P$/.test(name))
    .map(([, p]) => (p as { name: string }).name);
  const tabled = new Set([...cases.map((c) => c.primitive.name), ...untabledPrimitives]);
  expect(exported.filter((name) => !tabled.has(name))).toEqual([]);
});

/** Primitives without tangents to speak of, and those for which JAX has no derivative either. */
const withoutJvp = [
  "axis_index",
  "pmax",
  "pmin",
  "random_unwrap",
  "random_wrap",
  "threefry2x32",
  "reduce_window", // add, max and min windows have primitives of their own
];

test("every primitive of lax that takes floats has a JVP rule", () => {
  const primitives = Object.entries(lax)
    .filter(([name]) => /[a-z0-9]P$/.test(name))
    .map(([, p]) => p as unknown as Primitive<never>);
  const missing = primitives.filter((p) => jvpRules.get(p) === undefined && p.rules[jvpRule] === undefined).map((p) => p.name);
  expect(missing.filter((name) => !withoutJvp.includes(name))).toEqual([]);
});

describe.each(cases.filter((c) => c.diff.length > 0).map((c) => [c.name, c] as const))("%s", (_name, c) => {
  const tolerance = c.tolerance ?? 1e-5;
  const args = c.operands.map((o) => makeOperand(o, random));
  const primals = c.diff.map((i) => args[i]);
  const tangents = primals.map((x) => direction(x.shape));
  const fn = restrict(c, args);

  test("jvp agrees with finite differences", () => {
    const [outs, dots] = jvp(fn, primals, tangents);
    const direct = fn(...primals);
    outs.forEach((y, i) => expect(numbers(y)).toEqual(numbers(direct[i])));
    const expected = finiteDifference(fn, primals, tangents.map(numbers));
    dots.forEach((t, i) => {
      expect(t.shape).toEqual(outs[i].shape);
      expect(close(numbers(t), expected[i]!, tolerance), `${numbers(t)} against ${expected[i]}`).toBe(true);
    });
    // One operand at a time takes the paths of symbolic zeros.
    primals.forEach((_, k) => {
      const alone = tangents.map((t, i) => (i === k ? t : null));
      const [, part] = jvp(fn, primals, alone);
      const wanted = finiteDifference(
        fn,
        primals,
        alone.map((t) => (t === null ? null : numbers(t))),
      );
      part.forEach((t, i) =>
        expect(close(numbers(t), wanted[i]!, tolerance), `operand ${k}: ${numbers(t)} against ${wanted[i]}`).toBe(true),
      );
    });
  });

  if (c.forwardOnly) {
    test("reverse mode is refused", () => {
      expect(() => vjp(fn, ...primals)[1](fn(...primals).map((y) => direction(y.shape)))).toThrow(TraceformError);
    });
    return;
  }

  test("vjp is the transpose of jvp", () => {
    const [outs, dots] = jvp(fn, primals, tangents);
    const [, pullback] = vjp(fn, ...primals);
    const cotangents = outs.map((y) => direction(y.shape));
    const grads = pullback(cotangents);
    grads.forEach((g, i) => expect(g.shape).toEqual(primals[i].shape));
    const forward = dotProduct(cotangents.map(numbers), dots.map(numbers));
    const backward = dotProduct(grads.map(numbers), tangents.map(numbers));
    expect(backward).toBeCloseTo(forward, 9);
  });

  test("jvp of vjp agrees with finite differences", () => {
    const cotangents = fn(...primals).map((y) => direction(y.shape));
    const backward = (...xs: NDArray[]): NDArray[] => vjp(fn, ...xs)[1](cotangents);
    const [, dots] = jvp(backward, primals, tangents);
    const expected = finiteDifference(backward, primals, tangents.map(numbers));
    dots.forEach((t, i) =>
      expect(close(numbers(t), expected[i]!, 20 * tolerance), `${numbers(t)} against ${expected[i]}`).toBe(true),
    );
  });
});
