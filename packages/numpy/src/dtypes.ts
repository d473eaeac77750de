import {
  type ArrayLike,
  checkDType,
  type DType,
  DTypeError,
  dtypeKind,
  isStandardDType,
  itemsize,
  type NDArray,
  promoteTypes,
  resultType as weakResultType,
  type StandardDType,
  type TypeLike,
} from "@traceform/core";
import { convertElementType } from "@traceform/lax";
import { toArray } from "./internal/promote.ts";

export { promoteTypes };

export const bool = "bool" as const;
export const bool_ = "bool" as const;
export const int8 = "int8" as const;
export const int16 = "int16" as const;
export const int32 = "int32" as const;
export const int64 = "int64" as const;
export const uint8 = "uint8" as const;
export const uint16 = "uint16" as const;
export const uint32 = "uint32" as const;
export const uint64 = "uint64" as const;
export const float16 = "float16" as const;
export const bfloat16 = "bfloat16" as const;
export const float32 = "float32" as const;
export const float64 = "float64" as const;
export const complex64 = "complex64" as const;
export const complex128 = "complex128" as const;

/** Whatever names a dtype. */
export type DTypeLike = DType;

/** The dtype of anything array-like; a dtype is returned as it is. @throws {DTypeError} for a name that is none */
export function dtype(x: ArrayLike | DType): DType {
  if (typeof x === "string" || (typeof x === "object" && "physicalDtype" in x)) return checkDType("dtype", x);
  return toArray(x).dtype;
}

/** A set of dtypes with a name: `floating`, `integer`, … for `issubdtype` and `isdtype`. */
export interface DTypeCategory {
  readonly category: string;
  readonly kinds: readonly string[];
}

function category(name: string, ...kinds: string[]): DTypeCategory {
  return Object.freeze({ category: name, kinds });
}
export const generic: DTypeCategory = /* @__PURE__ */ category("generic", "bool", "int", "uint", "float", "complex", "extended");
export const number: DTypeCategory = /* @__PURE__ */ category("number", "int", "uint", "float", "complex");
export const integer: DTypeCategory = /* @__PURE__ */ category("integer", "int", "uint");
export const signedinteger: DTypeCategory = /* @__PURE__ */ category("signedinteger", "int");
export const unsignedinteger: DTypeCategory = /* @__PURE__ */ category("unsignedinteger", "uint");
export const inexact: DTypeCategory = /* @__PURE__ */ category("inexact", "float", "complex");
export const floating: DTypeCategory = /* @__PURE__ */ category("floating", "float");
export const complexfloating: DTypeCategory = /* @__PURE__ */ category("complexfloating", "complex");

/** Whether `a` is `b`, or lies in the category `b`. */
export function issubdtype(a: DType | DTypeCategory, b: DType | DTypeCategory): boolean {
  if (isCategory(b)) return isCategory(a) ? a.kinds.every((k) => b.kinds.includes(k)) : b.kinds.includes(dtypeKind(a));
  return a === b;
}

function isCategory(x: DType | DTypeCategory): x is DTypeCategory {
  return typeof x === "object" && "kinds" in x;
}

/** The kinds of the array API standard. */
export type DTypeKindName =
  | "bool"
  | "signed integer"
  | "unsigned integer"
  | "integral"
  | "real floating"
  | "complex floating"
  | "numeric";

const kindNames: Readonly<Record<DTypeKindName, readonly string[]>> = {
  bool: ["bool"],
  "signed integer": ["int"],
  "unsigned integer": ["uint"],
  integral: ["int", "uint"],
  "real floating": ["float"],
  "complex floating": ["complex"],
  numeric: ["int", "uint", "float", "complex"],
};

/** Whether a dtype is of a kind, one of several kinds, or equal to a dtype. @throws {DTypeError} for an unknown kind */
export function isdtype(dtype: DType, kind: DTypeKindName | DType | readonly (DTypeKindName | DType)[]): boolean {
  if (Array.isArray(kind)) return (kind as readonly DType[]).some((k) => isdtype(dtype, k));
  if (kind === dtype) return true;
  const kinds = kindNames[kind as DTypeKindName];
  if (kinds === undefined && !isStandardDType(kind)) {
    throw new DTypeError("isdtype", {
      message: `${JSON.stringify(kind)} is neither a kind nor a dtype`,
      fix: `kinds are ${Object.keys(kindNames).join(", ")}`,
    });
  }
  return kinds?.includes(dtypeKind(dtype)) ?? false;
}

/** The dtype that an operation on all of these has, by JAX's promotion rules. Accepts arrays, numbers and dtypes. */
export function resultType(...xs: readonly TypeLike[]): DType {
  return weakResultType(...xs).dtype;
}

