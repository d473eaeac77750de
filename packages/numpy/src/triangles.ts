import { type ArrayLike, type NDArray, ShapeError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { type DTypeOption, dtypeOf, eye, zeros } from "./creation.ts";
import { int32s } from "./internal/host.ts";
import { toArray } from "./internal/promote.ts";
import { where } from "./select.ts";

/** Ones on and below the k-th diagonal of an n by m matrix, zeros above. */
export function tri(n: number, m?: number | null, k = 0, dtype?: DTypeOption): NDArray {
  return lax.convertElementType(lowerMask([n, m ?? n], k), dtypeOf(dtype) ?? "float32");
}

/** True on and below the k-th diagonal of the last two axes of `shape`. */
function lowerMask(shape: readonly number[], k: number): NDArray {
  const last = shape.slice(-2);
  return lax.ge(lax.add(lax.broadcastedIota("int32", last, 0), k), lax.broadcastedIota("int32", last, 1));
}

function triangle(fn: string, x: ArrayLike, k: number, lower: boolean): NDArray {
  const a = toArray(x);
  if (a.ndim < 2)
    throw new ShapeError(fn, { message: "needs at least two axes", operands: { x: a }, fix: "give a matrix, or a stack of them" });
  const mask = lax.broadcastInDim(lowerMask(a.shape, lower ? k : k - 1), a.shape, [a.ndim - 2, a.ndim - 1]);
  const zero = lax.fullLike(a, a.dtype === "bool" ? false : 0, { shape: [] });
  return lower ? lax.select(mask, a, zero) : lax.select(mask, zero, a);
}
/** The lower triangles of a stack of matrices: elements above the k-th diagonal become 0. */
export function tril(x: ArrayLike, k = 0): NDArray {
  return triangle("tril", x, k, true);
}
/** The upper triangles of a stack of matrices: elements below the k-th diagonal become 0. */
export function triu(x: ArrayLike, k = 0): NDArray {
  return triangle("triu", x, k, false);
}

/** A vector with its k-th diagonal matrix, or the k-th diagonal of a matrix. */
export function diag(x: ArrayLike, k = 0): NDArray {
  const v = toArray(x);
  if (v.ndim === 1) {
    const n = v.size + Math.abs(k);
    const padded = lax.pad(v, v.dtype === "bool" ? false : 0, [[Math.max(0, k), Math.max(0, -k), 0]]);
    const onDiagonal = eye(n, n, k, "bool");
    // Column j of row i = j - k holds element i - max(0, -k): broadcasting along rows puts it there.
    return where(onDiagonal, lax.broadcastInDim(padded, [n, n], [1]), zeros([], v.dtype));
  }
  if (v.ndim === 2) return diagonal(v, k);
  throw new ShapeError("diag", { message: "needs a vector or a matrix", operands: { x: v }, fix: "use vmap for a stack of them" });
}

/** The k-th diagonals of the matrices in axes `axis1` and `axis2`, as the last axis. */
export function diagonal(x: ArrayLike, offset = 0, axis1 = 0, axis2 = 1): NDArray {
  const a = toArray(x);
  const wrap = (i: number): number => (i < 0 ? i + a.ndim : i);
  const [r, c] = [wrap(axis1), wrap(axis2)];
  if (a.ndim < 2 || r === c)
    throw new ShapeError("diagonal", {
      message: "needs two different axes",
      operands: { x: a },
      fix: "pass different axis1 and axis2",
    });
  const rest = a.shape.map((_, i) => i).filter((i) => i !== r && i !== c);
  const m = lax.transpose(a, [...rest, r, c]);
  const [rows, columns] = [a.shape[r], a.shape[c]];
  const length = Math.max(0, Math.min(rows + Math.min(0, offset), columns - Math.max(0, offset)));
  const from = [Math.max(0, -offset), Math.max(0, offset)];
  const batch = rest.map((i) => a.shape[i]);
  if (length === 0) return lax.fullLike(a, a.dtype === "bool" ? false : 0, { shape: [...batch, 0] });
  // In row-major order the diagonal is every (columns + 1)-th element.
  const n = batch.length;
  const cut = lax.slice(m, [...batch.map(() => 0), from[0], from[1]], [...batch, from[0] + length, from[1] + length]);
  const flat = lax.reshape(cut, [...batch, length * length]);
  return lax.slice(flat, new Array<number>(n + 1).fill(0), [...batch, length * length], [...batch.map(() => 1), length + 1]);
}

/** A matrix with the elements of `x`, in row-major order, on its k-th diagonal. */
export function diagflat(x: ArrayLike, k = 0): NDArray {
  const a = toArray(x);
  return diag(lax.reshape(a, [a.size]), k);
}

/** The index arrays of the main diagonal of an array with `ndim` axes of size n. */
export function diagIndices(n: number, ndim = 2): NDArray[] {
  return Array.from({ length: ndim }, () => lax.iota("int32", n));
}
export function diagIndicesFrom(x: ArrayLike): NDArray[] {
  const a = toArray(x);
  if (a.ndim < 2 || a.shape.some((n) => n !== a.shape[0])) {
    throw new ShapeError("diagIndicesFrom", {
      message: "needs at least two axes of equal size",
      operands: { x: a },
      fix: "give a square matrix",
    });
  }
  return diagIndices(a.shape[0], a.ndim);
}

function triangleIndices(n: number, m: number, inside: (i: number, j: number) => boolean): [NDArray, NDArray] {
  const rows: number[] = [];
  const columns: number[] = [];
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      if (!inside(i, j)) continue;
      rows.push(i);
      columns.push(j);
    }
  }
  return [int32s(rows), int32s(columns)];
}
/** Row and column indices of the elements on and below the k-th diagonal of an n by m matrix. */
export function trilIndices(n: number, k = 0, m: number = n): [rows: NDArray, columns: NDArray] {
  return triangleIndices(n, m, (i, j) => j <= i + k);
}
/** Row and column indices of the elements on and above the k-th diagonal of an n by m matrix. */
export function triuIndices(n: number, k = 0, m: number = n): [rows: NDArray, columns: NDArray] {
  return triangleIndices(n, m, (i, j) => j >= i + k);
}
export function trilIndicesFrom(x: ArrayLike, k = 0): [rows: NDArray, columns: NDArray] {
  const a = toArray(x);
  return trilIndices(a.shape[0], k, a.shape[1]);
}
export function triuIndicesFrom(x: ArrayLike, k = 0): [rows: NDArray, columns: NDArray] {
  const a = toArray(x);
  return triuIndices(a.shape[0], k, a.shape[1]);
}
