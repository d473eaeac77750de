import { type Aval, type NDArray, type Params, type Primitive, watchP } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type Factor, type FactorEntry, type FactorRule, factors, type Owned, type Select } from "./factors.ts";

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
/** The factors of an array with some axes that must be whole. */
const except = (ndim: number, whole: readonly number[]): Factor[] => range(ndim).map((d) => (whole.includes(d) ? null : d));

/** Element by element: scalars go with all. */
const elementwise: FactorRule<never> = (operands, results) => {
  const rank = Math.max(...results.map((r) => r.ndim));
  return { operands: operands.map((x) => (x.ndim === 0 ? [] : range(rank))), results: results.map((r) => range(r.ndim)) };
};

const elementwisePrimitives = (): readonly Primitive<never>[] =>
  [
    lax.absP,
    lax.acosP,
    lax.acoshP,
    lax.addP,
    lax.andP,
    lax.asinP,
    lax.asinhP,
    lax.atan2P,
    lax.atanP,
    lax.atanhP,
    lax.besselI0eP,
    lax.besselI1eP,
    lax.betaincP,
    lax.cbrtP,
    lax.ceilP,
    lax.clampP,
    lax.clzP,
    lax.complexP,
    lax.conjP,
    lax.convertElementTypeP,
    lax.copyP,
    lax.cosP,
    lax.coshP,
    lax.digammaP,
    lax.divP,
    lax.eqP,
    lax.erfcP,
    lax.erfInvP,
    lax.erfP,
    lax.exp2P,
    lax.expm1P,
    lax.expP,
    lax.floorP,
    lax.geP,
    lax.gtP,
    lax.igammacP,
    lax.igammaP,
    lax.imagP,
    lax.integerPowP,
    lax.isFiniteP,
    lax.leP,
    lax.lgammaP,
    lax.log1pP,
    lax.logisticP,
    lax.logP,
    lax.ltP,
    lax.maxP,
    lax.minP,
    lax.mulP,
    lax.nameP,
    lax.negP,
    lax.neP,
    lax.nextafterP,
    lax.notP,
    lax.orP,
    lax.polygammaP,
    lax.populationCountP,
    lax.powP,
    lax.realP,
    lax.reducePrecisionP,
    lax.remP,
    lax.roundP,
    lax.rsqrtP,
    lax.selectNP,
    lax.shiftLeftP,
    lax.shiftRightArithmeticP,
    lax.shiftRightLogicalP,
    lax.signP,
    lax.sinhP,
    lax.sinP,
    lax.sqrtP,
    lax.squareP,
    lax.stopGradientP,
    lax.subP,
    lax.tanhP,
    lax.tanP,
    lax.threefry2x32P,
    lax.xorP,
    lax.zetaP,
  ] as unknown as readonly Primitive<never>[];

const reduction = (primitive: Primitive<lax.ReduceParams>, reduce?: "psum" | "pmax" | "pmin"): FactorEntry =>
  factors(primitive, ([x], _results, { axes }) => ({
    operands: [reduce === undefined ? except(x.ndim, axes) : range(x.ndim)],
    results: [range(x.ndim).filter((d) => !axes.includes(d))],
    ...(reduce === undefined ? {} : { reduce }),
  }));

/** Of truth values "all" is the minimum and "any" the maximum; the bits of integers have no such collective. */
const truths = (primitive: Primitive<lax.ReduceParams>, reduce: "pmax" | "pmin"): FactorEntry =>
  factors(primitive, (operands, results, params) => {
    const [, rule] = reduction(primitive, operands[0].dtype === "bool" ? reduce : undefined);
    return (rule as FactorRule<lax.ReduceParams>)(operands, results, params);
  });

/** Each operand and result keeps the layout of all axes but one. */
const along = <P>(primitive: Primitive<P>, axisOf: (params: P) => number): FactorEntry =>
  factors(primitive, (operands, results, params) => {
    const whole = except(operands[0].ndim, [axisOf(params)]);
    return { operands: operands.map(() => whole), results: results.map(() => whole) };
  });

const arg = (primitive: Primitive<lax.ArgReduceParams>): FactorEntry =>
  factors(primitive, ([x], _results, { axes }) => ({
    operands: [except(x.ndim, axes)],
    results: [range(x.ndim).filter((d) => !axes.includes(d))],
  }));

