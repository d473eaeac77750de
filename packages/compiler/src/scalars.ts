import { DTypeError, type DType, type StandardDType, dtypeName } from "@traceform/core";
import type { Ex, Exprs, Index, ScalarType, Storage } from "./expr.ts";

/** How a dtype is computed and stored. float16 and bfloat16 are computed as f32, small integers as i32. */
export interface ScalarInfo {
  readonly type: ScalarType;
  readonly storage: Storage;
  readonly kind: "bool" | "int" | "uint" | "float";
  readonly bits: number;
}

const infos: Partial<Record<StandardDType, ScalarInfo>> = {
  bool: { type: "bool", storage: "bool", kind: "bool", bits: 1 },
  int8: { type: "i32", storage: "i8", kind: "int", bits: 8 },
  int16: { type: "i32", storage: "i16", kind: "int", bits: 16 },
  int32: { type: "i32", storage: "i32", kind: "int", bits: 32 },
  int64: { type: "i64", storage: "i64", kind: "int", bits: 64 },
  uint8: { type: "i32", storage: "u8", kind: "uint", bits: 8 },
  uint16: { type: "i32", storage: "u16", kind: "uint", bits: 16 },
  uint32: { type: "i32", storage: "i32", kind: "uint", bits: 32 },
  uint64: { type: "i64", storage: "i64", kind: "uint", bits: 64 },
  float16: { type: "f32", storage: "u16", kind: "float", bits: 16 },
  bfloat16: { type: "f32", storage: "u16", kind: "float", bits: 16 },
  float32: { type: "f32", storage: "f32", kind: "float", bits: 32 },
  float64: { type: "f64", storage: "f64", kind: "float", bits: 64 },
};

/** @throws {DTypeError} for complex and extended dtypes, which legalisation has replaced before this is asked */
export function scalarInfo(dtype: DType): ScalarInfo {
  const found = typeof dtype === "string" ? infos[dtype] : undefined;
  if (found === undefined) {
    throw new DTypeError("compile", { message: `${dtypeName(dtype)} has no scalar form here`, fix: "use a real standard dtype" });
  }
  return found;
}

/** Loads an element and widens it to the type in which its dtype is computed. */
export function loadElement(e: Exprs, dtype: DType, slot: number, index: Index, guard: Ex | null = null, pinned = false): Ex {
  return widenElement(e, dtype, e.load(slot, scalarInfo(dtype).storage, index, guard, pinned));
}

/** A stored element as the value in which its dtype is computed. */
export function widenElement(e: Exprs, dtype: DType, raw: Ex): Ex {
  return dtype === "float16" ? halfToFloat(e, raw) : dtype === "bfloat16" ? e.bitcast("f32", e.shl(raw, 16)) : raw;
}

/** Narrows a computed value to what a store of the dtype writes: the bits that it has been made of, where it has been. */
export function storedElement(e: Exprs, dtype: DType, x: Ex): Ex {
  if (dtype === "float16") return halfBits(e, x) ?? floatToHalf(e, x);
  return dtype === "bfloat16" ? (brainBits(e, x) ?? floatToBrain(e, x)) : x;
}

/** Rounds a computed value to the precision of its dtype, or wraps a small integer: what a store and a load would do. */
export function roundToDType(e: Exprs, dtype: DType, x: Ex): Ex {
  switch (dtype) {
    case "float16":
    case "bfloat16":
      return isShortInteger(x) ? x : widenElement(e, dtype, storedElement(e, dtype, x));
    case "int8":
    case "int16": {
      const shift = dtype === "int8" ? 24 : 16;
      return e.shrS(e.shl(x, shift), shift);
    }
    case "uint8":
    case "uint16":
      return e.and(x, e.i32(dtype === "uint8" ? 0xff : 0xffff));
    default:
      return x;
  }
}

/** A scalar constant of a dtype. Numbers outside an integer's range wrap. */
export function constantOf(e: Exprs, dtype: DType, value: number | bigint | boolean): Ex {
  const info = scalarInfo(dtype);
  if (info.type === "i32" && typeof value === "number" && !Number.isFinite(value)) value = 0;
  if (info.type === "i32" && typeof value === "number") value = BigInt(Math.trunc(value));
  return roundToDType(e, dtype, e.constant(info.type, value));
}

