import { readFileSync } from "node:fs";
import { type Backend, type DType, makeAval, type NDArray, type StandardDType, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { describe, expect, test } from "vitest";
import { decode, type Element, encode, sizeOf } from "../../testing/src/reference/values.ts";
import { cpu } from "./index.ts";

// The edges of arithmetic, as docs/numerics.md states them: against values recorded from JAX (testing/goldens/record_edges.py)
// or against a definition that double precision computes exactly.

interface Operand {
  readonly dtype: StandardDType;
  readonly values: readonly Element[];
  readonly shape?: readonly number[];
}

type Compiled = (operands: readonly (readonly Element[])[]) => Element[];

/** A function of arrays of these dtypes and shapes as one program. */
function compile(
  backend: Backend,
  fn: (...xs: NDArray[]) => NDArray,
  kinds: readonly { readonly dtype: StandardDType; readonly shape: readonly number[] }[],
): Compiled {
  const avals = kinds.map(({ dtype, shape }) => makeAval(shape, dtype));
  const executable = backend.compile(
    traceToJaxpr((...xs) => [fn(...xs)], avals, "f"),
    {},
  );
  return (operands) => {
    const buffers = kinds.map(({ dtype, shape }, i) =>
      backend.put({ shape, dtype, bytes: encode(dtype, operands[i]) }, backend.devices[0]),
    );
    const [y] = executable.run(buffers);
    const out = backend.readSync!(y);
    for (const b of [...buffers, y]) b.release();
    return decode(out.dtype, out.bytes, sizeOf(out.shape));
  };
}
function run(backend: Backend, fn: (...xs: NDArray[]) => NDArray, operands: readonly Operand[]): Element[] {
  const kinds = operands.map(({ dtype, values, shape }) => ({ dtype, shape: shape ?? [values.length] }));
  return compile(backend, fn, kinds)(operands.map((x) => x.values));
}

interface Edges {
  readonly specials: Readonly<Record<string, { inputs: readonly string[]; values: Readonly<Record<string, readonly string[]>> }>>;
  readonly pairs: Readonly<Record<string, readonly string[]>> &
    Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  readonly integers: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  readonly conversions: Readonly<
    Record<string, { inputs: readonly string[]; values: Readonly<Record<string, readonly string[]>> }>
  >;
}
const edges = JSON.parse(readFileSync(new URL("../../testing/goldens/edges.json", import.meta.url), "utf8")) as Edges;

/** By vector code, and by scalar code: with operands cut into threes. */
function runBoth(backend: Backend, fn: (...xs: NDArray[]) => NDArray, operands: readonly Operand[]): Record<string, Element[]> {
  const n = operands[0].values.length;
  const three = compile(
    backend,
    fn,
    operands.map(({ dtype }) => ({ dtype, shape: [3] })),
  );
  const scalars: Element[] = [];
  for (let i = 0; i < n; i += 3) {
    // The last part reaches back.
    const from = Math.min(i, n - 3);
    scalars.push(...three(operands.map((x) => x.values.slice(from, from + 3))).slice(i - from));
  }
  return { vectors: run(backend, fn, operands), scalars };
}

function read(dtype: string, values: readonly string[]): Element[] {
  return values.map((v) => (dtype.endsWith("int64") ? BigInt(v) : Number(v)));
}

/** Where results differ; NaN is NaN, zeros have signs. `exact` limits it to expected values with one right answer. */
function mismatches(got: readonly Element[], want: readonly Element[], operands: readonly Operand[], exact = true): string[] {
  return want.flatMap((w, i) => {
    if (Object.is(got[i], w)) return [];
    if (!exact && typeof w === "number" && Number.isFinite(w) && w !== 0) return [];
    return [`(${operands.map((x) => (Object.is(x.values[i], -0) ? "-0" : String(x.values[i]))).join(", ")}): ${got[i]}, not ${w}`];
  });
}

const unary: Readonly<Record<string, (x: NDArray) => NDArray>> = {
  exp: lax.exp,
  exp2: lax.exp2,
  expm1: lax.expm1,
  log: lax.log,
  log1p: lax.log1p,
  sin: lax.sin,
  cos: lax.cos,
  tan: lax.tan,
  asin: lax.asin,
  acos: lax.acos,
  atan: lax.atan,
  sinh: lax.sinh,
  cosh: lax.cosh,
  tanh: lax.tanh,
  asinh: lax.asinh,
  acosh: lax.acosh,
  atanh: lax.atanh,
  erf: lax.erf,
  erfc: lax.erfc,
  erf_inv: lax.erfInv,
  lgamma: lax.lgamma,
  digamma: lax.digamma,
  bessel_i0e: lax.besselI0e,
  bessel_i1e: lax.besselI1e,
  sqrt: lax.sqrt,
  rsqrt: lax.rsqrt,
  cbrt: lax.cbrt,
  logistic: lax.logistic,
};
const binary: Readonly<Record<string, (x: NDArray, y: NDArray) => NDArray>> = {
  pow: lax.pow,
  atan2: lax.atan2,
  rem: lax.rem,
  max: lax.max,
  min: lax.min,
  nextafter: lax.nextafter,
};

const floats = ["float32", "float64"] as const;

test("integers become 16-bit floats by way of float32, as in JAX", () => {
  // A tie of bfloat16 but for the last bit, which float32 cannot hold: rounded once the first would be 33816576.
  const values = [2 ** 25 + 2 ** 17 + 1, 2 ** 25 + 3 * 2 ** 17 - 1, -(2 ** 25 + 2 ** 17 + 1), 2 ** 31 - 1];
  const got = run(cpu({ threads: 1 }), (x) => lax.convertElementType(x, "bfloat16"), [{ dtype: "int32", values }]);
  // Recorded from JAX 0.10.2: jnp.array(values, jnp.int32).astype(jnp.bfloat16).
  expect(got).toEqual([33554432, 34078720, -33554432, 2147483648]);
});

describe.each([false, true])("relaxed SIMD: %s", (relaxedSimd) => {
  const backend = cpu({ relaxedSimd, revectorize: relaxedSimd });

  test.each(floats)("NaN, infinities and zeros of element functions are JAX's: %s", (dtype) => {
    const { inputs, values } = edges.specials[dtype];
    const operands = [{ dtype, values: read(dtype, inputs) }];
    const failures = Object.entries(unary).flatMap(([name, fn]) =>
      Object.entries(runBoth(backend, fn, operands)).flatMap(([code, got]) =>
        mismatches(got, read(dtype, values[name]), operands, false).map((m) => `${name}, ${code} ${m}`),
      ),
    );
    expect(failures).toEqual([]);
  });

  test.each(floats)("NaN, infinities and zeros of functions of two numbers are JAX's: %s", (dtype) => {
    const operands = ["left", "right"].map((side) => ({ dtype, values: read(dtype, edges.pairs[side]) }));
    const failures = Object.entries(binary).flatMap(([name, fn]) =>
      Object.entries(runBoth(backend, fn, operands)).flatMap(([code, got]) =>
        mismatches(got, read(dtype, edges.pairs[name][dtype]), operands, false).map((m) => `${name}, ${code} ${m}`),
      ),
    );
    expect(failures).toEqual([]);
  });

  test.each(floats)("division, remainders and square roots are correctly rounded: %s", (dtype) => {
    const round = dtype === "float32" ? Math.fround : (x: number): number => x;
    let seed = 3;
    const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
    // Subnormal and huge operands too; quotients over- and underflow.
    const scale = dtype === "float32" ? 140 : 1060;
    const some = (): number[] => Array.from({ length: 3000 }, () => round((1 + random()) * 2 ** ((random() * 2 - 1) * scale)));
    const [x, y] = [some(), some()];
    const divided = [x, y].map((values) => ({ dtype, values }));
    for (const got of Object.values(runBoth(backend, lax.div, divided))) {
      // A quotient of two singles, rounded to double and then to single, is rounded as if once (Figueroa, 1995).
      const want = x.map((v, i) => round(v / y[i]));
      expect(mismatches(got, want, divided)).toEqual([]);
    }
    for (const got of Object.values(runBoth(backend, lax.rem, divided))) {
      const want = x.map((v, i) => v % y[i]);
      expect(mismatches(got, want, divided)).toEqual([]);
    }
    for (const got of Object.values(runBoth(backend, lax.sqrt, divided.slice(0, 1)))) {
      const want = x.map((v) => round(Math.sqrt(v)));
      expect(mismatches(got, want, divided.slice(0, 1))).toEqual([]);
    }
  });

  test.each(floats)("subnormal numbers are neither flushed nor trapped: %s", (dtype) => {
    const least = dtype === "float32" ? 2 ** -149 : 2 ** -1074;
    const xs = [1, 2, 3, 5, 1000, 2 ** 20 + 1].flatMap((k) => [k * least, -k * least]);
    const operands = [{ dtype, values: xs }];
    const two = [...operands, { dtype, values: xs.map(() => least) }];
    for (const got of Object.values(runBoth(backend, lax.add, two))) expect(got).toEqual(xs.map((x) => x + least));
    const half = runBoth(backend, (x) => lax.mul(x, 0.5), operands);
    // Half a unit rounds to even.
    const even = (k: number): number => (Math.abs(k % 1) === 0.5 ? 2 * Math.round(k / 2) : k);
    for (const got of Object.values(half))
      expect(got.map((x) => Number(x) + 0)).toEqual(xs.map((x) => even(x / least / 2) * least + 0));
  });

  test.each([
    ["the whole array", [4_000_000], 0, 400_000],
    ["rows", [4, 1_000_000], 1, 100_000],
    ["columns", [1_000_000, 4], 0, 100_000],
    ["the first of three axes", [100_000, 5, 8], 0, 10_000],
    ["the middle axis", [4, 100_000, 10], 1, 10_000],
  ] as const)("sums are pairwise along %s", (_, shape, axis, total) => {
    const tenths = new Float32Array(sizeOf(shape)).fill(0.1);
    const executable = backend.compile(
      traceToJaxpr((x) => [lax.reduceSum(x, axis)], [makeAval(shape, "float32")], "sum"),
      {},
    );
    const x = backend.put({ shape, dtype: "float32", bytes: new Uint8Array(tenths.buffer) }, backend.devices[0]);
    const out = backend.readSync!(executable.run([x])[0]);
    // Adding one by one is off by more than 10,000 in the first case. 0.1 itself is off by 1.5e-8 of its value.
    for (const sum of decode("float32", out.bytes, sizeOf(out.shape))) {
      expect(Math.abs(Number(sum) - total)).toBeLessThanOrEqual(total * 2.5e-6);
    }
    x.release();
  });

  test.each(["float16", "bfloat16", "float32", "float64"] as const)(
    "one NaN anywhere is the result of max, min and argmax: %s",
    (dtype) => {
      const shape = [9, 7];
      const n = sizeOf(shape);
      const failures: string[] = [];
      const reductions = { reduceMax: lax.reduceMax, reduceMin: lax.reduceMin };
      for (const [name, fn] of Object.entries(reductions)) {
        for (const axes of [[0, 1], [0], [1]]) {
          for (const at of [0, 1, 6, 7, 30, 58, 62]) {
            const values = Array.from({ length: n }, (_, i) => (i === at ? NaN : i - 20));
            const got = run(backend, (x) => fn(x, axes), [{ dtype, values, shape }]);
            const hit = axes.length === 2 ? 0 : axes[0] === 0 ? at % 7 : Math.floor(at / 7);
            got.forEach((y, i) => {
              if (Number.isNaN(y) !== (i === hit)) failures.push(`${name} over ${axes}, NaN at ${at}: ${String(y)} at ${i}`);
            });
          }
        }
      }
      const values = Array.from({ length: 40 }, (_, i) => (i === 17 || i === 30 ? NaN : i));
      for (const fn of [lax.argmax, lax.argmin]) expect(run(backend, (x) => fn(x, 0), [{ dtype, values }])).toEqual([17]);
      expect(failures).toEqual([]);
    },
  );

  test.each(["float16", "bfloat16", "float32", "float64"] as const)(
    "of zeros the positive one is the largest and the negative one the smallest, in any order: %s",
    (dtype) => {
      const shape = [9, 7];
      const n = sizeOf(shape);
      const folds = {
        max: { wanted: 0, from: -Infinity, two: lax.max, reduce: lax.reduceMax, cumulative: lax.cummax },
        min: { wanted: -0, from: Infinity, two: lax.min, reduce: lax.reduceMin, cumulative: lax.cummin },
      };
      const failures: string[] = [];
      for (const [name, { wanted, from, two, reduce, cumulative }] of Object.entries(folds)) {
        const pool = (x: NDArray): NDArray => lax.reduceWindow(x, from, two, [3, 3], [3, 3], "SAME");
        for (const at of [0, 1, 6, 7, 30, 58, 62]) {
          const values = Array.from({ length: n }, (_, i) => (i === at ? wanted : -wanted));
          const check = (what: string, got: readonly Element[], hits: (i: number) => boolean): void =>
            got.forEach((y, i) => {
              if (!Object.is(y, hits(i) ? wanted : -wanted))
                failures.push(`${name} ${what}, ${wanted} at ${at}: ${String(y)} at ${i}`);
            });
          const operand = [{ dtype, values, shape }];
          const [row, column] = [Math.floor(at / 7), at % 7];
          check(
            "of all",
            run(backend, (x) => reduce(x, [0, 1]), operand),
            () => true,
          );
          check(
            "of columns",
            run(backend, (x) => reduce(x, [0]), operand),
            (i) => i === column,
          );
          check(
            "of rows",
            run(backend, (x) => reduce(x, [1]), operand),
            (i) => i === row,
          );
          // Seven columns are padded by one on either side.
          const window = Math.floor(row / 3) * 3 + Math.floor((column + 1) / 3);
          check("of windows", run(backend, pool, operand), (i) => i === window);
          check(
            "up to there",
            run(backend, (x) => cumulative(lax.reshape(x, [n])), operand),
            (i) => i >= at,
          );
        }
      }
      expect(failures).toEqual([]);
    },
  );

  test.each(Object.keys(edges.integers))("division by zero, overflow and shifts beyond the width do not trap: %s", (name) => {
    const dtype = name as StandardDType;
    const r = edges.integers[name];
    const column = (k: string): Operand => ({ dtype, values: read(name, r[k]) });
    const divided = [column("left"), column("right")];
    const shifted = [column("shifted"), column("amounts")];
    const cases = {
      div: [lax.div, divided],
      rem: [lax.rem, divided],
      shift_left: [lax.shiftLeft, shifted],
      shift_right_logical: [lax.shiftRightLogical, shifted],
      shift_right_arithmetic: [lax.shiftRightArithmetic, shifted],
    } as const;
    const failures = Object.entries(cases).flatMap(([op, [fn, operands]]) =>
      Object.entries(runBoth(backend, fn, operands)).flatMap(([code, got]) =>
        mismatches(got, read(name, r[op]), operands).map((m) => `${op}, ${code} ${m}`),
      ),
    );
    expect(failures).toEqual([]);
  });

  test.each(Object.keys(edges.conversions))(
    "NaN, infinities and numbers out of range convert as in JAX: %s to integers",
    (name) => {
      const { inputs, values } = edges.conversions[name];
      const operands = [{ dtype: name as StandardDType, values: read(name, inputs) }];
      const failures = Object.entries(values).flatMap(([to, want]) =>
        Object.entries(runBoth(backend, (x) => lax.convertElementType(x, to as DType), operands)).flatMap(([code, got]) =>
          mismatches(got, read(to, want), operands).map((m) => `${to}, ${code} ${m}`),
        ),
      );
      expect(failures).toEqual([]);
    },
  );

  test.each([
    ["float64", "float32", 23, -126, 127],
    ["float32", "float16", 10, -14, 15],
    ["float64", "float16", 10, -14, 15],
    ["float32", "bfloat16", 7, -126, 127],
    ["float64", "bfloat16", 7, -126, 127],
  ] as const)("%s to %s rounds once, to nearest even", (from, to, mantissa, least, most) => {
    const operands = [{ dtype: from, values: roundingInputs(from, mantissa, least, most) }];
    const want = operands[0].values.map((x) => nearestEven(x, mantissa, least, most));
    for (const got of Object.values(runBoth(backend, (x) => lax.convertElementType(x, to), operands))) {
      expect(mismatches(got, want, operands)).toEqual([]);
    }
  });
});

/** The nearest number with so many bits after the leading one: a scaling by a power of two and a rounding, both exact. */
function nearestEven(x: number, mantissa: number, least: number, most: number): number {
  if (x === 0 || !Number.isFinite(x)) return x;
  let exponent = Math.floor(Math.log2(Math.abs(x)));
  if (2 ** exponent > Math.abs(x)) exponent--;
  const unit = 2 ** (Math.max(exponent, least) - mantissa);
  const scaled = x / unit;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0);
  const y = (up ? floor + 1 : floor) * unit;
  if (Math.abs(y) >= 2 ** (most + 1)) return Math.sign(x) * Infinity;
  return y !== 0 ? y : x < 0 ? -0 : 0;
}

/** Ties, what lies just beside them (in double precision beyond the digits of single), subnormals and both thresholds. */
function roundingInputs(from: "float32" | "float64", mantissa: number, least: number, most: number): number[] {
  const digits = from === "float32" ? 23 : 52;
  const held = (x: number): number => (from === "float32" ? Math.fround(x) : x);
  const xs = [0, -0, Infinity, -Infinity, NaN];
  for (const exponent of [least - mantissa - 2, least - mantissa - 1, least - mantissa, least - 3, least, 0, 3, most]) {
    for (const k of [1, 1 + 2 ** -mantissa, 1 + 3 * 2 ** -mantissa, 2 - 2 ** -mantissa, 1.5]) {
      const middle = k + 2 ** -(mantissa + 1);
      for (const d of [0, 2 ** -digits, 2 ** -30, 2 ** -26, 2 ** -(mantissa + 3)]) {
        for (const v of [k, middle]) xs.push((v + d) * 2 ** exponent, -(v - d) * 2 ** exponent);
      }
    }
  }
  return xs.map(held);
}
