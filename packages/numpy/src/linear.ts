import { type ArrayLike, canonicalAxes, type DType, type NDArray, ShapeError, ValueError } from "@traceform/core";
import * as lax from "@traceform/lax";
import { broadcastTo, convertAll, promote, toArray } from "./internal/promote.ts";
import { broadcastShapes, moveaxis } from "./shape.ts";
import { diagonal } from "./triangles.ts";
import { conj } from "./unary.ts";
import { type ReduceOptions, sum } from "./reductions.ts";

export interface DotOptions {
  readonly precision?: lax.PrecisionLike;
  /** The dtype to accumulate in and to return. */
  readonly preferredElementType?: DType | null;
}

function contract(a: NDArray, b: NDArray, dims: Partial<lax.DotDimensionNumbers>, options?: DotOptions): NDArray {
  const numbers = { lhsContract: [], rhsContract: [], lhsBatch: [], rhsBatch: [], ...dims };
  // Products of bools are computed in int32: whether anything is there, not how much.
  if (a.dtype === "bool") {
    const int = (x: NDArray): NDArray => lax.convertElementType(x, "int32");
    return lax.ne(lax.dotGeneral(int(a), int(b), numbers), 0);
  }
  return lax.dotGeneral(a, b, numbers, options);
}

/**
 * Matrix product of the last two axes, broadcasting the others. Vectors count as a row on the left and a column on the
 * right.
 *
 * @throws {ShapeError} for scalars, and when the inner sizes differ
 */
