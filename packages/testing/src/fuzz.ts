import { type Backend, type HostArray, makeAval, type NDArray, ShapeDtypeStruct, traceToJaxpr } from "@traceform/core";
import * as lax from "@traceform/lax";

// Random programs of primitives, held against the reference backend: what single operations do not show, such as what is fused with
// what, whose memory is used again, and loops and branches in each other.

class Random {
  #seed: number;
  constructor(seed: number) {
    this.#seed = seed;
  }
  below(n: number): number {
    this.#seed = (this.#seed * 48271) % 2147483647;
    return this.#seed % n;
  }
  pick<T>(xs: readonly T[]): T {
    return xs[this.below(xs.length)];
  }
}

const bounded = (x: NDArray): NDArray => lax.mul(lax.tanh(x), 1.5);
const everyAxis = (x: NDArray): number[] => x.shape.map((_, i) => i);

/** A step makes a value from those there are, or nothing when none fits. */
type StepOf = (x: NDArray, values: readonly NDArray[], r: Random) => NDArray | null;
const alike = (x: NDArray, values: readonly NDArray[], r: Random): NDArray =>
  r.pick(values.filter((v) => String(v.shape) === String(x.shape)));

/** How many elements of the first operand are positive: a number that no rounding changes, for what decides. */
function count(values: readonly NDArray[]): NDArray {
  return lax.reduceSum(lax.convertElementType(lax.gt(values[0], 0), "int32"), everyAxis(values[0]));
}
/** A number of rounds below `n`, known to nobody before the run. */
const rounds = (values: readonly NDArray[], n: number): NDArray => lax.rem(count(values), n);
type Pair = readonly [NDArray, NDArray];
type Triple = readonly [NDArray, NDArray, NDArray];
/** Carries that trade places, for a number of rounds that the program finds out. */
const repeat = (n: NDArray, x: NDArray, y: NDArray, body: (x: NDArray, i: NDArray) => NDArray): NDArray =>
  lax.whileLoop(
    ([i]: Triple) => lax.lt(i, n),
    ([i, p, q]: Triple) => [lax.add(i, 1), q, body(p, i)] as const,
    [lax.mul(n, 0), x, y] as const,
  )[1];

/** Branches and loops of unknown length, calls out to JavaScript, and those in each other. */
const deciding: readonly StepOf[] = [
  (x, v, r) => repeat(rounds(v, 1 + r.below(12)), x, alike(x, v, r), (p) => lax.sub(bounded(p), 0.25)),
  (x, v, r) =>
    lax.switch_(rounds(v, 4), [lax.neg, (y: NDArray) => lax.mul(y, 0.5), (y: NDArray) => lax.add(bounded(y), alike(x, v, r))], x),
  (x, v, r) => {
    const n = rounds(v, 3 + r.below(4));
    const branch = (y: NDArray, i: NDArray): NDArray =>
      lax.cond(lax.eq(lax.rem(i, 2), 0), bounded, (z: NDArray) => lax.sub(z, 1), y);
    return repeat(n, x, lax.neg(x), branch);
  },
  (x, v, r) => {
    const outer = rounds(v, 2 + r.below(3));
    const most = 1 + r.below(4);
    return repeat(outer, x, bounded(x), (p, i) =>
      repeat(lax.rem(lax.add(i, outer), most), p, lax.neg(p), (q) => lax.add(bounded(q), 0.1)),
    );
  },
  (x, v) => {
    if (x.ndim === 0) return null;
    const n = rounds(v, 3);
    const [last, ys] = lax.scan(
      (c: NDArray, e: NDArray) => {
        const next = lax.cond(
          lax.lt(n, 2),
          (z: NDArray) => lax.add(bounded(z), e),
          (z: NDArray) => lax.sub(e, bounded(z)),
          c,
        );
        return [next, lax.mul(next, 0.5)] as Pair;
      },
      lax.reduceSum(bounded(x), [0]),
      x,
    );
    return lax.add(
      ys,
      lax.broadcastInDim(
        last,
        x.shape,
        everyAxis(last).map((i) => i + 1),
      ),
    );
  },
  (x) => {
    const type = new ShapeDtypeStruct(x.shape, x.dtype as "float32");
    return lax.pureCallback((y: NDArray) => y, type, lax.mul(bounded(x), 0.5)) as NDArray;
  },
];

