import {
  type ArrayLike,
  asArray,
  batchRule,
  bind1,
  definePrimitive,
  DTypeError,
  isFloat,
  jvpRule,
  lowerRule,
  type LowerRule,
  makeAval,
  type NDArray,
  type Primitive,
  sameShape,
  ShapeError,
  transposeRule,
} from "@traceform/core";
import { isLinear, type JvpRule, type TransposeRule } from "@traceform/grad";
import {
  add,
  broadcastedIota,
  broadcastInDim,
  concatenate,
  dotGeneral,
  gather,
  rem,
  rev,
  sliceInDim,
  sub,
  transpose,
} from "@traceform/lax";
import type { BatchRule } from "@traceform/vmap";

/** y[i] = sum over j of k[j] x[i - j], indices modulo n, along the last axis of two arrays of one shape. */
export function circularConvolve(x: ArrayLike, k: ArrayLike): NDArray {
  return bind1(circularConvolveP, [asArray(x), asArray(k)], {});
}

type NoParams = Record<never, never>;

/** It is linear in each operand, so its derivative is itself. Tangents that are zero arrive as arrays of zeros. */
const jvp: JvpRule<NoParams> = ([x, k], [dx, dk]) => [
  [circularConvolve(x, k)],
  [add(circularConvolve(dx, k), circularConvolve(x, dk))],
];

/** k[-j]: what a convolution with it is, is the transpose of the convolution with k. */
function reversed(k: NDArray): NDArray {
  const last = k.ndim - 1;
  return concatenate([sliceInDim(k, 0, 1, 1, last), rev(sliceInDim(k, 1, k.shape[last], 1, last), [last])], last);
}

/** One operand is linear; its value is not known, only its type. The result is its cotangent, from that of the convolution. */
const transposed: TransposeRule<NoParams> = ([ct], [x, k]) => {
  if (isLinear(x)) return [circularConvolve(ct!, reversed(k as NDArray)), null];
  return [null, circularConvolve(ct!, reversed(x))];
};

/** The batch becomes the leading axis; an operand without one is repeated along it. */
const batch: BatchRule<NoParams> = (args, dims, _params, { axisSize }) => {
  const front = args.map((x, i) => {
    const d = dims[i];
    const axes = x.shape.map((_, k) => k);
    return d === null
      ? broadcastInDim(
          x,
          [axisSize, ...x.shape],
          axes.map((a) => a + 1),
        )
      : transpose(x, [d, ...axes.filter((a) => a !== d)]);
  });
  return [[circularConvolve(front[0], front[1])], [0]];
};

/** What backends see: a product with the matrix of k[i - j]. */
const lower: LowerRule<NoParams> = ([x, k]) => {
  const n = k.shape[k.ndim - 1];
  const lead = k.shape.slice(0, -1);
  const leading = lead.map((_, i) => i);
  const [i, j] = [0, 1].map((axis) => broadcastedIota("int32", [n, n, 1], axis));
  const matrix = gather(
    k,
    rem(add(sub(i, j), n), n),
    { offsetDims: leading, collapsedSliceDims: [lead.length], startIndexMap: [lead.length] },
    [...lead, 1],
    { mode: "promise_in_bounds" },
  );
  const d = lead.length;
  return [dotGeneral(matrix, x, { lhsContract: [d + 1], rhsContract: [d], lhsBatch: leading, rhsBatch: leading })];
};

export const circularConvolveP: Primitive<NoParams> = definePrimitive<NoParams>("circular_convolve", {
  // Shapes and dtypes only: this runs whenever the operation is traced, and refuses operands that do not fit.
  abstractEval: ([x, k]) => {
    if (x.ndim === 0 || !sameShape(x.shape, k.shape)) {
      throw new ShapeError("circularConvolve", {
        message: "the operands must have one shape, with at least one axis",
        operands: { x, k },
        fix: "broadcast one to the shape of the other",
      });
    }
    if (x.dtype !== k.dtype || !isFloat(x.dtype)) {
      throw new DTypeError("circularConvolve", {
        message: "needs two arrays of one float dtype",
        operands: { x, k },
        fix: "convert them",
      });
    }
    return [makeAval(x.shape, x.dtype)];
  },
  rules: { [jvpRule]: jvp, [transposeRule]: transposed, [batchRule]: batch, [lowerRule]: lower },
});
