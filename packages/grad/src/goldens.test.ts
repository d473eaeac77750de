import { readFileSync } from "node:fs";
import { fromTyped, type NDArray, scalar, setDefaultBackend } from "@traceform/core";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { close, numbers } from "@traceform/testing/derivatives";
import { vmap } from "@traceform/vmap";
import { describe, expect, test } from "vitest";
import { checkpoint, grad, jvp, vjp } from "./index.ts";

setDefaultBackend(referenceBackend());

interface Recorded {
  readonly shape: readonly number[];
  readonly data: readonly (number | "nan" | "inf" | "-inf")[];
}
interface Case {
  readonly args: readonly Recorded[];
  readonly value: Recorded;
  readonly jvp: Recorded;
  readonly vjp?: readonly Recorded[];
  readonly hvp?: Recorded;
  readonly vmap: Recorded;
}
const goldens = JSON.parse(readFileSync(new URL("../../testing/goldens/grad.json", import.meta.url), "utf8")) as {
  readonly jax: string;
  readonly cases: Readonly<Record<string, Case>>;
};

const special = { nan: NaN, inf: Infinity, "-inf": -Infinity };
const decode = (r: Recorded): number[] => r.data.map((v) => (typeof v === "number" ? v : special[v]));
const array = (r: Recorded): NDArray => fromTyped(Float64Array.from(decode(r)), r.shape, "float64");
const f64 = (...xs: number[]): NDArray => fromTyped(Float64Array.from(xs), [xs.length], "float64");
const i32 = (...xs: number[]): NDArray => fromTyped(Int32Array.from(xs), [xs.length], "int32");
const col = (...xs: number[]): NDArray => lax.reshape(i32(...xs), [xs.length, 1]);
const wave = (f: (i: number) => number, shape: readonly number[], start: number): NDArray =>
  fromTyped(
    Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => f(start + i)),
    shape,
    "float64",
  );

const bools = lax.gt(i32(1, 0, 1), 0);
const G: lax.GatherDimensionNumbersLike = { offsetDims: [], collapsedSliceDims: [0], startIndexMap: [0] };
const S: lax.ScatterDimensionNumbersLike = { updateWindowDims: [], insertedWindowDims: [0], scatterDimsToOperandDims: [0] };
const sin = lax.sin;

