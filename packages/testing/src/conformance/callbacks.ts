import { type NDArray, ShapeDtypeStruct } from "@traceform/core";
import * as lax from "@traceform/lax";
import { complexes, type ConformanceCase, every, wide } from "./case.ts";

const count = new ShapeDtypeStruct([], "int32");
const dtypes: ConformanceCase["dtypes"] = [...wide, "int32"];

/** The elements in reverse order, as a typed array. */
const reversed = (x: NDArray): never => x.dataSync().slice().reverse() as never;

/** Host steps: what they get and give, how often they run, and in what order. Each tracing counts for itself. */
export function callbackCases(): ConformanceCase[] {
  return [
    {
      name: "callback: arrays of every dtype come and go",
      dtypes: [...every, ...complexes],
      operands: [{ shape: [2, 3], special: true }, { shape: [] }, { shape: [0, 4] }],
      run: (...xs) => lax.pureCallback((...ys: NDArray[]) => ys, xs, ...xs) as unknown as NDArray[],
    },
    {
      name: "callback: between kernels that make and take its values",
      dtypes,
      operands: [{ shape: [7] }, { shape: [3, 7] }],
      run: (x, y) => {
        const a = lax.mul(x, 2);
        const b = lax.pureCallback(reversed, a, a);
        const c = lax.pureCallback(reversed, y, lax.add(y, lax.broadcastInDim(b, [3, 7], [1])));
        return [lax.add(a, b), lax.reduceSum(c, [0]), lax.neg(c)];
      },
      ulps: 8,
      relative: 1e-6,
    },
    {
      name: "callback: in a loop, in order, whether its result is used or not",
      dtypes,
      operands: [{ shape: [] }, { shape: [5, 2] }],
      run: (c, xs) => {
        let calls = 0;
        const [last, ys] = lax.scan(
          (a: NDArray, x: NDArray) => {
            lax.ioCallback(() => void calls++, null, x);
            const n = lax.ioCallback(() => calls++, count, a, { ordered: true });
            const y = lax.pureCallback(reversed, x, lax.add(x, a));
            return [lax.add(a, lax.reduceSum(y)), [y, n]] as const;
          },
          c,
          xs,
        );
        return [last, ...ys, lax.ioCallback(() => calls, count)] as NDArray[];
      },
      ulps: 32,
      relative: 1e-5,
    },
    {
      name: "callback: carries that stay in place wait until they were seen",
      dtypes,
      operands: [{ shape: [4] }],
      run: (x) => {
        const seen: number[] = [];
        const y = lax.foriLoop(
          0,
          4,
          (i, v: NDArray) => {
            lax.debug.callback((u: NDArray) => void seen.push(Number(u.dataSync()[1])), v);
            return lax.dynamicUpdateIndexInDim(v, lax.convertElementType(i, v.dtype), i, 0);
          },
          x,
        );
        return [y, lax.ioCallback((u: NDArray) => (u.size === 4 ? seen : []), new ShapeDtypeStruct([4], "float32"), y)];
      },
    },
    {
      name: "callback: the condition of a loop, and its body",
      dtypes: ["int32"],
      operands: [{ shape: [], values: [2] }],
      run: (x) => {
        let calls = 0;
        const y = lax.whileLoop(
          (c: NDArray) =>
            lax.lt(
              lax.ioCallback((v: NDArray) => (calls++, v), count, c),
              6,
            ),
          (c: NDArray) => lax.pureCallback((v: NDArray) => Number(v.itemSync()) + 1, count, c),
          x,
        );
        return [y, lax.ioCallback(() => calls, count, y)];
      },
    },
    {
      name: "callback: of a conditional only the branch that is taken",
      dtypes,
      operands: [{ shape: [3] }],
      run: (x) => {
        const taken: number[] = [];
        const branch =
          (k: number) =>
          (y: NDArray): NDArray => {
            lax.debug.callback(() => void taken.push(k), y);
            return lax.mul(y, k);
          };
        const y = lax.switch_(
          lax.add(lax.convertElementType(lax.reduceSum(lax.mul(x, 0)), "int32"), 1n),
          [branch(2), branch(3)],
          x,
        );
        return [y, lax.ioCallback(() => taken[0] * 10 + taken.length, count, y)];
      },
      ulps: 4,
    },
  ];
}
