import { readFileSync, writeFileSync } from "node:fs";
import { cpu } from "@traceform/backend-cpu";
import { type Backend, makeAval, type NDArray, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { afterAll, beforeAll, expect, test } from "vitest";
import { evaluate, readRecorded, singleOperands, type Worst, worst } from "../../testing/src/numerics.ts";
import { wgpu } from "./index.ts";

// Element functions have forms of their own in single precision, because WebGPU has no other. Each is held against the float64
// function of the CPU backend at the operands of that backend's own test. Numbers below 2^-126 are the driver's affair.

interface Row {
  readonly fn: (...xs: NDArray[]) => NDArray;
  /** The largest error, in units of the last place. */
  readonly ulps: number;
  /** Below this magnitude of the result the bound is an absolute one: in units of the last place of this. */
  readonly least?: (...xs: readonly number[]) => number;
  /** Where the float64 function is right. */
  readonly domain?: (...xs: readonly number[]) => boolean;
  readonly note?: string;
}

/** Reflection subtracts terms of the size of one, or of a logarithm, where the functions have zeros. */
const negativeSide = (x: number): number => (x < 0 ? 1 : 0);
const reflectedLog = (x: number): number => (x < 0 ? Math.max(1, Math.log(-x)) : 0);

const bounds: Readonly<Record<string, Row>> = {
  exp: { fn: lax.exp, ulps: 1.1 },
  exp2: { fn: lax.exp2, ulps: 1.1 },
  expm1: { fn: lax.expm1, ulps: 1.6 },
  log: { fn: lax.log, ulps: 0.9 },
  log1p: { fn: lax.log1p, ulps: 0.9 },
  sin: { fn: lax.sin, ulps: 1.8 },
  cos: { fn: lax.cos, ulps: 1.8 },
  tan: { fn: lax.tan, ulps: 1.5 },
  asin: { fn: lax.asin, ulps: 1 },
  acos: { fn: lax.acos, ulps: 1.2 },
  atan: { fn: lax.atan, ulps: 1 },
  sinh: { fn: lax.sinh, ulps: 1.2 },
  cosh: { fn: lax.cosh, ulps: 1.2 },
  tanh: { fn: lax.tanh, ulps: 2 },
  asinh: { fn: lax.asinh, ulps: 1.25 },
  acosh: { fn: lax.acosh, ulps: 1.3 },
  atanh: { fn: lax.atanh, ulps: 1.4 },
  logistic: { fn: lax.logistic, ulps: 2.25 },
  sqrt: { fn: lax.sqrt, ulps: 0.5 },
  rsqrt: { fn: lax.rsqrt, ulps: 1.6 },
  cbrt: { fn: lax.cbrt, ulps: 0.6 },
  erf: { fn: lax.erf, ulps: 1.5 },
  erfc: { fn: lax.erfc, ulps: 2.1 },
  erf_inv: { fn: lax.erfInv, ulps: 3 },
  lgamma: { fn: lax.lgamma, ulps: 4, least: negativeSide, note: "of 1 at least where x < 0" },
  digamma: { fn: lax.digamma, ulps: 6, least: reflectedLog, note: "of 1 and of log(-x) at least where x < 0" },
  bessel_i0e: { fn: lax.besselI0e, ulps: 3 },
  bessel_i1e: { fn: lax.besselI1e, ulps: 4 },
  pow: { fn: lax.pow, ulps: 1.25 },
  atan2: { fn: lax.atan2, ulps: 1.6 },
  zeta: { fn: lax.zeta, ulps: 2 },
  // The factorials of larger orders overflow in the float64 function.
  polygamma: { fn: lax.polygamma, ulps: 2.5, domain: (n) => n <= 170, note: "orders up to 170" },
};

const recorded = readRecorded(readFileSync(new URL("../../testing/goldens/numerics.json", import.meta.url), "utf8"));
const least = 2 ** -126;

let backend: Backend;
beforeAll(async () => {
  backend = await wgpu();
});
afterAll(() => backend[Symbol.dispose]());

async function evaluateSingle(fn: Row["fn"], inputs: Operands): Promise<Float32Array> {
  const [device] = backend.devices;
  const shape = [inputs[0].length];
  const avals = inputs.map(() => makeAval(shape, "float32"));
  using executable = backend.compile(
    traceToJaxpr((...xs) => [fn(...xs)], avals, "f"),
    {},
  );
  const operands = inputs.map((x) => backend.put({ shape, dtype: "float32", bytes: new Uint8Array(x.buffer) }, device));
  const [y] = executable.run(operands);
  const { bytes } = await backend.read(y);
  for (const b of [...operands, y]) b.release();
  return new Float32Array(bytes.slice().buffer);
}

type Operands = readonly Float32Array<ArrayBuffer>[];

/** The operands without subnormal ones. */
function normal(inputs: Operands, domain: NonNullable<Row["domain"]>): Operands {
  const isNormal = (x: number): boolean => x === 0 || !(Math.abs(x) < least);
  const kept = inputs[0].map((_, i) => Number(inputs.every((x) => isNormal(x[i])) && domain(...inputs.map((x) => x[i]))));
  return inputs.map((x) => x.filter((_, i) => kept[i] === 1));
}

const largest = new Map<string, Worst>();

test.each(Object.entries(bounds))("%s stays within its bound", async (name, { fn, ulps, least: floor, domain = () => true }) => {
  const inputs = normal(singleOperands(recorded.get(name)!.inputs), domain);
  const values = evaluate(
    cpu(),
    fn,
    inputs.map((x) => Float64Array.from(x)),
  );
  const got = await evaluateSingle(fn, inputs);
  // Where the value is subnormal, whatever is not larger than a normal number is right; a least normal one may be flushed.
  const right = got.map((y, i) => (Math.abs(values[i]) < least && Math.abs(y) <= least ? 0 : y));
  const wanted = values.map((y, i) => (Math.abs(y) < least && right[i] === 0 ? right[i] : y));
  const error = worst(right, { values: wanted, inputs, least: floor });
  largest.set(name, error);
  expect(error.ulps, `at ${error.at.join()}`).toBeLessThanOrEqual(ulps);
});

test("whole numbers become the nearest that single precision has", async () => {
  const numbers = Uint32Array.from({ length: 2000 }, (_, i) => i * 2654435761);
  for (const [dtype, values] of [
    ["uint32", numbers],
    ["int32", new Int32Array(numbers.buffer)],
  ] as const) {
    const program = traceToJaxpr((x: NDArray) => [lax.convertElementType(x, "float32")], [makeAval([2000], dtype)], "f");
    using f = backend.compile(program, {});
    const x = backend.put({ shape: [2000], dtype, bytes: new Uint8Array(values.buffer) }, backend.devices[0]);
    const [y] = f.run([x]);
    expect(new Float32Array((await backend.read(y)).bytes.slice().buffer)).toEqual(Float32Array.from(values));
    [x, y].forEach((b) => b.release());
  }
});

const document = new URL("../../../docs/numerics.md", import.meta.url);
const [open, close] = ["<!-- bounds: packages/backend-wgpu/src/numerics.test.ts -->\n", "<!-- end of bounds on WebGPU -->"];

test("docs/numerics.md states the bounds (TRACEFORM_RECORD=1 rewrites it)", () => {
  const text = readFileSync(document, "utf8");
  const [begin, end] = [text.indexOf(open), text.indexOf(close)];
  const lines = Object.entries(bounds).map(([name, { ulps, note = "" }]) => {
    const { ulps: most, at } = largest.get(name)!;
    return `| \`${name}\` | ${ulps} | ${most.toFixed(2)} | ${at.map((x) => x.toPrecision(6)).join(", ")} | ${note} |\n`;
  });
  const head = "| function | float32 | largest | at | |\n| --- | --- | --- | --- | --- |\n";
  const current = text.slice(0, begin) + open + head + lines.join("") + text.slice(end);
  if (process.env["TRACEFORM_RECORD"] === "1") writeFileSync(document, current);
  else expect(text).toBe(current);
});

test("every recorded function has a bound", () => {
  expect([...recorded.keys()].sort()).toEqual(Object.keys(bounds).sort());
});
