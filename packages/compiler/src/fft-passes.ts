import { addIndex, axisIndex, constIndex, offsetIndex, scaleIndex } from "./affine.ts";
import { multiply, type Pair, smallDft } from "./fft-butterfly.ts";
import { type FftPlan, planFft } from "./fft-plan.ts";
import { chirp, chirpSpectrum, type ComplexTable, rootOfUnity, rootsOfUnity } from "./fft-roots.ts";
import { type Axis, type Index, storageBytes } from "./expr.ts";
import { type KernelBuilder, storing } from "./kernels.ts";
import type { Store, View } from "./program.ts";
import type { Scope } from "./scope.ts";

export type Float = "f32" | "f64";

/** Transforms along the middle of arrays [batch, n, inner]. */
export interface Transform {
  readonly batch: number;
  readonly n: number;
  readonly inner: number;
  readonly float: Float;
}
/** Reads an element: `at` is its place in [n, inner]. */
export type Source = (k: KernelBuilder, batch: Index, at: Index) => Pair;
/** Writes an element. */
export type Sink = (k: KernelBuilder, batch: Index, at: Index, y: Pair) => readonly Store[];
/** The same for the rows and columns of a matrix. */
type MatrixSource = (k: KernelBuilder, batch: Index, row: Index, column: Column) => Pair;
type MatrixSink = (k: KernelBuilder, batch: Index, row: Index, column: Column, y: Pair) => readonly Store[];

/** Two planes in memory: the imaginary one `gap` elements after the real one. */
export interface Planes {
  readonly view: View;
  readonly gap: number;
  readonly float: Float;
}

/** Loops, and what they store. */
interface Loops {
  readonly axes: readonly Axis[];
  readonly stores: readonly Store[];
}
/** Neighbouring columns of the matrix that a pass reads: the `index`-th `size` of them. */
interface Columns {
  readonly index: Index;
  readonly size: number;
}
interface Column {
  readonly among: Columns;
  readonly at: Index;
}
/** Its place among all columns. */
function columnIndex({ among: { index, size }, at }: Column): Index {
  return addIndex(scaleIndex(index, size), at);
}
/** Going once through the matrix: loops over the rows of some columns, and what they store. */
interface Pass {
  /** All columns that it reads, and how many it is best made for when it is a kernel of its own. */
  readonly width: number;
  readonly tile: number;
  readonly make: (k: KernelBuilder, batch: Index, columns: Columns) => Loops;
}
/** Passes along the columns of one matrix. Each column is transformed by itself, up to the last pass, which may transpose. */
interface Phase {
  readonly passes: readonly Pass[];
  /** How many columns go through all passes together, in memory of one thread; null where each pass goes through all of them. */
  readonly block: number | null;
}

/** The longest row, in bytes, whose passes share one kernel: what they hand on stays in the nearest cache. */
const rowBytes = 1 << 14;

/** The exponent's sign is negative; sources and sinks that exchange the parts make the inverse of it. */
export function emitTransform(scope: Scope, t: Transform, source: Source, sink: Sink): void {
  const plan = planFft(t.n, t.inner, (step) => collides(step, t.float));
  if (plan.kind === "chirp") emitBluestein(scope, t, plan.size, source, sink);
  else emitPasses(scope, t, passesOf(scope, t, plan, source, sink));
}

/** Memory for `count` complex elements. */
export function temporaryPlanes(scope: Scope, count: number, float: Float): Planes {
  return { view: scope.lowering.temporary(2 * count * storageBytes[float]), gap: count, float };
}
function loadPair(k: KernelBuilder, { view, gap, float }: Planes, index: Index): Pair {
  const slot = k.slot(view);
  return { re: k.e.load(slot, float, index), im: k.e.load(slot, float, offsetIndex(index, gap)) };
}
function storePair(k: KernelBuilder, { view, gap, float }: Planes, index: Index, y: Pair): Store[] {
  const slot = k.slot(view);
  return [
    { slot, storage: float, index, value: y.re, guard: null },
    { slot, storage: float, index: offsetIndex(index, gap), value: y.im, guard: null },
  ];
}
/** The elements of dense planes, `block` of which are one transform's. */
export function planesSource(planes: Planes, block: number): Source {
  return (k, batch, at) => loadPair(k, planes, addIndex(scaleIndex(batch, block), at));
}
export function planesSink(planes: Planes, block: number): Sink {
  return (k, batch, at, y) => storePair(k, planes, addIndex(scaleIndex(batch, block), at), y);
}

