import { constIndex, offsetIndex, scaleIndex } from "./affine.ts";
import type { Index } from "./expr.ts";
import { multiply } from "./fft-butterfly.ts";
import {
  emitLoops,
  emitTransform,
  exchangedSink,
  exchangedSource,
  planesSink,
  planesSource,
  planesTable,
  type Sink,
  type Source,
  temporaryPlanes,
  type Transform,
} from "./fft-passes.ts";
import { rootOfUnity } from "./fft-roots.ts";
import type { KernelBuilder } from "./kernels.ts";
import type { Store } from "./program.ts";
import type { Scope } from "./scope.ts";

/**
 * Rows of n real numbers to the first n / 2 + 1 elements of their spectra. Pairs of neighbours are the complex numbers of a
 * transform of half the length, of which the spectra of the even and of the odd elements are parts.
 *
 * @see Cooley, Lewis & Welch, "The fast Fourier transform algorithm: programming considerations in the calculation of
 *   sine, cosine and Laplace transforms" (1970)
 */
export function emitRealForward(scope: Scope, t: Transform, source: Source, sink: Sink): void {
  const { n, float } = t;
  if (n % 2 === 1) return emitOddForward(scope, t, source, sink);
  const half: Transform = { ...t, n: n / 2 };
  const spectrum = temporaryPlanes(scope, t.batch * half.n, float);
  const pairs: Source = (k, batch, at) => {
    const even = scaleIndex(at, 2);
    return { re: source(k, batch, even).re, im: source(k, batch, offsetIndex(even, 1)).re };
  };
  emitTransform(scope, half, pairs, planesSink(spectrum, half.n));
  const read = planesSource(spectrum, half.n);
  const factors = turningFactors(scope, t);
  emitMirrored(scope, half, {
    ends: (k, batch) => {
      const { re, im } = read(k, batch, constIndex(0));
      const zero = k.e.constant(float, 0);
      return [
        ...sink(k, batch, constIndex(0), { re: k.e.add(re, im), im: zero }),
        ...sink(k, batch, constIndex(half.n), { re: k.e.sub(re, im), im: zero }),
      ];
    },
    pair: (k, batch, i, mirror) => {
      // X = (Z + conj Z') / 2 - i w (Z - conj Z') / 2, where Z' is the mirror image.
      const { e } = k;
      const [z, m] = [read(k, batch, i), read(k, batch, mirror)];
      const scale = e.constant(float, 0.5);
      const even = { re: e.mul(scale, e.add(z.re, m.re)), im: e.mul(scale, e.sub(z.im, m.im)) };
      const odd = { re: e.mul(scale, e.add(z.im, m.im)), im: e.mul(scale, e.sub(m.re, z.re)) };
      const turned = multiply(e, odd, factors(k, constIndex(0), i));
      return [
        ...sink(k, batch, i, { re: e.add(even.re, turned.re), im: e.add(even.im, turned.im) }),
        ...sink(k, batch, mirror, { re: e.sub(even.re, turned.re), im: e.sub(turned.im, even.im) }),
      ];
    },
  });
}

