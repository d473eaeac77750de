import {
  type ArrayLike,
  asArray,
  type DType,
  DTypeError,
  dtypeKind,
  dtypeName,
  isInexact,
  type NDArray,
  type NestedArrayLike,
  resultType,
  sameShape,
  scalar,
  ShapeError,
  toInexact,
  type WeakDType,
} from "@traceform/core";
import { broadcastInDim, broadcastShapes, concatenate, convertElementTypeWeak, reshape } from "@traceform/lax";

type Scalar = number | bigint | boolean;

export function isScalar(x: unknown): x is Scalar {
  return typeof x === "number" || typeof x === "bigint" || typeof x === "boolean";
}

function isArray(x: unknown): x is NDArray {
  return typeof x === "object" && x !== null && "aval" in x;
}

/** Any array-like as an array. Nested lists may hold arrays and tracers, which are stacked. */
export function toArray(x: ArrayLike): NDArray {
  return Array.isArray(x) && holdsArrays(x) ? stackNested(x) : asArray(x);
}

function holdsArrays(x: readonly unknown[]): boolean {
  for (const child of x) if (isArray(child) || (Array.isArray(child) && holdsArrays(child))) return true;
  return false;
}

function stackNested(x: NestedArrayLike): NDArray {
  const parts = convertAll(x.map((child) => (isScalar(child) ? child : toArray(child))));
  const [first] = parts;
  for (const p of parts) {
    if (!sameShape(p.shape, first.shape)) {
      throw new ShapeError("array", {
        message: "nested arrays are ragged",
        operands: { first, other: p },
        fix: "pad the shorter ones to one length",
      });
    }
  }
  return concatenate(
    parts.map((p) => reshape(p, [1, ...p.shape])),
    0,
  );
}

/** Operands converted to `type`; JavaScript scalars become constants of it. */
export function convertTo(x: ArrayLike, type: WeakDType): NDArray {
  if (isScalar(x)) {
    if (dtypeKind(type.dtype) !== "extended") return scalar(x, type.dtype, type.weakType || typeof x !== "boolean");
  }
  const a = toArray(x);
  // Weak types need no conversion of their own: primitives type their results weakly when all operands are weak.
  return a.dtype === type.dtype ? a : convertElementTypeWeak(a, type.dtype, type.weakType);
}

/** All operands in their common dtype, shapes untouched. */
export function convertAll(xs: readonly ArrayLike[]): NDArray[] {
  const [x] = xs;
  if (isArray(x) && xs.every((y) => isArray(y) && y.dtype === x.dtype)) return xs as NDArray[];
  const operands = xs.map((y) => (isScalar(y) ? y : toArray(y)));
  const type = resultType(...operands);
  return operands.map((y) => convertTo(y, type));
}

/** `x` placed into `shape` by NumPy's rules. Scalars stay scalars when `keepScalars`: primitives broadcast them. */
export function broadcastTo(fn: string, x: NDArray, shape: readonly number[], keepScalars = false): NDArray {
  if ((keepScalars && x.ndim === 0) || sameShape(x.shape, shape)) return x;
  const offset = shape.length - x.ndim;
  const fits = offset >= 0 && x.shape.every((n, i) => n === 1 || n === shape[offset + i]);
  if (!fits) {
    throw new ShapeError(fn, {
      message: `x does not broadcast to [${shape.join(",")}]`,
      operands: { x },
      fix: "sizes must be equal or 1, counted from the last axis",
    });
  }
  return broadcastInDim(
    x,
    shape,
    x.shape.map((_, i) => offset + i),
  );
}

/** Operands broadcast against each other; scalars are left to the primitives. */
export function broadcastAll(fn: string, xs: readonly NDArray[]): NDArray[] {
  const shape = commonShape(fn, xs);
  return shape === null ? (xs as NDArray[]) : xs.map((x) => broadcastTo(fn, x, shape, true));
}

/** The broadcast shape, or null when every operand is a scalar or has it already. */
function commonShape(fn: string, xs: readonly NDArray[]): readonly number[] | null {
  let shape: readonly number[] | null = null;
  for (const x of xs) {
    if (x.ndim === 0) continue;
    if (shape === null) shape = x.shape;
    else if (x.shape !== shape && !sameShape(x.shape, shape)) return resultShape(fn, xs);
  }
  return null;
}

/** NumPy's broadcast of the shapes. @throws {ShapeError} naming the operands when they do not fit */
export function resultShape(fn: string, xs: readonly NDArray[]): readonly number[] {
  try {
    return broadcastShapes(...xs.map((x) => x.shape));
  } catch (cause) {
    throw new ShapeError(fn, {
      message: "the operands do not broadcast together",
      operands: Object.fromEntries(xs.map((x, i) => [xs.length === 2 ? ["lhs", "rhs"][i] : `x${i}`, x])),
      fix: "sizes must be equal or 1, counted from the last axis; add axes with expandDims",
      cause,
    });
  }
}

/** Common dtype and broadcast shapes: what every binary ufunc starts with. */
export function promote(fn: string, xs: readonly ArrayLike[]): NDArray[] {
  return broadcastAll(fn, convertAll(xs));
}

/** Like `promote`, with integers and bools made floating-point. */
export function promoteInexact(fn: string, xs: readonly ArrayLike[]): NDArray[] {
  const operands = xs.map((y) => (isScalar(y) ? y : toArray(y)));
  const type = resultType(...operands);
  const own = { dtype: toInexact(checkNumeric(fn, type.dtype)), weakType: type.weakType };
  return broadcastAll(
    fn,
    operands.map((y) => convertTo(y, own)),
  );
}

/** Like `promote`, with bools made int32. */
export function promoteNumeric(fn: string, xs: readonly ArrayLike[]): NDArray[] {
  const operands = convertAll(xs);
  const list = operands[0].dtype === "bool" ? operands.map((x) => convertTo(x, { dtype: "int32", weakType: false })) : operands;
  return broadcastAll(fn, list);
}

/** One operand as a floating-point (or complex) array. */
export function inexact(fn: string, x: ArrayLike): NDArray {
  const a = toArray(x);
  return isInexact(a.dtype) ? a : convertElementTypeWeak(a, toInexact(checkNumeric(fn, a.dtype)), a.aval.weakType);
}

function checkNumeric(fn: string, dtype: DType): DType {
  if (dtypeKind(dtype) !== "extended") return dtype;
  throw new DTypeError(fn, {
    message: `${dtypeName(dtype)} has no arithmetic`,
    fix: "extended dtypes can be moved and compared only",
  });
}
