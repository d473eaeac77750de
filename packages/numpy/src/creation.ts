import {
  type ArrayLike,
  asArray,
  checkDType,
  ConcreteArray,
  type DType,
  fromTyped,
  isComplex,
  isInteger,
  isStandardDType,
  isTypedArray,
  itemsize,
  type NDArray,
  refuseTracedIntegers,
  scalar,
  ShapeError,
  type StandardDType,
  typedArrayDType,
  ValueError,
} from "@traceform/core";
import * as lax from "@traceform/lax";
import { promoteInexact, toArray } from "./internal/promote.ts";

/** A dtype on its own, or options that hold one. */
export type DTypeOption = DType | { readonly dtype?: DType | null } | null;
export type ShapeLike = number | readonly number[];

/** The dtype of an option, or null. */
export function dtypeOf(option: DTypeOption | undefined): DType | null {
  if (option === null || option === undefined) return null;
  if (typeof option === "string" || "physicalDtype" in option) return checkDType("array", option);
  return option.dtype ? checkDType("array", option.dtype) : null;
}

function shapeOf(shape: ShapeLike): readonly number[] {
  refuseTracedIntegers("shape", "a size", [shape]);
  return typeof shape === "number" ? [shape] : shape;
}

export interface ArrayOptions {
  readonly dtype?: DType | null;
  /** Another shape for the same elements. */
  readonly shape?: readonly number[];
  /** Leading axes of size 1 are added up to this number of axes. */
  readonly ndmin?: number;
}

/**
 * An array from anything array-like: scalars, nested JavaScript arrays, typed arrays, arrays. Numbers are float32,
 * bigints int32, booleans bool, typed arrays what they are, unless `dtype` says otherwise.
 *
 * @throws {ShapeError} for ragged nesting
 * @example
 * ```ts
 * array([[1, 2], [3, 4]]).shape // => [2, 2]
 * ```
 */
export function array(values: ArrayLike, options: ArrayOptions | DType | null = {}): NDArray {
  const given = dtypeOf(options);
  const opts: ArrayOptions = typeof options === "object" && options !== null && !("physicalDtype" in options) ? options : {};
  let x = fromValues(values, given, opts.shape);
  if (opts.shape) x = lax.reshape(x, opts.shape);
  const missing = (opts.ndmin ?? 0) - x.ndim;
  return missing > 0 ? lax.broadcastToRank(x, x.ndim + missing) : x;
}
export { array as asarray };

function fromValues(values: ArrayLike, dtype: DType | null, shape: readonly number[] | undefined): NDArray {
  if (dtype !== null && isStandardDType(dtype)) {
    if (isTypedArray(values) && !isComplex(dtype)) return fromTyped(values, [values.length], dtype);
    if (typeof values !== "object") return scalar(values, dtype);
    // Converting on the host keeps the digits of 64-bit values, which have no other way in.
    if (Array.isArray(values) && isPlain(values)) return asArray(values, { dtype });
  }
  if (isTypedArray(values) && shape !== undefined && typedArrayDType(values) === dtype)
    return fromTyped(values, shape, dtype as StandardDType);
  if (isTypedArray(values) && dtype !== null && isStandardDType(dtype) && isComplex(dtype)) {
    return fromTyped(values, [values.length / 2], dtype);
  }
  const x = toArray(values);
  return dtype === null ? x : lax.convertElementType(x, dtype);
}

function isPlain(x: readonly unknown[]): boolean {
  return x.every((v) => (Array.isArray(v) ? isPlain(v) : typeof v !== "object"));
}

