/**
 * Importing this module gives arrays and tracers the methods people chain: `x.add(y).mul(2).sum(0)`, `x.T`,
 * `x.at(0).set(1)`, `x.slice([1, 3])`. It is the only module with an import side effect.
 *
 * @module
 */
import { type ArrayLike, type DType, itemsize, NDArray } from "@traceform/core";
import * as lax from "@traceform/lax";
import * as np from "./index.ts";

declare module "@traceform/core" {
  interface NDArray {
    /** The axes reversed. */
    readonly T: NDArray;
    /** The last two axes exchanged. */
    readonly mT: NDArray;
    readonly real: NDArray;
    readonly imag: NDArray;
    /** Bytes of one element, and of all. */
    readonly itemsize: number;
    readonly nbytes: number;

    add(y: ArrayLike): NDArray;
    sub(y: ArrayLike): NDArray;
    mul(y: ArrayLike): NDArray;
    div(y: ArrayLike): NDArray;
    floorDivide(y: ArrayLike): NDArray;
    mod(y: ArrayLike): NDArray;
    divmod(y: ArrayLike): [quotient: NDArray, remainder: NDArray];
    pow(y: ArrayLike): NDArray;
    matmul(y: ArrayLike): NDArray;
    dot(y: ArrayLike): NDArray;
    neg(): NDArray;
    abs(): NDArray;
    equal(y: ArrayLike): NDArray;
    notEqual(y: ArrayLike): NDArray;
    less(y: ArrayLike): NDArray;
    lessEqual(y: ArrayLike): NDArray;
    greater(y: ArrayLike): NDArray;
    greaterEqual(y: ArrayLike): NDArray;
    bitwiseAnd(y: ArrayLike): NDArray;
    bitwiseOr(y: ArrayLike): NDArray;
    bitwiseXor(y: ArrayLike): NDArray;
    bitwiseNot(): NDArray;
    leftShift(y: ArrayLike): NDArray;
    rightShift(y: ArrayLike): NDArray;
    conj(): NDArray;
    conjugate(): NDArray;
    clip(min?: ArrayLike | null, max?: ArrayLike | null): NDArray;
    round(decimals?: number): NDArray;

    sum(axis?: np.Axis, options?: np.ReduceOptions): NDArray;
    prod(axis?: np.Axis, options?: np.ReduceOptions): NDArray;
    max(axis?: np.Axis, options?: np.ReduceOptions): NDArray;
    min(axis?: np.Axis, options?: np.ReduceOptions): NDArray;
    mean(axis?: np.Axis, options?: Omit<np.ReduceOptions, "initial">): NDArray;
    var(axis?: np.Axis, options?: np.VarOptions): NDArray;
    std(axis?: np.Axis, options?: np.VarOptions): NDArray;
    ptp(axis?: np.Axis, options?: { readonly keepdims?: boolean }): NDArray;
    any(axis?: np.Axis, options?: Pick<np.ReduceOptions, "keepdims" | "where">): NDArray;
    all(axis?: np.Axis, options?: Pick<np.ReduceOptions, "keepdims" | "where">): NDArray;
    argmax(axis?: number | null, options?: np.ArgOptions): NDArray;
    argmin(axis?: number | null, options?: np.ArgOptions): NDArray;
    cumsum(axis?: number | null, options?: np.CumulativeOptions): NDArray;
    cumprod(axis?: number | null, options?: np.CumulativeOptions): NDArray;
    trace(offset?: number, axis1?: number, axis2?: number): NDArray;

    astype(dtype: DType): NDArray;
    /** The same bits read as another dtype. */
    view(dtype: DType): NDArray;
    copy(): NDArray;
    reshape(shape: number | readonly number[], options?: { readonly order?: "C" | "F" }): NDArray;
    reshape(...shape: number[]): NDArray;
    ravel(): NDArray;
    flatten(): NDArray;
    transpose(axes?: readonly number[] | null): NDArray;
    swapaxes(axis1: number, axis2: number): NDArray;
    squeeze(axis?: np.Axis): NDArray;
    repeat(repeats: ArrayLike, axis?: number | null): NDArray;
    take(indices: ArrayLike, axis?: number | null, options?: np.TakeOptions): NDArray;
    diagonal(offset?: number, axis1?: number, axis2?: number): NDArray;
    sort(axis?: number | null, options?: np.SortOptions): NDArray;
    argsort(axis?: number | null, options?: np.SortOptions): NDArray;
    argpartition(kth: number, axis?: number): NDArray;
    searchsorted(values: ArrayLike, side?: "left" | "right"): NDArray;
    nonzero(options?: np.SizeOptions): NDArray[];

