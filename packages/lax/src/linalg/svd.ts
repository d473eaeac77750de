import {
  type ArrayLike,
  asArray,
  batchRule,
  bind,
  bind1,
  definePrimitive,
  jvpRule,
  lowerRule,
  type NDArray,
  type Primitive,
  realDType,
  ValueError,
} from "@traceform/core";
import { add, bitwiseAnd, div, eq, lt, mul, ne, sub } from "../binary.ts";
import { convertElementType } from "../convert.ts";
import { broadcastedIota, full } from "../create.ts";
import { noParams, result } from "../internal/infer.ts";
import { select } from "../select.ts";
import { concatenate, pad } from "../shape.ts";
import { sliceInDim } from "../slice.ts";
import { sortKeyVal } from "../sort.ts";
import { abs, neg } from "../unary.ts";
import { basis, orNaN, realPart, scaledMatrices, spread } from "./eigh.ts";
import {
  alongColumns,
  alongRows,
  batchShape,
  block,
  checkMatrix,
  columns,
  conjugate,
  diagonalOf,
  identityMatrix,
  mH,
  mm,
  onDiagonal,
  rows,
} from "./matrices.ts";
import { takeColumns } from "./permute.ts";
import { householderProduct, qr } from "./qr.ts";
import { batchLeading } from "./rules.ts";
import { bidiagonalSweepsP, panelColumns, panelElements, scanPanels, sweepAll, widenP } from "./sweeps.ts";

type PanelParams = { readonly width: number };

/** (a, k0) -> (v, y, x, u, d, e, tau left, tau right): columns and rows k0, … of matrices reduced to bidiagonal form. */
export const bidiagonalPanelP: Primitive<PanelParams> = /* @__PURE__ */ definePrimitive<PanelParams>("bidiagonal_panel", {
  abstractEval: ([a, k0], { width }) => {
    const batch = batchShape(a);
    const [m, n] = a.shape.slice(-2);
    const of = (shape: readonly number[], dtype = a.dtype): typeof a => result([...batch, ...shape], dtype, [a, k0], false);
    const [tall, wide, scalars] = [of([width, m]), of([width, n]), of([width], realDType(a.dtype))];
    return [tall, wide, tall, wide, scalars, scalars, of([width]), of([width])];
  },
});

export interface SvdParams {
  readonly fullMatrices: boolean;
  readonly computeUv: boolean;
}

/** Results: the singular values, and U and Vᴴ when asked for. */
export const svdP: Primitive<SvdParams> = /* @__PURE__ */ definePrimitive<SvdParams>("svd", {
  abstractEval: ([a], { fullMatrices, computeUv }) => {
    checkMatrix("svd", "x", a);
    const [m, n] = a.shape.slice(-2);
    const k = Math.min(m, n);
    const batch = batchShape(a);
    const s = result([...batch, k], realDType(a.dtype), [a], false);
    if (!computeUv) return [s];
    const [r, c] = fullMatrices ? [m, n] : [k, k];
    return [s, result([...batch, m, r], a.dtype, [a], false), result([...batch, c, n], a.dtype, [a], false)];
  },
  rules: {
    [lowerRule]: ([a]: readonly NDArray[], params: SvdParams) => lowered(a, params),
    [batchRule]: batchLeading,
    [jvpRule]: ([a]: readonly NDArray[], [da]: readonly NDArray[], params: SvdParams) => {
      const [m, n] = a.shape.slice(-2);
      if (params.computeUv && params.fullMatrices && m !== n) {
        throw new ValueError("svd", {
          message: "the full matrices of singular vectors have no derivative: their last columns are any basis of a space",
          operands: { x: a },
          fix: "use fullMatrices: false",
        });
      }
      const [s, u, vh] = bind(svdP, [a], { fullMatrices: false, computeUv: true });
      return derivative(s, u, vh, da, params.computeUv);
    },
  },
});

