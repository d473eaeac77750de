import { bind, type NDArray, type Primitive } from "@traceform/core";
import {
  absP,
  acosP,
  acoshP,
  addP,
  andP,
  asinP,
  asinhP,
  atan2P,
  atanP,
  atanhP,
  besselI0eP,
  besselI1eP,
  betaincP,
  broadcastInDim,
  cbrtP,
  ceilP,
  clampP,
  clzP,
  complexP,
  conjP,
  convertElementTypeP,
  copyP,
  cosP,
  coshP,
  digammaP,
  divP,
  eqP,
  erfcP,
  erfInvP,
  erfP,
  exp2P,
  expm1P,
  expP,
  floorP,
  geP,
  gtP,
  igammacP,
  igammaP,
  imagP,
  integerPowP,
  isFiniteP,
  leP,
  lgammaP,
  log1pP,
  logisticP,
  logP,
  ltP,
  maxP,
  minP,
  mulP,
  nameP,
  negP,
  neP,
  nextafterP,
  notP,
  orP,
  polygammaP,
  populationCountP,
  powP,
  realP,
  reducePrecisionP,
  remP,
  roundP,
  rsqrtP,
  selectNP,
  shiftLeftP,
  shiftRightArithmeticP,
  shiftRightLogicalP,
  signP,
  sinhP,
  sinP,
  sqrtP,
  squareP,
  stopGradientP,
  subP,
  tanhP,
  tanP,
  threefry2x32P,
  xorP,
  zetaP,
} from "@traceform/lax";
import { insert, moveAxis, repeat } from "../internal/axes.ts";
import { type BatchDim, type BatchEntry, type BatchRule, entry } from "../rule.ts";

/** A scalar of each member, [n], repeated over the axes that the other operands have. */
function spread(x: NDArray, shape: readonly number[], dim: number): NDArray {
  return broadcastInDim(x, shape, [dim]);
}

/**
 * Lines operands up for an elementwise operation, which takes equal shapes and scalars. Returns the place of the batch
 * axis in the result.
 */
function align(args: readonly NDArray[], dims: readonly BatchDim[]): [args: NDArray[], dim: number] {
  const ranks = args.map((x, i) => x.ndim - (dims[i] === null ? 0 : 1));
  const rank = Math.max(...ranks);
  const lead = Math.max(
    0,
    dims.findIndex((d, i) => d !== null && ranks[i] === rank),
  );
  const dim = dims[lead] ?? 0;
  if (rank === 0) return [[...args], 0];
  const first = dims.findIndex((d) => d !== null);
  const size = args[first].shape[dims[first]!];
  const full = ranks.indexOf(rank);
  const shape = insert(
    args[full].shape.filter((_, i) => i !== dims[full]),
    dim,
    size,
  );
  const aligned = args.map((x, i) => {
    const d = dims[i];
    if (d === null) return x.ndim === 0 ? x : repeat(x, size, dim);
    return ranks[i] === 0 ? spread(x, shape, dim) : moveAxis(x, d, dim);
  });
  return [aligned, dim];
}

/** The batching rule of operations that work element by element, with any number of operands and results. */
export const elementwise: BatchRule<never> = (args, dims, params, { primitive }) => {
  if (args.length === 1) {
    const outs = bind(primitive, args, params);
    return [outs, outs.map(() => dims[0])];
  }
  const [aligned, dim] = align(args, dims);
  const outs = bind(primitive, aligned, params);
  return [outs, outs.map(() => dim)];
};

/** The result has the shape of x, so x must be batched whatever the bounds are. */
const clampRule: BatchRule<never> = (args, dims, params, context) => {
  const [min, x, max] = args;
  if (dims[1] !== null) return elementwise(args, dims, params, context);
  return elementwise([min, repeat(x, context.axisSize, 0), max], [dims[0], 0, dims[2]], params, context);
};

const primitives = (): readonly unknown[] => [
  negP,
  signP,
  floorP,
  ceilP,
  roundP,
  isFiniteP,
  expP,
  exp2P,
  expm1P,
  logP,
  log1pP,
  sqrtP,
  rsqrtP,
  cbrtP,
  squareP,
  sinP,
  cosP,
  tanP,
  asinP,
  acosP,
  atanP,
  sinhP,
  coshP,
  tanhP,
  asinhP,
  acoshP,
  atanhP,
  logisticP,
  erfP,
  erfcP,
  erfInvP,
  lgammaP,
  digammaP,
  absP,
  notP,
  populationCountP,
  clzP,
  integerPowP,
  realP,
  imagP,
  conjP,
  copyP,
  besselI0eP,
  besselI1eP,
  convertElementTypeP,
  reducePrecisionP,
  stopGradientP,
  nameP,
  addP,
  subP,
  mulP,
  divP,
  remP,
  powP,
  maxP,
  minP,
  atan2P,
  nextafterP,
  andP,
  orP,
  xorP,
  shiftLeftP,
  shiftRightLogicalP,
  shiftRightArithmeticP,
  eqP,
  neP,
  ltP,
  leP,
  gtP,
  geP,
  complexP,
  igammaP,
  igammacP,
  betaincP,
  polygammaP,
  zetaP,
  selectNP,
  threefry2x32P,
];

export const elementwiseRules = (): BatchEntry[] => [
  ...primitives().map((p): BatchEntry => [p as Primitive<never>, elementwise]),
  entry(clampP, clampRule as BatchRule<object>),
];
