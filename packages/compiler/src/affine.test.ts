import { expect, test } from "vitest";
import {
  addIndex,
  axisIndex,
  divIndex,
  flattenIndex,
  indexRange,
  modIndex,
  offsetIndex,
  scaleIndex,
  unflattenIndex,
} from "./affine.ts";
import { type Axis, type Ex, Exprs, type Index, indexKey } from "./expr.ts";

/** Evaluates an index by its definition. */
function evaluate(index: Index, at: ReadonlyMap<Axis, number>): number {
  const atom = (x: Ex): number => {
    if (x.axis !== null) return at.get(x.axis)!;
    if (x.op === "const") return Number(x.value);
    const v = evaluate(x.index!, at);
    const n = Number(x.value);
    return x.op === "idiv" ? Math.floor(v / n) : x.op === "imod" ? v - n * Math.floor(v / n) : v;
  };
  return index.c + index.terms.reduce((sum, t) => sum + t.coef * atom(t.atom), 0);
}

test("a reshape there and back is no computation", () => {
  const e = new Exprs();
  const shape = [2, 3, 4, 5];
  const position = shape.map((n) => axisIndex(e, e.axis(n)));
  const flat = flattenIndex(position, shape);
  for (const other of [[120], [6, 20], [4, 30], [8, 15], [5, 24], [1, 120, 1], [2, 1, 60]]) {
    const back = unflattenIndex(e, flattenIndex(unflattenIndex(e, flat, other), other), shape);
    expect(back.map(indexKey)).toEqual(position.map(indexKey));
  }
});

test("merging and splitting dimensions that fit is affine", () => {
  const e = new Exprs();
  const [a, b] = [e.axis(6), e.axis(4)];
  const [i, j] = [axisIndex(e, a), axisIndex(e, b)];
  const flat = addIndex(scaleIndex(i, 4), j);
  expect(indexKey(divIndex(e, flat, 4))).toBe(indexKey(i));
  expect(indexKey(modIndex(e, flat, 4))).toBe(indexKey(j));
  // A divisor of the step is enough: only i matters to a division by 8.
  const eighth = divIndex(e, flat, 8);
  expect(eighth.terms.every((t) => t.atom.axis !== b)).toBe(true);
});

test("quotients and remainders agree with their definition, for negative values too", () => {
  const e = new Exprs();
  const axes = [5, 4, 3].map((n) => e.axis(n));
  let seed = 3;
  const random = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
  for (let trial = 0; trial < 200; trial++) {
    let index = offsetIndex({ c: 0, terms: [] }, random(21) - 10);
    for (const a of axes) index = addIndex(index, scaleIndex(axisIndex(e, a), random(25) - 12));
    const n = 1 + random(12);
    const q = divIndex(e, index, n);
    const r = modIndex(e, index, n);
    const range = indexRange(r);
    for (let k = 0; k < 60; k++) {
      const at = new Map(axes.map((a) => [a, random(a.extent)]));
      const v = evaluate(index, at);
      expect(evaluate(q, at)).toBe(Math.floor(v / n));
      expect(evaluate(r, at)).toBe(v - n * Math.floor(v / n));
      expect(evaluate(r, at)).toBeGreaterThanOrEqual(range.min);
      expect(evaluate(r, at)).toBeLessThanOrEqual(range.max);
    }
  }
});
