import type { HostArray } from "./device.ts";
import { type DType, isComplex, type StandardDType } from "./dtypes.ts";
import { ShapeError, ValueError } from "./errors.ts";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "./halves.ts";

export type TypedArray =
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

/** Nested JavaScript arrays of scalars, or one scalar. Complex numbers are `[re, im]`. */
export type Nested = number | bigint | boolean | readonly Nested[];

type Float16Constructor = new (buffer: ArrayBufferLike, byteOffset?: number, length?: number) => TypedArray;
const Float16: Float16Constructor | undefined = (globalThis as unknown as { Float16Array?: Float16Constructor }).Float16Array;

const views = {
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  float32: Float32Array,
  float64: Float64Array,
  bool: Uint8Array,
  complex64: Float32Array,
  complex128: Float64Array,
} as const;

/** The dtype of a typed array given by a caller; Uint8ClampedArray counts as uint8. */
export function typedArrayDType(x: ArrayBufferView): StandardDType | null {
  if (Float16 !== undefined && x instanceof Float16) return "float16";
  for (const [name, View] of Object.entries(views)) if (x instanceof View) return name as StandardDType;
  return x instanceof Uint8ClampedArray ? "uint8" : null;
}

export function isTypedArray(x: unknown): x is TypedArray {
  return ArrayBuffer.isView(x) && !(x instanceof DataView) && typedArrayDType(x) !== null;
}

/** The values of a host array as the typed array that users see: see `NDArray.data`. The result owns its memory. */
export function toTyped({ dtype, bytes }: HostArray): TypedArray {
  const copy = bytes.slice().buffer;
  if (dtype === "float16") {
    if (Float16 !== undefined) return new Float16(copy);
    return Float32Array.from(new Uint16Array(copy), float16ToFloat32);
  }
  if (dtype === "bfloat16") return Float32Array.from(new Uint16Array(copy), bfloat16ToFloat32);
  return new views[dtype](copy);
}

type Scalar = number | bigint | boolean;

/** Converts with JAX's rules: float to integer saturates and NaN is 0, integers wrap, bool is `!= 0`. */
function writer(dtype: StandardDType, view: TypedArray): (i: number, x: Scalar) => void {
  switch (dtype) {
    case "bool":
      return (i, x) => (view[i] = x ? 1 : 0);
    case "int64":
    case "uint64":
      return (i, x) => ((view as BigInt64Array)[i] = toBigInt(x, dtype));
    case "float16":
      return (i, x) => (view[i] = float32ToFloat16(Number(x)));
    case "bfloat16":
      return (i, x) => (view[i] = float32ToBfloat16(Number(x)));
    case "float32":
    case "float64":
    case "complex64":
    case "complex128":
      return (i, x) => (view[i] = Number(x));
    default: {
      const [lo, hi] = integerRange(dtype);
      return (i, x) => {
        if (typeof x === "bigint") view[i] = Number(BigInt.asIntN(32, x));
        else if (typeof x === "number" && !Number.isInteger(x)) {
          view[i] = Number.isNaN(x) ? 0 : Math.min(Math.max(Math.trunc(x), lo), hi);
        } else view[i] = Number(x);
      };
    }
  }
}

function toBigInt(x: Scalar, dtype: "int64" | "uint64"): bigint {
  if (typeof x !== "number") return BigInt(x);
  const [lo, hi] = dtype === "int64" ? [-(2n ** 63n), 2n ** 63n - 1n] : [0n, 2n ** 64n - 1n];
  if (Number.isNaN(x)) return 0n;
  if (x === Infinity) return hi;
  if (x === -Infinity) return lo;
  return BigInt(Math.trunc(x));
}

/** Smallest and largest value of an integer dtype of at most 32 bits. */
export function integerRange(dtype: StandardDType): [number, number] {
  const bits = Number(dtype.replace(/\D+/, ""));
  return dtype.startsWith("u") ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
}

function storage(dtype: StandardDType, n: number): TypedArray {
  if (dtype === "float16" || dtype === "bfloat16") return new Uint16Array(n);
  return new views[dtype](isComplex(dtype) ? 2 * n : n);
}

