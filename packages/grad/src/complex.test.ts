import { fromTyped, type NDArray, setDefaultBackend } from "@traceform/core";
import * as lax from "@traceform/lax";
import { referenceBackend } from "@traceform/testing";
import { close, numbers } from "@traceform/testing/derivatives";
import { mulberry32 } from "@traceform/testing/primitivecases";
import { beforeAll, describe, expect, test } from "vitest";
import { jvp, vjp } from "./index.ts";

beforeAll(() => {
  setDefaultBackend(referenceBackend());
});

const random = mulberry32(5);
const draw = (n: number): Float64Array => Float64Array.from({ length: 2 * n }, () => random() + 0.2);
const complex = (data: Float64Array): NDArray => fromTyped(data, [data.length / 2], "complex128");

/** Interleaved complex values, real ones with imaginary part 0. */
function parts(x: NDArray): number[] {
  const flat = numbers(x);
  return x.dtype === "complex128" ? flat : flat.flatMap((v) => [v, 0]);
}
/** The real part of the sum of products, without conjugation: how cotangents and tangents pair. */
function pair(a: NDArray, b: NDArray): number {
  const [x, y] = [parts(a), parts(b)];
  let sum = 0;
  for (let i = 0; i < x.length; i += 2) sum += x[i] * y[i] - x[i + 1] * y[i + 1];
  return sum;
}

const functions: Record<string, (z: NDArray, w: NDArray) => NDArray> = {
  exp: lax.exp,
  log: lax.log,
  sin: lax.sin,
  cos: lax.cos,
  tanh: lax.tanh,
  sqrt: lax.sqrt,
  square: lax.square,
  neg: lax.neg,
  logistic: lax.logistic,
  "integer power": (z) => lax.integerPow(z, 3),
  add: lax.add,
  sub: lax.sub,
  mul: lax.mul,
  div: lax.div,
  dot: (z, w) => lax.dot(z, w),
  abs: (z) => lax.abs(z),
  conj: (z) => lax.conj(z),
  real: (z) => lax.real(z),
  imag: (z) => lax.imag(z),
  "real times imaginary part": (z, w) => lax.mul(lax.real(z), lax.imag(lax.mul(z, w))),
  "complex of parts": (z, w) => lax.complex(lax.imag(z), lax.mul(lax.real(z), lax.real(w))),
  sum: (z) => lax.reduceSum(z),
  select: (z, w) => lax.select(lax.gt(lax.real(z), 0.7), z, w),
  concatenate: (z, w) => lax.concatenate([z, w], 0),
  cumsum: (z) => lax.cumsum(z),
  fft: (z) => lax.fft(z, "FFT", [3]),
  "inverse fft": (z) => lax.fft(z, "IFFT", [3]),
  "fft of the real part": (z) => lax.fft(lax.real(z), "RFFT", [3]),
  "inverse real fft": (z) => lax.fft(z, "IRFFT", [4]),
  "inverse real fft of odd length": (z) => lax.fft(z, "IRFFT", [5]),
};

describe.each(Object.entries(functions))("%s of complex values", (_name, fn) => {
  const [z, w] = [draw(3), draw(3)];
  const [dz, dw] = [draw(3), draw(3)];
  const args = [complex(z), complex(w)];
  const tangents = [complex(dz), complex(dw)];

  test("jvp agrees with finite differences", () => {
    const [, dot] = jvp(fn, [args[0], args[1]], [tangents[0], tangents[1]]);
    const moved = (e: number): number[] =>
      numbers(fn(complex(z.map((v, i) => v + e * dz[i])), complex(w.map((v, i) => v + e * dw[i]))));
    const [after, before] = [moved(1e-6), moved(-1e-6)];
    expect(
      close(
        numbers(dot),
        after.map((v, i) => (v - before[i]) / 2e-6),
        1e-6,
      ),
    ).toBe(true);
  });
  test("vjp is the transpose of jvp, without conjugation", () => {
    const [out, pullback] = vjp(fn, args[0], args[1]);
    const [, dot] = jvp(fn, [args[0], args[1]], [tangents[0], tangents[1]]);
    const ct =
      out.dtype === "complex128"
        ? fromTyped(draw(out.size), out.shape, "complex128")
        : fromTyped(draw(out.size).subarray(0, out.size), out.shape, "float64");
    const grads = pullback(ct);
    expect(pair(grads[0], tangents[0]) + pair(grads[1], tangents[1])).toBeCloseTo(pair(ct, dot), 9);
  });
});