export function matmul(x: ArrayLike, y: ArrayLike, options?: DotOptions): NDArray {
  const [a, b] = convertAll([x, y]);
  if (a.ndim === 0 || b.ndim === 0) {
    throw new ShapeError("matmul", {
      message: "operands must have at least one axis",
      operands: { lhs: a, rhs: b },
      fix: "use multiply for scalars",
    });
  }
  const [n, m] = [a.shape[a.ndim - 1], b.shape[Math.max(0, b.ndim - 2)]];
  if (n !== m) {
    throw new ShapeError("matmul", {
      message: `the last axis of lhs (${n}) and ${b.ndim === 1 ? "the axis" : "the second last axis"} of rhs (${m}) must have equal sizes`,
      operands: { lhs: a, rhs: b },
      fix: "transpose one operand, or name the axes with einsum",
    });
  }
  const [batchA, batchB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const [contractA, contractB] = [[a.ndim - 1], [Math.max(0, b.ndim - 2)]];
  // Without batch axes on one side everything is a free axis: no broadcasting, no transposition of the result on the left.
  if (batchB.length === 0) return contract(a, b, { lhsContract: contractA, rhsContract: contractB }, options);
  const batch = broadcastShapes(batchA, batchB);
  const full = (v: NDArray): NDArray => broadcastTo("matmul", v, [...batch, ...v.shape.slice(-2)]);
  if (a.ndim === 1) {
    // vector · [...b, n, m]: contract, the rest are free axes of rhs already in order.
    return contract(a, b, { lhsContract: [0], rhsContract: [b.ndim - 2] }, options);
  }
  const [p, q] = [full(a), full(b)];
  const axes = batch.map((_, i) => i);
  return contract(p, q, { lhsContract: [p.ndim - 1], rhsContract: [q.ndim - 2], lhsBatch: axes, rhsBatch: axes }, options);
}

/** Sum over the last axis of `x` and the second last of `y` (its only one): matrix product for matrices, scaling for scalars. */
export function dot(x: ArrayLike, y: ArrayLike, options?: DotOptions): NDArray {
  const [a, b] = convertAll([x, y]);
  if (a.ndim === 0 || b.ndim === 0) return a.dtype === "bool" ? lax.bitwiseAnd(a, b) : lax.mul(a, b);
  checkInner("dot", a, b, a.ndim - 1, Math.max(0, b.ndim - 2));
  return contract(a, b, { lhsContract: [a.ndim - 1], rhsContract: [Math.max(0, b.ndim - 2)] }, options);
}

function checkInner(fn: string, a: NDArray, b: NDArray, i: number, j: number): void {
  if (a.shape[i] === b.shape[j]) return;
  throw new ShapeError(fn, {
    message: `axis ${i} of lhs (${a.shape[i]}) and axis ${j} of rhs (${b.shape[j]}) must have equal sizes`,
    operands: { lhs: a, rhs: b },
    fix: "transpose one operand, or name the axes with tensordot or einsum",
  });
}

/** Sum over the last axes of both. */
export function inner(x: ArrayLike, y: ArrayLike, options?: DotOptions): NDArray {
  const [a, b] = convertAll([x, y]);
  if (a.ndim === 0 || b.ndim === 0) return lax.mul(a, b);
  checkInner("inner", a, b, a.ndim - 1, b.ndim - 1);
  return contract(a, b, { lhsContract: [a.ndim - 1], rhsContract: [b.ndim - 1] }, options);
}

/** All products of an element of `x` with one of `y`, both flattened. */
export function outer(x: ArrayLike, y: ArrayLike): NDArray {
  const [a, b] = convertAll([x, y]);
  const shape = [a.size, b.size];
  const [p, q] = [
    lax.broadcastInDim(lax.reshape(a, [a.size]), shape, [0]),
    lax.broadcastInDim(lax.reshape(b, [b.size]), shape, [1]),
  ];
  return a.dtype === "bool" ? lax.bitwiseAnd(p, q) : lax.mul(p, q);
}

/** Sum of the products of all elements; the left operand is conjugated. */
export function vdot(x: ArrayLike, y: ArrayLike, options?: DotOptions): NDArray {
  const [a, b] = convertAll([conj(x), y]);
  return dot(lax.reshape(a, [a.size]), lax.reshape(b, [b.size]), options);
}

/** Sum over one axis of both, the left operand conjugated; the other axes broadcast. */
export function vecdot(x: ArrayLike, y: ArrayLike, options: DotOptions & { readonly axis?: number } = {}): NDArray {
  const axis = options.axis ?? -1;
  const [a0, b0] = convertAll([conj(x), y]);
  const [a, b] = [moveaxis(a0, axis, -1), moveaxis(b0, axis, -1)];
  checkInner("vecdot", a, b, a.ndim - 1, b.ndim - 1);
  const batch = broadcastShapes(a.shape.slice(0, -1), b.shape.slice(0, -1));
  const full = (v: NDArray): NDArray => broadcastTo("vecdot", v, [...batch, v.shape[v.ndim - 1]]);
  const axes = batch.map((_, i) => i);
  return contract(
    full(a),
    full(b),
    { lhsContract: [batch.length], rhsContract: [batch.length], lhsBatch: axes, rhsBatch: axes },
    options,
  );
}

/** Matrices [..., m, n] with vectors [..., n]: [..., m]. */
export function matvec(x: ArrayLike, y: ArrayLike): NDArray {
  const v = toArray(y);
  return lax.squeeze(matmul(x, lax.expandDims(v, [v.ndim])), [-1]);
}
/** Vectors [..., n], conjugated, with matrices [..., n, m]: [..., m]. */
export function vecmat(x: ArrayLike, y: ArrayLike): NDArray {
  const v = toArray(x);
  return lax.squeeze(matmul(lax.expandDims(conj(v), [v.ndim - 1]), y), [-2]);
}

/** Sum over pairs of axes: the last n of `x` with the first n of `y`, or the lists of axes given. */
export function tensordot(
  x: ArrayLike,
  y: ArrayLike,
  axes: number | readonly [number | readonly number[], number | readonly number[]] = 2,
  options?: DotOptions,
): NDArray {
  const [a, b] = convertAll([x, y]);
  let pairs: [number[], number[]];
  if (typeof axes === "number") {
    if (axes > Math.min(a.ndim, b.ndim)) {
      throw new ShapeError("tensordot", {
        message: `operands have fewer than ${axes} axes`,
        operands: { lhs: a, rhs: b },
        fix: "name the axes in pairs: [[1], [0]], or lower their number",
      });
    }
    pairs = [Array.from({ length: axes }, (_, i) => a.ndim - axes + i), Array.from({ length: axes }, (_, i) => i)];
  } else {
    const list = (v: number | readonly number[], n: number): number[] =>
      canonicalAxes("tensordot", typeof v === "number" ? [v] : v, n);
    pairs = [list(axes[0], a.ndim), list(axes[1], b.ndim)];
  }
  const [i, j] = pairs;
  if (i.length !== j.length)
    throw new ValueError("tensordot", {
      message: `axes come in pairs, got ${i.length} and ${j.length}`,
      fix: "name as many axes of one operand as of the other",
    });
  i.forEach((d, k) => checkInner("tensordot", a, b, d, j[k]));
  return contract(a, b, { lhsContract: i, rhsContract: j }, options);
}

/** The Kronecker product: every element of `x` times the whole of `y`, as blocks. */
export function kron(x: ArrayLike, y: ArrayLike): NDArray {
  const [a0, b0] = convertAll([x, y]);
  const n = Math.max(a0.ndim, b0.ndim);
  const [a, b] = [lax.broadcastToRank(a0, n), lax.broadcastToRank(b0, n)];
  const shape = a.shape.flatMap((m, i) => [m, b.shape[i]]);
  const p = lax.broadcastInDim(
    a,
    shape,
    a.shape.map((_, i) => 2 * i),
  );
  const q = lax.broadcastInDim(
    b,
    shape,
    b.shape.map((_, i) => 2 * i + 1),
  );
  return lax.reshape(
    a.dtype === "bool" ? lax.bitwiseAnd(p, q) : lax.mul(p, q),
    a.shape.map((m, i) => m * b.shape[i]),
  );
}

export interface CrossOptions {
  readonly axisa?: number;
  readonly axisb?: number;
  readonly axisc?: number;
}

/** The vector product along an axis of size 3 (or 2, which counts as lying in the plane). */
export function cross(x: ArrayLike, y: ArrayLike, axis?: number | null | CrossOptions, options: CrossOptions = {}): NDArray {
  const opts: CrossOptions = typeof axis === "number" ? { axisa: axis, axisb: axis, axisc: axis } : { ...axis, ...options };
  const [a0, b0] = convertAll([x, y]);
  const [a, b] = [moveaxis(a0, opts.axisa ?? -1, -1), moveaxis(b0, opts.axisb ?? -1, -1)];
  const [n, m] = [a.shape[a.ndim - 1], b.shape[b.ndim - 1]];
  if (![2, 3].includes(n) || ![2, 3].includes(m)) {
    throw new ShapeError("cross", {
      message: "vectors must have 2 or 3 components",
      operands: { lhs: a0, rhs: b0 },
      fix: "name the axis that holds the components: { axis }",
    });
  }
  const part = (v: NDArray, i: number): NDArray | null => (i < v.shape[v.ndim - 1] ? lax.indexInDim(v, i, -1, false) : null);
  // A missing third component is zero: its products drop out.
  const term = (i: number, j: number): NDArray | null => {
    const times = (p: NDArray | null, q: NDArray | null): NDArray | null => {
      if (p === null || q === null) return null;
      const [u, v] = promote("cross", [p, q]);
      return lax.mul(u, v);
    };
    const [plus, minus] = [times(part(a, i), part(b, j)), times(part(a, j), part(b, i))];
    if (plus === null) return minus === null ? null : lax.neg(minus);
    return minus === null ? plus : lax.sub(plus, minus);
  };
  const z = term(0, 1)!;
  if (n === 2 && m === 2) return z;
  const parts = [term(1, 2)!, term(2, 0)!, z].map((v) => lax.expandDims(broadcastTo("cross", v, z.shape), [z.ndim]));
  return moveaxis(lax.concatenate(parts, z.ndim), -1, opts.axisc ?? -1);
}

/** Sum of the k-th diagonal of two axes. */
export function trace(x: ArrayLike, offset = 0, axis1 = 0, axis2 = 1, options: Pick<ReduceOptions, "dtype"> = {}): NDArray {
  return sum(diagonal(x, offset, axis1, axis2), -1, options);
}
