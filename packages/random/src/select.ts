import {
  type ArrayLike,
  asArray,
  canonicalAxis,
  type DType,
  DTypeError,
  dtypeName,
  integerRange,
  isInteger,
  isNDArray,
  itemsize,
  type NDArray,
  scalar,
  ShapeError,
  type StandardDType,
  ValueError,
} from "@traceform/core";
import {
  add,
  argmax,
  bitwiseAnd,
  convertElementType,
  full,
  gt,
  indexInDim,
  iota,
  le,
  log,
  mul,
  rem,
  reshape,
  select,
  sliceInDim,
  sortKeyVal,
  sub,
  topK,
  clamp,
} from "@traceform/lax";
import { broadcastTo, cumsum, searchsorted, take } from "@traceform/numpy";
import { randomBits, uniform } from "./bits.ts";
import { gumbel } from "./distributions.ts";
import { at, type Key, split } from "./keys.ts";

/**
 * Random integers in [minval, maxval): int32[shape] by default. Where `maxval <= minval` the result is `minval`. The bias
 * for ranges that are no powers of two is that of twice as many random bits as the dtype has.
 */
export function randint(
  key: Key,
  shape: readonly number[],
  minval: ArrayLike,
  maxval: ArrayLike,
  options: { readonly dtype?: DType } = {},
): NDArray {
  const dtype = (options.dtype ?? "int32") as StandardDType;
  if (!isInteger(dtype))
    throw new DTypeError("randint", {
      message: `needs an integer dtype, got ${dtypeName(dtype)}`,
      fix: 'pass { dtype: "int32" } or another integer dtype',
    });
  const width = itemsize(dtype) * 8;
  const word = `uint${width}` as StandardDType;
  const [lo, hi, beyond] = bounds(dtype, minval, maxval);
  const one = scalar(1, word);
  // An empty range has span 1, so that minval is the result.
  let span = convertElementType(sub(hi, lo), word);
  const empty = le(hi, lo);
  span = selectAny(empty, one, span);
  // When maxval lies one past the dtype's last value it was clipped; a span that wraps to 0 makes `rem` the identity.
  span = selectAny(bitwiseAnd(beyond, gt(hi, lo)), add(span, one), span);
  // (a * 2^width + b) mod span = ((a mod span) * (2^width mod span) + b mod span) mod span
  const half = width === 64 ? scalar(2n ** 32n, word) : scalar(2 ** (width / 2), word);
  const root = rem(spreadTo(half, span), span);
  const multiplier = rem(mul(root, root), span);
  const keys = split(key);
  const [high, low] = [0, 1].map((i) => randomBits("randint", at(keys, i), width, shape));
  const over = spreadTo(span, high);
  const offset = rem(add(mul(rem(high, over), spreadTo(multiplier, high)), rem(low, over)), over);
  return add(spreadTo(lo, offset), convertElementType(offset, dtype));
}

function spreadTo(x: NDArray, like: NDArray): NDArray {
  return x.ndim === like.ndim ? x : broadcastTo(x, like.shape);
}

function selectAny(pred: NDArray, a: NDArray, b: NDArray): NDArray {
  const like = [pred, a, b].reduce((p, q) => (q.ndim > p.ndim ? q : p));
  return select(spreadTo(pred, like), spreadTo(a, like), spreadTo(b, like));
}

/** Both bounds in `dtype`, clipped to its range, and whether maxval lay beyond it. */
function bounds(dtype: StandardDType, minval: ArrayLike, maxval: ArrayLike): [NDArray, NDArray, NDArray] {
  const [first, last]: [bigint, bigint] = dtype.endsWith("64")
    ? dtype === "int64"
      ? [-(2n ** 63n), 2n ** 63n - 1n]
      : [0n, 2n ** 64n - 1n]
    : (integerRange(dtype).map(BigInt) as [bigint, bigint]);
  const clip = (x: ArrayLike): [NDArray, NDArray] => {
    if (typeof x === "number" || typeof x === "bigint") {
      const value = BigInt(x);
      const inside = value < first ? first : value > last ? last : value;
      return [scalar(inside, dtype), scalar(value > last, "bool")];
    }
    const given = asArray(x);
    if (given.dtype === dtype || !isInteger(given.dtype))
      return [convertElementType(given, dtype), full(given.shape, false, "bool")];
    const own: [bigint, bigint] = given.dtype.toString().endsWith("64")
      ? [-(2n ** 63n), 2n ** 63n - 1n]
      : (integerRange(given.dtype as StandardDType).map(BigInt) as [bigint, bigint]);
    const lo = scalar(first > own[0] ? first : own[0], given.dtype);
    const hi = scalar(last < own[1] ? last : own[1], given.dtype);
    return [convertElementType(clamp(lo, given, hi), dtype), gt(given, hi)];
  };
  const [lo] = clip(minval);
  const [hi, beyond] = clip(maxval);
  return [lo, hi, beyond];
}

export interface PermutationOptions {
  readonly axis?: number;
  /** Shuffle each line along the axis on its own instead of moving whole slices. */
  readonly independent?: boolean;
}

/**
 * A random permutation of `0 … x-1` for an integer `x` (int32[x]), or of the slices of an array along `axis`.
 * Sorts by random 32-bit keys, as often as it takes for collisions not to matter.
 */
