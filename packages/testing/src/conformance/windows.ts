import { bind, type NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type ConformanceCase, type Operand, wide } from "./case.ts";

const image: Operand = { shape: [2, 7, 8, 3] };
const pool = {
  windowDimensions: [1, 2, 3, 1],
  windowStrides: [1, 2, 2, 1],
  padding: [
    [0, 0],
    [0, 1],
    [1, 1],
    [0, 0],
  ],
} as const;
const dilation = { baseDilation: [1, 1, 1, 1], windowDilation: [1, 1, 1, 1] };

export function windowCases(): ConformanceCase[] {
  const pooled = (fn: Parameters<typeof lax.reduceWindow>[2], init: number) => (x: NDArray) =>
    lax.reduceWindow(
      x,
      init,
      fn,
      [1, 2, 3, 1],
      [1, 2, 2, 1],
      [
        [0, 0],
        [0, 1],
        [1, 1],
        [0, 0],
      ],
    );
  return [
    { name: "reduceWindow: sum", dtypes: [...wide, "int32"], operands: [image], run: pooled(lax.add, 0), ulps: 4, relative: 1e-6 },
    { name: "reduceWindow: max", dtypes: wide, operands: [image], run: pooled(lax.max, -Infinity) },
    { name: "reduceWindow: min", dtypes: wide, operands: [image], run: pooled(lax.min, Infinity) },
    {
      name: "reduceWindow: same padding",
      dtypes: wide,
      operands: [image],
      run: (x) => lax.reduceWindow(x, -Infinity, lax.max, [1, 3, 3, 1], [1, 2, 2, 1], "SAME"),
    },
    {
      name: "reduceWindow: dilations",
      dtypes: wide,
      operands: [{ shape: [9, 10] }],
      run: (x) => lax.reduceWindow(x, 0, lax.add, [2, 3], [1, 2], "VALID", { baseDilation: [2, 1], windowDilation: [2, 2] }),
      relative: 1e-6,
    },
    {
      name: "reduceWindow: with a function, over padding and holes",
      dtypes: ["float32", "int32"],
      operands: [{ shape: [9], range: [1, 4] }],
      run: (x) => [
        lax.reduceWindow(x, 1, (a, b) => lax.sub(lax.mul(b, 2), a), [3], [1], "SAME"),
        lax.reduceWindow(x, 1, lax.add, [2], [1], [[1, 2]], { baseDilation: [2] }),
      ],
      ulps: 8,
    },
    {
      name: "reduceWindow: with a function",
      dtypes: ["float32"],
      operands: [{ shape: [9] }],
      run: (x) => lax.reduceWindow(x, 1, (a, b) => lax.add(lax.mul(a, 0.5), b), [3], [2], "VALID"),
      ulps: 8,
    },
    {
      name: "selectAndScatterAdd: ge",
      dtypes: wide,
      operands: [{ shape: [2, 4, 4, 3] }, image],
      run: (s, x) => bind(lax.selectAndScatterAddP, [s, x], { selectPrim: "ge", ...pool } as never),
      ulps: 4,
    },
    {
      name: "selectAndGatherAdd: ge",
      dtypes: wide,
      operands: [image, image],
      run: (t, x) => bind(lax.selectAndGatherAddP, [t, x], { selectPrim: "ge", ...pool, ...dilation } as never),
    },
  ];
}
