import { DTypeError } from "./errors.ts";

/** The names of the standard dtypes, spelled as NumPy and JAX spell them. */
export type StandardDType =
  | "bool"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64"
  | "float16"
  | "bfloat16"
  | "float32"
  | "float64"
  | "complex64"
  | "complex128";

/**
 * An extended dtype: each element is a small array of a standard dtype. Typed PRNG keys are one:
 * `key<fry>` has elements `uint32[2]`. Structural primitives move such elements as a whole;
 * arithmetic refuses them. `float0` is the dtype of tangents of integers: it carries no data.
 */
export interface ExtendedDType {
  readonly name: string;
  readonly physicalShape: readonly number[];
  readonly physicalDtype: StandardDType;
}

export type DType = StandardDType | ExtendedDType;

export type DTypeKind = "bool" | "int" | "uint" | "float" | "complex" | "extended";

interface DTypeInfo {
  readonly kind: DTypeKind;
  readonly bytes: number;
}

const info: Record<StandardDType, DTypeInfo> = {
  bool: { kind: "bool", bytes: 1 },
  int8: { kind: "int", bytes: 1 },
  int16: { kind: "int", bytes: 2 },
  int32: { kind: "int", bytes: 4 },
  int64: { kind: "int", bytes: 8 },
  uint8: { kind: "uint", bytes: 1 },
  uint16: { kind: "uint", bytes: 2 },
  uint32: { kind: "uint", bytes: 4 },
  uint64: { kind: "uint", bytes: 8 },
  float16: { kind: "float", bytes: 2 },
  bfloat16: { kind: "float", bytes: 2 },
  float32: { kind: "float", bytes: 4 },
  float64: { kind: "float", bytes: 8 },
  complex64: { kind: "complex", bytes: 8 },
  complex128: { kind: "complex", bytes: 16 },
};

/** Every standard dtype, in the order of the promotion lattice. */
export const standardDTypes: readonly StandardDType[] = Object.keys(info) as StandardDType[];

/** The dtype of tangents and cotangents of integer and boolean values: no data at all. */
export const float0: ExtendedDType = { name: "float0", physicalShape: [0], physicalDtype: "bool" };

export function isStandardDType(dtype: unknown): dtype is StandardDType {
  return typeof dtype === "string" && Object.hasOwn(info, dtype);
}

/** The name as it is printed, e.g. `float32` or `key<fry>`. */
export function dtypeName(dtype: DType): string {
  return typeof dtype === "string" ? dtype : dtype.name;
}

export function dtypeKind(dtype: DType): DTypeKind {
  return typeof dtype === "string" ? info[dtype].kind : "extended";
}

/** Bytes of one element, all planes of a complex one included. */
export function itemsize(dtype: DType): number {
  if (typeof dtype === "string") return info[dtype].bytes;
  return dtype.physicalShape.reduce((a, b) => a * b, 1) * info[dtype.physicalDtype].bytes;
}

export function isFloat(dtype: DType): boolean {
  return dtypeKind(dtype) === "float";
}

/** Signed or unsigned integer; bool is not one. */
export function isInteger(dtype: DType): boolean {
  const kind = dtypeKind(dtype);
  return kind === "int" || kind === "uint";
}

export function isComplex(dtype: DType): boolean {
  return dtypeKind(dtype) === "complex";
}

/** Float or complex: the dtypes that have derivatives. */
export function isInexact(dtype: DType): boolean {
  return isFloat(dtype) || isComplex(dtype);
}

/** Checks a dtype that came from a caller. @throws {DTypeError} when it is not a dtype */
export function checkDType(fn: string, dtype: DType): DType {
  if (isStandardDType(dtype) || (typeof dtype === "object" && dtype !== null && "physicalDtype" in dtype)) return dtype;
  throw new DTypeError(fn, {
    message: `${JSON.stringify(dtype) ?? String(dtype)} is not a dtype`,
    fix: `use one of ${standardDTypes.join(", ")}`,
  });
}

/** The real dtype of a complex one's parts; other dtypes are returned unchanged. */
export function realDType(dtype: DType): DType {
  return dtype === "complex64" ? "float32" : dtype === "complex128" ? "float64" : dtype;
}

/** The complex dtype whose parts hold `dtype` without loss. */
export function complexDType(dtype: DType): StandardDType {
  return dtype === "float64" || dtype === "complex128" || dtype === "int64" || dtype === "uint64" ? "complex128" : "complex64";
}

/** The dtype of tangents of values of `dtype`: itself when inexact, else float0. */
export function tangentDType(dtype: DType): DType {
  return isInexact(dtype) ? dtype : float0;
}