/**
 * With dS = Uᴴ dA V: ds is the real part of its diagonal; dU and dV follow from the part off the diagonal, the spaces
 * outside of U and V, and, for complex matrices, the phases.
 *
 * @see Giles (2008), "An extended collection of matrix derivative results", section 3.2
 * @see Wan & Zhang (2019), "Automatic differentiation for complex valued SVD"
 */
function derivative(s: NDArray, u: NDArray, vh: NDArray, da: NDArray, computeUv: boolean): [NDArray[], NDArray[]] {
  const v = mH(vh);
  const inner = mm(mm(mH(u), da), v);
  const ds = realPart(diagonalOf(inner));
  if (!computeUv) return [[s], [ds]];
  const { shape } = inner;
  const typed = (x: NDArray): NDArray => convertElementType(x, u.dtype);
  const [across, down] = [alongColumns(s, shape), alongRows(s, shape)];
  const one = identityMatrix(shape, s.dtype);
  const gaps = mul(add(across, down), sub(across, down));
  const f = typed(sub(div(full(shape, 1, s.dtype), add(gaps, one)), one));
  const [scaledColumns, scaledRows] = [mul(inner, typed(across)), mul(inner, typed(down))];
  const none = convertElementType(eq(s, 0), s.dtype);
  const inverse = sub(div(full(s.shape, 1, s.dtype), add(s, none)), none);
  const phases = mul(mul(onDiagonal(sub(inner, mH(inner))), typed(alongColumns(inverse, shape))), 0.5);
  let du = mm(u, add(mul(f, add(scaledColumns, mH(scaledColumns))), phases));
  let dv = mm(v, mul(f, add(scaledRows, mH(scaledRows))));
  const outside = (x: NDArray, y: NDArray): NDArray => {
    const rest = sub(y, mm(x, mm(mH(x), y)));
    return mul(rest, typed(alongColumns(inverse, rest.shape)));
  };
  if (rows(u) > columns(u)) du = add(du, outside(u, mm(da, v)));
  if (rows(v) > columns(v)) dv = add(dv, outside(v, mm(mH(da), u)));
  return [
    [s, u, vh],
    [ds, du, mH(dv)],
  ];
}

/** Columns of a panel: enough for the matrix product that applies it. */
const panelWidth = 32;

function lowered(x: NDArray, params: SvdParams): NDArray[] {
  const [m, n] = x.shape.slice(-2);
  const { fullMatrices, computeUv } = params;
  if (x.size === 0) {
    const k = Math.min(m, n);
    const [r, c] = fullMatrices ? [m, n] : [k, k];
    const eye = (i: number, j: number): NDArray => identityMatrix([...batchShape(x), i, j], x.dtype);
    return [full([...batchShape(x), k], 0, realDType(x.dtype)), eye(m, r), eye(c, n)].slice(0, computeUv ? 3 : 1);
  }
  if (m < n) {
    const [s, ...uv] = lowered(mH(x), params);
    return [s, ...uv.reverse().map(mH)];
  }
  // The triangular factor of a tall matrix has the same singular values.
  if (m >= 1.6 * n && m > panelWidth) {
    const [q, r] = qr(x, { fullMatrices });
    const [s, u, vh] = lowered(block(r, 0, n, 0, n), params);
    return computeUv ? [s, fullMatrices ? appliedLeft(q, u) : mm(q, u), vh] : [s];
  }
  return decomposed(x, params);
}

/** q · (u ⊕ I) */
function appliedLeft(q: NDArray, u: NDArray): NDArray {
  const [m, n] = [rows(q), columns(u)];
  return concatenate([mm(block(q, 0, m, 0, n), u), block(q, 0, m, n, m)], q.ndim - 1);
}

