import { type Aval, type Primitive, watchP } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type Factor, type Factors, type FactorEntry, type FactorRule, factors, range } from "./factors.ts";
import { indexing } from "./indexing.ts";
import { windows } from "./windows.ts";

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

/**
 * Operations on the last axes of each operand, as matrices or lines, for every place of the other axes; by name, so that programs without
 * them do not hold them. They are laid out as they are, not as what they are made of.
 */
const ofCores: Readonly<Record<string, number | FactorRule<never>>> = {
  cholesky: 2,
  eig: 2,
  eigh: 2,
  fft: ((operands, results, { fftLengths }) => overCores(operands, results, fftLengths.length)) satisfies FactorRule<lax.FftParams>,
  geqrf: 2,
  hessenberg: 2,
  householder_product: 2,
  lu: 2,
  lu_pivots_to_permutation: 1,
  qr: 2,
  random_unwrap: 0,
  random_wrap: 1,
  schur: 2,
  svd: 2,
  // Each right side has a solution of its own.
  triangular_solve: (([a, b], _results, { leftSide }) => {
    const own = range(b.ndim).map((d) => (d < b.ndim - 2 || d === b.ndim - (leftSide ? 1 : 2) ? d : null));
    return { operands: [except(a.ndim, [a.ndim - 2, a.ndim - 1]), own], results: [own] };
  }) satisfies FactorRule<lax.linalg.TriangularSolveParams>,
};

/** The names of operations that are laid out as they are although they could be expanded into others. */
export const unexpanded: readonly string[] = Object.keys(ofCores);

function overCores(operands: readonly Aval[], results: readonly Aval[], core: number): Factors {
  const batch = operands[0].ndim - core;
  const own = ({ ndim }: Aval): Factor[] => range(ndim).map((d) => (d < batch ? d : null));
  return { operands: operands.map(own), results: results.map(own) };
}

/** One operand after the other, with nothing in common. */
const separate = (operands: readonly Aval[]): Factor[][] => {
  let next = 0;
  return operands.map((x) => range(x.ndim).map(() => next++));
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
  factors(lax.reduceP, (operands, results, { dimensions }) => ({
    operands: operands.map((x) => (x.ndim === 0 ? [] : except(x.ndim, dimensions))),
    results: results.map(() => range(operands[0].ndim).filter((d) => !dimensions.includes(d))),
  })),
  factors(lax.optimizationBarrierP, (operands) => ({ operands: separate(operands), results: separate(operands) })),
  // Every device looks at what it has: no two operands need be cut alike.
  factors(watchP, (operands) => ({ operands: separate(operands), results: [] })),
  factors(lax.iotaP, (_operands, [y]) => ({ operands: [], results: [range(y.ndim)] })),
  ...indexing(),
  ...windows(),
];

let table: ReadonlyMap<Primitive<never>, FactorRule<never>> | null = null;

/** The rule of a primitive, if it has one. */
export function factorRule(primitive: Primitive<never>): FactorRule<never> | undefined {
  table ??= new Map(families());
  const core = ofCores[primitive.name];
  return typeof core === "number" ? (operands, results) => overCores(operands, results, core) : (core ?? table.get(primitive));
}