/** Whether rows are so short that their passes share one kernel. */
function sharesKernel(t: Transform): boolean {
  return 2 * t.n * t.inner * storageBytes[t.float] <= rowBytes;
}

/**
 * Short rows: one kernel whose stages are the passes. Else a kernel for each phase, whose stages take some columns through all its
 * passes; where that does not fit the nearest caches, a kernel for each pass.
 */
function emitPasses(scope: Scope, t: Transform, phases: readonly Phase[]): void {
  const name = `fft.${t.n}`;
  const passes = phases.flatMap((p) => p.passes);
  if (passes.length > 1 && sharesKernel(t)) {
    const k = scope.builder();
    const batch = k.e.axis(t.batch);
    const stages = passes.map((pass) => {
      const { axes, stores } = wholePass(k, axisIndex(k.e, batch), pass);
      return storing(axes, stores);
    });
    scope.launch(k.nest(name, [batch], stages), k.slots);
    return;
  }
  for (const { passes, block } of phases) {
    if (block !== null) {
      const k = scope.builder();
      const [batch, blocks] = [t.batch, passes[0].width / block].map((n) => k.e.axis(n));
      const columns = { index: axisIndex(k.e, blocks), size: block };
      const stages = passes.map(({ make }) => {
        const { axes, stores } = make(k, axisIndex(k.e, batch), columns);
        return storing(axes, stores);
      });
      scope.launch(k.nest(name, [batch, blocks], stages), k.slots);
    } else for (const pass of passes) emitLoops(scope, t, (k, batch) => wholePass(k, batch, pass));
  }
}

/** All columns of a pass, tile by tile. */
function wholePass(k: KernelBuilder, batch: Index, { width, tile, make }: Pass): Loops {
  const tiles = k.e.axis(width / tile);
  const { axes, stores } = make(k, batch, { index: axisIndex(k.e, tiles), size: tile });
  return { axes: [tiles, ...axes], stores };
}

/** One kernel that goes through all arrays of the batch. */
export function emitLoops(scope: Scope, t: Transform, loops: (k: KernelBuilder, batch: Index) => Loops): void {
  const k = scope.builder();
  const batch = k.e.axis(t.batch);
  const { axes, stores } = loops(k, axisIndex(k.e, batch));
  // Without a run along memory the transforms beside each other are the lanes.
  const runs = axes.some((a) => a.extent >= lanes);
  scope.launch(k.nest(`fft.${t.n}`, runs ? [batch, ...axes] : [...axes, batch], [storing([], stores)]), k.slots);
}
const lanes = 4;

/** The block of a phase of `count` passes over columns of a width, where threads have memory of their own. */
function blockOf({ lowering }: Scope, t: Transform, count: number, width: number): number | null {
  if (lowering.target.threads === 0) return null;
  const size = tileColumns * (width % (tileColumns * t.inner) === 0 ? t.inner : 1);
  const rows = (t.n * t.inner) / width;
  // Passes alternate between two places.
  const fits = 4 * rows * size * storageBytes[t.float] <= blockBytes;
  return !sharesKernel(t) && count > 1 && width % size === 0 && width > size && fits ? size : null;
}
const blockBytes = 1 << 18;

/** Whether elements `step` apart fall into one set of the nearest cache, so that a few of them push each other out. */
export function collides(step: number, float: Float): boolean {
  return (step * storageBytes[float]) % 4096 === 0;
}

interface MatrixMemory {
  readonly source: MatrixSource;
  readonly sink: MatrixSink;
}

/** Memory between two passes, which alternate between two places. */
class Between {
  readonly #scope: Scope;
  readonly #t: Transform;
  readonly #shared: View[] = [];
  readonly #own: View[] = [];
  #next = 0;

  constructor(scope: Scope, t: Transform) {
    this.#scope = scope;
    this.#t = t;
  }

