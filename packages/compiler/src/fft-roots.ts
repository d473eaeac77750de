/** A table of complex numbers in double precision. */
export interface ComplexTable {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/**
 * `exp(-2 pi i k / n)` for an integer `k >= 0`. The angle is reduced to the first octant in integers, so every root is
 * as accurate as the sine and cosine of a small angle, and symmetric ones are equal up to their signs.
 */
export function rootOfUnity(k: number, n: number): readonly [re: number, im: number] {
  // Eighths of the circle are n units.
  let t = 8 * (k % n);
  let im = -1;
  let re = 1;
  if (t > 4 * n) {
    t = 8 * n - t;
    im = 1;
  }
  if (t > 2 * n) {
    t = 4 * n - t;
    re = -1;
  }
  const swapped = t > n;
  if (swapped) t = 2 * n - t;
  // At the eighth itself cosine and sine are one number.
  if (t === n) return [re * Math.SQRT1_2, im * Math.SQRT1_2];
  const angle = (Math.PI / 4) * (t / n);
  const [cos, sin] = swapped ? [Math.sin(angle), Math.cos(angle)] : [Math.cos(angle), Math.sin(angle)];
  return [re * cos, im * sin];
}

/** All n-th roots: element k is `exp(-2 pi i k / n)`. */
export function rootsOfUnity(n: number): ComplexTable {
  const re = new Float64Array(n);
  const im = new Float64Array(n);
  // Sines and cosines for one eighth, or half, of the circle; the rest are mirror images.
  const quarter = n / 4;
  const computed = Number.isInteger(quarter) ? quarter / 2 : n / 2;
  for (let k = 0; k <= computed; k++) [re[k], im[k]] = rootOfUnity(k, n);
  for (let k = Math.floor(computed) + 1; k <= quarter && computed < quarter; k++) {
    re[k] = -im[quarter - k];
    im[k] = -re[quarter - k];
  }
  for (let k = Math.floor(quarter) + 1; 2 * k <= n && computed < quarter; k++) {
    re[k] = im[k - quarter];
    im[k] = -re[k - quarter];
  }
  for (let k = 1; 2 * k < n; k++) {
    re[n - k] = re[k];
    im[n - k] = -im[k];
  }
  return { re, im };
}

/** `exp(-pi i j^2 / n)` for j < n. */
export function chirp(n: number): ComplexTable {
  const re = new Float64Array(n);
  const im = new Float64Array(n);
  // j^2 mod 2n, step by step: squares would lose digits.
  let square = 0;
  for (let j = 0; j < n; j++) {
    [re[j], im[j]] = rootOfUnity(square, 2 * n);
    square = (square + 2 * j + 1) % (2 * n);
  }
  return { re, im };
}

/**
 * The spectrum of the filter that convolves with the conjugate chirp of length n in a circle of `size` elements (a power
 * of two), divided by `size`: what Bluestein's algorithm multiplies by.
 */
export function chirpSpectrum(n: number, size: number): ComplexTable {
  const { re: c, im: s } = chirp(n);
  const re = new Float64Array(size);
  const im = new Float64Array(size);
  for (let j = 0; j < n; j++) {
    re[j] = c[j] / size;
    im[j] = -s[j] / size;
    if (j > 0) {
      re[size - j] = re[j];
      im[size - j] = im[j];
    }
  }
  transformInPlace({ re, im });
  return { re, im };
}

/** The discrete Fourier transform of a power-of-two length, by halves (Cooley & Tukey 1965). */
function transformInPlace({ re, im }: ComplexTable): void {
  const n = re.length;
  const roots = rootsOfUnity(n);
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; (j & bit) !== 0; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let half = 1; half < n; half *= 2) {
    const step = n / (2 * half);
    for (let start = 0; start < n; start += 2 * half) {
      for (let k = 0; k < half; k++) {
        const a = start + k;
        const b = a + half;
        const [c, s] = [roots.re[k * step], roots.im[k * step]];
        const x = re[b] * c - im[b] * s;
        const y = re[b] * s + im[b] * c;
        re[b] = re[a] - x;
        im[b] = im[a] - y;
        re[a] += x;
        im[a] += y;
      }
    }
  }
}
