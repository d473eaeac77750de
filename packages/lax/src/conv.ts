import {
  type ArrayLike,
  asArray,
  type Aval,
  bind1,
  checkDType,
  definePrimitive,
  type DType,
  type NDArray,
  type Primitive,
  ShapeError,
  ValueError,
} from "@traceform/core";
import type { PrecisionLike } from "./dot.ts";
import { checkDTypeSet, checkSameDType, numeric, result } from "./internal/infer.ts";
import { pair } from "./internal/operands.ts";
import { dilated, explicitPadding, type Padding, windowPositions } from "./internal/window.ts";
import { eq } from "./binary.ts";
import { convertElementType } from "./convert.ts";
import { broadcastedIota } from "./create.ts";
import { reshape, rev, tile, transpose } from "./shape.ts";
import { swapAxes } from "./internal/axes.ts";

export type { Padding };

/** Where each logical axis is: `[batch, feature, ...spatial]` of lhs and out, `[outFeature, inFeature, ...spatial]` of rhs. */
export interface ConvDimensionNumbers {
  readonly lhsSpec: readonly number[];
  readonly rhsSpec: readonly number[];
  readonly outSpec: readonly number[];
}

export interface ConvGeneralDilatedParams {
  readonly windowStrides: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
  readonly lhsDilation: readonly number[];
  readonly rhsDilation: readonly number[];
  readonly dimensionNumbers: ConvDimensionNumbers;
  readonly featureGroupCount: number;
  readonly batchGroupCount: number;
  readonly precision: PrecisionLike;
  readonly preferredElementType: DType | null;
}

const fn = "convGeneralDilated";

export const convGeneralDilatedP: Primitive<ConvGeneralDilatedParams> = /* @__PURE__ */ definePrimitive<ConvGeneralDilatedParams>(
  "conv_general_dilated",
  {
    hiddenParams: ["precision", "preferredElementType"],
    abstractEval: (avals, p) => {
      checkDTypeSet(fn, "lhs", avals[0], numeric);
      checkSameDType(fn, avals);
      return [result(convShape(avals[0], avals[1], p), p.preferredElementType ?? avals[0].dtype, avals)];
    },
  },
);

function convShape(lhs: Aval, rhs: Aval, p: ConvGeneralDilatedParams): number[] {
  const { lhsSpec, rhsSpec, outSpec } = p.dimensionNumbers;
  const operands = { lhs, rhs };
  const fail = (message: string, fix?: string): ShapeError => new ShapeError(fn, { message, operands, fix });
  if (lhs.ndim < 2 || lhs.ndim !== rhs.ndim || lhsSpec.length !== lhs.ndim || rhsSpec.length !== rhs.ndim) {
    throw fail("operands must have the same number of axes, at least two, all named by dimensionNumbers");
  }
  const spatial = lhs.ndim - 2;
  for (const list of [p.windowStrides, p.padding, p.lhsDilation, p.rhsDilation]) {
    if (list.length !== spatial) throw fail(`strides, padding and dilations are given for each of ${spatial} spatial axes`);
  }
  const batch = lhs.shape[lhsSpec[0]];
  const inFeatures = lhs.shape[lhsSpec[1]];
  const outFeatures = rhs.shape[rhsSpec[0]];
  const groups = p.featureGroupCount;
  if (groups > 1 && p.batchGroupCount > 1) throw fail("featureGroupCount and batchGroupCount exclude each other");
  if (rhs.shape[rhsSpec[1]] * groups !== inFeatures) {
    throw fail(
      `lhs has ${inFeatures} features, rhs takes ${rhs.shape[rhsSpec[1]]} in each of ${groups} groups`,
      "check dimensionNumbers (JAX's default is NCHW with OIHW kernels) and featureGroupCount",
    );
  }
  if (outFeatures % groups !== 0 || outFeatures % p.batchGroupCount !== 0) {
    throw fail(`the ${outFeatures} output features do not divide into ${Math.max(groups, p.batchGroupCount)} groups`);
  }
  if (batch % p.batchGroupCount !== 0) throw fail(`the batch of ${batch} does not divide into ${p.batchGroupCount} groups`);
  const sizes = windowPositions(
    lhsSpec.slice(2).map((d, i) => dilated(lhs.shape[d], p.lhsDilation[i])),
    rhsSpec.slice(2).map((d, i) => dilated(rhs.shape[d], p.rhsDilation[i])),
    p.windowStrides,
    p.padding,
  );
  const shape = new Array<number>(lhs.ndim);
  [batch / p.batchGroupCount, outFeatures, ...sizes].forEach((n, i) => (shape[outSpec[i]] = n));
  return shape;
}