/** `shape` filled with 0. */
export function zeros(shape: ShapeLike, dtype?: DTypeOption): NDArray {
  return lax.full(shapeOf(shape), 0, dtypeOf(dtype) ?? "float32");
}
/** `shape` filled with 1. */
export function ones(shape: ShapeLike, dtype?: DTypeOption): NDArray {
  return lax.full(shapeOf(shape), 1, dtypeOf(dtype) ?? "float32");
}
/** An array whose values do not matter (zeros). */
export function empty(shape: ShapeLike, dtype?: DTypeOption): NDArray {
  return zeros(shape, dtype);
}
/** `shape` filled with a value, which may be an array that broadcasts to it. */
export function full(shape: ShapeLike, fillValue: ArrayLike, dtype?: DTypeOption): NDArray {
  const own = dtypeOf(dtype);
  const value = own === null ? toArray(fillValue) : array(fillValue, own);
  return broadcastInto(value, shapeOf(shape));
}

function broadcastInto(x: NDArray, shape: readonly number[]): NDArray {
  const offset = shape.length - x.ndim;
  if (offset < 0 || x.shape.some((n, i) => n !== 1 && n !== shape[offset + i])) {
    throw new ShapeError("full", {
      message: `the value does not broadcast to [${shape.join(",")}]`,
      operands: { value: x },
      fix: "give a scalar, or a value whose shape ends the new one",
    });
  }
  return lax.broadcastInDim(
    x,
    shape,
    x.shape.map((_, i) => offset + i),
  );
}

export interface LikeOptions {
  readonly dtype?: DType | null;
  readonly shape?: ShapeLike;
}
function like(x: ArrayLike, value: ArrayLike, options: LikeOptions | DType | null = {}): NDArray {
  const a = toArray(x);
  const own = dtypeOf(options as DTypeOption);
  const shape =
    typeof options === "object" && options !== null && "shape" in options && options.shape !== undefined
      ? shapeOf(options.shape)
      : a.shape;
  if (typeof value === "object") return broadcastInto(lax.convertElementType(toArray(value), own ?? a.dtype), shape);
  return lax.fullLike(a, value, { dtype: own, shape });
}
/** Zeros in the shape and dtype of `x`. */
export function zerosLike(x: ArrayLike, options?: LikeOptions | DType | null): NDArray {
  return like(x, 0, options);
}
/** Ones in the shape and dtype of `x`. */
export function onesLike(x: ArrayLike, options?: LikeOptions | DType | null): NDArray {
  return like(x, 1, options);
}
/** An array like `x` whose values do not matter (zeros). */
export function emptyLike(x: ArrayLike, options?: LikeOptions | DType | null): NDArray {
  return like(x, 0, options);
}
/** `fillValue` in the shape and dtype of `x`. */
export function fullLike(x: ArrayLike, fillValue: ArrayLike, options?: LikeOptions | DType | null): NDArray {
  return like(x, fillValue, options);
}

export interface ArangeOptions {
  readonly dtype?: DType | null;
}

/**
 * `start, start + step, …` below `stop`; `arange(n)` counts from 0. int32 when all are integers, else float32. The dtype
 * may stand in an options object after the last number, or in fourth place.
 */
export function arange(stop: number, options?: ArangeOptions): NDArray;
export function arange(start: number, stop?: number | null, options?: ArangeOptions): NDArray;
export function arange(start: number, stop?: number | null, step?: number | null, dtype?: DTypeOption): NDArray;
export function arange(
  start: number,
  stop?: number | ArangeOptions | null,
  step?: number | ArangeOptions | null,
  last?: DTypeOption,
): NDArray {
  const options = [stop, step].find((x) => typeof x === "object" && x !== null) as ArangeOptions | undefined;
  const dtype = options === undefined ? last : options.dtype;
  refuseTracedIntegers("arange", "a bound or step", [start, stop, step]);
  const [from, to] = typeof stop === "number" ? [start, stop] : [0, start];
  const by = typeof step === "number" ? step : 1;
  if (by === 0) throw new ValueError("arange", { message: "the step cannot be 0", fix: "give a positive or a negative step" });
  if (![from, to, by].every(Number.isFinite))
    throw new ValueError("arange", { message: "bounds and step must be finite", fix: "give finite numbers" });
  const size = Math.max(0, Math.ceil((to - from) / by));
  const own = dtypeOf(dtype) ?? ([from, to, by].every(Number.isInteger) ? "int32" : "float32");
  if (own === "bool")
    return fromTyped(
      Uint8Array.from({ length: size }, (_, i) => Number(from + i * by !== 0)),
      [size],
      "bool",
    );
  // Counting in floating-point and scaling once: 0.1 + 0.1 + … would drift.
  const exact = [from, by].every(Number.isInteger) && isInteger(own);
  let x = lax.iota(exact || own === "float64" ? own : "float32", size);
  if (by !== 1) x = lax.mul(x, by);
  if (from !== 0) x = lax.add(x, from);
  return lax.convertElementType(x, own);
}

