import type { Ex, Exprs } from "./expr.ts";
import { rootOfUnity } from "./fft-roots.ts";

/** A complex number of a kernel. */
export interface Pair {
  readonly re: Ex;
  readonly im: Ex;
}

/** x (c + i s) for values c and s of the kernel. */
export function multiply(e: Exprs, x: Pair, { re: c, im: s }: Pair): Pair {
  return { re: e.fma(x.re, c, e.mul(x.im, e.neg(s))), im: e.fma(x.re, s, e.mul(x.im, c)) };
}

/**
 * The discrete Fourier transform of a few numbers: `y[k] = sum_j x[j] exp(-2 pi i j k / r)`. Composite lengths by Cooley
 * and Tukey's rule; odd primes by the symmetry of cosine and sine, which halves the products.
 */
export function smallDft(e: Exprs, x: readonly Pair[]): Pair[] {
  const r = x.length;
  if (r === 1) return [x[0]];
  if (r === 2) return [add(e, x[0], x[1]), sub(e, x[0], x[1])];
  const a = r > 4 && r % 4 === 0 ? (r === 8 ? 2 : 4) : smallestFactor(r);
  if (a === r) return primeDft(e, x);
  const b = r / a;
  // Index b j1 + j2 of the input, k1 + a k2 of the output.
  const rows: Pair[][] = [];
  for (let j2 = 0; j2 < b; j2++) {
    const column = Array.from({ length: a }, (_, j1) => x[b * j1 + j2]);
    rows.push(smallDft(e, column).map((y, k1) => multiplyByRoot(e, y, j2 * k1, r)));
  }
  const out = new Array<Pair>(r);
  for (let k1 = 0; k1 < a; k1++) {
    const column = rows.map((row) => row[k1]);
    smallDft(e, column).forEach((y, k2) => (out[k1 + a * k2] = y));
  }
  return out;
}

/**
 * With t_j = x_j + x_(p-j) and u_j = x_j - x_(p-j), y_k and y_(p-k) are the sum and the difference of
 * x_0 + sum_j cos(2 pi j k / p) t_j and -i sum_j sin(2 pi j k / p) u_j, both over half of the indices.
 */
function primeDft(e: Exprs, x: readonly Pair[]): Pair[] {
  const p = x.length;
  const half = (p - 1) / 2;
  const real = (v: number): Ex => e.constant(x[0].re.type, v);
  const t: Pair[] = [];
  const u: Pair[] = [];
  for (let j = 1; j <= half; j++) {
    t.push(add(e, x[j], x[p - j]));
    u.push(sub(e, x[j], x[p - j]));
  }
  const out = new Array<Pair>(p);
  out[0] = t.reduce((sum, y) => add(e, sum, y), x[0]);
  for (let k = 1; k <= half; k++) {
    let even = x[0];
    let odd: Pair | null = null;
    for (let j = 1; j <= half; j++) {
      const [cos, minusSin] = rootOfUnity(j * k, p);
      const c = real(cos);
      const s = real(-minusSin);
      even = { re: e.fma(c, t[j - 1].re, even.re), im: e.fma(c, t[j - 1].im, even.im) };
      const { re, im } = u[j - 1];
      odd = odd === null ? { re: e.mul(s, re), im: e.mul(s, im) } : { re: e.fma(s, re, odd.re), im: e.fma(s, im, odd.im) };
    }
    out[k] = { re: e.add(even.re, odd!.im), im: e.sub(even.im, odd!.re) };
    out[p - k] = { re: e.sub(even.re, odd!.im), im: e.add(even.im, odd!.re) };
  }
  return out;
}

/** x exp(-2 pi i k / n): free for quarters of the circle, two products for eighths. */
function multiplyByRoot(e: Exprs, x: Pair, k: number, n: number): Pair {
  const eighth = (8 * (k % n)) / n;
  switch (eighth) {
    case 0:
      return x;
    case 2:
      return { re: x.im, im: e.neg(x.re) };
    case 4:
      return { re: e.neg(x.re), im: e.neg(x.im) };
    case 6:
      return { re: e.neg(x.im), im: x.re };
  }
  const [cos, sin] = rootOfUnity(k, n);
  const c = e.constant(x.re.type, cos);
  const s = e.constant(x.re.type, sin);
  if (Number.isInteger(eighth)) {
    // |cos| = |sin|: x (c + i s) = c ((re - im s/c) + i (im + re s/c)).
    const [sum, difference] = [e.add(x.re, x.im), e.sub(x.re, x.im)];
    return cos === sin ? { re: e.mul(c, difference), im: e.mul(c, sum) } : { re: e.mul(c, sum), im: e.mul(s, difference) };
  }
  return multiply(e, x, { re: c, im: s });
}

function add(e: Exprs, a: Pair, b: Pair): Pair {
  return { re: plus(e, a.re, b.re), im: plus(e, a.im, b.im) };
}
function sub(e: Exprs, a: Pair, b: Pair): Pair {
  return { re: minus(e, a.re, b.re), im: minus(e, a.im, b.im) };
}
/** Rotations by a quarter negate one part; the signs go into the sums that follow. */
function plus(e: Exprs, a: Ex, b: Ex): Ex {
  if (b.op === "neg") return e.sub(a, b.args[0]);
  return a.op === "neg" ? e.sub(b, a.args[0]) : e.add(a, b);
}
function minus(e: Exprs, a: Ex, b: Ex): Ex {
  return b.op === "neg" ? e.add(a, b.args[0]) : e.sub(a, b);
}

export function smallestFactor(n: number): number {
  for (let f = 2; f * f <= n; f++) if (n % f === 0) return f;
  return n;
}
