import { fromTyped, type NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import * as linalg from "@traceform/lax/linalg";
import { eye } from "@traceform/numpy";
import fc from "fast-check";
import { direction } from "./arraytransforms.ts";

/**
 * Random programs as data, so that a failing one can be made smaller: each step names an operation, which operands it takes (counted
 * back from the last value, wrapping around) and a number that the operation makes of what it needs. Every such list means something.
 */
export interface ProgramStep {
  readonly op: string;
  readonly a: number;
  readonly b: number;
  readonly k: number;
}
export interface RandomProgram {
  readonly inputs: readonly (readonly number[])[];
  readonly steps: readonly ProgramStep[];
  readonly seed: number;
}

type Operation = (x: NDArray, y: NDArray, k: number) => NDArray;

const constant = (value: number): NDArray => fromTyped(Float64Array.of(value), [], "float64");
/** An axis of an array that has one. */
const axisOf = (x: NDArray, k: number): number => k % x.ndim;
/** Operations on arrays with axes; scalars become arrays first. */
const withAxes =
  (f: Operation): Operation =>
  (x, y, k) =>
    f(x.ndim === 0 ? lax.broadcast(x, [2]) : x, y, k);
/** The second operand in the shape of the first: itself, or its sum everywhere. */
const fitted =
  (f: (x: NDArray, y: NDArray) => NDArray): Operation =>
  (x, y) => {
    const same = x.ndim === y.ndim && x.shape.every((n, i) => n === y.shape[i]);
    return f(x, same ? y : lax.broadcast(lax.mul(lax.reduceSum(y), 0.3), x.shape));
  };
const positive = (x: NDArray): NDArray => lax.add(lax.square(x), 1);

const bend = lax.customJvp((x: NDArray) => lax.mul(lax.sin(x), x));
bend.defjvp(([x], [t]) => [bend(x), lax.mul(t, lax.add(lax.mul(lax.cos(x), x), lax.sin(x)))]);

/** Symmetric and positive definite, from an array with axes. */
function definite(x: NDArray): NDArray {
  const rows = lax.reshape(x, [x.size / x.shape[x.ndim - 1], x.shape[x.ndim - 1]]);
  const small = lax.tanh(rows);
  return lax.add(lax.dot(lax.transpose(small, [1, 0]), small), eye(rows.shape[1], undefined, { dtype: "float64" }));
}

/** Results stay small, and smooth almost everywhere, so that finite differences mean something. */
const operations: Readonly<Record<string, Operation>> = {
  sin: (x) => lax.sin(x),
  tanh: (x) => lax.tanh(x),
  logistic: (x) => lax.logistic(x),
  erf: (x) => lax.erf(x),
  atan: (x) => lax.atan(x),
  exp: (x) => lax.exp(lax.neg(lax.square(x))),
  log: (x) => lax.log(positive(x)),
  sqrt: (x) => lax.sqrt(positive(x)),
  integerPow: (x, _, k) => lax.integerPow(lax.tanh(x), (k % 4) + 1),
  abs: (x) => lax.abs(lax.add(x, 0.01)),
  add: fitted((x, y) => lax.add(x, y)),
  sub: fitted((x, y) => lax.sub(x, y)),
  mul: fitted((x, y) => lax.mul(lax.tanh(x), lax.tanh(y))),
  div: fitted((x, y) => lax.div(x, positive(y))),
  max: fitted((x, y) => lax.max(x, lax.add(y, 0.013))),
  atan2: fitted((x, y) => lax.atan2(x, positive(y))),
  pow: fitted((x, y) => lax.pow(positive(lax.tanh(x)), lax.tanh(y))),
  select: fitted((x, y) => lax.select(lax.gt(x, y), lax.sin(x), lax.mul(y, 0.5))),
  clamp: (x) => lax.clamp(constant(-0.7), x, constant(0.9)),
  half: (x) => lax.mul(x, 0.5),
  total: (x) => lax.reduceSum(x),
  sumAxis: withAxes((x, _, k) => lax.reduceSum(x, [axisOf(x, k)])),
  maxAxis: withAxes((x, _, k) => lax.reduceMax(x, [axisOf(x, k)])),
  prodAxis: withAxes((x, _, k) => lax.reduceProd(lax.tanh(x), [axisOf(x, k)])),
  cumsum: withAxes((x, _, k) => lax.cumsum(lax.mul(x, 0.4), axisOf(x, k), k % 2 === 1)),
  cumlogsumexp: withAxes((x, _, k) => lax.cumlogsumexp(lax.tanh(x), axisOf(x, k))),
  sort: withAxes((x, _, k) => lax.sort(x, axisOf(x, k))),
  argmax: withAxes((x, _, k) => lax.convertElementType(lax.argmax(x, axisOf(x, k), "int32"), "float64")),
  transpose: (x, _, k) =>
    lax.transpose(
      x,
      x.shape.map((_n, i) => (i + k) % x.ndim),
    ),
  flatten: (x) => lax.reshape(x, [x.size]),
  widen: (x) => lax.broadcast(x, [2]),
  reverse: withAxes((x, _, k) => lax.rev(x, [axisOf(x, k)])),
  slice: withAxes((x, _, k) => {
    const axis = axisOf(x, k);
    return lax.sliceInDim(x, x.shape[axis] > 1 ? k % 2 : 0, x.shape[axis], 1 + (k % 2), axis);
  }),
  pad: withAxes((x, y, k) =>
    lax.pad(
      x,
      lax.mul(lax.reduceSum(y), 0.1),
      x.shape.map((_n, i) => (i === axisOf(x, k) ? [1, k % 2, k % 3 === 0 ? 1 : 0] : [0, 0, 0])),
    ),
  ),
  concatenate: withAxes((x, _, k) => lax.concatenate([x, lax.mul(x, -0.6)], axisOf(x, k))),
  take: withAxes((x, _, k) => {
    const axis = axisOf(x, k);
    const n = Math.max(1, x.shape[axis]);
    return lax.dynamicIndexInDim(x, k % n, axis, false);
  }),
  gather: withAxes((x, y, k) => {
    // An index that depends on values, in a way that small changes do not change.
    const index = lax.convertElementType(lax.floor(lax.add(lax.mul(lax.tanh(lax.reduceSum(y)), 1.3), 1.6)), "int32");
    return lax.dynamicSliceInDim(x, index, 1, axisOf(x, k));
  }),
  update: withAxes((x, y, k) => {
    const axis = axisOf(x, k);
    const one = lax.sliceInDim(lax.sin(x), 0, 1, 1, axis);
    return lax.dynamicUpdateSliceInDim(x, lax.add(one, lax.mul(lax.reduceSum(y), 0.1)), k % x.shape[axis], axis);
  }),
  matmul: withAxes((x, _, k) => {
    const n = x.shape[x.ndim - 1];
    return lax.dotGeneral(x, direction([n, 1 + (k % 3)], k), [
      [[x.ndim - 1], [0]],
      [[], []],
    ]);
  }),
  gram: withAxes((x) => {
    const small = lax.tanh(x);
    return lax.dotGeneral(small, small, [
      [[x.ndim - 1], [x.ndim - 1]],
      [x.shape.slice(0, -1).map((_n, i) => i), x.shape.slice(0, -1).map((_n, i) => i)],
    ]);
  }),
  convolve: withAxes((x, _, k) => {
    const image = lax.reshape(x, [1, 1, x.size]);
    return lax.reshape(lax.convGeneralDilated(image, direction([1, 1, 2], k), [1], [[1, k % 2]]), [x.size + (k % 2)]);
  }),
  windows: withAxes((x, _, k) =>
    lax.reduceWindow(
      x,
      constant(0),
      (a, b) => lax.add(a, b),
      x.shape.map((_n, i) => (i === axisOf(x, k) ? 2 : 1)),
      x.shape.map(() => 1),
      x.shape.map((_n, i) => (i === axisOf(x, k) ? [1, 0] : [0, 0])),
    ),
  ),
  cholesky: withAxes((x) => linalg.cholesky(definite(x))),
  solve: withAxes((x) =>
    linalg.triangularSolve(linalg.cholesky(definite(x)), definite(lax.sin(x)), { leftSide: true, lower: true }),
  ),
  scan: withAxes((x, y) => {
    const rest = x.shape.slice(1);
    const start = lax.broadcast(lax.tanh(lax.reduceSum(y)), rest);
    const [last, ys] = lax.scan(
      (c: NDArray, row: NDArray) => [lax.tanh(lax.add(lax.mul(c, 0.7), row)), lax.mul(c, lax.sin(row))],
      start,
      x,
    );
    return lax.add(lax.mul(lax.broadcast(last, [x.shape[0]]), 0.5), ys);
  }),
  loop: (x, y) =>
    lax.foriLoop(0, 3, (_i, c: NDArray) => lax.add(lax.mul(lax.sin(c), 0.8), lax.mul(lax.tanh(lax.reduceSum(y)), 0.2)), x),
  cond: (x, y) =>
    lax.cond(
      lax.gt(lax.reduceSum(y), 0.017),
      (u: NDArray) => lax.sin(u),
      (u: NDArray) => lax.mul(u, lax.cos(u)),
      x,
    ),
  map: withAxes((x) => lax.map((row: NDArray) => lax.mul(lax.sin(row), lax.cos(lax.reduceSum(row))), x)),
  custom: (x) => bend(x),
  checkpoint: (x, y) => lax.checkpoint((u: NDArray, v: NDArray) => lax.sin(lax.mul(lax.sin(u), lax.reduceSum(v))))(x, y),
  stop: fitted((x, y) => lax.add(x, lax.mul(lax.stopGradient(lax.mul(y, 0)), 3))),
};

/** Beyond this many elements a value is summed first: sizes must not multiply. */
const mostElements = 96;
const mostAxes = 4;

/** The program as a function: the last value, and the first one again where they differ. */
export function runProgram({ steps }: RandomProgram, inputs: readonly NDArray[]): NDArray[] {
  const values = [...inputs];
  for (const { op, a, b, k } of steps) {
    const pick = (i: number): NDArray => values[values.length - 1 - (i % values.length)];
    const x = pick(a);
    const fits = x.size <= mostElements && x.ndim <= mostAxes;
    values.push(operations[op](fits ? x : lax.mul(lax.reduceSum(x), 0.1), pick(b), k));
  }
  return values.slice(-2);
}

/** A point of the program's domain. */
export function programInputs({ inputs, seed }: RandomProgram, salt: number): NDArray[] {
  return inputs.map((shape, i) => direction(shape, seed * 16 + salt * 4 + i));
}

const shape = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 });
const step = fc.record({
  op: fc.constantFrom(...Object.keys(operations)),
  // The last value most often, so that programs are deep and not wide.
  a: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(5) }),
  b: fc.nat(5),
  k: fc.nat(11),
});
export const randomPrograms: fc.Arbitrary<RandomProgram> = fc.record({
  inputs: fc.array(shape, { minLength: 1, maxLength: 3 }),
  steps: fc.array(step, { minLength: 1, maxLength: 7 }),
  seed: fc.nat(1000),
});
