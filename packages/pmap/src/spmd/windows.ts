import type { Aval } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type Factor, type FactorEntry, type FactorRule, factors, range } from "./factors.ts";

// Operations over windows: along the axes of windows a part needs the borders of its neighbours.

const halo =
  "cut other axes, or exchange the borders of neighbouring parts inside shardMap, with ppermute (a halo exchange), and use no padding there";

/** What is done along an axis of windows; what is left out is 1, or no padding. */
interface Window {
  readonly size: number;
  readonly stride: number;
  readonly padding: readonly [number, number];
  readonly dilation?: number;
}
/** Whether each element is a window. */
const isPoint = ({ size, stride, padding, dilation = 1 }: Window): boolean =>
  size === 1 && stride === 1 && dilation === 1 && padding[0] === 0 && padding[1] === 0;

type Windowed = Pick<lax.ReduceWindowParams, "windowDimensions" | "windowStrides" | "padding"> & Partial<lax.ReduceWindowParams>;

/** Reductions of windows, and their derivatives: scalars start them. */
const windowed: FactorRule<Windowed> = (operands, results, p) => {
  const own = p.windowDimensions.map((size, d) => {
    const window = { size, stride: p.windowStrides[d], padding: p.padding[d], dilation: p.baseDilation?.[d] };
    return isPoint(window) ? d : null;
  });
  return { operands: operands.map((x) => (x.ndim === 0 ? [] : own)), results: results.map(() => own), fix: halo };
};

/**
 * Three factors, and one for each axis of windows of one element. Without groups: images, features of the result, features that are
 * summed over. With groups these are cut along what groups are made of, and each device has some of the groups.
 */
const convolution: FactorRule<lax.ConvGeneralDilatedParams> = ([lhs, rhs], [out], params) => {
  const { lhsSpec, rhsSpec, outSpec } = params.dimensionNumbers;
  const { featureGroupCount, batchGroupCount } = params;
  const [images, features, summed] = [0, 1, 2];
  const place = (aval: Aval, spec: readonly number[], first: Factor, second: Factor, spatial: readonly Factor[]): Factor[] =>
    range(aval.ndim).map((d) => (d === spec[0] ? first : d === spec[1] ? second : spatial[spec.indexOf(d) - 2]));
  const points = params.windowStrides.map((stride, k) => {
    const dilation = params.lhsDilation[k];
    return isPoint({ size: rhs.shape[rhsSpec[k + 2]], stride, padding: params.padding[k], dilation }) ? 3 + k : null;
  });
  const kernel = points.map(() => null);
  const groups = Math.max(featureGroupCount, batchGroupCount);
  const grain = groups > 1 ? { grain: new Map([[features, groups]]) } : {};
  const common = {
    ...grain,
    reduce: "psum",
    fix: halo,
    localize: ([l, r]: readonly (readonly number[])[]) => ({
      ...params,
      featureGroupCount: l[lhsSpec[1]] / r[rhsSpec[1]],
      batchGroupCount: batchGroupCount > 1 ? (batchGroupCount * l[lhsSpec[0]]) / lhs.shape[lhsSpec[0]] : 1,
    }),
  } as const;
  if (batchGroupCount > 1) {
    return {
      operands: [place(lhs, lhsSpec, features, summed, points), place(rhs, rhsSpec, features, summed, kernel)],
      results: [place(out, outSpec, null, features, points)],
      ...common,
    };
  }
  const grouped = featureGroupCount > 1;
  return {
    operands: [
      place(lhs, lhsSpec, images, grouped ? features : summed, points),
      place(rhs, rhsSpec, features, grouped ? null : summed, kernel),
    ],
    results: [place(out, outSpec, images, features, points)],
    ...common,
  };
};

export const windows = (): readonly FactorEntry[] => [
  factors(lax.convGeneralDilatedP, convolution),
  factors(lax.reduceWindowSumP, windowed),
  factors(lax.reduceWindowMaxP, windowed),
  factors(lax.reduceWindowMinP, windowed),
  factors(lax.reduceWindowP, windowed),
  factors(lax.selectAndScatterAddP, windowed),
  factors(lax.selectAndGatherAddP, windowed),
];