const dot: FactorRule<lax.DotGeneralParams> = ([lhs, rhs], _results, { dimensionNumbers: n }) => {
  // Factors: batch axes, contracted axes, free axes of lhs, free axes of rhs.
  const batch = n.lhsBatch.length;
  const depth = n.lhsContract.length;
  let next = batch + depth;
  const letters = (ndim: number, b: readonly number[], c: readonly number[]): number[] =>
    range(ndim).map((d) => (b.includes(d) ? b.indexOf(d) : c.includes(d) ? batch + c.indexOf(d) : next++));
  const l = letters(lhs.ndim, n.lhsBatch, n.lhsContract);
  const r = letters(rhs.ndim, n.rhsBatch, n.rhsContract);
  const free = (xs: number[]): number[] => xs.filter((x) => x >= batch + depth);
  return { operands: [l, r], results: [[...range(batch), ...free(l), ...free(r)]], reduce: "psum" };
};

const convolution: FactorRule<lax.ConvGeneralDilatedParams> = ([lhs, rhs], [out], params) => {
  const { lhsSpec, rhsSpec, outSpec } = params.dimensionNumbers;
  const grouped = params.featureGroupCount > 1 || params.batchGroupCount > 1;
  // 0 images, 1 features of the result, 2 features that are summed over.
  const place = (aval: Aval, spec: readonly number[], first: Factor, second: Factor): Factor[] =>
    range(aval.ndim).map((d) => (d === spec[0] ? first : d === spec[1] ? second : null));
  const images = params.batchGroupCount > 1 ? null : 0;
  return {
    operands: [place(lhs, lhsSpec, images, grouped ? null : 2), place(rhs, rhsSpec, grouped ? null : 1, grouped ? null : 2)],
    results: [place(out, outSpec, images, grouped ? null : 1)],
    reduce: "psum",
  };
};

/** Axes are joined or split in groups; the first axis of a group keeps its layout. */
const reshape: FactorRule<lax.ReshapeParams> = ([x], [y]) => {
  const operand: Factor[] = x.shape.map(() => null);
  const result: Factor[] = y.shape.map(() => null);
  const grain = new Map<number, number>();
  if (x.size === 0) return { operands: [operand], results: [result] };
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  let [i, j] = [0, 0];
  while (i < x.ndim && j < y.ndim) {
    if (x.shape[i] === 1 && y.shape[j] !== 1) i++;
    else if (y.shape[j] === 1 && x.shape[i] !== 1) j++;
    else {
      const factor = i;
      operand[i] = factor;
      result[j] = factor;
      grain.set(factor, gcd(x.shape[i], y.shape[j]));
      let [p, q] = [x.shape[i++], y.shape[j++]];
      while (p !== q) {
        if (p < q) p *= x.shape[i++];
        else q *= y.shape[j++];
      }
    }
  }
  return { operands: [operand], results: [result], grain, localize: (_operands, [shape]) => ({ newSizes: shape }) };
};

/** Axes without a factor of their own get one that no result has: they may stay cut while elements are taken along them. */
function selecting(own: readonly Factor[], run: Select["run"]): Select & { readonly factors: readonly Factor[] } {
  const axes = own.flatMap((f, d) => (f === null ? [d] : []));
  return { factors: own.map((f, d) => f ?? own.length + d), axes, run };
}

/** The elements at `positions(d)` of the whole axis d that this device has, and zeros for the others. */
function takeOwned(x: NDArray, owned: ReadonlyMap<number, Owned>, positions: (d: number) => NDArray): NDArray {
  let y = x;
  for (const [d, { first }] of owned) {
    const at = lax.sub(positions(d), first);
    const sizes = y.shape.map((n, k) => (k === d ? 1 : n));
    const others = range(y.ndim).filter((k) => k !== d);
    const rows = lax.gather(
      y,
      lax.reshape(at, [at.size, 1]),
      { offsetDims: others, collapsedSliceDims: [d], startIndexMap: [d] },
      sizes,
      { mode: "fill", fillValue: 0 },
    );
    y = rows;
  }
  return y;
}

/**
 * Rows of a table that is cut along its rows, as embeddings are: each device gives those that it has. `null` for other gathers.
 */