/** Three strings such as `["NHWC", "HWIO", "NHWC"]`, or the index form. Default `NCHW`, `OIHW`, `NCHW`. */
export type ConvDimensionNumbersLike = ConvDimensionNumbers | readonly [lhs: string, rhs: string, out: string] | null;

/** The index form of convolution dimension numbers. @throws {ValueError} for strings that do not name every axis once */
export function convDimensionNumbers(
  lhsShape: readonly number[],
  _rhsShape: readonly number[],
  dimensionNumbers?: ConvDimensionNumbersLike,
): ConvDimensionNumbers {
  const ndim = lhsShape.length;
  if (!dimensionNumbers) {
    const spec = Array.from({ length: ndim }, (_, i) => i);
    return { lhsSpec: spec, rhsSpec: spec, outSpec: spec };
  }
  if ("lhsSpec" in dimensionNumbers) return dimensionNumbers;
  const [lhs, rhs, out] = dimensionNumbers;
  const spatial = [...lhs].filter((c) => c !== "N" && c !== "C");
  const find = (spec: string, names: readonly string[]): number[] => {
    const places = names.map((c) => spec.indexOf(c));
    if (spec.length !== ndim || places.includes(-1) || new Set(spec).size !== ndim) {
      throw new ValueError(fn, {
        message: `"${spec}" must name ${names.join(", ")} once each`,
        fix: 'use for instance ["NHWC", "HWIO", "NHWC"]',
      });
    }
    return places;
  };
  return {
    lhsSpec: find(lhs, ["N", "C", ...spatial]),
    rhsSpec: find(rhs, ["O", "I", ...spatial]),
    outSpec: find(out, ["N", "C", ...spatial]),
  };
}

export interface ConvOptions {
  readonly lhsDilation?: readonly number[];
  readonly rhsDilation?: readonly number[];
  readonly dimensionNumbers?: ConvDimensionNumbersLike;
  readonly featureGroupCount?: number;
  readonly batchGroupCount?: number;
  readonly precision?: PrecisionLike;
  readonly preferredElementType?: DType | null;
}

/**
 * Convolution (cross-correlation: the kernel is not flipped) over any number of spatial axes, with strides, padding,
 * dilation of both operands and groups.
 *
 * @example
 * ```ts
 * convGeneralDilated(x, k, [1, 1], "SAME", { dimensionNumbers: ["NHWC", "HWIO", "NHWC"] });
 * ```
 */
export function convGeneralDilated(
  lhs: ArrayLike,
  rhs: ArrayLike,
  windowStrides: readonly number[],
  padding: Padding,
  options: ConvOptions = {},
): NDArray {
  const operands = pair(lhs, rhs);
  const [l, r] = operands;
  const dimensionNumbers = convDimensionNumbers(l.shape, r.shape, options.dimensionNumbers);
  const ones = new Array<number>(Math.max(0, l.ndim - 2)).fill(1);
  const lhsDilation = options.lhsDilation ?? ones;
  const rhsDilation = options.rhsDilation ?? ones;
  if (typeof padding === "string" && padding.toUpperCase() !== "VALID" && lhsDilation.some((d) => d !== 1)) {
    throw new ValueError(fn, { message: `"${padding}" padding is not defined with lhsDilation`, fix: "use convTranspose" });
  }
  const { lhsSpec, rhsSpec } = dimensionNumbers;
  return bind1(convGeneralDilatedP, operands, {
    windowStrides,
    padding: explicitPadding(
      fn,
      padding,
      lhsSpec.slice(2).map((d, i) => dilated(l.shape[d], lhsDilation[i])),
      rhsSpec.slice(2).map((d, i) => dilated(r.shape[d], rhsDilation[i])),
      windowStrides,
    ),
    lhsDilation,
    rhsDilation,
    dimensionNumbers,
    featureGroupCount: options.featureGroupCount ?? 1,
    batchGroupCount: options.batchGroupCount ?? 1,
    precision: options.precision ?? null,
    preferredElementType: options.preferredElementType ? checkDType(fn, options.preferredElementType) : null,
  });
}

/** Convolution of `[n, c, ...spatial]` with `[o, c, ...spatial]`. */
export function conv(
  lhs: ArrayLike,
  rhs: ArrayLike,
  windowStrides: readonly number[],
  padding: Padding,
  options?: Pick<ConvOptions, "precision" | "preferredElementType">,
): NDArray {
  return convGeneralDilated(lhs, rhs, windowStrides, padding, options);
}

