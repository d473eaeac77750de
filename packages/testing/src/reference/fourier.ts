import { type Aval, isComplex } from "@traceform/core";
import { add, cx, mul, scale } from "./complex.ts";
import { type Complex, type Element, flatIndex, forEachIndex, type RefArray, stridesOf } from "./values.ts";

export interface FftParams {
  readonly fftType: "FFT" | "IFFT" | "RFFT" | "IRFFT";
  readonly fftLengths: readonly number[];
}

/** Transforms along the trailing axes, one axis after the other, in double precision. */
export function fft(x: RefArray, { fftType, fftLengths }: FftParams, out: Aval): RefArray {
  const inverse = fftType === "IFFT" || fftType === "IRFFT";
  const last = x.shape.length - 1;
  let state: Lines = { shape: x.shape, values: x.values.map(asComplex) };
  // A half spectrum is completed last, when the other axes are back: only then it is the mirror image of itself.
  const axes = fftLengths.map((_, i) => x.shape.length - fftLengths.length + i);
  const length = fftLengths[fftLengths.length - 1];
  for (const axis of inverse ? axes : axes.reverse()) {
    state = alongAxis(state, axis, (line) => {
      if (fftType === "IRFFT" && axis === last) return dft(mirrored(line, length), inverse);
      const y = dft(line, inverse);
      return fftType === "RFFT" && axis === last ? y.slice(0, Math.floor(length / 2) + 1) : y;
    });
  }
  const values: Element[] = isComplex(out.dtype) ? [...state.values] : state.values.map((z) => z.re);
  return { shape: out.shape, dtype: out.dtype, values };
}

interface Lines {
  readonly shape: readonly number[];
  readonly values: readonly Complex[];
}

const asComplex = (x: Element): Complex => (typeof x === "object" && "re" in x ? x : cx(Number(x), 0));

/** Replaces every line along an axis; lines may change their length. */
function alongAxis({ shape, values }: Lines, axis: number, map: (line: readonly Complex[]) => readonly Complex[]): Lines {
  const strides = stridesOf(shape);
  const lines: (readonly Complex[])[] = [];
  const outer = shape.map((n, d) => (d === axis ? 1 : n));
  forEachIndex(outer, (index) => {
    const start = flatIndex(index, strides);
    lines.push(map(Array.from({ length: shape[axis] }, (_, i) => values[start + i * strides[axis]])));
  });
  const length = lines.length === 0 ? shape[axis] : lines[0].length;
  const to = shape.map((n, d) => (d === axis ? length : n));
  const toStrides = stridesOf(to);
  const out = new Array<Complex>(to.reduce((a, b) => a * b, 1));
  let next = 0;
  forEachIndex(outer, (index) => {
    const start = flatIndex(index, toStrides);
    lines[next++].forEach((y, i) => (out[start + i * toStrides[axis]] = y));
  });
  return { shape: to, values: out };
}

/** All n elements of a spectrum of real numbers whose first half is given. */
function mirrored(half: readonly Complex[], n: number): Complex[] {
  return Array.from({ length: n }, (_, k) => {
    // Elements that are their own mirror images are real.
    if (k === 0 || 2 * k === n) return cx(half[k].re, 0);
    return 2 * k < n ? half[k] : cx(half[n - k].re, -half[n - k].im);
  });
}

/** By factors (Cooley & Tukey 1965), and by the definition where the length is a prime. */
function dft(x: readonly Complex[], inverse: boolean): readonly Complex[] {
  const y = forward(inverse ? x.map((z) => cx(z.re, -z.im)) : x);
  return inverse ? y.map((z) => scale(cx(z.re, -z.im), 1 / x.length)) : y;
}
function forward(x: readonly Complex[]): readonly Complex[] {
  const n = x.length;
  let p = 2;
  while (p * p <= n && n % p !== 0) p++;
  if (p * p > n) p = n;
  const m = n / p;
  const parts = m === 1 ? x.map((z) => [z]) : Array.from({ length: p }, (_, j) => forward(x.filter((_z, i) => i % p === j)));
  const roots = Array.from({ length: n }, (_, k) => cx(Math.cos((-2 * Math.PI * k) / n), Math.sin((-2 * Math.PI * k) / n)));
  return roots.map((_, k) => parts.reduce((sum, y, j) => add(sum, mul(y[k % m], roots[(j * k) % n])), cx(0, 0)));
}
