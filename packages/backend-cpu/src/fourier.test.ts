import { makeAval, type NDArray, OutOfMemoryError, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";
import { describe, expect, test } from "vitest";
import { cpu } from "./index.ts";

const backend = cpu({ threads: 1 });
const [device] = backend.devices;

type Float = "float32" | "float64";
const formats = {
  float32: { Store: Float32Array, complex: "complex64", epsilon: 2 ** -24 },
  float64: { Store: Float64Array, complex: "complex128", epsilon: 2 ** -53 },
} as const;

interface Signal {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

function noise(n: number, float: Float, seed: number): Signal {
  let state = seed;
  const { Store } = formats[float];
  const draw = (): Float64Array =>
    Float64Array.from(
      new Store(n).map(() => {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        return state / 2 ** 31;
      }),
    );
  return { re: draw(), im: draw() };
}

/** Elements `at` of the transform by its definition; sums of a few thousand terms are good to 1e-14. */
function direct({ re, im }: Signal, at: readonly number[], sign: number): Signal {
  const n = re.length;
  const cos = Float64Array.from({ length: n }, (_, k) => Math.cos((2 * Math.PI * k) / n));
  const sin = Float64Array.from({ length: n }, (_, k) => sign * Math.sin((2 * Math.PI * k) / n));
  const out = { re: new Float64Array(at.length), im: new Float64Array(at.length) };
  at.forEach((k, i) => {
    let turn = 0;
    for (let j = 0; j < n; j++) {
      out.re[i] += re[j] * cos[turn] - im[j] * sin[turn];
      out.im[i] += re[j] * sin[turn] + im[j] * cos[turn];
      turn = (turn + k) % n;
    }
  });
  return out;
}

/** Complex numbers in planes, as the device holds them; real ones have the first only. */
function run(type: lax.FftType, n: number, float: Float, input: Signal): Signal {
  const { Store, complex } = formats[float];
  const aval = makeAval([input.re.length], type === "RFFT" ? float : complex);
  const { jaxpr } = traceToJaxpr((x: NDArray) => [lax.fft(x, type, [n])], [aval], "fft");
  const executable = backend.compile({ jaxpr, consts: [] }, {});
  const data = new Store(type === "RFFT" ? input.re.length : 2 * input.re.length);
  for (let i = 0; i < input.re.length; i++) {
    data[type === "RFFT" ? i : 2 * i] = input.re[i];
    if (type !== "RFFT") data[2 * i + 1] = input.im[i];
  }
  const operand = backend.put({ shape: aval.shape, dtype: aval.dtype as Float, bytes: new Uint8Array(data.buffer) }, device);
  const [result] = executable.run([operand]);
  const values = Float64Array.from(new Store(backend.readSync!(result).bytes.slice().buffer));
  for (const b of [operand, result]) b.release();
  executable[Symbol.dispose]();
  if (type === "IRFFT") return { re: values, im: new Float64Array(values.length) };
  return { re: values.filter((_, i) => i % 2 === 0), im: values.filter((_, i) => i % 2 === 1) };
}

/** The relative error in the 2-norm, over some elements of a long transform. */
function errorOf(type: lax.FftType, n: number, float: Float): number {
  const half = Math.floor(n / 2) + 1;
  const x = noise(type === "IRFFT" ? half : n, float, n);
  const got = run(type, n, float, x);
  const at = Array.from({ length: Math.min(got.re.length, 128) }, (_, i) =>
    got.re.length <= 128 ? i : Math.floor((i * got.re.length) / 128),
  );
  let whole = x;
  if (type === "RFFT") whole = { re: x.re, im: new Float64Array(n) };
  if (type === "IRFFT") {
    whole = { re: new Float64Array(n), im: new Float64Array(n) };
    for (let k = 0; k < n; k++) {
      const mirror = 2 * k > n;
      whole.re[k] = x.re[mirror ? n - k : k];
      whole.im[k] = k === 0 || 2 * k === n ? 0 : mirror ? -x.im[n - k] : x.im[k];
    }
  }
  const inverse = type === "IFFT" || type === "IRFFT";
  const want = direct(whole, at, inverse ? 1 : -1);
  const scale = inverse ? 1 / n : 1;
  let [error, size] = [0, 0];
  at.forEach((k, i) => {
    error += (got.re[k] - want.re[i] * scale) ** 2 + (got.im[k] - want.im[i] * scale) ** 2;
    size += (want.re[i] * scale) ** 2 + (want.im[i] * scale) ** 2;
  });
  return Math.sqrt(error / size);
}

const lengths: Readonly<Record<string, readonly number[]>> = {
  "1 to 70": Array.from({ length: 70 }, (_, i) => i + 1),
  "primes and their multiples": [97, 101, 194, 997, 1009, 2 * 1009],
  "powers of two": [128, 256, 512, 1024, 4096, 8192, 65536],
  "products of small primes": [210, 420, 441, 1000, 1001, 2310, 3 ** 8, 3 ** 10, 5 ** 5, 7 ** 4, 44100],
};

describe.each(Object.keys(formats) as Float[])("transforms of %s", (float) => {
  test.each(Object.entries(lengths))("%s: the error is that of the roundings of log n passes", (_name, list) => {
    const { epsilon } = formats[float];
    const bad: string[] = [];
    for (const n of list) {
      for (const type of Object.values(lax.FftType)) {
        // Root mean squares of log n roundings add up to less than this; a wrong element is orders beyond. The direct sum
        // in float64 has an error of its own, which grows with n.
        const limit = (3 * Math.log2(n) + 4) * epsilon + (float === "float64" ? n * 2e-17 : 0);
        const error = errorOf(type, n, float);
        if (!(error <= limit)) bad.push(`${type} of ${n}: ${error.toExponential(2)} > ${limit.toExponential(2)}`);
      }
    }
    expect(bad).toEqual([]);
  });
});

test("the tables of a program live as long as it does", () => {
  // Half a megabyte of factors in each program, and a heap of 16.
  const small = cpu({ threads: 1, maxMemoryBytes: 1 << 24 });
  const { jaxpr } = traceToJaxpr((x: NDArray) => [lax.fft(x, "FFT", [65536])], [makeAval([65536], "complex64")], "fft");
  const make = (): Disposable => small.compile({ jaxpr, consts: [] }, {});
  for (let i = 0; i < 40; i++) make()[Symbol.dispose]();
  const kept: Disposable[] = [];
  expect(() => {
    for (let i = 0; i < 40; i++) kept.push(make());
  }).toThrow(OutOfMemoryError);
  for (const program of kept) program[Symbol.dispose]();
  make()[Symbol.dispose]();
});