/** Bidiagonal form by Householder reflections in blocks, then implicit QR sweeps; for m >= n. */
function decomposed(x: NDArray, { fullMatrices, computeUv }: SvdParams): NDArray[] {
  const [m, n] = x.shape.slice(-2);
  const realType = realDType(x.dtype);
  const { scaled: a, scale, valid } = scaledMatrices(x);
  const width = Math.min(n, panelWidth);
  const count = Math.ceil(n / width);
  const [v, u, d, e, tausLeft, tausRight] = scanPanels(a, count, width, (rest, k0) => {
    const [vs, ys, xs, us, ds, es, ls, rs] = bind(bidiagonalPanelP, [rest, k0], { width });
    const axis = vs.ndim - 2;
    const after = (): NDArray => sub(rest, mm(concatenate([vs, xs], axis), conjugate(concatenate([ys, us], axis)), ["T", "N"]));
    return [count === 1 ? rest : after(), [vs, us, ds, es, ls, rs]];
  });
  const first = (y: NDArray, k: number): NDArray => sliceInDim(y, 0, k, 1, y.ndim - 1);
  const wide = (y: NDArray): NDArray => bind1(widenP, [first(panelElements(y), n)], noParams);
  let sides: NDArray[] = [];
  let beyond: NDArray | null = null;
  if (computeUv) {
    const left = block(panelColumns(v), 0, m, 0, n);
    const none = batchShape(x).map(() => [0, 0, 0] as const);
    const target = fullMatrices ? pad(left, 0, [...none, [0, 0, 0], [0, m - n, 0]]) : left;
    const q = householderProduct(target, first(panelElements(tausLeft), n));
    beyond = fullMatrices && m > n ? block(q, 0, m, n, m) : null;
    sides = [basis(panelColumns(u), panelElements(tausRight), n), block(q, 0, m, 0, n)];
  }
  const swept = sweepAll(bidiagonalSweepsP, wide(d), wide(e), sides, x.dtype);
  const signed = convertElementType(swept.d, realType);
  const good = bitwiseAnd(valid, ne(swept.failed, true));
  const [keys, order] = sortKeyVal(neg(abs(signed)), broadcastedIota("int32", signed.shape, signed.ndim - 1), signed.ndim - 1);
  const s = orNaN(mul(neg(keys), spread(scale, keys.shape)), good);
  if (!computeUv) return [s];
  // A negative singular value changes its sign together with its column of V.
  const [p, q] = swept.vectors;
  const sign = select(lt(signed, 0), full(signed.shape, -1, realType), full(signed.shape, 1, realType));
  const right = takeColumns(mul(p, convertElementType(alongColumns(sign, p.shape), p.dtype)), order);
  const leading = takeColumns(q, order);
  const whole = beyond === null ? leading : concatenate([leading, beyond], q.ndim - 1);
  return [s, orNaN(whole, good), orNaN(mH(right), good)];
}

export interface SvdOptions {
  /** U and V are square; otherwise they have as many columns as there are singular values. */
  readonly fullMatrices?: boolean;
}

/**
 * Singular value decompositions: A = U diag(s) Vᴴ, with s descending and orthonormal columns in U and V.
 *
 * float or complex [..., m, n] -> U [..., m, m or k], s real [..., k], Vᴴ [..., n or k, n] with k = min(m, n); or s alone.
 * NaN and infinities give NaN.
 *
 * @see Golub & Van Loan, "Matrix Computations", 4th edition, section 8.6
 */
export function svd(x: ArrayLike, options?: SvdOptions & { readonly computeUv?: true }): [u: NDArray, s: NDArray, vh: NDArray];
export function svd(x: ArrayLike, options: SvdOptions & { readonly computeUv: false }): NDArray;
export function svd(
  x: ArrayLike,
  options: SvdOptions & { readonly computeUv?: boolean } = {},
): NDArray | [u: NDArray, s: NDArray, vh: NDArray] {
  const { fullMatrices = true, computeUv = true } = options;
  const [s, u, vh] = bind(svdP, [asArray(x)], { fullMatrices, computeUv });
  return computeUv ? [u, s, vh] : s;
}
