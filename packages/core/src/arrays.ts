import { type Aval, makeAval } from "./avals.ts";
import { hasDefaultBackend, defaultDevice } from "./backends.ts";
import { ConcreteArray, type ScalarValue } from "./concrete.ts";
import type { HostArray } from "./device.ts";
import { type DType, isComplex, isFloat, isStandardDType, type StandardDType } from "./dtypes.ts";
import { DTypeError, ValueError } from "./errors.ts";
import {
  hostFromNested,
  hostFromTyped,
  isTypedArray,
  type Nested,
  nestedShape,
  typedArrayDType,
  type TypedArray,
  visitNested,
} from "./host.ts";
import type { Literal } from "./jaxpr.ts";
import { isNDArray, type NDArray } from "./ndarray.ts";
import { numberType, promote, type WeakDType } from "./promotion.ts";

/** Whatever array functions accept: arrays, scalars, typed arrays, and nested JavaScript arrays of scalars or arrays. */
export type ArrayLike = NDArray | ScalarValue | TypedArray | NestedArrayLike;
export type NestedArrayLike = readonly (ScalarValue | NDArray | NestedArrayLike)[];

const scalars = new Map<string, ConcreteArray>();
const scalarLimit = 1024;

/** A constant of rank 0. Staged into a jaxpr it becomes a literal. Small ones are shared. */
export function scalar(value: ScalarValue, dtype: DType, weakType = false): NDArray {
  const key = `${typeof value === "number" && Object.is(value, -0) ? "-0" : value}${dtype as string}${weakType}`;
  const shared = scalars.get(key);
  if (shared !== undefined && !shared.isDisposed) return shared;
  if (!isStandardDType(dtype))
    throw new DTypeError("scalar", {
      message: "an extended dtype has no scalar constants",
      fix: "make such arrays with the functions of their library: random.key",
    });
  const aval = makeAval([], dtype, { weakType });
  const x = ConcreteArray.scalar(normalise(value, dtype), aval);
  if (scalars.size >= scalarLimit) scalars.clear();
  scalars.set(key, x);
  return x;
}

/** The scalar constant that a literal stands for. */
export function literalValue(literal: Literal): NDArray {
  return scalar(literal.value, literal.aval.dtype, literal.aval.weakType);
}

/** The value as the literal of a jaxpr holds it: bigint for 64-bit integers, boolean for bool, else number. */
function normalise(value: ScalarValue, dtype: StandardDType): ScalarValue {
  if (dtype === "bool") return Boolean(value);
  if (dtype === "int64" || dtype === "uint64")
    return BigInt.asIntN(64, typeof value === "number" ? BigInt(Math.trunc(value)) : BigInt(value));
  if (typeof value === "number" && (isFloat(dtype) || isComplex(dtype))) return dtype === "float32" ? Math.fround(value) : value;
  const host = hostFromNested(value, [], dtype);
  const view = new DataView(host.bytes.buffer, host.bytes.byteOffset, host.bytes.byteLength);
  switch (dtype) {
    case "int8":
      return view.getInt8(0);
    case "uint8":
      return view.getUint8(0);
    case "int16":
      return view.getInt16(0, true);
    case "uint16":
      return view.getUint16(0, true);
    case "int32":
      return view.getInt32(0, true);
    case "uint32":
      return view.getUint32(0, true);
    default:
      return Number(value);
  }
}

export interface AsArrayOptions {
  readonly dtype?: DType;
  readonly weakType?: boolean;
}

/**
 * An array from anything array-like. Arrays of the wanted dtype are returned as they are. A number is a weak float32,
 * a bigint a weak int32, a boolean a bool. Typed arrays keep their dtype; their values are copied.
 *
 * @throws {DTypeError} when an array or tracer would have to change dtype (that is an operation: use `astype`)
 * @throws {ShapeError} when nested arrays are ragged
 */