export interface LinspaceOptions {
  readonly endpoint?: boolean;
  readonly dtype?: DType | null;
  readonly axis?: number;
}
function spaceOptions(endpoint: boolean | LinspaceOptions | undefined, options: LinspaceOptions | undefined): LinspaceOptions {
  return typeof endpoint === "object" ? endpoint : { endpoint, ...options };
}

/** Both ends in the dtype in which to compute: the result's own when that is wider than theirs. */
function endpoints(fn: string, start: ArrayLike, stop: ArrayLike, dtype: DType | null | undefined): [NDArray, NDArray] {
  const wide = dtype === "float64" || dtype === "complex128" ? dtype : null;
  const [from, to] = promoteInexact(fn, wide === null ? [start, stop] : [array(start, wide), array(stop, wide)]);
  return [from, to];
}

/** `num` evenly spaced numbers from `start` to `stop`, both included unless `endpoint` is false. */
export function linspace(
  start: ArrayLike,
  stop: ArrayLike,
  num = 50,
  endpoint?: boolean | LinspaceOptions,
  options?: LinspaceOptions,
): NDArray {
  const opts = spaceOptions(endpoint, options);
  const last = opts.endpoint ?? true;
  refuseTracedIntegers("linspace", "num", [num]);
  if (!Number.isInteger(num) || num < 0)
    throw new ValueError("linspace", {
      message: `num must be a non-negative integer, got ${num}`,
      fix: "pass how many samples to take: { num: 50 }",
    });
  const [from, to] = endpoints("linspace", start, stop, opts.dtype);
  const shape = from.ndim >= to.ndim ? from.shape : to.shape;
  const intervals = last ? num - 1 : num;
  const dtype = opts.dtype ?? from.dtype;
  const wide = from.dtype;
  const place = (x: NDArray): NDArray => lax.broadcast(x.ndim === shape.length ? x : lax.broadcast(x, shape), [1]);
  const steps = lax.div(lax.iota(wide, num), Math.max(1, intervals));
  const t = lax.broadcastInDim(steps, [num, ...shape], [0]);
  const spread = (x: NDArray): NDArray => lax.broadcastInDim(place(x), [num, ...shape], [0, ...shape.map((_, i) => i + 1)]);
  let out = lax.add(lax.mul(spread(from), lax.sub(1, t)), lax.mul(spread(to), t));
  if (last && num > 1) out = lax.concatenate([lax.sliceInDim(out, 0, num - 1), place(to)], 0);
  if (isInteger(dtype)) out = lax.floor(out);
  return moveFirst(lax.convertElementType(out, dtype), opts.axis ?? 0);
}

function moveFirst(x: NDArray, axis: number): NDArray {
  const to = axis < 0 ? axis + x.ndim : axis;
  if (to === 0) return x;
  const order = x.shape.map((_, i) => i).slice(1);
  order.splice(to, 0, 0);
  return lax.transpose(x, order);
}