    /** `x[...index]`: integers, slices `[start, stop, step]`, `null` for a new axis, `"..."`, index and mask arrays. */
    slice(...index: np.Index[]): NDArray;
    get(...index: np.Index[]): NDArray;
    /** The place `x[...index]`, to update: `x.at(0, [1, 3]).set(5)`. */
    at(...index: np.Index[]): np.IndexUpdate;
    tolist(): ReturnType<NDArray["js"]>;
    /** The slices along the first axis. */
    [Symbol.iterator](): IterableIterator<NDArray>;
  }
}

/** Methods that are a function of `@traceform/numpy` with the array as its first argument. */
const functions = {
  add: np.add,
  sub: np.subtract,
  mul: np.multiply,
  div: np.divide,
  floorDivide: np.floorDivide,
  mod: np.remainder,
  divmod: np.divmod,
  pow: np.power,
  matmul: np.matmul,
  dot: np.dot,
  neg: np.negative,
  abs: np.abs,
  equal: np.equal,
  notEqual: np.notEqual,
  less: np.less,
  lessEqual: np.lessEqual,
  greater: np.greater,
  greaterEqual: np.greaterEqual,
  bitwiseAnd: np.bitwiseAnd,
  bitwiseOr: np.bitwiseOr,
  bitwiseXor: np.bitwiseXor,
  bitwiseNot: np.bitwiseNot,
  leftShift: np.leftShift,
  rightShift: np.rightShift,
  conj: np.conj,
  conjugate: np.conj,
  clip: np.clip,
  round: np.round,
  sum: np.sum,
  prod: np.prod,
  max: np.max,
  min: np.min,
  mean: np.mean,
  var: np.var_,
  std: np.std,
  ptp: np.ptp,
  any: np.any,
  all: np.all,
  argmax: np.argmax,
  argmin: np.argmin,
  cumsum: np.cumsum,
  cumprod: np.cumprod,
  trace: np.trace,
  astype: np.astype,
  view: lax.bitcastConvertType,
  copy: np.copy,
  ravel: np.ravel,
  flatten: np.ravel,
  transpose: np.transpose,
  swapaxes: np.swapaxes,
  squeeze: np.squeeze,
  repeat: np.repeat,
  take: np.take,
  diagonal: np.diagonal,
  sort: np.sort,
  argsort: np.argsort,
  argpartition: np.argpartition,
  searchsorted: np.searchsorted,
  nonzero: np.nonzero,
} as const;

const getters: Record<string, (x: NDArray) => unknown> = {
  T: (x) => np.transpose(x),
  mT: np.matrixTranspose,
  real: np.real,
  imag: np.imag,
  itemsize: (x) => itemsize(x.dtype),
  nbytes: (x) => x.size * itemsize(x.dtype),
};

function attach(name: string | symbol, value: (this: NDArray, ...args: never[]) => unknown): void {
  Object.defineProperty(NDArray.prototype, name, { value, writable: true, configurable: true });
}

for (const [name, fn] of Object.entries(functions)) {
  const call = fn as (x: NDArray, ...args: unknown[]) => unknown;
  // One or two arguments are by far the most common: spreading a list would cost more than the method itself.
  attach(name, function (this: NDArray, a?: unknown, b?: unknown, c?: unknown) {
    return call(this, a, b, c);
  });
}
for (const [name, get] of Object.entries(getters)) {
  Object.defineProperty(NDArray.prototype, name, {
    get(this: NDArray) {
      return get(this);
    },
    configurable: true,
  });
}
attach("reshape", function (this: NDArray, first: number | readonly number[], ...rest: unknown[]) {
  if (typeof first === "number" && typeof rest[0] === "number") return np.reshape(this, [first, ...(rest as number[])]);
  return np.reshape(this, first, rest[0] as { readonly order?: "C" | "F" } | undefined);
});
attach("slice", function (this: NDArray, ...index: np.Index[]) {
  return np.getItem(this, index);
});
attach("get", function (this: NDArray, ...index: np.Index[]) {
  return np.getItem(this, index);
});
attach("at", function (this: NDArray, ...index: np.Index[]) {
  return np.at(this, index);
});
attach("tolist", function (this: NDArray) {
  return this.js();
});
attach(Symbol.iterator, function (this: NDArray) {
  return np.unstack(this)[Symbol.iterator]();
});
