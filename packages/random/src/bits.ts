import {
  type ArrayLike,
  type DType,
  DTypeError,
  dtypeName,
  itemsize,
  type NDArray,
  scalar,
  type StandardDType,
} from "@traceform/core";
import {
  add,
  bitcastConvertType,
  bitwiseOr,
  bitwiseXor,
  convertElementType,
  max,
  mul,
  reshape,
  shiftLeft,
  shiftRightLogical,
  sub,
} from "@traceform/lax";
import { countedBlocks, type Key } from "./keys.ts";

const unsigned: Record<number, StandardDType> = { 8: "uint8", 16: "uint16", 32: "uint32", 64: "uint64" };

/** Uniform random bits: uint{bitWidth}[shape]. @throws {DTypeError} for a dtype that is not an unsigned integer */
export function bits(key: Key, shape: readonly number[] = [], options: { readonly dtype?: DType } = {}): NDArray {
  const dtype = options.dtype ?? "uint32";
  if (typeof dtype !== "string" || !dtype.startsWith("uint")) {
    throw new DTypeError("bits", {
      message: `random bits are unsigned integers, got ${dtypeName(dtype)}`,
      fix: "ask for uint8, uint16, uint32 or uint64",
    });
  }
  return randomBits("bits", key, itemsize(dtype) * 8, shape);
}

export function randomBits(fn: string, key: Key, width: number, shape: readonly number[]): NDArray {
  const [high, low] = countedBlocks(fn, key, shape);
  if (width === 64) {
    return bitwiseOr(shiftLeft(convertElementType(high, "uint64"), scalar(32n, "uint64")), convertElementType(low, "uint64"));
  }
  const word = bitwiseXor(high, low);
  return width === 32 ? word : convertElementType(word, unsigned[width]);
}

interface FloatFormat {
  readonly width: number;
  readonly mantissa: number;
  readonly one: number | bigint;
  readonly tiny: number;
  /** The float next to -1 towards 0. */
  readonly aboveMinusOne: number;
}

const formats: Partial<Record<StandardDType, FloatFormat>> = {
  float16: { width: 16, mantissa: 10, one: 0x3c00, tiny: 2 ** -14, aboveMinusOne: -1 + 2 ** -11 },
  bfloat16: { width: 16, mantissa: 7, one: 0x3f80, tiny: 2 ** -126, aboveMinusOne: -1 + 2 ** -8 },
  float32: { width: 32, mantissa: 23, one: 0x3f800000, tiny: 2 ** -126, aboveMinusOne: -1 + 2 ** -24 },
  float64: { width: 64, mantissa: 52, one: 0x3ff0000000000000n, tiny: 2 ** -1022, aboveMinusOne: -1 + 2 ** -53 },
};

export function floatFormat(fn: string, dtype: DType): FloatFormat {
  const format = formats[dtype as StandardDType];
  if (format === undefined)
    throw new DTypeError(fn, {
      message: `needs a float dtype, got ${dtypeName(dtype)}`,
      fix: 'pass { dtype: "float32" } or another float dtype',
    });
  return format;
}

export interface UniformOptions {
  readonly dtype?: DType;
  readonly minval?: ArrayLike;
  readonly maxval?: ArrayLike;
}

/**
 * Uniform floats in [minval, maxval): float32[shape] by default. The mantissa is random, the exponent that of 1; then
 * the interval [1, 2) is shifted and scaled.
 */
export function uniform(key: Key, shape: readonly number[] = [], options: UniformOptions = {}): NDArray {
  const dtype = (options.dtype ?? "float32") as StandardDType;
  const { width, mantissa, one } = floatFormat("uniform", dtype);
  // Eight bits suffice for the seven of bfloat16's mantissa.
  const drawn = mantissa < 8 ? 8 : width;
  const word = unsigned[width];
  const raw = randomBits("uniform", key, drawn, shape);
  const wide = drawn === width ? raw : convertElementType(raw, word);
  const pattern = bitwiseOr(shiftRightLogical(wide, scalar(drawn - mantissa, word)), scalar(one, word));
  const unit = sub(bitcastConvertType(pattern, dtype), scalar(1, dtype));
  const { minval = 0, maxval = 1 } = options;
  if (minval === 0 && maxval === 1) return unit;
  const low = inDType(minval, dtype);
  const high = inDType(maxval, dtype);
  const span = sub(high, low);
  return reshape(max(low, add(mul(unit, span), low)), shape);
}

function inDType(x: ArrayLike, dtype: StandardDType): NDArray {
  return typeof x === "object" ? convertElementType(x, dtype) : scalar(x, dtype);
}