function lookup(x: Aval, y: Aval, params: lax.GatherParams): Select | null {
  const { startIndexMap, collapsedSliceDims, operandBatchingDims, offsetDims } = params.dimensionNumbers;
  const [axis] = startIndexMap;
  if (
    startIndexMap.length !== 1 ||
    operandBatchingDims.length > 0 ||
    collapsedSliceDims.length !== 1 ||
    collapsedSliceDims[0] !== axis
  )
    return null;
  const size = x.shape[axis];
  const batch = range(y.ndim).filter((d) => !offsetDims.includes(d));
  return {
    axes: [axis],
    run: ([part, at], owned) => {
      const wide = lax.convertElementType(at, "int32");
      const inside = params.mode === "clip" ? lax.clamp(0n, wide, BigInt(size - 1)) : wide;
      const { first } = owned.get(axis)!;
      const sliceSizes = params.sliceSizes.map((n, d) => (d === axis ? n : n === x.shape[d] ? part.shape[d] : n));
      const got = lax.gather(part, lax.sub(inside, first), params.dimensionNumbers, sliceSizes, { mode: "fill", fillValue: 0 });
      if (params.mode !== "fill") return got;
      // What no device has is filled, once: by the first.
      const empty = lax.fullLike(part, 0, { shape: part.shape.map((n, d) => (d === axis ? 1 : n)) });
      const filler = lax.gather(empty, lax.fullLike(wide, 1), params.dimensionNumbers, sliceSizes, params);
      const isFirst = lax.broadcastInDim(lax.eq(first, 0), filler.shape, []);
      const outside = lax.reshape(lax.bitwiseOr(lax.lt(wide, 0), lax.ge(wide, size)), wide.shape.slice(0, -1));
      return lax.select(lax.bitwiseAnd(isFirst, lax.broadcastInDim(outside, filler.shape, batch)), filler, got);
    },
  };
}

const gather: FactorRule<lax.GatherParams> = ([x, indices], [y], params) => {
  const { offsetDims, collapsedSliceDims, operandBatchingDims, startIndicesBatchingDims } = params.dimensionNumbers;
  // Axes that are taken whole keep their layout, and so do those along which there are indices.
  const window = range(x.ndim).filter((d) => !collapsedSliceDims.includes(d) && !operandBatchingDims.includes(d));
  const operand = range(x.ndim).map((d): Factor => {
    const k = operandBatchingDims.indexOf(d);
    if (k >= 0) return x.ndim + startIndicesBatchingDims[k];
    return window.includes(d) && params.sliceSizes[d] === x.shape[d] ? d : null;
  });
  const batch = range(y.ndim).filter((d) => !offsetDims.includes(d));
  const result = range(y.ndim).map((d) =>
    offsetDims.includes(d) ? operand[window[offsetDims.indexOf(d)]] : x.ndim + batch.indexOf(d),
  );
  const rows = lookup(x, y, params);
  return {
    ...(rows === null ? {} : { reduce: "psum", select: rows }),
    operands: [
      rows === null ? operand : operand.map((f, d) => (rows.axes.includes(d) ? 2 * (x.ndim + indices.ndim) + d : f)),
      range(indices.ndim).map((d) => (d === indices.ndim - 1 ? null : x.ndim + d)),
    ],
    results: [result],
    localize: ([shape]) => ({ ...params, sliceSizes: params.sliceSizes.map((n, d) => (operand[d] === d ? shape[d] : n)) }),
  };
};

