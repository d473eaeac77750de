import { type DType, isComplex, isFloat } from "@traceform/core";
import { combiner } from "./elementwise.ts";
import { build, type Complex, convertElement, type Element, forEachIndex, reader, type RefArray, rounder } from "./values.ts";

const names: Record<string, string> = {
  reduce_sum: "add",
  reduce_prod: "mul",
  reduce_max: "max",
  reduce_min: "min",
  reduce_and: "and",
  reduce_or: "or",
  reduce_xor: "xor",
  cumsum: "add",
  cumprod: "mul",
  cummax: "max",
  cummin: "min",
  reduce_window_sum: "add",
  reduce_window_max: "max",
  reduce_window_min: "min",
};

const bounds: Record<string, [Element, Element]> = {
  bool: [0, 1],
  int8: [-128, 127],
  int16: [-32768, 32767],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint8: [0, 255],
  uint16: [0, 65535],
  uint32: [0, 2 ** 32 - 1],
  uint64: [0n, 2n ** 64n - 1n],
};

/** The identity of a reduction for a dtype. */
export function identityOf(op: string, dtype: DType): Element {
  if (op === "max" || op === "min") {
    if (isFloat(dtype)) return op === "max" ? -Infinity : Infinity;
    if (isComplex(dtype)) return { re: op === "max" ? -Infinity : Infinity, im: 0 };
    return bounds[dtype as string][op === "max" ? 0 : 1];
  }
  const one = op === "mul" ? 1 : op === "and" ? (dtype === "bool" ? 1 : -1) : 0;
  return rounder(dtype)(isFloat(dtype) ? one : convertElement(one, "int32", dtype));
}

export function operatorOf(primitive: string): string {
  return names[primitive];
}

/** Reductions accumulate in double precision and round once at the end. */
export function reduce(
  x: RefArray,
  primitive: string,
  axes: readonly number[],
  shape: readonly number[],
  outDType: DType,
): RefArray {
  const op = names[primitive];
  const combine = combiner(op, x.dtype);
  const round = rounder(outDType);
  const at = reader(x);
  const kept = x.shape.map((_, d) => d).filter((d) => !axes.includes(d));
  const reduced = axes.map((d) => x.shape[d]);
  const source = new Array<number>(x.shape.length);
  // Integers wrap at every step, because their exact value may leave the doubles.
  const step = isFloat(x.dtype) || isComplex(x.dtype) ? (v: Element): Element => v : round;
  return build(shape, outDType, (index) => {
    let acc = identityOf(op, x.dtype);
    kept.forEach((d, i) => (source[d] = index[i]));
    forEachIndex(reduced, (inner) => {
      axes.forEach((d, i) => (source[d] = inner[i]));
      acc = step(combine(acc, at(source)));
    });
    return round(acc);
  });
}

/** The first NaN wins; ties go to the first index. */
export function argReduce(x: RefArray, primitive: string, axis: number, shape: readonly number[], outDType: DType): RefArray {
  const at = reader(x);
  const better = primitive === "argmax" ? (a: Element, b: Element): boolean => a > b : (a: Element, b: Element): boolean => a < b;
  return build(shape, outDType, (index) => {
    const source = [...index.slice(0, axis), 0, ...index.slice(axis)];
    let best = 0;
    let value = at(source);
    for (let i = 1; i < x.shape[axis] && !Number.isNaN(value); i++) {
      source[axis] = i;
      const v = at(source);
      if (Number.isNaN(v) || better(v, value)) [best, value] = [i, v];
    }
    return convertElement(best, "int32", outDType);
  });
}

export function cumulative(x: RefArray, primitive: string, axis: number, reverse: boolean): RefArray {
  const round = rounder(x.dtype);
  const combine = primitive === "cumlogsumexp" ? logAddExp : combiner(names[primitive], x.dtype);
  const step = isFloat(x.dtype) || isComplex(x.dtype) ? (v: Element): Element => v : round;
  const at = reader(x);
  return build(x.shape, x.dtype, (index) => {
    const source = [...index];
    const end = reverse ? x.shape[axis] - 1 : 0;
    source[axis] = end;
    let acc = at(source);
    const direction = reverse ? -1 : 1;
    for (let i = end; i !== index[axis];) {
      i += direction;
      source[axis] = i;
      acc = step(combine(acc, at(source)));
    }
    return round(acc);
  });
}

function logAddExp(a: Element, b: Element): Element {
  const [x, y] = [a as number, b as number];
  if (typeof a === "object") throw new Error(`reference: cumlogsumexp of complex ${(a as Complex).re}`);
  const m = Math.max(x, y);
  return Number.isFinite(m) ? m + Math.log(Math.exp(x - m) + Math.exp(y - m)) : Number.isNaN(x) || Number.isNaN(y) ? NaN : m;
}
