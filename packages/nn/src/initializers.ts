import { type DType, type NDArray, ShapeError } from "@traceform/core";
import { full, mul } from "@traceform/lax";
import { type Key, normal as sampleNormal, truncatedNormal as sampleTruncated, uniform as sampleUniform } from "@traceform/random";

/** Makes the initial value of a parameter: `(key, shape, dtype) => NDArray`. */
export type Initializer = (key: Key, shape: readonly number[], dtype?: DType) => NDArray;

export const zeros: Initializer = (_key, shape, dtype = "float32") => full(shape, 0, dtype);
export const ones: Initializer = (_key, shape, dtype = "float32") => full(shape, 1, dtype);

export function constant(value: number): Initializer {
  return (_key, shape, dtype = "float32") => full(shape, value, dtype);
}

/** Uniform in [0, scale). */
export function uniform(scale = 1e-2): Initializer {
  return (key, shape, dtype = "float32") => mul(sampleUniform(key, shape, { dtype }), scale);
}

export function normal(stddev = 1e-2): Initializer {
  return (key, shape, dtype = "float32") => mul(sampleNormal(key, shape, { dtype }), stddev);
}

/** Normal cut at `lower` and `upper`, times `stddev`. */
export function truncatedNormal(stddev = 1e-2, lower = -2, upper = 2): Initializer {
  return (key, shape, dtype = "float32") => mul(sampleTruncated(key, lower, upper, shape, { dtype }), stddev);
}

/** Which axes of a weight are its inputs and outputs; those left over are the receptive field, unless they are batch axes. */
export interface FanAxes {
  readonly inAxis?: number | readonly number[];
  readonly outAxis?: number | readonly number[];
  readonly batchAxis?: number | readonly number[];
}

export interface VarianceScalingOptions extends FanAxes {
  readonly scale: number;
  readonly mode: "fanIn" | "fanOut" | "fanAvg";
  readonly distribution: "truncatedNormal" | "normal" | "uniform";
}

function fans(shape: readonly number[], { inAxis = -2, outAxis = -1, batchAxis = [] }: FanAxes): [number, number] {
  if (shape.length < 2) {
    throw new ShapeError("initializer", {
      message: "fan-in and fan-out need a weight of at least two axes",
      operands: { shape },
      fix: "use normal() or zeros for biases",
    });
  }
  const axes = (a: number | readonly number[]): number[] =>
    (typeof a === "number" ? [a] : [...a]).map((d) => (d < 0 ? d + shape.length : d));
  const size = (list: readonly number[]): number => list.reduce((n, d) => n * shape[d], 1);
  const [ins, outs, batch] = [axes(inAxis), axes(outAxis), axes(batchAxis)];
  const field = size(shape.map((_, d) => d)) / size(ins) / size(outs) / size(batch);
  return [size(ins) * field, size(outs) * field];
}

/** Weights whose variance is scale / fan. @see Glorot & Bengio (2010); He et al. (2015); LeCun et al. (1998) */
export function varianceScaling(options: VarianceScalingOptions): Initializer {
  const { scale, mode, distribution } = options;
  return (key, shape, dtype = "float32") => {
    const [fanIn, fanOut] = fans(shape, options);
    const variance = scale / (mode === "fanIn" ? fanIn : mode === "fanOut" ? fanOut : (fanIn + fanOut) / 2);
    switch (distribution) {
      case "normal":
        return mul(sampleNormal(key, shape, { dtype }), Math.sqrt(variance));
      case "uniform": {
        const limit = Math.sqrt(3 * variance);
        return sampleUniform(key, shape, { dtype, minval: -limit, maxval: limit });
      }
      case "truncatedNormal":
        // A standard normal cut at ±2 has this standard deviation.
        return mul(sampleTruncated(key, -2, 2, shape, { dtype }), Math.sqrt(variance) / 0.87962566103423978);
    }
  };
}

type Recipe = Pick<VarianceScalingOptions, "scale" | "mode" | "distribution">;
const family =
  (recipe: Recipe) =>
  (axes: FanAxes = {}): Initializer =>
    varianceScaling({ ...recipe, ...axes });
type Family = (axes?: FanAxes) => Initializer;

export const glorotUniform: Family = family({ scale: 1, mode: "fanAvg", distribution: "uniform" });
export const glorotNormal: Family = family({ scale: 1, mode: "fanAvg", distribution: "truncatedNormal" });
export const heUniform: Family = family({ scale: 2, mode: "fanIn", distribution: "uniform" });
export const heNormal: Family = family({ scale: 2, mode: "fanIn", distribution: "truncatedNormal" });
export const lecunUniform: Family = family({ scale: 1, mode: "fanIn", distribution: "uniform" });
export const lecunNormal: Family = family({ scale: 1, mode: "fanIn", distribution: "truncatedNormal" });
