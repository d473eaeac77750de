import {
  type ArrayLike,
  canonicalAxes,
  isComplex,
  DTypeError,
  type NDArray,
  scalar,
  ShapeError,
  ValueError,
} from "@traceform/core";
import * as lax from "@traceform/lax";
import { linspace } from "./creation.ts";
import { inexact, isScalar, promote, promoteInexact, toArray } from "./internal/promote.ts";
import { matmul } from "./linear.ts";
import { average, max, min, sum } from "./reductions.ts";
import { searchsorted } from "./search.ts";
import type { Axis } from "./shape.ts";
import { take } from "./take.ts";
import { conj, isnan } from "./unary.ts";

export type QuantileMethod = "linear" | "lower" | "higher" | "midpoint" | "nearest";
export interface QuantileOptions {
  readonly method?: QuantileMethod;
  readonly keepdims?: boolean;
}

/**
 * The values below which the fractions `q` (in [0, 1]) of the elements lie, over `axis` (all by default). With several
 * `q` their axes come first. NaN if any element is.
 */
export function quantile(x: ArrayLike, q: ArrayLike, axis?: Axis, options: QuantileOptions = {}): NDArray {
  return quantiles("quantile", x, q, axis, options, false);
}
/** `quantile` without NaN elements. */
export function nanquantile(x: ArrayLike, q: ArrayLike, axis?: Axis, options: QuantileOptions = {}): NDArray {
  return quantiles("nanquantile", x, q, axis, options, true);
}
/** `quantile` with `q` in percent. */
export function percentile(x: ArrayLike, q: ArrayLike, axis?: Axis, options: QuantileOptions = {}): NDArray {
  return quantiles("percentile", x, percent(q), axis, options, false);
}
/** `nanquantile` with `q` in percent. */
export function nanpercentile(x: ArrayLike, q: ArrayLike, axis?: Axis, options: QuantileOptions = {}): NDArray {
  return quantiles("nanpercentile", x, percent(q), axis, options, true);
}
/** The middle element over `axis` (all by default), or the mean of the two middle ones. */
export function median(x: ArrayLike, axis?: Axis, options: { readonly keepdims?: boolean } = {}): NDArray {
  return quantiles("median", x, 0.5, axis, { ...options, method: "midpoint" }, false);
}
/** `median` without NaN elements. */
export function nanmedian(x: ArrayLike, axis?: Axis, options: { readonly keepdims?: boolean } = {}): NDArray {
  return quantiles("nanmedian", x, 0.5, axis, { ...options, method: "midpoint" }, true);
}

function percent(q: ArrayLike): ArrayLike {
  return isScalar(q) ? Number(q) / 100 : lax.div(inexact("percentile", q), 100);
}

