import {
  type ArrayLike,
  AxisError,
  bind1,
  canonicalAxis,
  checkDType,
  definePrimitive,
  type DType,
  dtypeName,
  type NDArray,
  type Primitive,
  ShapeError,
} from "@traceform/core";
import { allWeak, checkAxes, checkSameDType, nameOperands, result } from "./internal/infer.ts";
import { pair } from "./internal/operands.ts";

/** Which axes of the operands of `dotGeneral` are summed over and which are batch axes, pairwise. */
export interface DotDimensionNumbers {
  readonly lhsContract: readonly number[];
  readonly rhsContract: readonly number[];
  readonly lhsBatch: readonly number[];
  readonly rhsBatch: readonly number[];
}

/** `"default"`, `"high"` and `"highest"`: how much rounding of the inputs a backend may trade for speed. */
export type PrecisionLike = null | string;
export const Precision: { readonly DEFAULT: "default"; readonly HIGH: "high"; readonly HIGHEST: "highest" } =
  /* @__PURE__ */ Object.freeze({ DEFAULT: "default", HIGH: "high", HIGHEST: "highest" });

export interface DotGeneralParams {
  readonly dimensionNumbers: DotDimensionNumbers;
  readonly precision: PrecisionLike;
  readonly preferredElementType: DType | null;
}
/** The result has the axes `batch ++ lhsFree ++ rhsFree`. */
export const dotGeneralP: Primitive<DotGeneralParams> = /* @__PURE__ */ definePrimitive<DotGeneralParams>("dot_general", {
  abstractEval: (avals, { dimensionNumbers, preferredElementType }) => {
    const fn = "dotGeneral";
    const [lhs, rhs] = avals;
    const { lhsContract, rhsContract, lhsBatch, rhsBatch } = dimensionNumbers;
    checkSameDType(fn, avals);
    checkAxes(fn, [...lhsContract, ...lhsBatch], lhs.ndim, { lhs, rhs });
    checkAxes(fn, [...rhsContract, ...rhsBatch], rhs.ndim, { lhs, rhs });
    for (const [what, l, r] of [
      ["contracted", lhsContract, rhsContract],
      ["batch", lhsBatch, rhsBatch],
    ] as const) {
      if (l.length !== r.length) {
        throw new AxisError(fn, {
          message: `${what} axes come in pairs, got [${l}] and [${r}]`,
          operands: { lhs, rhs },
          fix: "name as many axes of one operand as of the other",
        });
      }
      l.forEach((d, i) => {
        if (lhs.shape[d] !== rhs.shape[r[i]]) {
          throw new ShapeError(fn, {
            message: `${what} axes must have equal sizes: axis ${d} of lhs has ${lhs.shape[d]}, axis ${r[i]} of rhs has ${rhs.shape[r[i]]}`,
            operands: nameOperands(avals),
            fix: "transpose one operand, or name other axes in dimensionNumbers",
          });
        }
      });
    }
    const free = (shape: readonly number[], used: readonly number[]): number[] => shape.filter((_, i) => !used.includes(i));
    const shape = [
      ...lhsBatch.map((d) => lhs.shape[d]),
      ...free(lhs.shape, [...lhsContract, ...lhsBatch]),
      ...free(rhs.shape, [...rhsContract, ...rhsBatch]),
    ];
    return [result(shape, preferredElementType ?? lhs.dtype, avals, allWeak(avals))];
  },
  hiddenParams: ["precision", "preferredElementType"],
});

/** JAX's nested pairs `[[lhsContract, rhsContract], [lhsBatch, rhsBatch]]`, or the axes by name. */
export type DotDimensionNumbersLike =
  | readonly [contract: readonly [readonly number[], readonly number[]], batch?: readonly [readonly number[], readonly number[]]]
  | {
      readonly lhsContract: readonly number[];
      readonly rhsContract: readonly number[];
      readonly lhsBatch?: readonly number[];
      readonly rhsBatch?: readonly number[];
    };

export interface DotOptions {
  readonly precision?: PrecisionLike;
  /** The dtype to accumulate in and to return. */
  readonly preferredElementType?: DType | null;
}

/**
 * Sums products over pairs of axes: the tensor contraction under every matrix product.
 *
 * The result has the batch axes, then the free axes of `lhs`, then those of `rhs`.
 * @throws {ShapeError} when paired axes differ in size
 */
