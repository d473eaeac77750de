import type { NDArray, StandardDType } from "@traceform/core";

/** One operand: its shape, and how its values are drawn. */
export interface Operand {
  readonly shape: readonly number[];
  /** Of the case's dtype unless given. */
  readonly dtype?: StandardDType;
  /** Uniform in [low, high] (integers inclusive); floats default to [-2, 2]. */
  readonly range?: readonly [number, number];
  /** Mix in NaN, infinities, signed zeros, subnormals and the ends of the range. */
  readonly special?: boolean;
  /** These values, instead of drawn ones. */
  readonly values?: readonly number[];
}

/**
 * A program with operands, run on the backend under test and on the reference backend. The results must agree: exactly
 * for integers, within `ulps` units in the last place of the result dtype for floats, or within `relative` times the
 * greatest magnitude of the expected result where sums cancel.
 */
export interface ConformanceCase {
  /** `family: what`, e.g. `reduce: sum of the last axis`; `skip` refers to it. */
  readonly name: string;
  readonly dtypes: readonly StandardDType[];
  readonly operands: readonly Operand[];
  readonly run: (...xs: NDArray[]) => NDArray | readonly NDArray[];
  readonly ulps?: number;
  readonly relative?: number;
}

export const floats: readonly StandardDType[] = ["float32", "float64", "float16", "bfloat16"];
export const wide: readonly StandardDType[] = ["float32", "float64"];
export const ints: readonly StandardDType[] = ["int8", "int16", "int32", "int64"];
export const uints: readonly StandardDType[] = ["uint8", "uint16", "uint32", "uint64"];
export const integers: readonly StandardDType[] = [...ints, ...uints];
export const numbers: readonly StandardDType[] = [...floats, ...integers];
export const every: readonly StandardDType[] = [...numbers, "bool"];
export const complexes: readonly StandardDType[] = ["complex64", "complex128"];
