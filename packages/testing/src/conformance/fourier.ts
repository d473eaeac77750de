import type { NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import { complexes, type ConformanceCase, wide } from "./case.ts";

/** Lengths by what they ask of a plan: one butterfly, several radices, a matrix, large primes. */
const lengths: readonly (readonly [what: string, lengths: readonly number[]])[] = [
  ["one", [1]],
  ["short", [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]],
  ["large primes", [17, 19, 23, 34, 97, 101, 221]],
  ["powers of two", [32, 64, 128, 256, 512, 1024, 4096]],
  ["mixed radices", [18, 20, 35, 60, 100, 210, 243, 343, 1000, 1001, 2310]],
  ["long", [4098, 8192]],
];

// Every element is a sum of all: errors are relative to the largest of them.
const relative = 1e-6;

function alongLastAxis(): ConformanceCase[] {
  return lengths.flatMap(([what, list]) => {
    const long = what === "long";
    const batch = long ? 1 : 3;
    const transforms =
      (type: lax.FftType) =>
      (...xs: NDArray[]): NDArray[] =>
        xs.map((x, i) => lax.fft(x, type, [list[i]]));
    const full = list.map((n) => ({ shape: [batch, n] }));
    const half = list.map((n) => ({ shape: [batch, Math.floor(n / 2) + 1] }));
    return [
      { name: `fft: ${what}`, dtypes: complexes, operands: full, run: transforms("FFT"), relative },
      { name: `fft: inverse, ${what}`, dtypes: complexes, operands: full, run: transforms("IFFT"), relative },
      { name: `fft: real, ${what}`, dtypes: wide, operands: full, run: transforms("RFFT"), relative },
      { name: `fft: real inverse, ${what}`, dtypes: complexes, operands: half, run: transforms("IRFFT"), relative },
    ];
  });
}

/** Several axes, many transforms beside each other, operands that are computed or moved on the way, nothing at all. */
function others(): ConformanceCase[] {
  const cases: (readonly [name: string, types: readonly string[], shape: readonly number[], run: ConformanceCase["run"]])[] = [
    ["three axes", complexes, [2, 4, 6, 5], (x) => lax.fft(x, "FFT", [4, 6, 5])],
    ["two axes, long", complexes, [64, 128], (x) => lax.fft(x, "IFFT", [64, 128])],
    ["two axes, narrow", complexes, [36, 2], (x) => lax.fft(x, "FFT", [36, 2])],
    ["two axes, prime", complexes, [17, 3], (x) => lax.fft(x, "FFT", [17, 3])],
    ["columns that collide in caches", complexes, [64, 1024], (x) => lax.fft(x, "FFT", [64, 1024])],
    ["real, three axes", wide, [3, 4, 6], (x) => lax.fft(x, "RFFT", [3, 4, 6])],
    ["real, two axes, odd", wide, [2, 6, 7], (x) => lax.fft(x, "RFFT", [6, 7])],
    ["real inverse, two axes", complexes, [2, 6, 5], (x) => lax.fft(x, "IRFFT", [6, 8])],
    ["real inverse, two axes, odd", complexes, [2, 6, 5], (x) => lax.fft(x, "IRFFT", [6, 9])],
    ["many short", complexes, [300, 5], (x) => lax.fft(x, "FFT", [5])],
    ["many of 64", complexes, [40, 64], (x) => lax.fft(x, "FFT", [64])],
    ["transposed operand", complexes, [60, 7], (x) => lax.fft(lax.transpose(x, [1, 0]), "FFT", [60])],
    ["computed operand", complexes, [4, 32], (x) => lax.fft(lax.mul(lax.exp(x), 0.5), "FFT", [32])],
    ["twice", complexes, [4, 48], (x) => lax.fft(lax.fft(x, "FFT", [48]), "IFFT", [48])],
    ["parts of one operand", complexes, [3, 64], (x) => [lax.fft(lax.slice(x, [0, 8], [3, 40]), "FFT", [32]), lax.neg(x)]],
    ["no rows", complexes, [0, 8], (x) => lax.fft(x, "FFT", [8])],
    ["in a loop", complexes, [2, 32], (x) => lax.foriLoop(0, 3, (_i, y: NDArray) => lax.mul(lax.fft(y, "FFT", [32]), 0.25), x)],
  ];
  return cases.map(([name, types, shape, run]) => ({
    name: `fft: ${name}`,
    dtypes: types as ConformanceCase["dtypes"],
    operands: [{ shape }],
    run,
    relative,
  }));
}

export function fourierCases(): ConformanceCase[] {
  return [...alongLastAxis(), ...others()];
}