function bytesOf(view: TypedArray): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** A host array with every element equal to `value`. */
export function hostFull(shape: readonly number[], value: Scalar, dtype: StandardDType): HostArray {
  const size = shape.reduce((a, b) => a * b, 1);
  const view = storage(dtype, size);
  const write = writer(dtype, view);
  const step = isComplex(dtype) ? 2 : 1;
  for (let i = 0; i < size; i++) write(i * step, value);
  return { shape, dtype, bytes: bytesOf(view) };
}

/** Reinterprets or converts a typed array as `dtype` of `shape`. Shares memory when no conversion is needed. */
export function hostFromTyped(data: TypedArray, shape: readonly number[], dtype: StandardDType): HostArray {
  const size = shape.reduce((a, b) => a * b, 1);
  const expected = isComplex(dtype) ? 2 * size : size;
  if (data.length !== expected) {
    throw new ShapeError("array", {
      message: `a typed array of ${data.length} elements does not fill the shape`,
      operands: { shape },
      fix: `give ${expected} elements`,
    });
  }
  const from = typedArrayDType(data);
  const direct =
    from === dtype ||
    (isComplex(dtype) && (dtype === "complex64") === (from === "float32") && (from === "float32" || from === "float64"));
  if (direct) return { shape, dtype, bytes: bytesOf(data) };
  const view = storage(dtype, size);
  const write = writer(dtype, view);
  for (let i = 0; i < data.length; i++) write(i, data[i]);
  return { shape, dtype, bytes: bytesOf(view) };
}

/** The shape of nested arrays. @throws {ShapeError} when they are ragged */
export function nestedShape(x: Nested): number[] {
  const shape: number[] = [];
  for (let level: Nested = x; Array.isArray(level); level = level[0]) {
    shape.push(level.length);
    if (level.length === 0) break;
  }
  return shape;
}

/** Flattens nested arrays, calling `visit` with each scalar in row-major order. */
export function visitNested(x: Nested, shape: readonly number[], visit: (leaf: unknown, i: number) => void): void {
  let i = 0;
  const walk = (node: unknown, depth: number): void => {
    if (depth === shape.length) {
      if (Array.isArray(node)) throw ragged(shape);
      visit(node, i++);
      return;
    }
    if (!Array.isArray(node) || node.length !== shape[depth]) throw ragged(shape);
    for (const child of node) walk(child, depth + 1);
  };
  walk(x, 0);
}

function ragged(shape: readonly number[]): ShapeError {
  return new ShapeError("array", {
    message: "nested arrays are ragged: every array of one level must have the same length",
    operands: { "shape of the first branch": shape },
    fix: "pad the shorter ones to one length",
  });
}

/** A host array from nested scalars. */
export function hostFromNested(x: Nested, shape: readonly number[], dtype: StandardDType): HostArray {
  const size = shape.reduce((a, b) => a * b, 1);
  const view = storage(dtype, size);
  const write = writer(dtype, view);
  const step = isComplex(dtype) ? 2 : 1;
  visitNested(x, shape, (leaf, i) => {
    if (typeof leaf !== "number" && typeof leaf !== "bigint" && typeof leaf !== "boolean") {
      throw new ValueError("array", {
        message: `${String(leaf)} is not a number, bigint or boolean`,
        fix: "give numbers, bigints or booleans, nested in arrays",
      });
    }
    write(i * step, leaf);
  });
  return { shape, dtype, bytes: bytesOf(view) };
}

/** Nests flat values again: the inverse of `hostFromNested`, as `js()` returns it. */
export function nest(data: TypedArray, shape: readonly number[], dtype: DType): Nested {
  let i = 0;
  const complex = isComplex(dtype);
  const bool = dtype === "bool";
  const build = (depth: number): Nested => {
    if (depth < shape.length) return Array.from({ length: shape[depth] }, () => build(depth + 1));
    if (complex) return [data[i++] as number, data[i++] as number];
    const value = data[i++];
    return bool ? value !== 0 : value;
  };
  return build(0);
}