/** Convolution of `[n, c, ...spatial]` with dilation of both operands. */
export function convWithGeneralPadding(
  lhs: ArrayLike,
  rhs: ArrayLike,
  windowStrides: readonly number[],
  padding: Padding,
  lhsDilation?: readonly number[],
  rhsDilation?: readonly number[],
  options?: Pick<ConvOptions, "precision" | "preferredElementType">,
): NDArray {
  return convGeneralDilated(lhs, rhs, windowStrides, padding, { ...options, lhsDilation, rhsDilation });
}

export interface ConvTransposeOptions {
  readonly rhsDilation?: readonly number[];
  /** Default `NHWC`, `HWIO`, `NHWC` and their forms for one and three spatial axes, as in JAX. */
  readonly dimensionNumbers?: ConvDimensionNumbersLike;
  /** Flips the kernel's spatial axes and exchanges its features, so that this is the gradient of a convolution. */
  readonly transposeKernel?: boolean;
  readonly precision?: PrecisionLike;
  readonly preferredElementType?: DType | null;
}

/** The "deconvolution" that undoes the size change of a strided convolution: lhs is dilated by `strides`. */
export function convTranspose(
  lhs: ArrayLike,
  rhs: ArrayLike,
  strides: readonly number[],
  padding: Padding,
  options: ConvTransposeOptions = {},
): NDArray {
  const [l, k] = pair(lhs, rhs);
  let r = k;
  const spatial = l.ndim - 2;
  const dn = convDimensionNumbers(l.shape, r.shape, options.dimensionNumbers ?? channelsLast(spatial));
  const kernel = dn.rhsSpec.slice(2).map((d) => r.shape[d]);
  const dilation = options.rhsDilation ?? kernel.map(() => 1);
  const windows = kernel.map((n, i) => dilated(n, dilation[i]));
  const pads = typeof padding === "string" ? windows.map((n, i) => transposePadding(n, strides[i], padding)) : padding;
  if (options.transposeKernel) r = swapAxes(rev(r, dn.rhsSpec.slice(2)), dn.rhsSpec[0], dn.rhsSpec[1]);
  return convGeneralDilated(
    l,
    r,
    kernel.map(() => 1),
    pads,
    {
      lhsDilation: strides,
      rhsDilation: dilation,
      dimensionNumbers: dn,
      precision: options.precision,
      preferredElementType: options.preferredElementType,
    },
  );
}

function channelsLast(spatial: number): [string, string, string] {
  const names = ["", "H", "HW", "HWD"][spatial];
  if (names === undefined) {
    throw new ValueError("convTranspose", {
      message: `has no default dimensionNumbers for ${spatial} spatial axes`,
      fix: "pass dimensionNumbers",
    });
  }
  return [`N${names}C`, `${names}IO`, `N${names}C`];
}

function transposePadding(k: number, s: number, padding: string): [number, number] {
  if (padding.toUpperCase() === "SAME") {
    const total = k + s - 2;
    const low = s > k - 1 ? k - 1 : Math.ceil(total / 2);
    return [low, total - low];
  }
  if (padding.toUpperCase() === "VALID") return [k - 1, k + s - 2 + Math.max(k - s, 0) - (k - 1)];
  throw new ValueError("convTranspose", { message: `"${padding}" is no padding`, fix: 'use "SAME", "VALID" or pairs' });
}

/**
 * The windows that a convolution sees, as features: element `c * windowSize + k` of the feature axis is element k of the
 * window of feature c. Their product with a flattened kernel is the convolution.
 */
export function convGeneralDilatedPatches(
  lhs: ArrayLike,
  filterShape: readonly number[],
  windowStrides: readonly number[],
  padding: Padding,
  options: Omit<ConvOptions, "featureGroupCount" | "batchGroupCount"> = {},
): NDArray {
  const x = asArray(lhs);
  const spec = convDimensionNumbers(x.shape, x.shape, options.dimensionNumbers);
  const features = x.shape[spec.lhsSpec[1]];
  const size = filterShape.reduce((n, m) => n * m, 1);
  // One output feature for each place of the window: a kernel that is 1 there and 0 elsewhere, in every group.
  const unit = convertElementType(
    eq(broadcastedIota("int32", [size, size], 0), broadcastedIota("int32", [size, size], 1)),
    x.dtype,
  );
  const kernel = tile(reshape(unit, [size, 1, ...filterShape]), [features, 1, ...filterShape.map(() => 1)]);
  // The kernel above is laid out as OI…; its specification says where those axes stand.
  const places = spec.rhsSpec.map((_, i) => spec.rhsSpec.indexOf(i));
  return convGeneralDilated(x, transpose(kernel, places), windowStrides, padding, { ...options, featureGroupCount: features });
}
