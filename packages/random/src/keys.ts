import {
  type ArrayLike,
  asArray,
  bind,
  bind1,
  DTypeError,
  type ExtendedDType,
  isNDArray,
  type NDArray,
  scalar,
  ShapeError,
} from "@traceform/core";
import {
  bitcastConvertType,
  broadcastInDim,
  concatenate,
  convertElementType,
  indexInDim,
  iota,
  randomUnwrapP,
  randomWrapP,
  reshape,
  sliceInDim,
  squeeze,
  threefry2x32P,
} from "@traceform/lax";

/** The dtype of typed keys: each is the two words of a Threefry-2x32 key. */
export const keyDType: ExtendedDType = { name: "key<fry>", physicalShape: [2], physicalDtype: "uint32" };

/** A typed key (`key<fry>[]`), or its raw data (`uint32[2]`). */
export type Key = NDArray;

/**
 * A typed key from an integer seed: `key<fry>[]`. A seed of 32 bits fills the low word, a wider one both; `key(-1)` is
 * `[0, 4294967295]`. A traced seed is an integer scalar.
 */
export function key(seed: number | bigint | NDArray): Key {
  return wrapKeyData(PRNGKey(seed));
}

/** The raw form of `key(seed)`: `uint32[2]`. */
export function PRNGKey(seed: number | bigint | NDArray): Key {
  if (isNDArray(seed)) {
    const low = seed.dtype === "uint32" ? seed : bitcastConvertType(convertElementType(seed, "int32"), "uint32");
    return pairOf(scalar(0, "uint32"), low);
  }
  if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
    throw new DTypeError("key", { message: `a seed is an integer, got ${seed}`, fix: "pass a safe integer or a bigint" });
  }
  const value = BigInt(seed);
  const narrow = value >= -(2n ** 31n) && value < 2n ** 32n;
  const high = narrow ? 0 : Number(BigInt.asUintN(32, value >> 32n));
  return asArray(Uint32Array.of(high, Number(BigInt.asUintN(32, value))));
}

function pairOf(a: NDArray, b: NDArray): NDArray {
  return concatenate([reshape(a, [1]), reshape(b, [1])], 0);
}

/** uint32[..., 2] -> key<fry>[...]. */
export function wrapKeyData(data: ArrayLike): Key {
  return bind1(randomWrapP, [asArray(data)], { impl: keyDType });
}

/** key<fry>[...] -> uint32[..., 2]; raw keys pass through. */
export function keyData(keys: Key): NDArray {
  return isTyped(keys) ? bind1(randomUnwrapP, [keys], {}) : keys;
}

function isTyped(keys: Key): boolean {
  return typeof keys.dtype !== "string";
}

/** The two words of one key. @throws {ShapeError} for an array of keys, @throws {DTypeError} for no key at all */
export function words(fn: string, k: Key): [NDArray, NDArray] {
  const data = isNDArray(k) ? keyData(k) : null;
  if (data === null || data.dtype !== "uint32") {
    throw new DTypeError(fn, { message: "needs a key", operands: { key: k }, fix: "make one with key(seed)" });
  }
  if (data.shape.length !== 1 || data.shape[0] !== 2) {
    throw new ShapeError(fn, {
      message: "takes one key, not an array of keys",
      operands: { key: k },
      fix: "index the array of keys, or use vmap over it",
    });
  }
  return [squeeze(sliceInDim(data, 0, 1), [0]), squeeze(sliceInDim(data, 1, 2), [0])];
}

/** Threefry over the counters 0 … n-1, as two words each: the partitionable layout, JAX's default. */
export function countedBlocks(fn: string, k: Key, shape: readonly number[]): [NDArray, NDArray] {
  const [k1, k2] = words(fn, k);
  const size = shape.reduce((a, b) => a * b, 1);
  const counters = reshape(iota("uint32", size), shape);
  const [high, low] = bind(threefry2x32P, [k1, k2, scalar(0, "uint32"), counters], {});
  return [high, low];
}

/**
 * New keys from one: `key<fry>[num]` (or of the given shape), raw for a raw key. The old key should not be used again
 * for numbers that must be independent.
 */
export function split(k: Key, num: number | readonly number[] = 2): Key {
  const shape = typeof num === "number" ? [num] : num;
  const [high, low] = countedBlocks("split", k, shape);
  const column = (x: NDArray): NDArray =>
    broadcastInDim(
      x,
      [...shape, 1],
      shape.map((_, i) => i),
    );
  const data = concatenate([column(high), column(low)], shape.length);
  return isTyped(k) ? wrapKeyData(data) : data;
}

/** A new key that depends on `data`, an integer: for loops that number their keys. */
export function foldIn(k: Key, data: number | NDArray): Key {
  const [k1, k2] = words("foldIn", k);
  const x = isNDArray(data) ? convertElementType(data, "uint32") : scalar(data, "uint32");
  const [high, low] = bind(threefry2x32P, [k1, k2, scalar(0, "uint32"), x], {});
  const folded = pairOf(high, low);
  return isTyped(k) ? wrapKeyData(folded) : folded;
}

/** An independent copy of a key, for code that tracks their use. */
export function clone(k: Key): Key {
  return k;
}

/** Element `i` of an array of keys, or row `i` of their raw data. */
export function at(keys: NDArray, i: number): NDArray {
  return indexInDim(keys, i, 0, false);
}