/** Rules of the standard primitives: one primitive, one line. Those that hold jaxprs are in `control.ts`. */
const families = (): readonly FactorEntry[] => [
  ...elementwisePrimitives().map((p): FactorEntry => [p, elementwise]),
  reduction(lax.reduceSumP, "psum"),
  reduction(lax.reduceMaxP, "pmax"),
  reduction(lax.reduceMinP, "pmin"),
  reduction(lax.reduceProdP),
  truths(lax.reduceAndP, "pmin"),
  truths(lax.reduceOrP, "pmax"),
  reduction(lax.reduceXorP),
  arg(lax.argmaxP),
  arg(lax.argminP),
  ...[lax.cumsumP, lax.cumprodP, lax.cummaxP, lax.cumminP, lax.cumlogsumexpP].map((p) => along(p, ({ axis }) => axis)),
  along(lax.sortP, ({ dimension }) => dimension),
  along(lax.topKP, ({ axis }) => axis),
  along(lax.concatenateP, ({ dimension }) => dimension),
  factors(lax.bitcastConvertTypeP, ([x], [y]) => {
    // Elements of another size make or take a last axis.
    const common = range(Math.min(x.ndim, y.ndim));
    const own = (n: number): Factor[] => range(n).map((d) => (common.includes(d) ? d : null));
    return { operands: [own(x.ndim)], results: [own(y.ndim)] };
  }),
  factors(lax.dotGeneralP, dot),
  factors(lax.convGeneralDilatedP, convolution),
  factors(lax.broadcastInDimP, ([x], [y], params) => ({
    operands: [x.shape.map((n, d) => (n === y.shape[params.broadcastDimensions[d]] ? d : null))],
    results: [
      y.shape.map((n, d) => {
        const from = params.broadcastDimensions.indexOf(d);
        return from < 0 ? x.ndim + d : x.shape[from] === n ? from : x.ndim + d;
      }),
    ],
    localize: (_operands, [shape]) => ({ ...params, shape }),
  })),
  factors(lax.reshapeP, reshape),
  factors(lax.squeezeP, ([x], _results, { dimensions }) => ({
    operands: [except(x.ndim, dimensions)],
    results: [range(x.ndim).filter((d) => !dimensions.includes(d))],
  })),
  factors(lax.transposeP, ([x], _results, { permutation }) => ({ operands: [range(x.ndim)], results: [permutation] })),
  factors(lax.revP, ([x], _results, { dimensions }) => ({
    operands: [except(x.ndim, dimensions)],
    results: [except(x.ndim, dimensions)],
  })),
  factors(lax.padP, ([x], _results, { paddingConfig }) => {
    const own = paddingConfig.map((c, d) => (c.every((n) => n === 0) ? d : null));
    return { operands: [own.slice(0, x.ndim), []], results: [own] };
  }),
  factors(lax.sliceP, ([x], [y], { startIndices, limitIndices, strides }) => {
    const own = x.shape.map((n, d) => (startIndices[d] === 0 && limitIndices[d] === n && (strides?.[d] ?? 1) === 1 ? d : null));
    const select = selecting(own, (args, owned) => {
      const limits = (shape: readonly number[]): number[] =>
        limitIndices.map((n, d) => (own[d] === null && !owned.has(d) ? n : shape[d]));
      const rest = lax.slice(
        args[0],
        startIndices.map((n, d) => (owned.has(d) ? 0 : n)),
        limits(args[0].shape),
        startIndices.map((_, d) => (owned.has(d) ? 1 : (strides?.[d] ?? 1))),
      );
      return takeOwned(rest, owned, (d) =>
        lax.add(lax.mul(lax.iota("int32", y.shape[d]), BigInt(strides?.[d] ?? 1)), BigInt(startIndices[d])),
      );
    });
    const localize = ([shape]: readonly (readonly number[])[]): Params => ({
      startIndices,
      limitIndices: limitIndices.map((n, d) => (own[d] === null ? n : shape[d])),
      strides,
    });
    return { operands: [select.factors], results: [own], localize, reduce: "psum", select };
  }),
  factors(lax.dynamicSliceP, ([x, ...starts], _results, { sliceSizes }) => {
    const own = x.shape.map((n, d) => (sliceSizes[d] === n ? d : null));
    const localize = (_operands: unknown, [shape]: readonly (readonly number[])[]): Params => ({ sliceSizes: shape });
    const select = selecting(own, ([part, ...at], owned) => {
      // Starts are clamped so that the slice fits into the whole axis.
      const from = at.map((s, d) => lax.clamp(0n, lax.convertElementType(s, "int32"), BigInt(x.shape[d] - sliceSizes[d])));
      const rest = lax.dynamicSlice(
        part,
        from.map((s, d) => (owned.has(d) || own[d] !== null ? 0n : s)),
        sliceSizes.map((n, d) => (owned.has(d) || own[d] !== null ? part.shape[d] : n)),
      );
      return takeOwned(rest, owned, (d) => lax.add(lax.iota("int32", sliceSizes[d]), from[d]));
    });
    return { operands: [select.factors, ...starts.map(() => [])], results: [own], localize, reduce: "psum", select };
  }),
  factors(lax.dynamicUpdateSliceP, ([x, update, ...starts]) => {
    const own = x.shape.map((n, d) => (update.shape[d] === n ? d : null));
    return { operands: [own, own, ...starts.map(() => [])], results: [own] };
  }),
  factors(lax.gatherP, gather),
  // Every device looks at what it has: no two operands need be cut alike.
  factors(watchP, (operands) => {
    let next = 0;
    return { operands: operands.map((x) => range(x.ndim).map(() => next++)), results: [] };
  }),
  factors(lax.iotaP, (_operands, [y]) => ({ operands: [], results: [range(y.ndim)] })),
];

let table: ReadonlyMap<Primitive<never>, FactorRule<never>> | null = null;

/** The rule of a primitive, if it has one. */
export function factorRule(primitive: Primitive<never>): FactorRule<never> | undefined {
  table ??= new Map(families());
  return table.get(primitive);
}
