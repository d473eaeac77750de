import * as lax from "@traceform/lax";
import { type ConformanceCase, every, floats, integers, numbers, type Operand, wide } from "./case.ts";

const m: Operand = { shape: [4, 9, 7] };
const axes: [string, readonly number[]][] = [
  ["last axis", [2]],
  ["first axis", [0]],
  ["two axes", [0, 2]],
  ["all axes", [0, 1, 2]],
  ["no axis", []],
];

export function reductionCases(): ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  for (const [what, a] of axes) {
    cases.push(
      { name: `reduceSum: ${what}`, dtypes: numbers, operands: [m], run: (x) => lax.reduceSum(x, a), ulps: 2, relative: 1e-6 },
      {
        name: `reduceProd: ${what}`,
        dtypes: wide,
        operands: [{ shape: m.shape, range: [0.8, 1.2] }],
        run: (x) => lax.reduceProd(x, a),
        ulps: 160,
      },
      { name: `reduceProd: ${what}`, dtypes: integers, operands: [m], run: (x) => lax.reduceProd(x, a) },
      { name: `reduceMax: ${what}`, dtypes: every, operands: [m], run: (x) => lax.reduceMax(x, a) },
      { name: `reduceMin: ${what}`, dtypes: every, operands: [m], run: (x) => lax.reduceMin(x, a) },
      { name: `reduceAnd: ${what}`, dtypes: [...integers, "bool"], operands: [m], run: (x) => lax.reduceAnd(x, a) },
      { name: `reduceOr: ${what}`, dtypes: [...integers, "bool"], operands: [m], run: (x) => lax.reduceOr(x, a) },
      { name: `reduceXor: ${what}`, dtypes: [...integers, "bool"], operands: [m], run: (x) => lax.reduceXor(x, a) },
    );
  }
  cases.push(
    {
      name: "reduceSum: 16-bit sums accumulate in 32 bits",
      dtypes: ["float16", "bfloat16"],
      operands: [{ shape: [3000], range: [0, 1] }],
      run: (x) => lax.reduceSum(x, [0]),
      ulps: 1,
    },
    {
      name: "reduceSum: long",
      dtypes: wide,
      operands: [{ shape: [100_003], range: [0, 1] }],
      run: (x) => lax.reduceSum(x, [0]),
      ulps: 16,
    },
    { name: "reduceSum: empty", dtypes: numbers, operands: [{ shape: [3, 0] }], run: (x) => lax.reduceSum(x, [1]) },
    {
      name: "reduceMax: NaN wins",
      dtypes: floats,
      operands: [{ shape: [6, 40], special: true }],
      run: (x) => [lax.reduceMax(x, [1]), lax.reduceMin(x, [1])],
    },
    {
      name: "reduceMax: long with special values",
      dtypes: wide,
      operands: [{ shape: [1000], values: Array.from({ length: 1000 }, (_, i) => (i === 777 ? Infinity : -i)) }],
      run: (x) => lax.reduceMax(x, [0]),
    },
  );
  for (const axis of [0, 1, 2]) {
    cases.push(
      { name: `argmax: axis ${axis}`, dtypes: numbers, operands: [m], run: (x) => [lax.argmax(x, axis), lax.argmin(x, axis)] },
      {
        name: `cumsum: axis ${axis}`,
        dtypes: [...wide, ...integers],
        operands: [m],
        run: (x) => lax.cumsum(x, axis),
        ulps: 4,
        relative: 1e-6,
      },
      {
        name: `cumprod: axis ${axis}, reversed`,
        dtypes: [...wide, "int32"],
        operands: [{ shape: m.shape, range: [1, 2] }],
        run: (x) => lax.cumprod(x, axis, true),
        ulps: 32,
      },
      {
        name: `cummax: axis ${axis}`,
        dtypes: numbers,
        operands: [m],
        run: (x) => [lax.cummax(x, axis), lax.cummin(x, axis, true)],
      },
      {
        name: `cumlogsumexp: axis ${axis}`,
        dtypes: wide,
        operands: [m],
        run: (x) => lax.cumlogsumexp(x, axis),
        ulps: 32,
        relative: 1e-6,
      },
    );
  }
  cases.push(
    {
      name: "argmax: first NaN",
      dtypes: floats,
      operands: [{ shape: [8, 30], special: true }],
      run: (x) => [lax.argmax(x, 1), lax.argmin(x, 1)],
    },
    { name: "argmax: int64 indices", dtypes: ["float32"], operands: [{ shape: [8, 30] }], run: (x) => lax.argmax(x, 1, "int64") },
    {
      name: "cumsum: long",
      dtypes: ["float32", "int32"],
      operands: [{ shape: [5000], range: [0, 3] }],
      run: (x) => lax.cumsum(x, 0),
      ulps: 8,
      relative: 1e-6,
    },
    {
      name: "cummax: special values",
      dtypes: wide,
      operands: [{ shape: [5, 20], special: true }],
      run: (x) => [lax.cummax(x, 1), lax.cummin(x, 1)],
    },
    {
      name: "reduce: with a function",
      dtypes: ["float32", "int32"],
      operands: [{ shape: [5, 6], range: [1, 3] }],
      run: (x) => lax.reduce(x, 1, (a, b) => lax.add(lax.mul(a, b), 1), [1]),
      ulps: 16,
    },
  );
  return cases;
}