function quantiles(
  fn: string,
  x: ArrayLike,
  q: ArrayLike,
  axis: Axis | undefined,
  options: QuantileOptions,
  skipNaN: boolean,
): NDArray {
  const a0 = inexact(fn, x);
  if (isComplex(a0.dtype))
    throw new DTypeError(fn, {
      message: "complex numbers have no order",
      operands: { x: a0 },
      fix: "take real, imag or abs of them first",
    });
  // Small floats cannot count far, so positions are computed in float32.
  const a = a0.dtype === "float64" ? a0 : lax.convertElementType(a0, "float32");
  const qs = lax.convertElementType(toArray(q), a.dtype);
  const axes =
    axis === null || axis === undefined
      ? a.shape.map((_, i) => i)
      : canonicalAxes(fn, typeof axis === "number" ? [axis] : axis, a.ndim);
  const kept = a.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const keptShape = kept.map((i) => a.shape[i]);
  const flat = lax.reshape(lax.transpose(a, [...kept, ...axes]), [...keptShape, axes.reduce((m, d) => m * a.shape[d], 1)]);
  const last = kept.length;
  const n = flat.shape[last];
  if (n === 0)
    throw new ShapeError(fn, {
      message: "needs at least one element",
      operands: { x: a0 },
      fix: "leave empty arrays out, or ask for another axis",
    });
  const nan = isnan(flat);
  // NaN sorts last. Poisoning every element of a slice with one NaN spares a mask afterwards.
  const clean = skipNaN ? flat : lax.select(spread(lax.reduceOr(nan, [last]), flat.shape), scalar(NaN, a.dtype), flat);
  const sorted = lax.sort(clean, last);
  const count = skipNaN
    ? lax.convertElementType(lax.reduceSum(lax.convertElementType(lax.bitwiseNot(nan), "int32"), [last]), a.dtype)
    : lax.full(keptShape, n, a.dtype);
  // Positions: one for each q and each slice, shape [...q, ...kept].
  const shape = [...qs.shape, ...keptShape];
  const highest = lax.max(lax.sub(count, 1), 0);
  const qFull = lax.broadcastInDim(
    qs,
    shape,
    qs.shape.map((_, i) => i),
  );
  const hFull = lax.broadcastInDim(
    highest,
    shape,
    keptShape.map((_, i) => qs.ndim + i),
  );
  const position = lax.mul(qFull, hFull);
  const low = lax.clamp(0, lax.floor(position), hFull);
  const high = lax.clamp(0, lax.ceil(position), hFull);
  const at = (place: NDArray): NDArray => pick(sorted, place, qs.ndim);
  const fraction = lax.sub(position, lax.floor(position));
  const method = options.method ?? "linear";
  let out: NDArray;
  switch (method) {
    case "linear": {
      const [l, h] = [at(low), at(high)];
      out = lax.add(lax.mul(l, lax.sub(1, fraction)), lax.mul(h, fraction));
      break;
    }
    case "lower":
      out = at(low);
      break;
    case "higher":
      out = at(high);
      break;
    case "nearest":
      out = at(lax.select(lax.le(fraction, 0.5), low, high));
      break;
    case "midpoint":
      out = lax.mul(lax.add(at(low), at(high)), 0.5);
      break;
    default:
      throw new ValueError(fn, {
        message: `"${String(method)}" is no method`,
        fix: "use linear, lower, higher, midpoint or nearest",
      });
  }
  out = lax.convertElementType(out, a0.dtype);
  if (!options.keepdims) return out;
  return lax.reshape(out, [...qs.shape, ...a.shape.map((m, i) => (axes.includes(i) ? 1 : m))]);
}

function spread(x: NDArray, shape: readonly number[]): NDArray {
  return lax.broadcastInDim(
    x,
    shape,
    x.shape.map((_, i) => i),
  );
}

/** Elements of the last axis of `sorted` [...kept, n] at float positions [...q, ...kept]. */
function pick(sorted: NDArray, place: NDArray, qAxes: number): NDArray {
  const kept = sorted.ndim - 1;
  // The axes of q move behind those that both share, which makes the latter batch axes of the gather.
  const order = [...Array.from({ length: kept }, (_, i) => qAxes + i), ...Array.from({ length: qAxes }, (_, i) => i)];
  const index = lax.convertElementType(lax.transpose(place, order), "int32");
  const batch = Array.from({ length: kept }, (_, i) => i);
  const out = lax.gather(
    sorted,
    lax.expandDims(index, [index.ndim]),
    {
      offsetDims: [],
      collapsedSliceDims: [kept],
      startIndexMap: [kept],
      operandBatchingDims: batch,
      startIndicesBatchingDims: batch,
    },
    sorted.shape.map((m, i) => (i === kept ? 1 : Math.min(1, m))),
    { mode: "clip" },
  );
  const back = [...Array.from({ length: qAxes }, (_, i) => kept + i), ...batch];
  return lax.transpose(out, back);
}

export interface CovOptions {
  /** Rows are variables (default), or columns. */
  readonly rowvar?: boolean;
  /** Divides by n in place of n - 1. */
  readonly bias?: boolean;
  readonly ddof?: number | null;
  /** How often each observation counts. */
  readonly fweights?: ArrayLike | null;
  /** How much each observation counts. */
  readonly aweights?: ArrayLike | null;
}