const steps: readonly StepOf[] = [
  ...deciding,
  (x, v, r) => lax.add(x, alike(x, v, r)),
  (x, v, r) => lax.mul(bounded(x), bounded(alike(x, v, r))),
  (x) => lax.exp(bounded(x)),
  (x) => lax.sin(x),
  (x, v, r) => lax.max(x, alike(x, v, r)),
  (x) => (x.ndim > 0 ? lax.reduceSum(bounded(x), [x.ndim - 1]) : null),
  (x, _, r) => (x.ndim > 0 ? lax.reduceMax(x, [r.below(x.ndim)]) : null),
  (x) => (x.ndim === 2 ? lax.transpose(x, [1, 0]) : null),
  (x, _, r) => (x.ndim > 0 ? lax.rev(x, [r.below(x.ndim)]) : null),
  // Broadcast along trailing and along leading axes.
  (x, v, r) => {
    const fit = v.filter((y) => y.ndim > x.ndim && x.shape.every((n, i) => n === y.shape[i]));
    if (fit.length === 0) return null;
    const y = r.pick(fit);
    return lax.sub(y, lax.broadcastInDim(x, y.shape, everyAxis(x)));
  },
  (x, v, r) => {
    const fit = v.filter((y) => y.ndim > x.ndim && x.shape.every((n, i) => n === y.shape[y.ndim - x.ndim + i]));
    if (fit.length === 0) return null;
    const y = r.pick(fit);
    return lax.mul(
      y,
      lax.broadcastInDim(
        bounded(x),
        y.shape,
        everyAxis(x).map((i) => i + y.ndim - x.ndim),
      ),
    );
  },
  (x, _, r) => {
    if (x.ndim === 0) return null;
    const axis = r.below(x.ndim);
    return lax.slice(
      x,
      x.shape.map(() => 0),
      x.shape.map((n, i) => (i === axis ? Math.max(1, n - 1) : n)),
    );
  },
  (x, v, r) => (x.ndim > 0 && x.size < 4000 ? lax.concatenate([x, alike(x, v, r)], r.below(x.ndim)) : null),
  (x, v, r) => {
    const fit = x.ndim === 2 ? v.filter((y) => y.ndim === 2 && y.shape[0] === x.shape[1]) : [];
    return fit.length === 0 ? null : lax.mul(lax.dot(bounded(x), bounded(r.pick(fit))), 0.1);
  },
  (x, _, r) => {
    if (x.ndim === 0) return null;
    const axis = r.below(x.ndim);
    const holes = r.below(2);
    return lax.pad(
      x,
      0.5,
      x.shape.map((_n, i): [number, number, number] => (i === axis ? [1, 1, holes] : [0, 0, 0])),
    );
  },
  (x) => (x.ndim > 0 ? lax.reshape(x, [x.size]) : null),
  (x, _, r) => (x.ndim > 0 ? lax.cumsum(bounded(x), r.below(x.ndim)) : null),
  (x, v, r) => {
    const y = alike(x, v, r);
    return lax.select(lax.gt(x, y), x, lax.neg(y));
  },
  (x, _, r) => (x.ndim > 0 && x.size < 600 ? lax.sort(x, r.below(x.ndim)) : null),
  (x, v, r) => {
    if (x.ndim === 0) return null;
    const start = lax.reduceSum(lax.convertElementType(lax.gt(v[0], 0), "int32"), everyAxis(v[0]));
    const piece = lax.slice(
      alike(x, v, r),
      x.shape.map(() => 0),
      x.shape.map((n) => Math.max(1, n >> 1)),
    );
    return lax.dynamicUpdateSlice(
      x,
      lax.mul(piece, 2),
      x.shape.map(() => start),
    );
  },
  (x) =>
    x.ndim > 0
      ? lax.scan(
          (c: NDArray, e: NDArray) => [lax.add(bounded(c), lax.mul(e, 0.5)), lax.sub(c, e)],
          lax.reduceSum(bounded(x), [0]),
          x,
        )[1]
      : null,
  (x) => {
    if (x.ndim !== 2) return null;
    const size = lax.reduceSum(lax.square(bounded(x)), [1]);
    return lax.div(x, lax.broadcastInDim(lax.add(lax.sqrt(size), 1), x.shape, [0]));
  },
];