/** The inverse of it, not divided by n. Elements of the spectrum that are their own mirror images count as real. */
export function emitRealInverse(scope: Scope, t: Transform, source: Source, sink: Sink): void {
  const { n, float } = t;
  if (n % 2 === 1) return emitOddInverse(scope, t, source, sink);
  const half: Transform = { ...t, n: n / 2 };
  const spectrum = temporaryPlanes(scope, t.batch * half.n, float);
  const write = planesSink(spectrum, half.n);
  const factors = turningFactors(scope, t);
  emitMirrored(scope, half, {
    ends: (k, batch) => {
      const [zero, middle] = [0, half.n].map((i) => source(k, batch, constIndex(i)).re);
      return write(k, batch, constIndex(0), { re: k.e.add(zero, middle), im: k.e.sub(zero, middle) });
    },
    pair: (k, batch, i, mirror) => {
      // Z = (X + conj X') + i conj(w) (X - conj X').
      const { e } = k;
      const [x, m] = [source(k, batch, i), source(k, batch, mirror)];
      const even = { re: e.add(x.re, m.re), im: e.sub(x.im, m.im) };
      const w = factors(k, constIndex(0), i);
      const odd = multiply(e, { re: e.sub(x.re, m.re), im: e.add(x.im, m.im) }, { re: w.re, im: e.neg(w.im) });
      return [
        ...write(k, batch, i, { re: e.sub(even.re, odd.im), im: e.add(even.im, odd.re) }),
        ...write(k, batch, mirror, { re: e.add(even.re, odd.im), im: e.sub(odd.re, even.im) }),
      ];
    },
  });
  const pairs: Sink = (k, batch, at, { re, im }) => {
    const even = scaleIndex(at, 2);
    return [...sink(k, batch, even, { re, im: re }), ...sink(k, batch, offsetIndex(even, 1), { re: im, im })];
  };
  emitTransform(scope, half, exchangedSource(planesSource(spectrum, half.n)), exchangedSink(pairs));
}

/** Of an odd length: the complex transform, and half of its result. */
function emitOddForward(scope: Scope, t: Transform, source: Source, sink: Sink): void {
  const { n, float } = t;
  const full = temporaryPlanes(scope, t.batch * n, float);
  const real: Source = (k, batch, at) => ({ re: source(k, batch, at).re, im: k.e.constant(float, 0) });
  emitTransform(scope, t, real, planesSink(full, n));
  emitLoops(scope, t, (k, batch) => {
    const { axes, position } = k.axes([(n + 1) / 2]);
    return { axes, stores: sink(k, batch, position[0], planesSource(full, n)(k, batch, position[0])) };
  });
}

/** Of an odd length: the whole spectrum, and the real part of its complex transform. */
function emitOddInverse(scope: Scope, t: Transform, source: Source, sink: Sink): void {
  const { n, float } = t;
  const full = temporaryPlanes(scope, t.batch * n, float);
  const write = planesSink(full, n);
  emitMirrored(scope, t, {
    ends: (k, batch) => {
      const { re } = source(k, batch, constIndex(0));
      return write(k, batch, constIndex(0), { re, im: k.e.constant(float, 0) });
    },
    pair: (k, batch, i, mirror) => {
      const { re, im } = source(k, batch, i);
      return [...write(k, batch, i, { re, im }), ...write(k, batch, mirror, { re, im: k.e.neg(im) })];
    },
  });
  emitTransform(scope, t, exchangedSource(planesSource(full, n)), exchangedSink(sink));
}

/** What to store for element 0, and for an element and its mirror image n - i. */
interface Mirrored {
  readonly ends: (k: KernelBuilder, batch: Index) => readonly Store[];
  readonly pair: (k: KernelBuilder, batch: Index, i: Index, mirror: Index) => readonly Store[];
}
/** One loop over the pairs of elements (i, n - i); the element in the middle of an even n is its own image. */
function emitMirrored(scope: Scope, t: Transform, { ends, pair }: Mirrored): void {
  emitLoops(scope, t, (k, batch) => ({ axes: [], stores: ends(k, batch) }));
  const pairs = Math.floor(t.n / 2);
  if (pairs === 0) return;
  emitLoops(scope, t, (k, batch) => {
    const { axes, position } = k.axes([pairs]);
    const i = offsetIndex(position[0], 1);
    return { axes, stores: pair(k, batch, i, offsetIndex(scaleIndex(i, -1), t.n)) };
  });
}

/** exp(-2 pi i k / n) for k <= n / 4. */
function turningFactors(scope: Scope, { n, float }: Transform): Source {
  const count = Math.floor(n / 4) + 1;
  const view = scope.lowering.constant(`fft.turning.${float}.${n}`, () => {
    const re = new Float64Array(count);
    const im = new Float64Array(count);
    for (let k = 0; k < count; k++) [re[k], im[k]] = rootOfUnity(k, n);
    return planesTable(float, { re, im });
  });
  return planesSource({ view, gap: count, float }, count);
}
