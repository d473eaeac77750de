import { type DType, isComplex } from "@traceform/core";
import { type Complex, type Element, type RefArray, rounder } from "./values.ts";

/** A complex matrix in double precision; real ones have zeros for imaginary parts. */
export class Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly re: Float64Array;
  readonly im: Float64Array;

  constructor(rows: number, columns: number) {
    this.rows = rows;
    this.columns = columns;
    this.re = new Float64Array(rows * columns);
    this.im = new Float64Array(rows * columns);
  }
  static build(rows: number, columns: number, at: (i: number, j: number) => Complex): Matrix {
    const a = new Matrix(rows, columns);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) a.set(i, j, at(i, j));
    return a;
  }
  static identity(rows: number, columns: number = rows): Matrix {
    return Matrix.build(rows, columns, (i, j) => real(i === j ? 1 : 0));
  }

  get(i: number, j: number): Complex {
    const p = i * this.columns + j;
    return { re: this.re[p], im: this.im[p] };
  }
  set(i: number, j: number, z: Complex): void {
    const p = i * this.columns + j;
    this.re[p] = z.re;
    this.im[p] = z.im;
  }
  copy(): Matrix {
    return Matrix.build(this.rows, this.columns, (i, j) => this.get(i, j));
  }
  map(f: (z: Complex, i: number, j: number) => Complex): Matrix {
    return Matrix.build(this.rows, this.columns, (i, j) => f(this.get(i, j), i, j));
  }
  get transpose(): Matrix {
    return Matrix.build(this.columns, this.rows, (i, j) => this.get(j, i));
  }
  get adjoint(): Matrix {
    return Matrix.build(this.columns, this.rows, (i, j) => conj(this.get(j, i)));
  }
  part(r0: number, r1: number, c0: number, c1: number): Matrix {
    return Matrix.build(r1 - r0, c1 - c0, (i, j) => this.get(r0 + i, c0 + j));
  }
  times(b: Matrix): Matrix {
    return Matrix.build(this.rows, b.columns, (i, j) => {
      let [re, im] = [0, 0];
      for (let k = 0, p = i * this.columns, q = j; k < this.columns; k++, p++, q += b.columns) {
        re += this.re[p] * b.re[q] - this.im[p] * b.im[q];
        im += this.re[p] * b.im[q] + this.im[p] * b.re[q];
      }
      return { re, im };
    });
  }
  /** A[i, from:] -= z B[k, from:], on the rows of matrices of equal width. */
  subtractRow(i: number, z: Complex, b: Matrix, k: number, from = 0): void {
    for (let j = from; j < this.columns; j++) this.set(i, j, sub(this.get(i, j), mul(z, b.get(k, j))));
  }
  swapRows(i: number, k: number): void {
    for (let j = 0; j < this.columns; j++) {
      const z = this.get(i, j);
      this.set(i, j, this.get(k, j));
      this.set(k, j, z);
    }
  }
}

export const real = (re: number): Complex => ({ re, im: 0 });
export const add = (a: Complex, b: Complex): Complex => ({ re: a.re + b.re, im: a.im + b.im });
export const sub = (a: Complex, b: Complex): Complex => ({ re: a.re - b.re, im: a.im - b.im });
export const conj = (a: Complex): Complex => ({ re: a.re, im: -a.im });
export const mul = (a: Complex, b: Complex): Complex => ({ re: a.re * b.re - a.im * b.im, im: a.re * b.im + a.im * b.re });
export const scale = (a: Complex, s: number): Complex => ({ re: a.re * s, im: a.im * s });
export const abs = (a: Complex): number => Math.hypot(a.re, a.im);
export function div(a: Complex, b: Complex): Complex {
  if (b.im === 0) return { re: a.re / b.re, im: a.im / b.re };
  // Scaled, so that squares do not overflow.
  const size = Math.max(Math.abs(b.re), Math.abs(b.im));
  const c = scale(conj(b), 1 / size);
  return scale(mul(scale(a, 1 / size), c), 1 / (c.re * c.re + c.im * c.im));
}

/** The matrices of a stack: its last two axes, or its last one as a row. */
export function matrices(x: RefArray, vectors = false): Matrix[] {
  const [m, n] = vectors ? [1, x.shape.at(-1)!] : x.shape.slice(-2);
  const batch = x.shape.slice(0, vectors ? -1 : -2).reduce((a, b) => a * b, 1);
  const at = (z: Element): Complex => (typeof z === "object" ? (z as Complex) : real(Number(z)));
  return Array.from({ length: batch }, (_, t) => Matrix.build(m, n, (i, j) => at(x.values[(t * m + i) * n + j])));
}

/** A stack of matrices, rounded to a dtype. */
export function stacked(list: readonly Matrix[], shape: readonly number[], dtype: DType): RefArray {
  const round = rounder(dtype);
  const values: Element[] = [];
  for (const a of list)
    for (let p = 0; p < a.re.length; p++) values.push(round(isComplex(dtype) ? { re: a.re[p], im: a.im[p] } : a.re[p]));
  return { shape, dtype, values };
}
