import { bind, type NDArray, scalar } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type ConformanceCase, wide } from "./case.ts";

const dtypes: ConformanceCase["dtypes"] = [...wide, "int32"];

export function controlCases(): ConformanceCase[] {
  return [
    {
      name: "cond: both branches",
      dtypes,
      operands: [{ shape: [5] }],
      run: (x) =>
        [true, false].map((p) =>
          lax.cond(
            lax.eq(lax.reduceSum(lax.mul(x, 0)), p ? 0 : 1),
            (y: NDArray) => lax.add(y, 1),
            (y: NDArray) => lax.mul(y, 2),
            x,
          ),
        ),
    },
    {
      name: "switch: clamps its index",
      dtypes,
      operands: [{ shape: [5] }, { shape: [], dtype: "int32", values: [7] }],
      run: (x, i) => lax.switch_(i, [(y: NDArray) => y, (y: NDArray) => lax.neg(y), (y: NDArray) => lax.add(y, 3)], x),
    },
    {
      name: "while: until a bound",
      dtypes: wide,
      operands: [{ shape: [4], range: [1, 2] }],
      run: (x) =>
        lax.whileLoop(
          ({ y }: { y: NDArray; n: NDArray }) => lax.lt(lax.reduceMax(y), 100),
          ({ y, n }) => ({ y: lax.mul(y, 1.5), n: lax.add(n, 1) }),
          { y: x, n: scalar(0, "int32") },
        ).y,
      ulps: 32,
    },
    {
      name: "while: no iteration",
      dtypes,
      operands: [{ shape: [4] }],
      run: (x) =>
        lax.whileLoop(
          () => scalar(false, "bool"),
          (y: NDArray) => lax.add(y, 1),
          x,
        ),
    },
    {
      name: "scan: carry and outputs",
      dtypes,
      operands: [{ shape: [3] }, { shape: [6, 3] }],
      run: (c, xs) => lax.scan((a: NDArray, x: NDArray) => [lax.add(lax.mul(a, 2), x), lax.sub(x, a)] as const, c, xs),
      ulps: 32,
      relative: 1e-6,
    },
    {
      name: "scan: reverse",
      dtypes,
      operands: [{ shape: [] }, { shape: [6] }],
      run: (c, xs) => lax.scan((a: NDArray, x: NDArray) => [lax.add(a, x), a] as const, c, xs, { reverse: true }),
      ulps: 32,
      relative: 1e-6,
    },
    {
      name: "scan: swapped carries",
      dtypes,
      operands: [{ shape: [3] }, { shape: [3] }],
      run: (a, b) =>
        lax.scan(
          ([p, q]: [NDArray, NDArray]) => [[q, p] as [NDArray, NDArray], null] as const,
          [a, b] as [NDArray, NDArray],
          null,
          { length: 5 },
        )[0],
    },
    {
      name: "scan: length zero",
      dtypes,
      operands: [{ shape: [3] }, { shape: [0, 3] }],
      run: (c, xs) => lax.scan((a: NDArray, x: NDArray) => [lax.add(a, x), a] as const, c, xs),
    },
    {
      name: "scan: with a matrix product inside",
      dtypes: wide,
      operands: [{ shape: [8] }, { shape: [8, 8], range: [-0.5, 0.5] }, { shape: [10, 8] }],
      run: (h, w, xs) =>
        lax.scan(
          (a: NDArray, x: NDArray) => {
            const next = lax.tanh(lax.add(lax.dot(a, w), x));
            return [next, next] as const;
          },
          h,
          xs,
        ),
      ulps: 64,
      relative: 1e-5,
    },
    {
      name: "scan: nested",
      dtypes,
      operands: [{ shape: [] }, { shape: [4, 3] }],
      run: (c, xs) =>
        lax.scan((a: NDArray, row: NDArray) => lax.scan((b: NDArray, x: NDArray) => [lax.add(b, x), b] as const, a, row), c, xs),
      ulps: 32,
      relative: 1e-6,
    },
    {
      name: "foriLoop: static",
      dtypes,
      operands: [{ shape: [4] }],
      run: (x) => lax.foriLoop(0, 5, (i, y: NDArray) => lax.add(y, lax.convertElementType(i, y.dtype)), x),
      ulps: 8,
    },
    {
      name: "foriLoop: updates in place",
      dtypes,
      operands: [{ shape: [6, 4] }],
      run: (x) => lax.foriLoop(0, 6, (i, y: NDArray) => lax.dynamicUpdateIndexInDim(y, lax.reduceSum(y, [0]), i, 0), x),
      ulps: 256,
      relative: 1e-5,
    },
    {
      name: "map: over rows",
      dtypes,
      operands: [{ shape: [5, 3] }],
      run: (xs) => lax.map((x: NDArray) => lax.reduceSum(lax.mul(x, x)), xs),
      ulps: 8,
    },
    {
      name: "threefry2x32: blocks",
      dtypes: ["uint32"],
      operands: [
        { shape: [], range: [0, 2 ** 32 - 1] },
        { shape: [], range: [0, 2 ** 32 - 1] },
        { shape: [33], range: [0, 2 ** 32 - 1] },
        { shape: [33], range: [0, 2 ** 32 - 1] },
      ],
      run: (...xs) => bind(lax.threefry2x32P, xs, {}),
    },
  ];
}
