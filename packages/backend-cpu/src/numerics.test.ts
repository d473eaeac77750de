import { readFileSync, writeFileSync } from "node:fs";
import type { Backend, NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import { beforeAll, describe, expect, test } from "vitest";
import { compiled, evaluate, type Precision, readRecorded, singleOperands, type Worst, worst } from "../../testing/src/numerics.ts";
import { cpu, type CpuOptions } from "./index.ts";

// Every element function stays within its bound in units of the last place, and docs/numerics.md says so. The float64 values
// were recorded with mpmath (testing/goldens/record_numerics.py); float32 results are held against the float64 function, whose
// own error is some 2^-28 of a single-precision unit.

interface Row {
  readonly fn: (...xs: NDArray[]) => NDArray;
  /** The largest error, in units of the last place, in single and in double precision. */
  readonly float32: number;
  readonly float64: number;
  /** Below this magnitude of the result the bound is an absolute one: in units of the last place of this. */
  readonly least?: (...xs: readonly number[]) => number;
  readonly note?: string;
}

/** Reflection subtracts terms of the size of one where the functions have zeros. */
const negativeSide = (x: number): number => (x < 0 ? 1 : 0);
const reflected = "of 1 at least where x < 0";

const bounds: Readonly<Record<string, Row>> = {
  exp: { fn: lax.exp, float32: 1.1, float64: 0.9 },
  exp2: { fn: lax.exp2, float32: 1.1, float64: 1 },
  expm1: { fn: lax.expm1, float32: 1.6, float64: 1.2 },
  log: { fn: lax.log, float32: 0.9, float64: 0.8 },
  log1p: { fn: lax.log1p, float32: 0.9, float64: 0.9 },
  sin: { fn: lax.sin, float32: 1.6, float64: 0.8 },
  cos: { fn: lax.cos, float32: 1.6, float64: 0.8 },
  tan: { fn: lax.tan, float32: 0.51, float64: 1.8 },
  asin: { fn: lax.asin, float32: 0.51, float64: 0.9 },
  acos: { fn: lax.acos, float32: 0.51, float64: 1.1 },
  atan: { fn: lax.atan, float32: 0.51, float64: 0.8 },
  sinh: { fn: lax.sinh, float32: 0.51, float64: 1.3 },
  cosh: { fn: lax.cosh, float32: 0.51, float64: 1.1 },
  tanh: { fn: lax.tanh, float32: 2, float64: 1.9 },
  asinh: { fn: lax.asinh, float32: 0.51, float64: 1.3 },
  acosh: { fn: lax.acosh, float32: 0.51, float64: 1.7 },
  atanh: { fn: lax.atanh, float32: 0.51, float64: 1.5 },
  logistic: { fn: lax.logistic, float32: 2.25, float64: 1.7 },
  sqrt: { fn: lax.sqrt, float32: 0.5, float64: 0.505, note: "correctly rounded" },
  rsqrt: { fn: lax.rsqrt, float32: 1.6, float64: 1.6 },
  cbrt: { fn: lax.cbrt, float32: 0.51, float64: 1 },
  erf: { fn: lax.erf, float32: 1.1, float64: 0.9 },
  erfc: { fn: lax.erfc, float32: 0.51, float64: 1.7 },
  erf_inv: { fn: lax.erfInv, float32: 3, float64: 1.5 },
  lgamma: { fn: lax.lgamma, float32: 0.51, float64: 3, least: negativeSide, note: reflected },
  digamma: { fn: lax.digamma, float32: 0.51, float64: 7, least: negativeSide, note: reflected },
  bessel_i0e: { fn: lax.besselI0e, float32: 0.51, float64: 1.7 },
  bessel_i1e: { fn: lax.besselI1e, float32: 0.51, float64: 1.7 },
  pow: { fn: lax.pow, float32: 0.51, float64: 0.9 },
  atan2: { fn: lax.atan2, float32: 0.51, float64: 1.6 },
  zeta: { fn: lax.zeta, float32: 0.51, float64: 7 },
  polygamma: { fn: lax.polygamma, float32: 0.51, float64: 10 },
};

const recorded = readRecorded(readFileSync(new URL("../../testing/goldens/numerics.json", import.meta.url), "utf8"));
const precisions: readonly Precision[] = ["float32", "float64"];

interface Swept {
  readonly name: string;
  readonly precision: Precision;
  readonly inputs: readonly (Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>)[];
  readonly got: Float32Array | Float64Array;
  readonly worst: Worst;
}
const key = (s: { readonly name: string; readonly precision: Precision }): string => `${s.name} ${s.precision}`;

/** float32 operands and what the float64 function makes of them. */
interface Single {
  readonly narrow: readonly Float32Array<ArrayBuffer>[];
  readonly values: Float64Array;
}
/** Both sweeps need them. */
const singles = new Map<string, Single>();
function singleReference(backend: Backend, fn: Row["fn"], recordedInputs: readonly Float64Array[]): Single {
  const narrow = singleOperands(recordedInputs);
  const wide = narrow.map((x) => Float64Array.from(x));
  return { narrow, values: evaluate(backend, fn, wide) };
}

function sweep(backend: Backend): readonly Swept[] {
  return Object.entries(bounds).flatMap(([name, { fn, least }]) => {
    const { inputs, values, rests } = recorded.get(name)!;
    const got = evaluate(backend, fn, inputs);
    const wide = { name, precision: "float64" as const, inputs, got, worst: worst(got, { values, rests, inputs, least }) };
    const single = singles.get(name) ?? singleReference(backend, fn, inputs);
    singles.set(name, single);
    const out = evaluate(backend, fn, single.narrow);
    const error = worst(out, { values: single.values, inputs: single.narrow, least });
    return [{ name, precision: "float32" as const, inputs: single.narrow, got: out, worst: error }, wide];
  });
}

/** What exceeds its bound, in words. */
function failures(sweeps: readonly Swept[]): string[] {
  return sweeps
    .filter(({ name, precision, worst: w }) => !(w.ulps <= bounds[name][precision]))
    .map((s) => `${key(s)}: ${s.worst.ulps.toFixed(3)} ulp at ${s.worst.at.join()}, bound ${bounds[s.name][s.precision]}`);
}

/** Results in arrays of three, which are too short for vectors, that differ from those in a long one. */
function tails(backend: Backend, sweeps: readonly Swept[]): string[] {
  return sweeps.flatMap((s) => {
    const step = Math.ceil(s.got.length / 200);
    const three = compiled(backend, bounds[s.name].fn, s.precision, s.inputs.length, 3);
    for (let i = 0; i + 3 <= s.got.length; i += step) {
      const short = three(s.inputs.map((x) => x.slice(i, i + 3)));
      const at = short.findIndex((y, j) => !Object.is(y, s.got[i + j]));
      if (at >= 0) return [`${key(s)} at ${s.inputs.map((x) => x[i + at]).join()}: ${short[at]} and ${s.got[i + at]}`];
    }
    return [];
  });
}

const document = new URL("../../../docs/numerics.md", import.meta.url);
const [open, close] = ["<!-- bounds: packages/backend-cpu/src/numerics.test.ts -->\n", "<!-- end of bounds -->"];

/** The table of the document. Largest errors are those without fused multiply-add, which are the same on every machine. */
function tableOf(sweeps: readonly Swept[]): string {
  const measured = new Map(sweeps.map((s) => [key(s), s.worst]));
  const lines = Object.entries(bounds).map(([name, row]) => {
    const cells = precisions.flatMap((precision) => {
      const { ulps, at } = measured.get(key({ name, precision }))!;
      return [String(row[precision]), ulps.toFixed(2), at.map((x) => x.toPrecision(6)).join(", ")];
    });
    return `| \`${name}\` | ${cells.join(" | ")} | ${row.note ?? ""} |\n`;
  });
  const head =
    "| function | float32 | largest | at | float64 | largest | at | |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n";
  return open + head + lines.join("") + close;
}

/** The tests of one backend; gives its sweeps, once they have been made. */
function boundTests(options: CpuOptions): () => readonly Swept[] {
  const backend = cpu(options);
  let sweeps: readonly Swept[];
  beforeAll(() => {
    sweeps = sweep(backend);
  });

  test("element functions stay within their bounds", () => {
    expect(failures(sweeps)).toEqual([]);
  });

  test("scalar code gives what vector code gives, bit for bit", () => {
    expect(tails(backend, sweeps)).toEqual([]);
  });
  return () => sweeps;
}

describe("with fused multiply-add", () => void boundTests({ relaxedSimd: true }));

describe("without fused multiply-add", () => {
  const sweeps = boundTests({ relaxedSimd: false });

  // The errors of this one are the same on every machine, so the document can state them.
  test("docs/numerics.md states the bounds (TRACEFORM_RECORD=1 rewrites it)", () => {
    const text = readFileSync(document, "utf8");
    const [begin, end] = [text.indexOf(open), text.indexOf(close)];
    const current = text.slice(0, begin) + tableOf(sweeps()) + text.slice(end + close.length);
    if (process.env["TRACEFORM_RECORD"] === "1") writeFileSync(document, current);
    else expect(text).toBe(current);
  });
});

test("every recorded function has a bound", () => {
  expect([...recorded.keys()].sort()).toEqual(Object.keys(bounds).sort());
});