/** The covariance matrix of variables (rows) over observations (columns). */
export function cov(x: ArrayLike, y?: ArrayLike | null, options: CovOptions = {}): NDArray {
  const rows = (v: NDArray): NDArray => {
    if (v.ndim > 2)
      throw new ShapeError("cov", {
        message: "needs a vector or a matrix",
        operands: { x: v },
        fix: "reshape it to [variables, observations]",
      });
    const m = lax.broadcastToRank(v, 2);
    return options.rowvar === false && v.ndim === 2 && m.shape[0] !== 1 ? lax.transpose(m, [1, 0]) : m;
  };
  let a: NDArray;
  if (y === null || y === undefined) a = rows(inexact("cov", x));
  else {
    const [p, q] = promoteInexactOnly(x, y);
    a = lax.concatenate([rows(p), rows(q)], 0);
  }
  const ddof = options.ddof ?? (options.bias ? 0 : 1);
  let weights: NDArray | null = null;
  if (options.fweights) weights = lax.convertElementType(toArray(options.fweights), a.dtype);
  if (options.aweights) {
    const w = lax.convertElementType(toArray(options.aweights), a.dtype);
    weights = weights === null ? w : lax.mul(weights, w);
  }
  const m = average(a, 1, { weights, keepdims: true });
  const total = weights === null ? a.shape[1] : lax.reduceSum(weights);
  const divisor =
    typeof total === "number"
      ? total - ddof
      : options.aweights && ddof !== 0
        ? lax.sub(
            total,
            lax.div(
              lax.mul(ddof, lax.reduceSum(lax.mul(weights!, lax.convertElementType(toArray(options.aweights), a.dtype)))),
              total,
            ),
          )
        : lax.sub(total, ddof);
  const centred = lax.sub(a, spreadColumns(m, a.shape));
  const weighted = weights === null ? centred : lax.mul(centred, lax.broadcastInDim(weights, a.shape, [1]));
  const product = matmul(weighted, lax.transpose(conj(centred), [1, 0]));
  const out = lax.div(product, divisor);
  return lax.squeeze(
    out,
    out.shape.flatMap((n, i) => (n === 1 ? [i] : [])),
  );
}

function spreadColumns(x: NDArray, shape: readonly number[]): NDArray {
  return lax.broadcastInDim(x, shape, [0, 1]);
}

function promoteInexactOnly(x: ArrayLike, y: ArrayLike): [NDArray, NDArray] {
  const [p, q] = [inexact("cov", x), inexact("cov", y)];
  const [a] = promote("cov", [lax.fullLike(p, 0, { shape: [] }), lax.fullLike(q, 0, { shape: [] })]);
  return [lax.convertElementType(p, a.dtype), lax.convertElementType(q, a.dtype)];
}

/** The matrix of correlation coefficients, in [-1, 1]. */
export function corrcoef(x: ArrayLike, y?: ArrayLike | null, options: Pick<CovOptions, "rowvar"> = {}): NDArray {
  const c = cov(x, y, options);
  if (c.ndim === 0) return lax.div(c, c);
  const n = c.shape[0];
  const variances = lax.slice(lax.reshape(c, [n * n]), [0], [n * n], [n + 1]);
  const deviation = lax.sqrt(isComplex(variances.dtype) ? lax.real(variances) : variances);
  const by = (axis: number): NDArray => {
    const d = isComplex(c.dtype) ? lax.complex(deviation, lax.fullLike(deviation, 0)) : deviation;
    return lax.broadcastInDim(d, [n, n], [axis]);
  };
  const r = lax.div(lax.div(c, by(0)), by(1));
  return isComplex(r.dtype) ? lax.complex(lax.clamp(-1, lax.real(r), 1), lax.clamp(-1, lax.imag(r), 1)) : lax.clamp(-1, r, 1);
}

export interface HistogramOptions {
  readonly range?: readonly [ArrayLike, ArrayLike] | null;
  readonly weights?: ArrayLike | null;
  /** Normalises so that the integral is 1. */
  readonly density?: boolean;
}

/** The edges of histogram bins: `bins` equal ones over the range of the values, or the given edges. */
export function histogramBinEdges(x: ArrayLike, bins: number | ArrayLike = 10, options: HistogramOptions = {}): NDArray {
  if (typeof bins !== "number") return inexact("histogram", bins);
  const a = inexact("histogram", x);
  let lo: NDArray;
  let hi: NDArray;
  if (options.range) {
    lo = lax.convertElementType(toArray(options.range[0]), a.dtype);
    hi = lax.convertElementType(toArray(options.range[1]), a.dtype);
  } else if (a.size === 0) {
    [lo, hi] = [scalar(0, a.dtype), scalar(1, a.dtype)];
  } else {
    [lo, hi] = [min(a), max(a)];
  }
  // A single value gets a bin of width 1 around it.
  const flat = lax.eq(lo, hi);
  return linspace(lax.select(flat, lax.sub(lo, 0.5), lo), lax.select(flat, lax.add(hi, 0.5), hi), bins + 1);
}