export function permutation(key: Key, x: number | NDArray, options: PermutationOptions = {}): NDArray {
  if (!isNDArray(x)) {
    if (!Number.isInteger(x) || x < 0)
      throw new ValueError("permutation", {
        message: `${x} is no length of a permutation`,
        fix: "give a non-negative integer, or the array to permute",
      });
    return shuffle(key, iota("int32", x), 0);
  }
  if (x.ndim === 0)
    throw new ShapeError("permutation", {
      message: "needs an integer or an array of rank 1 or more",
      operands: { x },
      fix: "give a length n for a permutation of 0…n-1, or an array with an axis",
    });
  const axis = canonicalAxis("permutation", options.axis ?? 0, x.ndim);
  if (options.independent === true || x.ndim === 1) return shuffle(key, x, axis);
  return take(x, shuffle(key, iota("int32", x.shape[axis]), 0), axis);
}

function shuffle(key: Key, x: NDArray, axis: number): NDArray {
  const rounds = Math.ceil((3 * Math.log(Math.max(1, x.size))) / Math.log(2 ** 32 - 1));
  let current = key;
  let values = x;
  for (let i = 0; i < rounds; i++) {
    const keys = split(current);
    current = at(keys, 0);
    const order = randomBits("permutation", at(keys, 1), 32, x.shape);
    values = sortKeyVal(order, values, axis)[1];
  }
  return values;
}

export interface ChoiceOptions {
  readonly replace?: boolean;
  /** Probabilities of the entries; uniform by default. */
  readonly p?: ArrayLike;
  readonly axis?: number;
}

/**
 * Random entries of `a` along `axis`, or of `0 … a-1` for an integer: shape `shape` in place of the axis.
 * @throws {ValueError} when more entries than there are should be drawn without replacement
 */
export function choice(key: Key, a: number | NDArray, shape: readonly number[] = [], options: ChoiceOptions = {}): NDArray {
  const { replace = true, p } = options;
  const axis = isNDArray(a) ? canonicalAxis("choice", options.axis ?? 0, a.ndim) : 0;
  const population = isNDArray(a) ? a.shape[axis] : a;
  const draws = shape.reduce((m, n) => m * n, 1);
  if (population <= 0 && draws > 0)
    throw new ValueError("choice", {
      message: "cannot draw from an empty population",
      fix: "give at least one element, or ask for an empty shape",
    });
  if (!replace && draws > population) {
    throw new ValueError("choice", {
      message: `cannot draw ${draws} of ${population} without replacement`,
      fix: "draw fewer, or with replace: true",
    });
  }
  const pick = (indices: NDArray): NDArray => (isNDArray(a) ? take(a, indices, axis) : indices);
  if (p === undefined) {
    if (replace) return pick(randint(key, shape, 0, population));
    const all = permutation(key, a, { axis });
    const drawn = sliceInDim(all, 0, draws, 1, axis);
    return reshape(drawn, isNDArray(a) ? [...a.shape.slice(0, axis), ...shape, ...a.shape.slice(axis + 1)] : shape);
  }
  const given = asArray(p);
  const probs = given.dtype === "float64" ? given : convertElementType(given, "float32");
  if (probs.ndim !== 1 || probs.shape[0] !== population) {
    throw new ShapeError("choice", {
      message: `p must have shape [${population}]`,
      operands: { p: probs },
      fix: "give one probability for each element of the axis that is drawn from",
    });
  }
  if (!replace) {
    const scores = add(gumbel(key, [population], { dtype: probs.dtype }), log(probs));
    return pick(reshape(topK(scores, draws)[1], shape));
  }
  const cumulative = cumsum(probs);
  const total = indexInDim(cumulative, population - 1, 0, false);
  const u = uniform(key, shape, { dtype: probs.dtype });
  const r = mul(total, sub(scalar(1, probs.dtype), u));
  return pick(searchsorted(cumulative, r));
}

export interface CategoricalOptions {
  readonly axis?: number;
  readonly shape?: readonly number[];
}

/**
 * Indices drawn with probabilities softmax(logits) along `axis` (the last by default): int32, of the shape of the other
 * axes, or of `shape`, which must end with it. Uses the Gumbel-max trick.
 */
export function categorical(key: Key, logits: ArrayLike, options: CategoricalOptions = {}): NDArray {
  const given = asArray(logits);
  const x =
    given.dtype === "float64" || given.dtype === "float16" || given.dtype === "bfloat16"
      ? given
      : convertElementType(given, "float32");
  const axis = canonicalAxis("categorical", options.axis ?? -1, x.ndim);
  const batch = x.shape.filter((_, d) => d !== axis);
  const shape = options.shape ?? batch;
  const extra = shape.slice(0, shape.length - batch.length);
  if (shape.length < batch.length || shape.slice(extra.length).some((n, i) => n !== batch[i])) {
    throw new ShapeError("categorical", {
      message: `shape must end with the batch shape [${batch.join(",")}]`,
      operands: { shape },
      fix: "put the sizes of the draws in front: [draws, ...batch]",
    });
  }
  const full = [...extra, ...x.shape];
  const noise = gumbel(key, full, { dtype: x.dtype });
  return argmax(add(noise, extra.length === 0 ? x : broadcastTo(x, full)), axis + extra.length);
}