export function dotGeneral(
  lhs: ArrayLike,
  rhs: ArrayLike,
  dimensionNumbers: DotDimensionNumbersLike,
  options?: DotOptions,
): NDArray {
  const operands = pair(lhs, rhs);
  const [l, r] = operands;
  const named = isPairs(dimensionNumbers)
    ? {
        lhsContract: dimensionNumbers[0][0],
        rhsContract: dimensionNumbers[0][1],
        lhsBatch: dimensionNumbers[1]?.[0],
        rhsBatch: dimensionNumbers[1]?.[1],
      }
    : dimensionNumbers;
  const axes = (list: readonly number[] | undefined, ndim: number): number[] =>
    list === undefined ? [] : list.map((d) => canonicalAxis("dotGeneral", d, ndim));
  const preferred = options?.preferredElementType ?? null;
  return bind1(
    dotGeneralP,
    operands,
    dotParams(
      axes(named.lhsContract, l.ndim),
      axes(named.rhsContract, r.ndim),
      axes(named.lhsBatch, l.ndim),
      axes(named.rhsBatch, r.ndim),
      options?.precision ?? null,
      preferred === null ? null : checkDType("dotGeneral", preferred),
    ),
  );
}

// Equal parameters are one object: eager evaluation finds their key by identity, which makes a small product twice as fast.
const interned = /* @__PURE__ */ new Map<string, DotGeneralParams>();

function dotParams(
  lhsContract: readonly number[],
  rhsContract: readonly number[],
  lhsBatch: readonly number[],
  rhsBatch: readonly number[],
  precision: PrecisionLike,
  preferredElementType: DType | null,
): DotGeneralParams {
  const dtype = preferredElementType === null ? "" : dtypeName(preferredElementType);
  const key = `${lhsContract};${rhsContract};${lhsBatch};${rhsBatch};${precision};${dtype}`;
  let params = interned.get(key);
  if (params === undefined) {
    if (interned.size >= 512) interned.clear();
    params = { dimensionNumbers: { lhsContract, rhsContract, lhsBatch, rhsBatch }, precision, preferredElementType };
    interned.set(key, params);
  }
  return params;
}

function isPairs(d: DotDimensionNumbersLike): d is Exclude<DotDimensionNumbersLike, { lhsContract: unknown }> {
  return Array.isArray(d);
}

/** Axes by the names that XLA gives them. */
export interface DotDims {
  readonly lhsContractingDims?: readonly number[];
  readonly rhsContractingDims?: readonly number[];
  readonly lhsBatchDims?: readonly number[];
  readonly rhsBatchDims?: readonly number[];
}

/**
 * Vector and matrix products of operands with one or two axes: the last axis of `lhs` with the first of `rhs`. With axes
 * in the options, `dotGeneral`.
 */
export function dot(lhs: ArrayLike, rhs: ArrayLike, options?: DotOptions & DotDims): NDArray {
  const [l, r] = pair(lhs, rhs);
  if (options !== undefined && ("lhsContractingDims" in options || "lhsBatchDims" in options)) {
    const { lhsContractingDims = [], rhsContractingDims = [], lhsBatchDims, rhsBatchDims } = options;
    return dotGeneral(
      l,
      r,
      { lhsContract: lhsContractingDims, rhsContract: rhsContractingDims, lhsBatch: lhsBatchDims, rhsBatch: rhsBatchDims },
      options,
    );
  }
  if (l.ndim < 1 || l.ndim > 2 || r.ndim < 1 || r.ndim > 2) {
    throw new ShapeError("dot", {
      message: "operands must be vectors or matrices",
      operands: { lhs: l, rhs: r },
      fix: "use dotGeneral, or matmul of @traceform/numpy",
    });
  }
  return dotGeneral(l, r, { lhsContract: [l.ndim - 1], rhsContract: [0] }, options);
}

/** Matrix products of stacks of matrices: all axes but the last two are batch axes and must be equal. */
export function batchMatmul(lhs: ArrayLike, rhs: ArrayLike, options?: DotOptions): NDArray {
  const [l, r] = pair(lhs, rhs);
  if (l.ndim !== r.ndim || l.ndim < 2) {
    throw new ShapeError("batchMatmul", {
      message: "operands must have the same number of axes, at least two",
      operands: { lhs: l, rhs: r },
      fix: "broadcast the batch axes first, or use numpy.matmul",
    });
  }
  const n = l.ndim;
  const batch = Array.from({ length: n - 2 }, (_, i) => i);
  return dotGeneral(l, r, { lhsContract: [n - 1], rhsContract: [n - 2], lhsBatch: batch, rhsBatch: batch }, options);
}
