import {
  type Aval,
  AxisError,
  type DType,
  DTypeError,
  type DTypeKind,
  dtypeKind,
  dtypeName,
  isInteger,
  joinVarying,
  makeAval,
  refuseTracedIntegers,
  sameShape,
  ShapeError,
} from "@traceform/core";

/** The parameters of a primitive that has none. */
export type NoParams = Readonly<Record<never, never>>;
export const noParams: NoParams = Object.freeze({});

/** Sets of dtypes that primitives accept, named as their errors print them. */
export interface DTypeSet {
  readonly name: string;
  readonly kinds: readonly DTypeKind[];
}
export const anyDType: DTypeSet = { name: "any", kinds: ["bool", "int", "uint", "float", "complex", "extended"] };
export const standard: DTypeSet = { name: "numeric or boolean", kinds: ["bool", "int", "uint", "float", "complex"] };
export const ordered: DTypeSet = { name: "ordered", kinds: ["bool", "int", "uint", "float"] };
export const numeric: DTypeSet = { name: "numeric", kinds: ["int", "uint", "float", "complex"] };
export const real: DTypeSet = { name: "integer or floating-point", kinds: ["int", "uint", "float"] };
export const inexact: DTypeSet = { name: "floating-point or complex", kinds: ["float", "complex"] };
export const floating: DTypeSet = { name: "floating-point", kinds: ["float"] };
export const complexOnly: DTypeSet = { name: "complex", kinds: ["complex"] };
export const integral: DTypeSet = { name: "integer", kinds: ["int", "uint"] };
export const bits: DTypeSet = { name: "boolean or integer", kinds: ["bool", "int", "uint"] };
export const booleans: DTypeSet = { name: "bool", kinds: ["bool"] };

const suggestions: Readonly<Record<string, string>> = {
  [floating.name]: 'convert it with convertElementType(x, "float32")',
  [inexact.name]: 'convert it with convertElementType(x, "float32")',
  [integral.name]: 'convert it with convertElementType(x, "int32")',
  [numeric.name]: 'convert booleans with convertElementType(x, "int32"), or use the functions of @traceform/numpy',
  [booleans.name]: "compare it with ne(x, 0)",
};

/** @throws {DTypeError} when the dtype of `x` is not in `set` */
export function checkDTypeSet(fn: string, name: string, x: Aval, set: DTypeSet): void {
  if (set.kinds.includes(dtypeKind(x.dtype))) return;
  throw new DTypeError(fn, {
    message: `${name} must have a dtype of the kind: ${set.name}`,
    operands: { [name]: x },
    fix: suggestions[set.name] ?? `pass an array of another dtype than ${dtypeName(x.dtype)}`,
  });
}

/** Names `x, y` or `x0, x1, …` for errors. */
export function nameOperands(avals: readonly Aval[]): Record<string, Aval> {
  const names = avals.length === 2 ? ["lhs", "rhs"] : avals.map((_, i) => (avals.length === 1 ? "x" : `x${i}`));
  return Object.fromEntries(avals.map((a, i) => [names[i], a]));
}

/** @throws {DTypeError} unless all dtypes are the same: lax never promotes by itself */
export function checkSameDType(fn: string, avals: readonly Aval[]): void {
  const { dtype } = avals[0];
  for (let i = 1; i < avals.length; i++) {
    if (avals[i].dtype === dtype) continue;
    throw new DTypeError(fn, {
      message: "operands must have equal dtypes",
      operands: nameOperands(avals),
      fix: "convert one operand with convertElementType, or use the function of @traceform/numpy, which promotes",
    });
  }
}

/**
 * The common shape of elementwise operands: equal shapes, or rank 0 mixed with one common shape.
 * @throws {ShapeError} for anything else: lax broadcasts only scalars
 */
export function elementwiseShape(fn: string, avals: readonly Aval[]): readonly number[] {
  let { shape } = avals[0];
  for (let i = 1; i < avals.length; i++) {
    const next = avals[i].shape;
    if (next.length === 0 || next === shape) continue;
    if (shape.length === 0) shape = next;
    else if (!sameShape(shape, next)) {
      throw new ShapeError(fn, {
        message: "operands must have equal shapes, or be scalars",
        operands: nameOperands(avals),
        fix: "broadcast with broadcastInDim, or use the function of @traceform/numpy, which broadcasts",
      });
    }
  }
  return shape;
}

/** Whether every operand is weakly typed: then, and only then, JAX types most results weakly. */
export function allWeak(avals: readonly Aval[]): boolean {
  for (const a of avals) if (!a.weakType) return false;
  return avals.length > 0;
}

/** The aval of a result. It varies over whatever the operands vary over. */
export function result(
  shape: readonly number[],
  dtype: DType,
  operands: readonly Aval[],
  weakType: boolean = allWeak(operands),
): Aval {
  return makeAval(shape, dtype, { weakType: weakType && dtype !== "bool", varying: joinVarying(operands) });
}

/** `aval` also varying over the axes of `operands`. */
export function varyingLike(aval: Aval, operands: readonly Aval[]): Aval {
  const varying = joinVarying([aval, ...operands]);
  return varying.length === aval.varying.length ? aval : makeAval(aval.shape, aval.dtype, { weakType: aval.weakType, varying });
}

/** @throws {AxisError} unless `axes` are distinct integers in `[0, ndim)` */
export function checkAxes(fn: string, axes: readonly number[], ndim: number, operands: Record<string, unknown>): void {
  for (let i = 0; i < axes.length; i++) {
    const axis = axes[i];
    if (!Number.isInteger(axis) || axis < 0 || axis >= ndim) {
      throw new AxisError(fn, {
        message: `axis ${axis} is outside [0, ${ndim})`,
        operands: { ...operands, axes },
        fix: "give axes of x; numpy's functions count negative ones from the end",
      });
    }
    if (axes.indexOf(axis) !== i) {
      throw new AxisError(fn, {
        message: `axis ${axis} appears twice`,
        operands: { ...operands, axes },
        fix: "name each axis once",
      });
    }
  }
}

/** @throws {ShapeError} unless every entry is a non-negative integer */
export function checkShape(fn: string, shape: readonly number[]): void {
  for (const n of shape) {
    if (Number.isInteger(n) && n >= 0) continue;
    refuseTracedIntegers(fn, "a size", shape);
    throw new ShapeError(fn, {
      message: "a shape is a list of non-negative integers",
      operands: { shape },
      fix: "shapes are ordinary JavaScript numbers, known when the function is traced",
    });
  }
}

export function product(xs: readonly number[]): number {
  let p = 1;
  for (const x of xs) p *= x;
  return p;
}

/** @throws {DTypeError} unless index vectors are integers; @throws {ShapeError} unless they have `components` components */
export function checkIndices(fn: string, indices: Aval, components: number): void {
  if (!isInteger(indices.dtype)) {
    throw new DTypeError(fn, {
      message: "indices must be integers",
      operands: { indices },
      fix: 'convert them with convertElementType(indices, "int32")',
    });
  }
  if (indices.ndim === 0 || indices.shape[indices.ndim - 1] !== components) {
    throw new ShapeError(fn, {
      message: `the last axis of the indices must have size ${components}, one component for each indexed axis`,
      operands: { indices },
      fix: "add an axis with expandDims(indices, [-1]) when there is one indexed axis",
    });
  }
}
