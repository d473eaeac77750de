import { makeAval, type NDArray, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { expect, test } from "vitest";
import * as exact from "../../testing/src/reference/special.ts";
import { cpu } from "./index.ts";

const backend = cpu();
const [device] = backend.devices;

function evaluate(
  fn: (...xs: NDArray[]) => NDArray,
  dtype: "float32" | "float64",
  columns: readonly (readonly number[])[],
): number[] {
  const n = columns[0].length;
  const e = backend.compile(
    traceToJaxpr(
      (...xs) => [fn(...xs)],
      columns.map(() => makeAval([n], dtype)),
      "f",
    ),
    {},
  );
  const typed = dtype === "float32" ? Float32Array : Float64Array;
  const [y] = e.run(columns.map((c) => backend.put({ shape: [n], dtype, bytes: new Uint8Array(typed.from(c).buffer) }, device)));
  return [...new typed(backend.readSync!(y).bytes.buffer as ArrayBuffer)];
}

const parameters = [1e-3, 0.1, 0.5, 1, 1.5, 2, 5, 10, 33.3, 100, 1000];
const gammaGrid = parameters.flatMap((a) => [0, 1e-6, 0.01, 0.3, 1, 2.5, 9.9, 30, 120, 1100, Infinity].map((x) => [a, x]));
const betaGrid = parameters.flatMap((a) =>
  [0.01, 0.5, 1, 3, 40, 300].flatMap((b) => [0, 1e-5, 0.1, 0.5, 0.77, 0.999, 1].map((x) => [a, b, x])),
);
const outside = [
  [-1, 1],
  [0, 1],
  [1, -1],
  [NaN, 1],
  [1, NaN],
];

const columnsOf = (rows: readonly (readonly number[])[]): number[][] => rows[0].map((_, i) => rows.map((r) => r[i]));

// The difference of log-gammas loses digits in both the oracle and the function; the complement near one loses more.
test.each([
  ["igamma", lax.igamma, exact.igamma, [...gammaGrid, ...outside], 1e-11],
  ["igammac", lax.igammac, exact.igammac, [...gammaGrid, ...outside], 1e-11],
  ["betainc", lax.betainc, exact.betainc, [...betaGrid, [1, 1, -0.1], [1, 1, 1.1], [-1, 1, 0.5], [1, 0, 0.5], [1, 1, NaN]], 1e-9],
] as [string, (...xs: NDArray[]) => NDArray, (...xs: number[]) => number, number[][], number][])(
  "%s agrees with the oracle",
  (_name, fn, want, rows, tolerance) => {
    const double = evaluate(fn, "float64", columnsOf(rows));
    const rounded = rows.map((r) => r.map(Math.fround));
    const single = evaluate(fn, "float32", columnsOf(rounded));
    const failures: string[] = [];
    rows.forEach((row, i) => {
      const check = (got: number, expected: number, bound: number): void => {
        const error = Math.abs(got - expected);
        if (!(Object.is(got, expected) || got === expected || error <= bound * Math.abs(expected) || error < 1e-15))
          failures.push(`(${row.join(", ")}): ${got}, wanted ${expected}`);
      };
      check(double[i], want(...row), tolerance);
      check(single[i], Math.fround(want(...rounded[i])), 2e-7);
    });
    expect(failures).toEqual([]);
  },
);

test("scalars and empty arrays", () => {
  expect(evaluate((x) => lax.igamma(lax.mul(x, 0.5), 1), "float64", [[4]])[0]).toBeCloseTo(exact.igamma(2, 1), 14);
  expect(evaluate((a, x) => lax.igamma(a, x), "float32", [[], []])).toEqual([]);
});