function input(shape: readonly number[], dtype: "float32" | "float64", r: Random): HostArray {
  const n = shape.reduce((a, b) => a * b, 1);
  const data = dtype === "float32" ? new Float32Array(n) : new Float64Array(n);
  for (let i = 0; i < n; i++) data[i] = r.below(4001) / 1000 - 2;
  return { shape, dtype, bytes: new Uint8Array(data.buffer) };
}

function numbers({ dtype, bytes }: HostArray): ArrayLike<number> {
  return dtype === "float32" ? new Float32Array(bytes.slice().buffer) : new Float64Array(bytes.slice().buffer);
}

/**
 * Runs the random program of a seed on both backends, in one of the dtypes; a description of the first difference, or null.
 */
export async function fuzzDifference(
  seed: number,
  oracle: Backend,
  ours: Backend,
  dtypes: readonly ("float32" | "float64")[],
): Promise<string | null> {
  const r = new Random(seed);
  const dtype = r.pick(dtypes);
  // Sizes below, at and beside the number of lanes.
  const [a, b, c] = [r.pick([1, 2, 3, 5, 8, 17, 33, 64]), r.pick([1, 2, 3, 5, 8, 17, 33, 64]), r.pick([1, 2, 3])];
  const inputs = [[a, b], [b], [c, a, b], []].map((s) => input(s, dtype, r));
  const length = 4 + r.below(14);
  const program = (...args: NDArray[]): NDArray[] => {
    const values = [...args];
    const made: NDArray[] = [];
    for (let i = 0; i < length; i++) {
      const y = r.pick(steps)(r.pick(values), values, r);
      if (y === null || y.size > 20_000) continue;
      values.push(y);
      if (r.below(3) === 0 || i === length - 1) made.push(y);
    }
    return made.length > 0 ? made : [values[values.length - 1]];
  };
  const closed = traceToJaxpr(
    program,
    inputs.map((x) => makeAval(x.shape, x.dtype)),
    "fuzz",
  );
  // Every other program may take over the memory of its arguments, which nothing else holds.
  const donate = r.below(2) === 0 ? inputs.map((_, i) => i) : [];
  const run = async (backend: Backend): Promise<HostArray[]> => {
    using executable = backend.compile(closed, { donate });
    const operands = inputs.map((x) => backend.put(x, backend.devices[0]));
    const outs = executable.run(operands);
    const arrays = await Promise.all(outs.map((o) => backend.read(o)));
    for (const b of [...operands, ...outs]) b.release();
    return arrays;
  };
  const want = await run(oracle);
  const got = await run(ours);
  const tolerance = dtype === "float32" ? 3e-4 : 1e-9;
  for (const [i, w] of want.entries()) {
    const [x, y] = [numbers(w), numbers(got[i])];
    for (let k = 0; k < x.length; k++) {
      if (!(Math.abs(x[k] - y[k]) <= tolerance * Math.max(1, Math.abs(x[k]))))
        return `program ${seed}: result ${i}, element ${k} is ${y[k]}, expected ${x[k]}`;
    }
  }
  return null;
}
