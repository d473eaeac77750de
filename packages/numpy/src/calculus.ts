import { type ArrayLike, canonicalAxis, isComplex, type NDArray, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { convertAll, convertTo, inexact, isScalar, promote, promoteInexact, toArray } from "./internal/promote.ts";
import { remainder } from "./binary.ts";
import { type Axis, moveaxis } from "./shape.ts";
import { cumsum } from "./reductions.ts";

export interface DiffOptions {
  /** Values put before or after along the axis first. */
  readonly prepend?: ArrayLike | null;
  readonly append?: ArrayLike | null;
}

/** The n-th differences of neighbours along `axis` (the last by default). Of bools: whether they differ. */
export function diff(x: ArrayLike, n = 1, axis = -1, options: DiffOptions = {}): NDArray {
  let a = toArray(x);
  if (!Number.isInteger(n) || n < 0)
    throw new ValueError("diff", {
      message: `n must be a non-negative integer, got ${n}`,
      fix: "pass how many times to take differences: { n: 1 }",
    });
  if (n === 0) return a;
  if (a.ndim === 0)
    throw new ShapeError("diff", {
      message: "a scalar has no differences",
      operands: { x: a },
      fix: "give an array with at least one axis",
    });
  const d = canonicalAxis("diff", axis, a.ndim);
  const extra = (v: ArrayLike): NDArray => {
    const e = isScalar(v) ? convertTo(v, { dtype: a.dtype, weakType: false }) : toArray(v);
    return e.ndim === 0
      ? lax.broadcast(
          e,
          a.shape.map((m, i) => (i === d ? 1 : m)),
        )
      : e;
  };
  if (options.prepend !== undefined && options.prepend !== null) a = lax.concatenate(convertAll([extra(options.prepend), a]), d);
  if (options.append !== undefined && options.append !== null) a = lax.concatenate(convertAll([a, extra(options.append)]), d);
  for (let k = 0; k < n; k++) {
    const size = a.shape[d];
    const [later, earlier] = [lax.sliceInDim(a, Math.min(1, size), size, 1, d), lax.sliceInDim(a, 0, Math.max(0, size - 1), 1, d)];
    a = a.dtype === "bool" ? lax.ne(later, earlier) : lax.sub(later, earlier);
  }
  return a;
}

/** The differences of neighbours of the flattened x, with values put before and after the result. */
export function ediff1d(
  x: ArrayLike,
  options: { readonly toEnd?: ArrayLike | null; readonly toBegin?: ArrayLike | null } = {},
): NDArray {
  const a = toArray(x);
  const parts = [diff(lax.reshape(a, [a.size]))];
  const vector = (v: ArrayLike): NDArray => {
    const e = lax.convertElementType(toArray(v), a.dtype);
    return lax.reshape(e, [e.size]);
  };
  if (options.toBegin !== undefined && options.toBegin !== null) parts.unshift(vector(options.toBegin));
  if (options.toEnd !== undefined && options.toEnd !== null) parts.push(vector(options.toEnd));
  return lax.concatenate(parts, 0);
}

/**
 * The derivative along axes by central differences, one-sided at the ends. One spacing for all axes, or one for each:
 * a number, or the coordinates. One array for one axis, a list for several.
 */
export function gradient(x: ArrayLike, ...rest: readonly (ArrayLike | { readonly axis?: Axis })[]): NDArray | NDArray[] {
  const last = rest.at(-1);
  const hasOptions = typeof last === "object" && !Array.isArray(last) && !("aval" in last) && !ArrayBuffer.isView(last);
  const options = (hasOptions ? last : {}) as { readonly axis?: Axis };
  const spacings = (hasOptions ? rest.slice(0, -1) : rest) as ArrayLike[];
  const a = inexact("gradient", x);
  const axes =
    options.axis === undefined || options.axis === null
      ? a.shape.map((_, i) => i)
      : (typeof options.axis === "number" ? [options.axis] : options.axis).map((d) => canonicalAxis("gradient", d, a.ndim));
  if (spacings.length > 1 && spacings.length !== axes.length) {
    throw new ValueError("gradient", {
      message: `${spacings.length} spacings for ${axes.length} axes`,
      fix: "give one spacing for all axes, or one for each",
    });
  }
  const outs = axes.map((d, i) => gradientAlong(a, spacings.length === 0 ? 1 : spacings[spacings.length === 1 ? 0 : i], d));
  return outs.length === 1 ? outs[0] : outs;
}

function gradientAlong(a: NDArray, spacing: ArrayLike, d: number): NDArray {
  const n = a.shape[d];
  if (n < 2)
    throw new ShapeError("gradient", {
      message: "needs at least two elements along the axis",
      operands: { x: a },
      fix: "leave the axis out of axis, or give more samples",
    });
  const cut = (v: NDArray, from: number, to: number, axis = d): NDArray => lax.sliceInDim(v, from, to, 1, axis);
  const h = isScalar(spacing)
    ? convertTo(spacing, { dtype: a.dtype, weakType: true })
    : lax.convertElementType(toArray(spacing), a.dtype);
  const ends = (h0: NDArray, h1: NDArray): [NDArray, NDArray] => [
    lax.div(lax.sub(cut(a, 1, 2), cut(a, 0, 1)), h0),
    lax.div(lax.sub(cut(a, n - 1, n), cut(a, n - 2, n - 1)), h1),
  ];
  if (h.ndim === 0) {
    const middle = lax.div(lax.mul(lax.sub(cut(a, 2, n), cut(a, 0, n - 2)), 0.5), h);
    const [first, last] = ends(h, h);
    return lax.concatenate([first, middle, last], d);
  }
  // Unequal steps: the derivative of the parabola through three points.
  const steps = lax.sub(cut(h, 1, n, 0), cut(h, 0, n - 1, 0));
  const place = (v: NDArray): NDArray =>
    lax.broadcastInDim(
      v,
      a.shape.map((m, i) => (i === d ? v.size : m)),
      [d],
    );
  const [hd, hs] = [place(cut(steps, 1, n - 1, 0)), place(cut(steps, 0, n - 2, 0))];
  const [x0, x1, x2] = [cut(a, 0, n - 2), cut(a, 1, n - 1), cut(a, 2, n)];
  const top = lax.add(
    lax.mul(lax.mul(hs, hs), x2),
    lax.sub(lax.mul(lax.sub(lax.mul(hd, hd), lax.mul(hs, hs)), x1), lax.mul(lax.mul(hd, hd), x0)),
  );
  const middle = lax.div(top, lax.mul(lax.mul(hs, hd), lax.add(hd, hs)));
  const [first, last] = ends(place(cut(steps, 0, 1, 0)), place(cut(steps, n - 2, n - 1, 0)));
  return lax.concatenate([first, middle, last], d);
}

export interface TrapezoidOptions {
  readonly dx?: ArrayLike;
  readonly axis?: number;
}
/** The integral along an axis by the trapezoidal rule, over points `x` or steps of `dx`. */
export function trapezoid(y: ArrayLike, x?: ArrayLike | null, options: TrapezoidOptions = {}): NDArray {
  const d0 = options.axis ?? -1;
  if (x === undefined || x === null) {
    const [v, dx] = promoteInexact("trapezoid", [moveaxis(y, d0, -1), options.dx ?? 1]);
    return integrate(v, dx);
  }
  const a0 = moveaxis(y, d0, -1);
  const px = toArray(x);
  const [v, p] = promoteInexact("trapezoid", [a0, px.ndim === 1 ? px : moveaxis(px, d0, -1)]);
  return integrate(v, diff(p));
}

function integrate(y: NDArray, dx: NDArray): NDArray {
  const n = y.shape[y.ndim - 1];
  const pairs = lax.add(lax.sliceInDim(y, 1, n, 1, -1), lax.sliceInDim(y, 0, n - 1, 1, -1));
  const [p, h] = promote("trapezoid", [pairs, dx]);
  return lax.mul(lax.reduceSum(lax.mul(p, h), [y.ndim - 1]), 0.5);
}

/** Angles without jumps: differences of more than half a period are taken the other way round. */
export function unwrap(x: ArrayLike, discont?: ArrayLike | null, axis = -1, period: number = 2 * Math.PI): NDArray {
  const a = toArray(x);
  const v = Number.isInteger(period) ? a : inexact("unwrap", a);
  const d = canonicalAxis("unwrap", axis, v.ndim);
  const steps = diff(v, 1, d);
  const half = period / 2;
  const jump = lax.sub(remainder(lax.add(steps, half), period), half);
  const flipped = lax.select(lax.bitwiseAnd(lax.eq(jump, -half), lax.gt(steps, 0)), lax.fullLike(jump, half), jump);
  const limit = discont === undefined || discont === null ? half : discont;
  const small = lax.lt(lax.abs(steps), limit);
  const correction = lax.select(small, lax.fullLike(steps, 0), lax.sub(flipped, steps));
  const n = v.shape[d];
  const rest = lax.add(lax.sliceInDim(v, 1, n, 1, d), cumsum(correction, d));
  return lax.concatenate([lax.sliceInDim(v, 0, 1, 1, d), rest], d);
}

export type ConvolveMode = "full" | "same" | "valid";
export interface ConvolveOptions {
  readonly precision?: lax.PrecisionLike;
}

/** The discrete convolution of two vectors, floating-point. */
export function convolve(x: ArrayLike, y: ArrayLike, mode: ConvolveMode = "full", options: ConvolveOptions = {}): NDArray {
  return convolution("convolve", x, y, mode, false, options);
}
/** The cross-correlation of two vectors, floating-point; the second is conjugated. */
export function correlate(x: ArrayLike, y: ArrayLike, mode: ConvolveMode = "valid", options: ConvolveOptions = {}): NDArray {
  return convolution("correlate", x, y, mode, true, options);
}

function convolution(
  fn: string,
  x: ArrayLike,
  y: ArrayLike,
  mode: ConvolveMode,
  correlation: boolean,
  options: ConvolveOptions,
): NDArray {
  let [a, b] = [x, y].map((v) => inexact(fn, v));
  [a, b] = convertAll([a, b]);
  if (a.ndim !== 1 || b.ndim !== 1)
    throw new ShapeError(fn, { message: "needs two vectors", operands: { x: a, y: b }, fix: "use scipy's convolve for more axes" });
  if (a.size === 0 || b.size === 0)
    throw new ShapeError(fn, {
      message: "needs vectors with elements",
      operands: { x: a, y: b },
      fix: "give vectors of at least one element",
    });
  if (isComplex(a.dtype) && correlation) b = lax.conj(b);
  // Convolution commutes; the shorter operand is the kernel. Correlation then comes out reversed.
  const swapped = a.size < b.size;
  if (swapped) [a, b] = [b, a];
  const reverse = correlation && swapped;
  const kernel = correlation ? b : lax.rev(b, [0]);
  const m = b.size;
  const padding: readonly [number, number] | undefined = {
    valid: [0, 0] as const,
    same: [Math.floor(m / 2), m - Math.floor(m / 2) - 1] as const,
    full: [m - 1, m - 1] as const,
  }[mode];
  if (padding === undefined) throw new ValueError(fn, { message: `"${String(mode)}" is no mode`, fix: "use full, same or valid" });
  const out = lax.reshape(
    lax.convGeneralDilated(lax.reshape(a, [1, 1, a.size]), lax.reshape(kernel, [1, 1, m]), [1], [padding], {
      precision: options.precision,
    }),
    [a.size + padding[0] + padding[1] - m + 1],
  );
  return reverse ? lax.rev(out, [0]) : out;
}

/** `fn` of vectors along one axis; the results take its place. One call: the other axes are mapped. */
export function applyAlongAxis(fn: (v: NDArray) => ArrayLike, axis: number, x: ArrayLike): NDArray {
  const a = toArray(x);
  const d = canonicalAxis("applyAlongAxis", axis, a.ndim);
  const order = [...a.shape.map((_, i) => i).filter((i) => i !== d), d];
  const rest = order.slice(0, -1).map((i) => a.shape[i]);
  const rows = lax.reshape(lax.transpose(a, order), [rest.reduce((n, m) => n * m, 1), a.shape[d]]);
  const out = lax.map((v: NDArray) => toArray(fn(v)), rows);
  const own = out.shape.slice(1);
  const shaped = lax.reshape(out, [...rest, ...own]);
  // The axes of the result stand where the axis was.
  const places = [
    ...rest.slice(0, d).map((_, i) => i),
    ...own.map((_, i) => rest.length + i),
    ...rest.slice(d).map((_, i) => d + i),
  ];
  return lax.transpose(shaped, places);
}

/** `fn(x, axis)` for several axes, one after the other; axes that the function drops stay with size 1. */
export function applyOverAxes(fn: (x: NDArray, axis: number) => NDArray, x: ArrayLike, axes: readonly number[]): NDArray {
  let a = toArray(x);
  for (const axis of axes) {
    const d = canonicalAxis("applyOverAxes", axis, a.ndim);
    const out = fn(a, d);
    a = out.ndim === a.ndim ? out : lax.expandDims(out, [d]);
  }
  return a;
}