type Fn = (...args: NDArray[]) => NDArray;
/** The functions of `record_grad.py`, by name. */
const functions: Record<string, Fn> = {
  neg: lax.neg,
  exp: lax.exp,
  exp2: lax.exp2,
  expm1: lax.expm1,
  sin: lax.sin,
  cos: lax.cos,
  atan: lax.atan,
  sinh: lax.sinh,
  cosh: lax.cosh,
  tanh: lax.tanh,
  asinh: lax.asinh,
  logistic: lax.logistic,
  erf: lax.erf,
  erfc: lax.erfc,
  square: lax.square,
  sign: lax.sign,
  floor: lax.floor,
  ceil: lax.ceil,
  log: lax.log,
  log1p: lax.log1p,
  sqrt: lax.sqrt,
  rsqrt: lax.rsqrt,
  cbrt: lax.cbrt,
  lgamma: lax.lgamma,
  digamma: lax.digamma,
  bessel_i0e: lax.besselI0e,
  bessel_i1e: lax.besselI1e,
  asin: lax.asin,
  acos: lax.acos,
  atanh: lax.atanh,
  erf_inv: lax.erfInv,
  tan: lax.tan,
  acosh: lax.acosh,
  "sqrt at zero": lax.sqrt,
  "log at zero": lax.log,
  "cbrt of negative": lax.cbrt,
  abs: lax.abs,
  "bessel at zero": (x) => lax.add(lax.besselI0e(x), lax.besselI1e(x)),
  relu: (x) => lax.max(x, 0),
  round: (x) => lax.round(x),
  "tanh large": lax.tanh,
  "logistic large": lax.logistic,
  ...Object.fromEntries([-2, -1, 0, 1, 2, 3, 5].map((y) => [`integer_pow ${y}`, (x: NDArray) => lax.integerPow(x, y)])),
  "integer_pow 2 at zero": (x) => lax.integerPow(x, 2),
  pow: lax.pow,
  "pow at zero base": lax.pow,
  "pow zero exponent": lax.pow,
  "pow integer exponent": (x) => lax.pow(x, i32(0, 1, 3, -2)),
  add: lax.add,
  sub: lax.sub,
  mul: lax.mul,
  div: lax.div,
  "div by zero": lax.div,
  rem: lax.rem,
  "max ties": lax.max,
  "min ties": lax.min,
  atan2: lax.atan2,
  igamma: (x) => lax.igamma(f64(1.5, 2), x),
  igammac: (x) => lax.igammac(f64(1.5, 2), x),
  betainc: (x) => lax.betainc(f64(1.5, 2), f64(0.5, 3), x),
  clamp: lax.clamp,
  select: (x, y) => lax.select(bools, x, y),
  "where double trick": (x) => lax.select(lax.gt(x, 0), lax.sqrt(lax.select(lax.gt(x, 0), x, 1)), 0),
  "where naive": (x) => lax.select(lax.gt(x, 0), lax.sqrt(x), 0),
  stop_gradient: (x) => lax.mul(x, lax.stopGradient(x)),
  convert: (x) => lax.convertElementType(lax.convertElementType(x, "float32"), "float64"),
  broadcast_in_dim: (x) => lax.broadcastInDim(x, [2, 3, 2], [1]),
  "broadcast size one": (x) => lax.broadcastInDim(x, [2, 3], [0, 1]),
  reshape: (x) => lax.reshape(x, [3, 2]),
  transpose: (x) => lax.transpose(x, [1, 0]),
  rev: (x) => lax.rev(x, [1]),
  squeeze: (x) => lax.squeeze(x, [0]),
  pad: (x, v) =>
    lax.pad(x, v, [
      [1, 2, 1],
      [-1, 1, 0],
    ]),
  concatenate: (x, y) => lax.concatenate([x, y, x], 1),
  slice: (x) => lax.slice(x, [0, 1], [2, 3], [1, 2]),
  "dynamic_slice clamped": (x) => lax.dynamicSlice(x, [scalar(1, "int32"), scalar(5, "int32")], [1, 2]),
  "dynamic_update_slice clamped": (x, u) => lax.dynamicUpdateSlice(x, u, [scalar(1, "int32"), scalar(5, "int32")]),
  reduce_sum: (x) => lax.reduceSum(x, [0]),
  reduce_prod: (x) => lax.reduceProd(x, [1]),
  "reduce_prod one zero": (x) => lax.reduceProd(x),
  "reduce_prod two zeros": (x) => lax.reduceProd(x),
  "reduce_max ties": (x) => lax.reduceMax(x),
  "reduce_min ties": (x) => lax.reduceMin(x),
  "reduce_max axes": (x) => lax.reduceMax(x),
  cumsum: (x) => lax.cumsum(x),
  "cumsum reverse": (x) => lax.cumsum(x, 1, true),
  "cumprod zero": (x) => lax.cumprod(x),
  "cumprod reverse": (x) => lax.cumprod(x, 0, true),
  cummax: (x) => lax.cummax(x),
  "cummin reverse": (x) => lax.cummin(x, 0, true),
  cumlogsumexp: (x) => lax.cumlogsumexp(x),
  logsumexp: (x) => {
    const m = lax.stopGradient(lax.reduceMax(x));
    return lax.add(lax.log(lax.reduceSum(lax.exp(lax.sub(x, m)))), m);
  },
  sort: (x) => lax.sort(x),
  "sort key value": (k, v) => lax.sortKeyVal(k, v)[1],
  top_k: (x) => lax.topK(x, 2)[0],
  dot: (x, y) => lax.dot(x, y),
  "dot vectors": (x, y) => lax.dot(x, y),
  "dot_general batch": (x, y) =>
    lax.dotGeneral(x, y, [
      [[2], [1]],
      [[0], [2]],
    ]),
  conv: (x, k) => lax.convGeneralDilated(x, k, [1, 1], "SAME"),
  "conv strided dilated": (x, k) =>
    lax.convGeneralDilated(
      x,
      k,
      [2, 1],
      [
        [1, 0],
        [0, 2],
      ],
      { lhsDilation: [1, 2], rhsDilation: [2, 1] },
    ),
  "conv grouped": (x, k) => lax.convGeneralDilated(x, k, [1, 1], "VALID", { featureGroupCount: 2 }),
  "conv batch grouped": (x, k) => lax.convGeneralDilated(x, k, [1, 1], "VALID", { batchGroupCount: 2 }),
  "sum pool": (x) => lax.reduceWindow(x, 0, lax.add, [1, 1, 2, 2], [1, 1, 2, 1], "SAME"),
  "max pool": (x) => lax.reduceWindow(x, -Infinity, lax.max, [1, 1, 2, 2], [1, 1, 2, 2], "VALID"),
  "max pool overlapping": (x) => lax.reduceWindow(x, -Infinity, lax.max, [1, 1, 3, 2], [1, 1, 1, 2], "SAME"),
  "max pool ties": (x) => lax.reduceWindow(x, -Infinity, lax.max, [2], [2], "VALID"),
  "gather clip": (x) => lax.gather(x, col(0, 9, -3, 1), G, [1], { mode: "clip" }),
  "gather fill": (x) => lax.gather(x, col(0, 9, 1, 1), G, [1], { mode: "fill", fillValue: 7 }),
  scatter_add: (x, u) => lax.scatterAdd(x, col(1, 1, 9), u, S),
  scatter: (x, u) => lax.scatter(x, col(1, 3, 9), u, S),
  "scatter_mul unique": (x, u) => lax.scatterMul(x, col(1, 3), u, S, { uniqueIndices: true }),
  scatter_max: (x, u) => lax.scatterMax(x, col(1, 3, 3), u, S),
  "scatter_min ties": (x, u) => lax.scatterMin(x, col(1, 1), u, S),
  scan: (w, xs) => lax.scan((c: NDArray, x: NDArray) => [sin(lax.add(lax.mul(c, w), x)), lax.mul(c, x)], lax.mul(w, 0.5), xs)[1],
  "scan carry": (w, xs) =>
    lax.scan((c: NDArray, x: NDArray) => [lax.tanh(lax.add(lax.mul(c, w), x)), null], lax.mul(w, 0.5), xs, { reverse: true })[0],
  cond: (x) =>
    lax.cond(
      lax.gt(x, 0),
      (y: NDArray) => sin(y),
      (y: NDArray) => lax.exp(y),
      x,
    ),
  switch: (x) => lax.switch_(2, [(y: NDArray) => sin(y), (y: NDArray) => lax.exp(y), (y: NDArray) => lax.mul(y, y)], x),
  fori_loop: (x) => lax.foriLoop(0, 4, (i, v: NDArray) => lax.add(lax.mul(sin(v), x), lax.convertElementType(i, "float64")), x),
  while: (x) =>
    lax.whileLoop(
      (v: NDArray) => lax.lt(v, 10),
      (v: NDArray) => lax.mul(lax.mul(v, v), x),
      x,
    ),
  checkpoint: checkpoint((x: NDArray) => sin(lax.mul(sin(x), x))),
  jit: jit((x: NDArray, y: NDArray) => lax.mul(x, sin(y))),
};