/** `num` numbers from `base^start` to `base^stop`, evenly spaced in the exponent. */
export function logspace(
  start: ArrayLike,
  stop: ArrayLike,
  num = 50,
  endpoint?: boolean | (LinspaceOptions & { readonly base?: number }),
  base?: number,
  options?: LinspaceOptions,
): NDArray {
  const opts = spaceOptions(endpoint, options);
  const b = base ?? (typeof endpoint === "object" ? endpoint.base : undefined) ?? 10;
  const exponents = linspace(...endpoints("logspace", start, stop, opts.dtype), num, { endpoint: opts.endpoint, axis: opts.axis });
  const out = lax.pow(lax.full(exponents.shape, b, exponents.dtype), exponents);
  return lax.convertElementType(out, opts.dtype ?? out.dtype);
}

/** `num` numbers from `start` to `stop` with a constant ratio. */
export function geomspace(
  start: ArrayLike,
  stop: ArrayLike,
  num = 50,
  endpoint?: boolean | LinspaceOptions,
  options?: LinspaceOptions,
): NDArray {
  const opts = spaceOptions(endpoint, options);
  const [from, to] = endpoints("geomspace", start, stop, opts.dtype);
  const signs = lax.sign(from);
  const logs = linspace(lax.log(lax.abs(from)), lax.log(lax.abs(to)), num, { endpoint: opts.endpoint });
  let out = lax.mul(
    lax.exp(logs),
    logs.ndim === 1
      ? signs
      : lax.broadcastInDim(
          signs,
          logs.shape,
          signs.shape.map((_, i) => i + 1),
        ),
  );
  if (num > 0) {
    // Logarithms do not come back exactly; the ends are known.
    const row = (x: NDArray): NDArray =>
      lax.broadcast(lax.convertElementType(x.ndim === out.ndim - 1 ? x : lax.broadcast(x, out.shape.slice(1)), out.dtype), [1]);
    const parts = [row(from)];
    if (num > 1) parts.push(lax.sliceInDim(out, 1, (opts.endpoint ?? true) ? num - 1 : num));
    if (num > 1 && (opts.endpoint ?? true)) parts.push(row(to));
    out = lax.concatenate(parts, 0);
  }
  return moveFirst(lax.convertElementType(out, opts.dtype ?? out.dtype), opts.axis ?? 0);
}

/** Ones on the k-th diagonal of an n by m matrix. */
export function eye(n: number, m?: number | null, k?: number | DTypeOption, dtype?: DTypeOption): NDArray {
  const [offset, option] = typeof k === "number" ? [k, dtype] : [0, k ?? dtype];
  const own = dtypeOf(option) ?? "float32";
  const shape = [n, m ?? n];
  const row = lax.broadcastedIota("int32", shape, 0);
  const column = lax.broadcastedIota("int32", shape, 1);
  return lax.convertElementType(lax.eq(lax.add(row, offset), column), own);
}
/** The n by n identity matrix. */
export function identity(n: number, dtype?: DTypeOption): NDArray {
  return eye(n, n, 0, dtype);
}

export interface MeshgridOptions {
  /** `xy` (default) exchanges the first two axes, `ij` does not. */
  readonly indexing?: "xy" | "ij";
  /** Axes of size 1 in place of repetition. */
  readonly sparse?: boolean;
}