/** How many values (or how much weight) lie in each bin, and the bin edges. The last bin includes its upper edge. */
export function histogram(
  x: ArrayLike,
  bins: number | ArrayLike = 10,
  options: HistogramOptions = {},
): [counts: NDArray, edges: NDArray] {
  const a = inexact("histogram", x);
  const edges = histogramBinEdges(a, bins, options);
  const v = lax.reshape(a, [a.size]);
  const n = edges.size - 1;
  const weights = options.weights ? inexact("histogram", options.weights) : lax.full([a.size], 1, a.dtype);
  const right = searchsorted(edges, v, "right");
  const onLast = lax.eq(v, lax.indexInDim(edges, n, 0, false));
  const bin = lax.select(onLast, scalar(n, "int32"), right);
  const counts = lax.scatterAdd(lax.full([n + 1], 0, weights.dtype), lax.expandDims(bin, [1]), lax.reshape(weights, [a.size]), {
    updateWindowDims: [],
    insertedWindowDims: [0],
    scatterDimsToOperandDims: [0],
  });
  const own = lax.sliceInDim(counts, 1, n + 1);
  if (!options.density) return [own, edges];
  const widths = lax.sub(lax.sliceInDim(edges, 1, null), lax.sliceInDim(edges, 0, -1));
  return [lax.div(lax.div(own, widths), sum(own)), edges];
}

/** Piecewise linear interpolation of the points (xp, fp), xp increasing, at `x`. Outside: the end values, unless given. */
export function interp(
  x: ArrayLike,
  xp: ArrayLike,
  fp: ArrayLike,
  options: {
    readonly left?: ArrayLike | "extrapolate" | null;
    readonly right?: ArrayLike | "extrapolate" | null;
    readonly period?: number | null;
  } = {},
): NDArray {
  const values = [x, xp, fp].map((v) => inexact("interp", v));
  const [common] = promoteInexact(
    "interp",
    values.map((v) => lax.fullLike(v, 0, { shape: [] })),
  );
  let [v, p, f] = values.map((a) => lax.convertElementType(a, common.dtype));
  if (p.ndim !== 1 || f.ndim !== 1 || p.size !== f.size) {
    throw new ShapeError("interp", {
      message: "xp and fp must be vectors of one length",
      operands: { xp: p, fp: f },
      fix: "give one value fp for each abscissa xp",
    });
  }
  if (options.period) {
    const { period } = options;
    const wrapped = (a: NDArray): NDArray => {
      const r = lax.rem(a, period);
      return lax.select(lax.lt(r, 0), lax.add(r, period), r);
    };
    v = wrapped(v);
    [p, f] = lax.sortKeyVal(wrapped(p), f, 0);
    const n = p.size;
    p = lax.concatenate([lax.sub(lax.sliceInDim(p, n - 1, n), period), p, lax.add(lax.sliceInDim(p, 0, 1), period)], 0);
    f = lax.concatenate([lax.sliceInDim(f, n - 1, n), f, lax.sliceInDim(f, 0, 1)], 0);
  }
  const n = p.size;
  const i = lax.clamp(1, searchsorted(p, v, "right"), Math.max(1, n - 1));
  const before = lax.sub(i, 1);
  const get = (a: NDArray, at: NDArray): NDArray => take(a, at, 0, { mode: "clip" });
  const [x0, x1, f0, f1] = [get(p, before), get(p, i), get(f, before), get(f, i)];
  const dx = lax.sub(x1, x0);
  const flat = lax.le(lax.abs(dx), 1.2e-38);
  const inside = lax.select(
    flat,
    f0,
    lax.add(f0, lax.mul(lax.div(lax.sub(v, x0), lax.select(flat, scalar(1, dx.dtype), dx)), lax.sub(f1, f0))),
  );
  const end = (k: number, given: ArrayLike | "extrapolate" | null | undefined): NDArray | null => {
    if (given === "extrapolate") return null;
    if (given === null || given === undefined) return lax.indexInDim(f, k, 0, false);
    return lax.convertElementType(toArray(given), f.dtype);
  };
  let out = inside;
  if (!options.period) {
    const [left, right] = [end(0, options.left), end(n - 1, options.right)];
    if (left !== null) out = lax.select(lax.lt(v, lax.indexInDim(p, 0, 0, false)), left, out);
    if (right !== null) out = lax.select(lax.gt(v, lax.indexInDim(p, n - 1, 0, false)), right, out);
  }
  return out;
}
