import { batchRule, type NDArray, type Primitive, setDefaultBackend } from "@traceform/core";
import * as lax from "@traceform/lax";
import { slice, squeeze, transpose } from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { close, numbers } from "@traceform/testing/derivatives";
import { applyCase, makeOperand, mulberry32, type PrimitiveCase, primitiveCases } from "@traceform/testing/primitivecases";
import { beforeAll, describe, expect, test } from "vitest";
import { batchRules, vmap } from "./index.ts";

beforeAll(() => {
  setDefaultBackend(referenceBackend());
});

const random = mulberry32(7);
const size = 3;

/** Member `k` of a batch along axis `dim`. */
function member(x: NDArray, k: number, dim: number | null): NDArray {
  if (dim === null) return x;
  const one = slice(
    x,
    x.shape.map((_, i) => (i === dim ? k : 0)),
    x.shape.map((n, i) => (i === dim ? k + 1 : n)),
  );
  return squeeze(one, [dim]);
}

/** Which operands are batched and where: each alone at every place, then all together at several. */
function placements(c: PrimitiveCase): (number | null)[][] {
  const ranks = c.operands.map((o) => o.shape.length);
  const able = c.batch ?? c.operands.map((_, i) => i);
  const alone = able.flatMap((k) => Array.from({ length: ranks[k] + 1 }, (_, d) => ranks.map((_r, i) => (i === k ? d : null))));
  const together = [
    ranks.map((_r, i) => (able.includes(i) ? 0 : null)),
    ranks.map((r, i) => (able.includes(i) ? r : null)),
    ranks.map((r, i) => (able.includes(i) ? Math.floor(random() * (r + 1)) : null)),
  ];
  const pairs =
    able.length < 3
      ? []
      : able.map((k) => ranks.map((r, i) => (i !== k && able.includes(i) ? Math.floor(random() * (r + 1)) : null)));
  return [...alone, ...together, ...pairs].filter((dims) => dims.some((d) => d !== null));
}

test("every primitive of lax has a batching rule", () => {
  const primitives = Object.entries(lax)
    .filter(([name]) => /[a-z0-9]P$/.test(name))
    .map(([, p]) => p as unknown as Primitive<never>);
  expect(primitives.filter((p) => batchRules.get(p) === undefined && p.rules[batchRule] === undefined).map((p) => p.name)).toEqual(
    [],
  );
});

describe.each(
  primitiveCases()
    .filter((c) => c.operands.length > 0)
    .map((c) => [c.name, c] as const),
)("%s", (_name, c) => {
  test("vmap agrees with a loop", () => {
    const apply = applyCase(c);
    for (const dims of placements(c)) {
      const args = c.operands.map((o, i) => {
        const d = dims[i];
        return makeOperand(o, random, d === null ? o.shape : [...o.shape.slice(0, d), size, ...o.shape.slice(d)]);
      });
      const outs = vmap(apply, { inAxes: dims as never })(...args);
      for (let k = 0; k < size; k++) {
        const expected = apply(...args.map((x, i) => member(x, k, dims[i])));
        outs.forEach((y, j) => {
          const got = member(y, k, 0);
          expect(got.dtype).toEqual(expected[j].dtype);
          expect(got.shape).toEqual(expected[j].shape);
          expect(
            close(numbers(got), numbers(expected[j]), 1e-12),
            `dims ${dims} member ${k}: ${numbers(got)} against ${numbers(expected[j])}`,
          ).toBe(true);
        });
      }
    }
  });

  test("results can be placed along any axis, and nested batches work", () => {
    const apply = applyCase(c);
    const args = c.operands.map((o) => makeOperand(o, random, [2, size, ...o.shape]));
    const inner = vmap(apply, { outAxes: -1 });
    const outs = vmap(inner)(...args);
    for (let a = 0; a < 2; a++) {
      const rows = args.map((x) => member(x, a, 0));
      const plain = vmap(apply)(...rows);
      outs.forEach((y, j) => {
        const got = member(y, a, 0);
        const moved = transpose(got, [got.ndim - 1, ...got.shape.slice(1).map((_, i) => i)]);
        expect(close(numbers(moved), numbers(plain[j]), 1e-12)).toBe(true);
      });
    }
  });
});