  /** For the whole matrix, as rows of a width; those of powers of two are padded. */
  whole(width: number): MatrixMemory {
    const { batch, float, n, inner } = this.#t;
    const padded = !sharesKernel(this.#t) && width >= shortestPadded && collides(16 * width, float);
    const stride = width + (padded ? padding(float) : 0);
    const size = ((n * inner) / width) * stride;
    // Room for padded rows of any width.
    const most = n * inner + Math.floor((n * inner) / shortestPadded) * padding(float);
    const view = (this.#shared[this.#next++ % 2] ??= this.#scope.lowering.temporary(2 * batch * most * storageBytes[float]));
    const planes: Planes = { view, gap: size * batch, float };
    return memoryAt(planes, (b, row, column) =>
      addIndex(addIndex(scaleIndex(b, size), scaleIndex(row, stride)), columnIndex(column)),
    );
  }

  /** For the block of columns at which a thread is. */
  block(rows: number, size: number): MatrixMemory {
    const { float } = this.#t;
    const i = this.#next++ % 2;
    // One thread's numbers begin on lines of their own.
    const bytes = Math.ceil((2 * rows * size * storageBytes[float]) / 128) * 128;
    const known = this.#own[i];
    const view = known !== undefined && known.buffer.threadBytes >= bytes ? known : this.#scope.lowering.ownTemporary(bytes);
    this.#own[i] = view;
    return memoryAt({ view, gap: rows * size, float }, (_, row, { at }) => addIndex(scaleIndex(row, size), at));
  }
}
function memoryAt(planes: Planes, place: (batch: Index, row: Index, column: Column) => Index): MatrixMemory {
  return {
    source: (k, b, row, column) => loadPair(k, planes, place(b, row, column)),
    sink: (k, b, row, column, y) => storePair(k, planes, place(b, row, column), y),
  };
}
const shortestPadded = 64;
/** Elements of a vector: rows then begin in different sets of the cache, and vectors stay within its lines. */
function padding(float: Float): number {
  return 16 / storageBytes[float];
}

/** A pass that reads rows of one width and writes rows of another. */
interface Link extends Pick<Pass, "tile"> {
  readonly from: number;
  readonly to: number;
  readonly pass: (source: MatrixSource, sink: MatrixSink) => Pass["make"];
}

function passesOf(
  scope: Scope,
  t: Transform,
  plan: Exclude<FftPlan, { readonly kind: "chirp" }>,
  source: Source,
  sink: Sink,
): Phase[] {
  const between = new Between(scope, t);
  const phases = linksOf(scope, t, plan);
  const place = (width: number, row: Index, column: Column): Index => addIndex(scaleIndex(row, width), columnIndex(column));
  let from: MatrixSource = (k, batch, row, column) => source(k, batch, place(phases[0][0].from, row, column));
  return phases.map((links, p) => {
    const block = blockOf(scope, t, links.length, links[0].from);
    const passes = links.map(({ from: width, to, tile, pass }, i): Pass => {
      const last = i === links.length - 1;
      if (last && p === phases.length - 1) {
        const end: MatrixSink = (k, batch, row, column, y) => sink(k, batch, place(to, row, column), y);
        return { width, tile, make: pass(from, end) };
      }
      const memory = block === null || last ? between.whole(to) : between.block((t.n * t.inner) / width, block);
      const make = pass(from, memory.sink);
      from = memory.source;
      return { width, tile, make };
    });
    return { passes, block };
  });
}

function linksOf(scope: Scope, t: Transform, plan: Exclude<FftPlan, { readonly kind: "chirp" }>): readonly (readonly Link[])[] {
  if (plan.kind === "columns") return [columnPasses(scope, t, plan.radices, t.n, t.inner)];
  const [rows, columns] = [plan.first, plan.second].map((radices) => radices.reduce((a, r) => a * r, 1));
  return [
    [
      ...columnPasses(scope, t, plan.first.slice(0, -1), rows, columns * t.inner),
      transposingPass(scope, t, rows, columns, plan.first[plan.first.length - 1]),
    ],
    columnPasses(scope, t, plan.second, columns, rows * t.inner),
  ];
}

/**
 * Passes that transform the columns of a matrix [n, width], the results in their natural order (Stockham's form). Before
 * a pass the rows are [radix, rest, done] with transforms of `radix * rest` left to do; the pass transforms along the
 * first of these axes, multiplies by the factors between the two, and leaves [rest, radix, done].
 *
 * With fewer radices than n has, the passes are the first ones.
 */
function columnPasses(scope: Scope, t: Transform, radices: readonly number[], n: number, width: number): Link[] {
  let length = n;
  // A transform of one element is a copy.
  return (radices.length === 0 && n === 1 ? [1] : radices).map((radix) => {
    const rest = length / radix;
    const done = n / length;
    const table = rest > 1 ? passFactors(scope, t.float, length, radix) : null;
    length = rest;
    const pass: Link["pass"] = (source, sink) => (k, batch, among) => {
      const { axes, position } = k.axes([rest, done, among.size]);
      const [p, q, at] = position;
      const column: Column = { among, at };
      const row = (group: Index): Index => addIndex(scaleIndex(group, done), q);
      const x = Array.from({ length: radix }, (_, j) => source(k, batch, row(offsetIndex(p, j * rest)), column));
      const stores = smallDft(k.e, x).flatMap((y, i) => {
        if (i > 0 && table !== null) y = multiply(k.e, y, tableElement(k, table, t.float, p, radix - 1, i - 1));
        return sink(k, batch, row(offsetIndex(scaleIndex(p, radix), i)), column, y);
      });
      return { axes, stores };
    };
    return { from: width, to: width, tile: width, pass };
  });
}

/**
 * The last pass over the columns of a matrix [rows, columns] of a transform of n = rows * columns: multiplies by the
 * factors between rows and columns, and writes the transposed matrix.
 */
function transposingPass(scope: Scope, t: Transform, rows: number, columns: number, radix: number): Link {
  const key = `fft.matrix.${t.float}.${rows}.${columns}`;
  const view = scope.lowering.constant(key, () => matrixFactors(t.float, rows, columns));
  const factors: Planes = { view, gap: rows * columns, float: t.float };
  const done = rows / radix;
  // Columns go in groups whose lines of the transposed matrix stay in the nearest cache.
  const tile = (columns % tileColumns === 0 ? tileColumns : columns) * t.inner;
  const transposed: Columns = { index: constIndex(0), size: rows * t.inner };
  const pass: Link["pass"] = (source, sink) => (k, batch, among) => {
    const group = among.size / t.inner;
    const { axes, position } = k.axes([done, t.inner, group]);
    const [q, v, inner] = position;
    const column = addIndex(scaleIndex(among.index, group), inner);
    const beside = (i: Index): Index => addIndex(scaleIndex(i, t.inner), v);
    const x = Array.from({ length: radix }, (_, j) => source(k, batch, offsetIndex(q, j * done), { among, at: beside(inner) }));
    const stores = smallDft(k.e, x).flatMap((y, i) => {
      const row = offsetIndex(q, i * done);
      const index = addIndex(scaleIndex(row, columns), column);
      return sink(k, batch, column, { among: transposed, at: beside(row) }, multiply(k.e, y, loadPair(k, factors, index)));
    });
    return { axes, stores };
  };
  return { from: columns * t.inner, to: rows * t.inner, tile, pass };
}
/** A cache line of f32. */
const tileColumns = 16;

/** Element (position, column) of a table of complex numbers with `columns` columns, parts side by side. */
function tableElement(k: KernelBuilder, table: View, float: Float, position: Index, columns: number, column: number): Pair {
  return loadPair(k, { view: table, gap: 1, float }, offsetIndex(scaleIndex(position, 2 * columns), 2 * column));
}

function floatArray(float: Float, length: number): Float32Array | Float64Array {
  return float === "f32" ? new Float32Array(length) : new Float64Array(length);
}
/** A table as two planes. */
export function planesTable(float: Float, { re, im }: ComplexTable): Float32Array | Float64Array {
  const out = floatArray(float, 2 * re.length);
  out.set(re);
  out.set(im, re.length);
  return out;
}

/** exp(-2 pi i p k / length) for p < length / radix and 0 < k < radix. */
function passFactors(scope: Scope, float: Float, length: number, radix: number): View {
  return scope.lowering.constant(`fft.pass.${float}.${length}.${radix}`, () => {
    const rest = length / radix;
    const table = floatArray(float, 2 * rest * (radix - 1));
    let i = 0;
    for (let p = 0; p < rest; p++) {
      for (let k = 1; k < radix; k++) {
        [table[i], table[i + 1]] = rootOfUnity(p * k, length);
        i += 2;
      }
    }
    return table;
  });
}

/** exp(-2 pi i row column / n), as two planes. */
function matrixFactors(float: Float, rows: number, columns: number): Float32Array | Float64Array {
  const n = rows * columns;
  const roots = rootsOfUnity(n);
  const table = floatArray(float, 2 * n);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      table[i * columns + j] = roots.re[i * j];
      table[n + i * columns + j] = roots.im[i * j];
    }
  }
  return table;
}