/** Whether values of one dtype are representable in another without loss (`safe`) or at all within a kind (`same_kind`). */
export function canCast(from: DType, to: DType, casting: "no" | "safe" | "same_kind" | "unsafe" = "safe"): boolean {
  if (casting === "unsafe" || from === to) return true;
  if (casting === "no" || !isStandardDType(from) || !isStandardDType(to)) return false;
  const order = ["bool", "uint", "int", "float", "complex"];
  const [a, b] = [order.indexOf(dtypeKind(from)), order.indexOf(dtypeKind(to))];
  if (a > b) return false;
  if (casting === "same_kind") return true;
  if (a === 0) return true;
  const [n, m] = [exactBits(from), exactBits(to)];
  return dtypeKind(from) === "float" || dtypeKind(from) === "complex"
    ? n <= m && itemsize(from) / (dtypeKind(from) === "complex" ? 2 : 1) <= itemsize(to) / (dtypeKind(to) === "complex" ? 2 : 1)
    : n <= m;
}

/** Bits of integers that a dtype holds exactly, without the sign; 64-bit floats hold NumPy's view of 64-bit integers. */
function exactBits(dtype: StandardDType): number {
  const mantissas: Partial<Record<StandardDType, number>> = {
    float16: 11,
    bfloat16: 8,
    float32: 24,
    float64: 64,
    complex64: 24,
    complex128: 64,
  };
  const bits = itemsize(dtype) * 8;
  return mantissas[dtype] ?? (dtypeKind(dtype) === "int" ? bits - 1 : bits);
}

/** `x` in another dtype: float to integer saturates (NaN is 0), integers wrap, bool is `!= 0`, complex drops its imaginary part. */
export function astype(x: ArrayLike, dtype: DType): NDArray {
  return convertElementType(toArray(x), dtype);
}

/** Limits of a floating-point dtype (of the parts, for a complex one). */
export interface FInfo {
  readonly dtype: StandardDType;
  readonly bits: number;
  readonly eps: number;
  readonly epsneg: number;
  readonly max: number;
  readonly min: number;
  /** The smallest positive normal number. */
  readonly tiny: number;
  readonly smallestNormal: number;
  readonly smallestSubnormal: number;
  readonly nmant: number;
  readonly nexp: number;
  readonly maxexp: number;
  readonly minexp: number;
  readonly precision: number;
  readonly resolution: number;
}

const formats: Partial<Record<StandardDType, readonly [bits: number, exponent: number, mantissa: number, precision: number]>> = {
  float16: [16, 5, 10, 3],
  bfloat16: [16, 8, 7, 2],
  float32: [32, 8, 23, 6],
  float64: [64, 11, 52, 15],
};

/** @throws {DTypeError} for dtypes that are not floating-point */
export function finfo(dtype: DType): FInfo {
  const base = dtype === "complex64" ? "float32" : dtype === "complex128" ? "float64" : dtype;
  const format = formats[base as StandardDType];
  if (format === undefined) {
    throw new DTypeError("finfo", {
      message: "needs a floating-point dtype",
      operands: { dtype: String(dtype) },
      fix: "use iinfo for integers",
    });
  }
  const [bits, nexp, nmant, precision] = format;
  const maxexp = 2 ** (nexp - 1);
  const minexp = 2 - maxexp;
  const max = (2 - 2 ** -nmant) * 2 ** (maxexp - 1);
  return {
    dtype: base as StandardDType,
    bits,
    eps: 2 ** -nmant,
    epsneg: 2 ** (-nmant - 1),
    max,
    min: -max,
    tiny: 2 ** minexp,
    smallestNormal: 2 ** minexp,
    smallestSubnormal: 2 ** (minexp - nmant),
    nmant,
    nexp,
    maxexp,
    minexp,
    precision,
    resolution: Number(`1e-${precision}`),
  };
}

/** Limits of an integer dtype; bigints for 64 bits. */
export interface IInfo {
  readonly dtype: StandardDType;
  readonly bits: number;
  readonly min: number | bigint;
  readonly max: number | bigint;
}

/** @throws {DTypeError} for dtypes that are not integers */
export function iinfo(dtype: DType): IInfo {
  const kind = dtypeKind(dtype);
  if (kind !== "int" && kind !== "uint") {
    throw new DTypeError("iinfo", {
      message: "needs an integer dtype",
      operands: { dtype: String(dtype) },
      fix: "use finfo for floating-point",
    });
  }
  const bits = itemsize(dtype) * 8;
  const [lo, hi] = kind === "int" ? [-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n] : [0n, 2n ** BigInt(bits) - 1n];
  const of = (x: bigint): number | bigint => (bits === 64 ? x : Number(x));
  return { dtype: dtype as StandardDType, bits, min: of(lo), max: of(hi) };
}
