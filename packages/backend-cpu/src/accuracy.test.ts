import { makeAval, type NDArray, setDefaultBackend, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { expect, test } from "vitest";
import { cpu } from "./index.ts";

const n = 20_000;

/** A function, its values in double precision, the interval, and the bound in units of the last place. */
type Row = readonly [
  name: string,
  fn: (x: NDArray) => NDArray,
  exact: (x: number) => number,
  low: number,
  high: number,
  ulps: number,
];
const rows: readonly Row[] = [
  ["exp", lax.exp, Math.exp, -87, 88, 1.5],
  ["exp2", lax.exp2, (x) => 2 ** x, -126, 127, 1.5],
  ["expm1", lax.expm1, Math.expm1, -30, 88, 1.5],
  ["log", lax.log, Math.log, 1e-30, 1e10, 1.5],
  ["log1p", lax.log1p, Math.log1p, -0.999, 10, 1.5],
  ["sin", lax.sin, Math.sin, -1000, 1000, 1.5],
  ["cos", lax.cos, Math.cos, -1000, 1000, 1.5],
  ["sin, large", lax.sin, Math.sin, -1e30, 1e30, 1.5],
  ["tan", lax.tan, Math.tan, -10, 10, 1],
  ["tanh", lax.tanh, Math.tanh, -10, 10, 2.5],
  ["logistic", lax.logistic, (x) => 1 / (1 + Math.exp(-x)), -80, 30, 2],
  ["asin", lax.asin, Math.asin, -1, 1, 1],
  ["acos", lax.acos, Math.acos, -1, 1, 1],
  ["atan", lax.atan, Math.atan, -30, 30, 1],
  ["sinh", lax.sinh, Math.sinh, -20, 20, 1],
  ["cosh", lax.cosh, Math.cosh, -20, 20, 1],
  ["asinh", lax.asinh, Math.asinh, -100, 100, 1],
  ["acosh", lax.acosh, Math.acosh, 1, 100, 1],
  ["atanh", lax.atanh, Math.atanh, -1, 1, 1],
  ["cbrt", lax.cbrt, Math.cbrt, -1000, 1000, 1],
  ["rsqrt", lax.rsqrt, (x) => 1 / Math.sqrt(x), 1e-10, 1e10, 1.5],
];

/** The distance from `want`, in steps of single precision there. */
function ulps(got: number, want: number): number {
  const step = 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(want)))) - 23);
  return Math.abs(got - want) / step;
}

// With and without fused multiply-add: both are what some engine has.
test.each([true, false])("element functions in single precision stay within their bounds, relaxed SIMD: %s", (relaxedSimd) => {
  const backend = cpu({ relaxedSimd });
  setDefaultBackend(backend);
  const failures: string[] = [];
  for (const [name, fn, exact, low, high, bound] of rows) {
    const xs = new Float32Array(n);
    let seed = 7;
    for (let i = 0; i < n; i++) {
      seed = (seed * 48271) % 2147483647;
      const t = seed / 2147483647;
      // A quarter near zero, where relative error shows.
      xs[i] = i % 4 === 0 && low < 0 ? (t - 0.5) * 0.1 * Math.min(1, -low) : low + t * (high - low);
    }
    const e = backend.compile(
      traceToJaxpr((x) => [fn(x)], [makeAval([n], "float32")], name),
      {},
    );
    const [out] = e.run([backend.put({ shape: [n], dtype: "float32", bytes: new Uint8Array(xs.buffer) }, backend.devices[0])]);
    const ys = new Float32Array(backend.readSync!(out).bytes.buffer);
    let worst = 0;
    let at = 0;
    for (let i = 0; i < n; i++) {
      const want = exact(xs[i]);
      if (want === 0 || !Number.isFinite(Math.fround(want))) continue;
      const error = ulps(ys[i], want);
      if (!(error <= worst)) [worst, at] = [error, xs[i]];
    }
    if (!(worst <= bound)) failures.push(`${name}: ${worst.toFixed(2)} ulp at ${at}, bound ${bound}`);
  }
  expect(failures).toEqual([]);
});