/**
 * A transform of any length as a convolution: with c_j = exp(-pi i j^2 / n), y_k = c_k sum_j (x_j c_j) conj(c_(k-j)). The
 * convolution goes through two transforms of a power of two. Several arrays beside each other are taken apart first.
 *
 * @see Bluestein, "A linear filtering approach to the computation of discrete Fourier transform" (1970)
 */
function emitBluestein(scope: Scope, t: Transform, size: number, source: Source, sink: Sink): void {
  const { n, float } = t;
  const circle: Transform = { batch: t.batch * t.inner, n: size, inner: 1, float };
  const table = (key: string, make: () => ComplexTable, gap: number): Source =>
    planesSource({ view: scope.lowering.constant(key, () => planesTable(float, make())), gap, float }, gap);
  const factor = table(`fft.chirp.${float}.${n}`, () => chirp(n), n);
  const weight = table(`fft.filter.${float}.${n}.${size}`, () => chirpSpectrum(n, size), size);
  const none = constIndex(0);
  const [padded, spectrum, product] = [0, 1, 2].map(() => temporaryPlanes(scope, circle.batch * size, float));

  /** Loops over the arrays and over a range of positions of each. */
  const each = (
    from: number,
    to: number,
    store: (k: KernelBuilder, batch: Index, v: Index, j: Index) => readonly Store[],
  ): void => {
    const k = scope.builder();
    const { axes, position } = k.axes([t.batch, t.inner, to - from]);
    const [batch, v, j] = position;
    scope.launch(k.nest(`fft.${n}`, axes, [storing([], store(k, batch, v, offsetIndex(j, from)))]), k.slots);
  };
  const inCircle = (batch: Index, v: Index): Index => addIndex(scaleIndex(batch, t.inner), v);
  const inArray = (v: Index, j: Index): Index => addIndex(scaleIndex(j, t.inner), v);

  each(0, n, (k, batch, v, j) => {
    const x = multiply(k.e, source(k, batch, inArray(v, j)), factor(k, none, j));
    return planesSink(padded, size)(k, inCircle(batch, v), j, x);
  });
  each(n, size, (k, batch, v, j) => {
    const zero = k.e.constant(float, 0);
    return planesSink(padded, size)(k, inCircle(batch, v), j, { re: zero, im: zero });
  });
  const weighted: Sink = (k, batch, at, y) => planesSink(spectrum, size)(k, batch, at, multiply(k.e, y, weight(k, none, at)));
  emitTransform(scope, circle, planesSource(padded, size), weighted);
  emitTransform(scope, circle, exchangedSource(planesSource(spectrum, size)), exchangedSink(planesSink(product, size)));
  each(0, n, (k, batch, v, j) => {
    const y = multiply(k.e, planesSource(product, size)(k, inCircle(batch, v), j), factor(k, none, j));
    return sink(k, batch, inArray(v, j), y);
  });
}

/** With real and imaginary parts exchanged before and after, a transform is its inverse, but for the scale. */
export function exchangedSource(source: Source): Source {
  return (k, batch, at) => {
    const { re, im } = source(k, batch, at);
    return { re: im, im: re };
  };
}
export function exchangedSink(sink: Sink): Sink {
  return (k, batch, at, { re, im }) => sink(k, batch, at, { re: im, im: re });
}