const tolerance = 1e-9;
function same(what: string, got: NDArray, want: Recorded): void {
  expect(got.shape, what).toEqual(want.shape);
  expect(close(numbers(got), decode(want), tolerance), `${what}: ${numbers(got)} against ${decode(want)}`).toBe(true);
}

test("every recorded function is here", () => {
  expect(Object.keys(goldens.cases).filter((name) => !(name in functions))).toEqual([]);
  expect(Object.keys(functions).filter((name) => !(name in goldens.cases))).toEqual([]);
});

describe.each(Object.entries(goldens.cases).map(([name, c]) => [name, c] as const))("%s", (name, c) => {
  const fn = functions[name];
  const args = (): NDArray[] => c.args.map(array);
  const tangents = (): NDArray[] => c.args.map((a) => wave(Math.sin, a.shape, 1));

  test("value and tangent", () => {
    const [out, dot] = jvp(fn, args(), tangents());
    same("value", out, c.value);
    same("tangent", dot, c.jvp);
  });
  if (c.vjp !== undefined)
    test("cotangents", () => {
      const [out, pullback] = vjp(fn, ...args());
      same("value", out, c.value);
      pullback(wave(Math.cos, out.shape, 0)).forEach((g, i) => same(`cotangent ${i}`, g, c.vjp![i]));
    });
  if (c.hvp !== undefined)
    test("forward over reverse", () => {
      const weigh = wave(Math.cos, c.value.shape, 0);
      const gradient = grad((...xs: NDArray[]): NDArray => lax.reduceSum(lax.mul(fn(...xs), weigh)));
      same("second derivative", jvp(gradient, args(), tangents())[1] as NDArray, c.hvp!);
    });
  test("vmap", () => {
    const stacked = args().map((x) => lax.concatenate([lax.expandDims(x, [0]), lax.expandDims(lax.mul(x, 1.1), [0])], 0));
    same("batch", vmap(fn)(...stacked), c.vmap);
  });
});
