import { fromTyped, type NDArray } from "@traceform/core";
import { sliceInDim } from "@traceform/lax";

/** An argument of a published function: numbers in a shape. */
export interface Argument {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** A function from a paper or a book, with the derivatives that it gives. */
export interface Published {
  readonly name: string;
  /** Where the function and its derivatives are from. */
  readonly source: string;
  readonly fn: (...args: NDArray[]) => NDArray;
  /** Where it is differentiated: lists of arguments. */
  readonly points: readonly (readonly Argument[])[];
  /**
   * The derivatives in closed form, in plain arithmetic: for each argument, the elements of an array `[...result, ...argument]`. Where
   * none is published, central differences in float64 stand for them.
   */
  readonly jacobian?: (...args: number[][]) => readonly (readonly number[])[];
  /** The second derivatives with respect to the first argument of a scalar function, `[...argument, ...argument]`. */
  readonly hessian?: (...args: number[][]) => readonly number[];
  /** Relative; 1e-10 for closed forms and 1e-6 for differences unless there is a reason. */
  readonly tolerance?: number;
}

export function vector(...values: readonly number[]): Argument {
  return { shape: [values.length], values };
}
export function scalar(value: number): Argument {
  return { shape: [], values: [value] };
}
export function matrix(...rows: readonly (readonly number[])[]): Argument {
  return { shape: [rows.length, rows[0].length], values: rows.flat() };
}
/** Numbers without a pattern, always the same. */
export function spread(shape: readonly number[], scale = 1): Argument {
  const size = shape.reduce((a, b) => a * b, 1);
  return { shape, values: Array.from({ length: size }, (_, i) => scale * Math.sin(1.7 * i * i + 2.3 * i + 0.4)) };
}

export function toArray({ shape, values }: Argument): NDArray {
  return fromTyped(Float64Array.from(values), shape, "float64");
}

/** Elements `from` to `to` (`null` is the end) of the leading axis. */
export function section(x: NDArray, from: number, to: number | null): NDArray {
  return sliceInDim(x, from, to, 1, 0);
}

/** Plain matrices, for closed forms that share nothing with what they check. */
export type Rows = readonly (readonly number[])[];
export function toRows(values: readonly number[], columns: number): number[][] {
  return Array.from({ length: values.length / columns }, (_, i) => values.slice(i * columns, (i + 1) * columns));
}
export function times(a: Rows, b: Rows): number[][] {
  return a.map((row) => b[0].map((_, j) => row.reduce((sum, v, k) => sum + v * b[k][j], 0)));
}
export function transposed(a: Rows): number[][] {
  return a[0].map((_, j) => a.map((row) => row[j]));
}
/** By Gauss and Jordan, with pivots. */
export function inverse(a: Rows): number[][] {
  const n = a.length;
  const work = a.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))]);
  for (let k = 0; k < n; k++) {
    const pivot = work.reduce((best, row, i) => (i >= k && Math.abs(row[k]) > Math.abs(work[best][k]) ? i : best), k);
    [work[k], work[pivot]] = [work[pivot], work[k]];
    const head = work[k][k];
    work[k] = work[k].map((v) => v / head);
    work.forEach((row, i) => {
      const factor = row[k];
      if (i !== k) work[i] = row.map((v, j) => v - factor * work[k][j]);
    });
  }
  return work.map((row) => row.slice(n));
}
export function determinant(a: Rows): number {
  if (a.length === 1) return a[0][0];
  return a[0].reduce((sum, v, j) => sum + (-1) ** j * v * determinant(a.slice(1).map((row) => row.filter((_, k) => k !== j))), 0);
}
export function dotProduct(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, v, i) => sum + v * b[i], 0);
}
export function softmax(xs: readonly number[]): number[] {
  const exps = xs.map(Math.exp);
  const total = exps.reduce((a, b) => a + b, 0);
  return exps.map((e) => e / total);
}