/** The smallest and largest value of a dtype: infinities for floats. They are the neutral elements of max and min. */
export function limits(dtype: DType): { readonly min: number | bigint | boolean; readonly max: number | bigint | boolean } {
  const { kind, bits } = scalarInfo(dtype);
  if (kind === "float") return { min: -Infinity, max: Infinity };
  if (kind === "bool") return { min: false, max: true };
  const span = 1n << BigInt(bits);
  return kind === "uint" ? { min: 0n, max: span - 1n } : { min: -span / 2n, max: span / 2n - 1n };
}

/** Widens the bits of a half: exponent and mantissa shifted into place, then rescaled by 2^112, which is exact. */
function halfToFloat(e: Exprs, h: Ex): Ex {
  const magnitude = e.and(h, e.i32(0x7fff));
  const shifted = e.shl(magnitude, 13);
  const finite = e.float64 ? e.bitcast("i32", e.mul(e.bitcast("f32", shifted), e.f32(2 ** 112))) : rescaled(e, magnitude, shifted);
  const special = e.or(shifted, e.i32(0x7f800000));
  const bits = e.select(e.ge(magnitude, e.i32(0x7c00)), special, finite);
  return e.bitcast("f32", e.or(bits, e.shl(e.and(h, e.i32(0x8000)), 16)));
}

/** The bits of which a value is the number of half precision, as an i32; null where it is not made of such bits. */
export function halfBits(e: Exprs, x: Ex): Ex | null {
  const constant = (a: Ex, n: number): boolean => a.op === "const" && Number(a.value) === n;
  const sign = x.op === "bitcast" ? x.args[0].args.find((a) => a.op === "shl" && constant(a.args[1], 16)) : undefined;
  const bits = sign?.args[0].op === "and" ? sign.args[0].args.find((a) => !constant(a, 0x8000)) : undefined;
  // Equal expressions are one.
  return bits !== undefined && halfToFloat(e, bits) === x ? bits : null;
}

function brainBits(e: Exprs, x: Ex): Ex | null {
  const bits = x.op === "bitcast" && x.args[0].op === "shl" ? x.args[0].args[0] : null;
  return bits !== null && widenElement(e, "bfloat16", bits) === x ? bits : null;
}
/** A constant that no 16-bit float rounds. */
function isShortInteger({ op, value }: Ex): boolean {
  return op === "const" && Number.isInteger(Number(value)) && Math.abs(Number(value)) <= 256;
}

/** The same for devices that may take subnormal numbers for zero: those of half precision are whole multiples of 2^-24. */
function rescaled(e: Exprs, magnitude: Ex, shifted: Ex): Ex {
  const tiny = e.bitcast("i32", e.mul(e.convert("from_s", "f32", magnitude), e.f32(2 ** -24)));
  return e.select(e.lt(magnitude, e.i32(0x400)), tiny, e.add(shifted, e.i32(112 << 23)));
}

/** Rounds to nearest even. @see Giesen, "Float->half variants" (2012), `float_to_half_fast3_rtne` */
function floatToHalf(e: Exprs, x: Ex): Ex {
  const bits = e.bitcast("i32", x);
  const sign = e.and(e.shrU(bits, 16), e.i32(0x8000));
  const magnitude = e.and(bits, e.i32(0x7fffffff));
  const special = e.select(e.gt(magnitude, e.i32(0x7f800000)), e.i32(0x7e00), e.i32(0x7c00));
  // Adding 0.5 aligns the mantissa so that the float's own rounding does the work.
  const tiny = e.sub(e.bitcast("i32", e.add(e.bitcast("f32", magnitude), e.f32(0.5))), e.i32(0x3f000000));
  const odd = e.and(e.shrU(magnitude, 13), e.i32(1));
  const normal = e.shrU(e.add(e.add(magnitude, e.i32(0xc8000fff)), odd), 13);
  const finite = e.select(e.lt(magnitude, e.i32(0x38800000)), tiny, normal);
  return e.or(sign, e.select(e.ge(magnitude, e.i32(0x47800000)), special, finite));
}

function floatToBrain(e: Exprs, x: Ex): Ex {
  const bits = e.bitcast("i32", x);
  const high = e.shrU(bits, 16);
  const rounded = e.shrU(e.add(bits, e.add(e.i32(0x7fff), e.and(high, e.i32(1)))), 16);
  return e.select(e.ne(x, x), e.or(high, e.i32(0x40)), rounded);
}