export function asArray(x: ArrayLike, options: AsArrayOptions = {}): NDArray {
  if (isNDArray(x)) {
    if (options.dtype === undefined || options.dtype === x.dtype) return x;
    throw new DTypeError("asArray", {
      message: `expected ${String(options.dtype)}`,
      operands: { x },
      fix: "convert it with astype",
    });
  }
  if (typeof x === "number" || typeof x === "boolean" || typeof x === "bigint") {
    const own = scalarType(x);
    return scalar(x, options.dtype ?? own.dtype, options.weakType ?? (options.dtype === undefined && own.weakType));
  }
  const dtype = options.dtype === undefined ? undefined : standard(options.dtype);
  if (isTypedArray(x)) {
    const own = typedArrayDType(x)!;
    const wanted = dtype ?? own;
    return place(hostFromTyped(x, isComplex(wanted) ? [x.length / 2] : [x.length], wanted), wanted === own);
  }
  if (Array.isArray(x)) {
    const shape = nestedShape(x as Nested);
    return place(hostFromNested(x as Nested, shape, dtype ?? nestedDType(x as Nested, shape)), false);
  }
  throw new ValueError("asArray", {
    message: `${x === null ? "null" : typeof x} is not array-like`,
    fix: "give an array, a number, a boolean, a typed array or nested arrays of numbers",
  });
}

/** The type of a JavaScript scalar on its own. */
export function scalarType(x: ScalarValue): WeakDType {
  if (typeof x === "boolean") return { dtype: "bool", weakType: false };
  return { dtype: typeof x === "bigint" ? "int32" : "float32", weakType: true };
}

function standard(dtype: DType): StandardDType {
  if (isStandardDType(dtype)) return dtype;
  throw new DTypeError("array", {
    message: `${JSON.stringify(dtype)} is not a dtype that host values can have`,
    fix: 'name a dtype of numbers, as "float32"',
  });
}

function nestedDType(x: Nested, shape: readonly number[]): StandardDType {
  const kinds = new Set<string>();
  visitNested(x, shape, (leaf) => kinds.add(typeof leaf));
  if (kinds.has("number") || kinds.size === 0) return "float32";
  return kinds.has("bigint") ? "int32" : "bool";
}

/** Host values as an array: on the default device at once when there is one, else when first needed. */
export function place(host: HostArray, sharesCallerMemory: boolean, aval: Aval = makeAval(host.shape, host.dtype)): NDArray {
  if (hasDefaultBackend() && host.bytes.byteLength >= 1 << 16) {
    const device = defaultDevice();
    return ConcreteArray.fromBuffer(device.backend.put(host, device), aval);
  }
  return ConcreteArray.fromHost(sharesCallerMemory ? { ...host, bytes: host.bytes.slice() } : host, aval);
}

/** An array of `shape` from a typed array in row-major order. */
export function fromTyped(data: TypedArray, shape: readonly number[], dtype: StandardDType): NDArray {
  return place(hostFromTyped(data, shape, dtype), true);
}

/** Anything with a dtype: for `resultType`. */
export type TypeLike = ArrayLike | DType | WeakDType;

function isWeakDType(x: unknown): x is WeakDType {
  return typeof x === "object" && x !== null && "dtype" in x && "weakType" in x;
}

/**
 * The dtype that an operation on all of these has, by JAX's lattice and the rules for JavaScript numbers.
 * Accepts arrays, scalars and dtypes.
 */
export function resultType(...xs: readonly TypeLike[]): WeakDType {
  const types: WeakDType[] = [];
  const numbers: number[] = [];
  for (const x of xs) {
    if (typeof x === "number") numbers.push(x);
    else if (isWeakDType(x)) types.push(x);
    else if (typeof x === "string" || (typeof x === "object" && "physicalDtype" in x)) types.push({ dtype: x, weakType: false });
    else if (typeof x === "boolean" || typeof x === "bigint") types.push(scalarType(x));
    else types.push(asArray(x as ArrayLike));
  }
  const beside = [...types];
  for (const n of numbers) types.push(numberType(n, beside));
  return promote(types);
}
