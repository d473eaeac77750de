import { bind1, type NDArray } from "@traceform/core";
import { convGeneralDilatedP, type ConvGeneralDilatedParams, dotGeneralP, reshape } from "@traceform/lax";
import { bumpAll, moveAxis } from "../internal/axes.ts";
import { sequential } from "../internal/sequential.ts";
import { type BatchContext, type BatchDim, type BatchEntry, entry } from "../rule.ts";

/** The place of axis `d` among the axes of an operand that are neither contracted nor batch axes. */
function freeIndex(d: number, used: readonly number[]): number {
  return d - used.filter((a) => a < d).length;
}

export const dotRules = (): BatchEntry[] => [
  entry(dotGeneralP, ([x, y], [dx, dy], params) => {
    const { lhsContract, rhsContract, lhsBatch, rhsBatch } = params.dimensionNumbers;
    const lc = dx === null ? lhsContract : bumpAll(lhsContract, dx);
    const lb = dx === null ? lhsBatch : bumpAll(lhsBatch, dx);
    const rc = dy === null ? rhsContract : bumpAll(rhsContract, dy);
    const rb = dy === null ? rhsBatch : bumpAll(rhsBatch, dy);
    const dot = (lhsB: readonly number[], rhsB: readonly number[]): NDArray =>
      bind1(dotGeneralP, [x, y], {
        ...params,
        dimensionNumbers: { lhsContract: lc, rhsContract: rc, lhsBatch: lhsB, rhsBatch: rhsB },
      });
    // Both batched: one more batch axis. One batched: the batch is a free axis of its operand.
    if (dx !== null && dy !== null) return [[dot([dx, ...lb], [dy, ...rb])], [0]];
    if (dx !== null) return [[dot(lb, rb)], [lb.length + freeIndex(dx, [...lc, ...lb])]];
    const lhsFree = x.ndim - lc.length - lb.length;
    return [[dot(lb, rb)], [lb.length + lhsFree + freeIndex(dy!, [...rc, ...rb])]];
  }),
  entry(convGeneralDilatedP, ([lhs, rhs], [dl, dr], params, context) => convolution(lhs, rhs, dl, dr, params, context)),
];

/** Splits axis `axis` into `groups` and what remains; the groups come first. */
function splitAxis(x: NDArray, axis: number, groups: number): NDArray {
  return reshape(x, [...x.shape.slice(0, axis), groups, x.shape[axis] / groups, ...x.shape.slice(axis + 1)]);
}
/** Merges axis `from` into axis `into` (counted without `from`), as its slower part. */
function mergeAxis(x: NDArray, from: number, into: number): NDArray {
  const moved = moveAxis(x, from, into);
  return reshape(moved, [...moved.shape.slice(0, into), moved.shape[into] * moved.shape[into + 1], ...moved.shape.slice(into + 2)]);
}

/** The batch goes where a convolution already has independent members: its batch, its features, its groups. */
function convolution(
  lhs: NDArray,
  rhs: NDArray,
  dl: BatchDim,
  dr: BatchDim,
  params: ConvGeneralDilatedParams,
  context: BatchContext,
): readonly [NDArray[], BatchDim[]] {
  const { lhsSpec, rhsSpec, outSpec } = params.dimensionNumbers;
  const { featureGroupCount, batchGroupCount } = params;
  const size = context.axisSize;
  const conv = (l: NDArray, r: NDArray, groups: Partial<ConvGeneralDilatedParams> = {}): NDArray =>
    bind1(convGeneralDilatedP, [l, r], { ...params, ...groups });
  if (size === 0) return sequential([lhs, rhs], [dl, dr], params as never, context) as [NDArray[], BatchDim[]];
  if (dl !== null && dr !== null) {
    const grouped = batchGroupCount > 1;
    const l = mergeAxis(lhs, dl, grouped ? lhsSpec[0] : lhsSpec[1]);
    const out = conv(
      l,
      mergeAxis(rhs, dr, rhsSpec[0]),
      grouped ? { batchGroupCount: batchGroupCount * size } : { featureGroupCount: featureGroupCount * size },
    );
    return [[splitAxis(out, outSpec[1], size)], [outSpec[1]]];
  }
  if (dl !== null) {
    if (batchGroupCount === 1) return [[splitAxis(conv(mergeAxis(lhs, dl, lhsSpec[0]), rhs), outSpec[0], size)], [outSpec[0]]];
    // Groups stay outermost: (groups, members, rest of the batch).
    const groups = splitAxis(lhs, lhsSpec[0] + (dl <= lhsSpec[0] ? 1 : 0), batchGroupCount);
    const members = mergeAxis(groups, dl + (lhsSpec[0] < dl ? 1 : 0), lhsSpec[0] + 1);
    const out = conv(mergeAxis(members, lhsSpec[0], lhsSpec[0]), rhs);
    return [[splitAxis(out, outSpec[0], size)], [outSpec[0]]];
  }
  const groups = Math.max(featureGroupCount, batchGroupCount);
  if (groups === 1) return [[splitAxis(conv(lhs, mergeAxis(rhs, dr!, rhsSpec[0])), outSpec[1], size)], [outSpec[1]]];
  const split = splitAxis(rhs, rhsSpec[0] + (dr! <= rhsSpec[0] ? 1 : 0), groups);
  const members = mergeAxis(split, dr! + (rhsSpec[0] < dr! ? 1 : 0), rhsSpec[0] + 1);
  const out = splitAxis(conv(lhs, mergeAxis(members, rhsSpec[0], rhsSpec[0])), outSpec[1], groups);
  const whole = mergeAxis(splitAxis(out, outSpec[1] + 1, size), outSpec[1], outSpec[1] + 1);
  return [[whole], [outSpec[1]]];
}
