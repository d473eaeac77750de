import { type DType, isComplex, isFloat } from "@traceform/core";
import { combiner } from "./elementwise.ts";
import { build, convertElement, type Element, forEachIndex, reader, type RefArray, rounder } from "./values.ts";

interface DotDimensions {
  readonly lhsContract: readonly number[];
  readonly rhsContract: readonly number[];
  readonly lhsBatch: readonly number[];
  readonly rhsBatch: readonly number[];
}

/** Sums of products, accumulated in double precision (integers wrap) and rounded once. */
function accumulator(
  lhs: DType,
  rhs: DType,
  out: DType,
): { zero: Element; add: (acc: Element, a: Element, b: Element) => Element; done: (acc: Element) => Element } {
  const wide: DType = isComplex(out) ? "complex128" : isFloat(out) ? "float64" : out;
  const multiply = wide === "bool" ? combiner("and", wide) : combiner("mul", wide);
  const sum = wide === "bool" ? combiner("or", wide) : combiner("add", wide);
  const step = rounder(wide);
  const zero = convertElement(0, "int32", wide);
  return {
    zero,
    add: (acc, a, b) => step(sum(acc, step(multiply(convertElement(a, lhs, wide), convertElement(b, rhs, wide))))),
    done: (acc) => convertElement(acc, wide, out),
  };
}

export function dotGeneral(lhs: RefArray, rhs: RefArray, dims: DotDimensions, shape: readonly number[], outDType: DType): RefArray {
  const free = (x: RefArray, ...taken: (readonly number[])[]): number[] =>
    x.shape.map((_, d) => d).filter((d) => !taken.flat().includes(d));
  const lhsFree = free(lhs, dims.lhsContract, dims.lhsBatch);
  const rhsFree = free(rhs, dims.rhsContract, dims.rhsBatch);
  const nBatch = dims.lhsBatch.length;
  const { zero, add, done } = accumulator(lhs.dtype, rhs.dtype, outDType);
  const [a, b] = [reader(lhs), reader(rhs)];
  const i = new Array<number>(lhs.shape.length);
  const j = new Array<number>(rhs.shape.length);
  return build(shape, outDType, (index) => {
    dims.lhsBatch.forEach((d, k) => (i[d] = index[k]));
    dims.rhsBatch.forEach((d, k) => (j[d] = index[k]));
    lhsFree.forEach((d, k) => (i[d] = index[nBatch + k]));
    rhsFree.forEach((d, k) => (j[d] = index[nBatch + lhsFree.length + k]));
    let acc = zero;
    forEachIndex(
      dims.lhsContract.map((d) => lhs.shape[d]),
      (inner) => {
        dims.lhsContract.forEach((d, k) => (i[d] = inner[k]));
        dims.rhsContract.forEach((d, k) => (j[d] = inner[k]));
        acc = add(acc, a(i), b(j));
      },
    );
    return done(acc);
  });
}

export interface ConvParams {
  readonly windowStrides: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
  readonly lhsDilation: readonly number[];
  readonly rhsDilation: readonly number[];
  readonly dimensionNumbers: {
    readonly lhsSpec: readonly number[];
    readonly rhsSpec: readonly number[];
    readonly outSpec: readonly number[];
  };
  readonly featureGroupCount: number;
  readonly batchGroupCount: number;
}

/** The definition of XLA's ConvGeneralDilated, one output element at a time. */
export function convolve(lhs: RefArray, rhs: RefArray, p: ConvParams, shape: readonly number[], outDType: DType): RefArray {
  const { lhsSpec, rhsSpec, outSpec } = p.dimensionNumbers;
  const { zero, add, done } = accumulator(lhs.dtype, rhs.dtype, outDType);
  const [a, b] = [reader(lhs), reader(rhs)];
  const inFeatures = rhs.shape[rhsSpec[1]];
  const outFeatures = rhs.shape[rhsSpec[0]];
  const batches = lhs.shape[lhsSpec[0]] / p.batchGroupCount;
  const window = rhsSpec.slice(2).map((d) => rhs.shape[d]);
  const i = new Array<number>(lhs.shape.length);
  const j = new Array<number>(rhs.shape.length);
  return build(shape, outDType, (index) => {
    const n = index[outSpec[0]];
    const o = index[outSpec[1]];
    const featureGroup = Math.floor(o / (outFeatures / p.featureGroupCount));
    const batchGroup = Math.floor(o / (outFeatures / p.batchGroupCount));
    i[lhsSpec[0]] = p.batchGroupCount > 1 ? batchGroup * batches + n : n;
    j[rhsSpec[0]] = o;
    let acc = zero;
    forEachIndex([inFeatures, ...window], ([f, ...w]) => {
      i[lhsSpec[1]] = featureGroup * inFeatures + f;
      j[rhsSpec[1]] = f;
      for (let s = 0; s < window.length; s++) {
        const offset = index[outSpec[2 + s]] * p.windowStrides[s] + w[s] * p.rhsDilation[s] - p.padding[s][0];
        const position = offset / p.lhsDilation[s];
        if (offset < 0 || !Number.isInteger(position) || position >= lhs.shape[lhsSpec[2 + s]]) return;
        i[lhsSpec[2 + s]] = position;
        j[rhsSpec[2 + s]] = w[s];
      }
      acc = add(acc, a(i), b(j));
    });
    return done(acc);
  });
}
