import { type ArrayLike, asArray, isComplex, type NDArray, sameShape, ShapeError } from "@traceform/core";
import { add, div, ge, mul, sub } from "../binary.ts";
import { imag, real } from "../convert.ts";
import { full } from "../create.ts";
import { checkSameDType } from "../internal/infer.ts";
import { scan } from "../loops.ts";
import { select } from "../select.ts";
import { broadcastInDim, concatenate, transpose } from "../shape.ts";
import { indexInDim, sliceInDim } from "../slice.ts";
import { abs, neg } from "../unary.ts";
import { checkPrecision } from "./matrices.ts";

/** The axis of equations first. */
function front(x: NDArray, axis: number): NDArray {
  return transpose(x, [axis, ...x.shape.map((_, i) => i).filter((i) => i !== axis)]);
}
function size(x: NDArray): NDArray {
  return isComplex(x.dtype) ? add(abs(real(x)), abs(imag(x))) : abs(x);
}
function along(v: NDArray, b: NDArray): NDArray {
  return broadcastInDim(
    v,
    b.shape,
    v.shape.map((_, i) => i),
  );
}

/**
 * Solves systems with tridiagonal matrices by elimination with partial pivoting, in time linear in n.
 *
 * dl, d, du: [..., n], the diagonals below, on and above the main one, with dl[0] and du[n - 1] not read; b: [..., n, m] ->
 * [..., n, m]. Differentiable in all of them.
 *
 * @throws {ShapeError} when the shapes do not fit; @throws {DTypeError} when the dtypes differ
 */
export function tridiagonalSolve(dl: ArrayLike, d: ArrayLike, du: ArrayLike, b: ArrayLike): NDArray {
  const [lower, main, upper, right] = [dl, d, du, b].map((x) => asArray(x));
  checkPrecision("tridiagonalSolve", "d", main.aval);
  checkSameDType(
    "tridiagonalSolve",
    [lower, main, upper, right].map((x) => x.aval),
  );
  const fits = [lower, upper].every((x) => sameShape(x.shape, main.shape)) && sameShape(right.shape.slice(0, -1), main.shape);
  if (!fits || main.ndim < 1) {
    throw new ShapeError("tridiagonalSolve", {
      message: "the diagonals must have equal shapes [..., n], and b [..., n, m]",
      operands: { dl: lower, d: main, du: upper, b: right },
      fix: "pad dl in front and du at the end to the length of d",
    });
  }
  const axis = main.ndim - 1;
  const n = main.shape[axis];
  if (right.size === 0) return right;
  const [l, c, u, y] = [front(lower, axis), front(main, axis), front(upper, axis), front(right, axis)];
  return solve(l, c, u, y, n, axis);
}

interface Row {
  readonly d: NDArray;
  readonly u: NDArray;
  readonly b: NDArray;
}

/** The same with the axis of equations first; it goes back to `axis`. */
function solve(l: NDArray, c: NDArray, u: NDArray, y: NDArray, n: number, axis: number): NDArray {
  const row = (x: NDArray, i: number): NDArray => indexInDim(x, i, 0, false);
  const zero = full(row(c, 0).shape, 0, c.dtype);
  const rest = (x: NDArray): NDArray => sliceInDim(x, 1, n);
  // The last row has nothing above the diagonal, whatever is stored there.
  const above = concatenate([sliceInDim(u, 0, n - 1), full([1, ...zero.shape], 0, u.dtype)], 0);
  const start: Row = { d: row(c, 0), u: row(above, 0), b: row(y, 0) };
  const eliminate = (top: Row, [below, diagonal, beside, right]: readonly NDArray[]): [Row, Row & { u2: NDArray }] => {
    const keep = ge(size(top.d), size(below));
    const pivot = select(keep, top.d, below);
    const factor = div(select(keep, below, top.d), pivot);
    const [u1, u2] = [select(keep, top.u, diagonal), select(keep, zero, beside)];
    const wide = along(keep, right);
    const b1 = select(wide, top.b, right);
    const b2 = select(wide, right, top.b);
    const next: Row = {
      d: sub(select(keep, diagonal, top.u), mul(factor, u1)),
      u: select(keep, beside, neg(mul(factor, beside))),
      b: sub(b2, mul(along(factor, b1), b1)),
    };
    return [next, { d: pivot, u: u1, u2, b: b1 }];
  };
  const inputs = [rest(l), rest(c), rest(above), rest(y)];
  const [last, rows] = scan(eliminate, start, inputs);
  const end = div(last.b, along(last.d, last.b));
  const substitute = ([x1, x2]: readonly [NDArray, NDArray], r: Row & { u2: NDArray }): [readonly [NDArray, NDArray], NDArray] => {
    const known = add(mul(along(r.u, x1), x1), mul(along(r.u2, x2), x2));
    const x = div(sub(r.b, known), along(r.d, known));
    return [[x, x1], x];
  };
  const nothing = full(end.shape, 0, end.dtype);
  const [, xs] = scan(substitute, [end, nothing] as const, rows, { reverse: true });
  const solved = concatenate(
    [
      xs,
      broadcastInDim(
        end,
        [1, ...end.shape],
        end.shape.map((_, i) => i + 1),
      ),
    ],
    0,
  );
  const order = solved.shape.map((_, i) => i);
  order.splice(axis, 0, ...order.splice(0, 1));
  return transpose(solved, order);
}