/** Coordinate arrays of a grid: one for each vector. Vectors come as arguments, or in a list. */
export function meshgrid(xs: readonly ArrayLike[], options?: MeshgridOptions): NDArray[];
export function meshgrid(...args: readonly (ArrayLike | MeshgridOptions)[]): NDArray[];
export function meshgrid(...args: readonly unknown[]): NDArray[] {
  const final = args.at(-1);
  const hasOptions = typeof final === "object" && final !== null && ("indexing" in final || "sparse" in final);
  const options = (hasOptions ? final : {}) as MeshgridOptions;
  const given = (hasOptions ? args.slice(0, -1) : args) as ArrayLike[];
  const listed = given.length === 1 && Array.isArray(given[0]) && typeof given[0][0] === "object";
  const vectors = (listed ? (given[0] as unknown as ArrayLike[]) : given).map((x) => toArray(x));
  const xy = (options.indexing ?? "xy") === "xy" && vectors.length > 1;
  const axisOf = (i: number): number => (xy && i < 2 ? 1 - i : i);
  const shape: number[] = vectors.map(() => 1);
  vectors.forEach((v, i) => {
    if (v.ndim > 1)
      throw new ShapeError("meshgrid", { message: "needs vectors", operands: { x: v }, fix: "ravel the coordinates first" });
    shape[axisOf(i)] = v.size;
  });
  return vectors.map((v, i) => {
    const axis = axisOf(i);
    if (options.sparse)
      return lax.reshape(
        v,
        shape.map((n, d) => (d === axis ? n : 1)),
      );
    return lax.broadcastInDim(lax.reshape(v, [v.size]), shape, [axis]);
  });
}

/** The index arrays of a grid of `dimensions`, stacked: shape `[ndim, ...dimensions]`, int32. A list when `sparse`. */
export function indices(dimensions: readonly number[], options?: { readonly dtype?: DType; readonly sparse?: false }): NDArray;
export function indices(dimensions: readonly number[], options: { readonly dtype?: DType; readonly sparse: true }): NDArray[];
export function indices(
  dimensions: readonly number[],
  options: { readonly dtype?: DType; readonly sparse?: boolean } = {},
): NDArray | NDArray[] {
  const dtype = options.dtype ?? "int32";
  if (options.sparse) {
    return dimensions.map((n, i) =>
      lax.reshape(
        lax.iota(dtype, n),
        dimensions.map((_, d) => (d === i ? n : 1)),
      ),
    );
  }
  if (dimensions.length === 0) return zeros([0], dtype);
  return lax.concatenate(
    dimensions.map((_, i) => lax.broadcast(lax.broadcastedIota(dtype, dimensions, i), [1])),
    0,
  );
}

/** `fn` applied to the index arrays of a grid of `shape` (float32 unless `dtype`). */
export function fromfunction(
  fn: (...indices: NDArray[]) => ArrayLike,
  shape: readonly number[],
  options: { readonly dtype?: DType } = {},
): NDArray {
  return toArray(fn(...shape.map((_, i) => lax.broadcastedIota(options.dtype ?? "float32", shape, i))));
}

/** Elements of `dtype` read from raw little-endian bytes. */
export function frombuffer(
  buffer: ArrayBuffer | ArrayBufferView,
  dtype: StandardDType = "float32",
  options: { readonly count?: number; readonly offset?: number } = {},
): NDArray {
  const view = ArrayBuffer.isView(buffer)
    ? new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength)
    : new Uint8Array(buffer);
  const from = options.offset ?? 0;
  const width = itemsize(dtype);
  const count = options.count ?? Math.floor((view.byteLength - from) / width);
  const bytes = view.slice(from, from + count * width);
  return ConcreteArray.fromHost({ shape: [count], dtype, bytes });
}

/** A matrix of powers of the elements of `x`, highest first unless `increasing`. */
export function vander(x: ArrayLike, n?: number | { n?: number; increasing?: boolean }, increasing = false): NDArray {
  const v = toArray(x);
  const options = typeof n === "object" ? n : { n, increasing };
  const count = options.n ?? v.size;
  const a = v.dtype === "bool" ? lax.convertElementType(v, "int32") : v;
  const columns = Array.from({ length: count }, (_, i) => lax.reshape(lax.integerPow(a, i), [a.size, 1]));
  if (columns.length === 0) return zeros([a.size, 0], a.dtype);
  return lax.concatenate(options.increasing ? columns : columns.reverse(), 1);
}

/** A copy of `x` in memory of its own. */
export function copy(x: ArrayLike): NDArray {
  return lax.copy(toArray(x));
}
