import type { Params, Primitive } from "@traceform/core";
import { type CheckpointPolicy, convGeneralDilatedP, dotGeneralP, type DotGeneralParams, nameP } from "@traceform/lax";

const is = (primitive: Primitive<never>, other: unknown): boolean => (primitive as unknown) === other;
const nameOf = (params: Params): string => params["name"] as string;
const isDot: CheckpointPolicy = (p) => is(p, dotGeneralP) || is(p, convGeneralDilatedP);
const isUnbatchedDot: CheckpointPolicy = (p, params) =>
  is(p, dotGeneralP) && (params as unknown as DotGeneralParams).dimensionNumbers.lhsBatch.length === 0;

/** What `checkpoint(f, { policy })` may keep for the backward pass instead of computing it again. */
export interface CheckpointPolicies {
  readonly everythingSaveable: CheckpointPolicy;
  readonly nothingSaveable: CheckpointPolicy;
  /** Results of matrix products and convolutions. */
  readonly dotsSaveable: CheckpointPolicy;
  readonly checkpointDots: CheckpointPolicy;
  /** Results of matrix products without batch axes: those of weights with activations. */
  readonly dotsWithNoBatchDimsSaveable: CheckpointPolicy;
  readonly checkpointDotsWithNoBatchDims: CheckpointPolicy;
  /** Values that `checkpointName` gave one of these names. */
  saveOnlyTheseNames(...names: readonly string[]): CheckpointPolicy;
  /** Values that `checkpointName` gave any other name. */
  saveAnyNamesButThese(...names: readonly string[]): CheckpointPolicy;
  /**
   * Everything but values that `checkpointName` gave one of these names. What went into `checkpointName` is a value of its own, which
   * may be kept, as in JAX.
   */
  saveAnythingExceptTheseNames(...names: readonly string[]): CheckpointPolicy;
  saveFromBothPolicies(a: CheckpointPolicy, b: CheckpointPolicy): CheckpointPolicy;
}

export const checkpointPolicies: CheckpointPolicies = {
  everythingSaveable: () => true,
  nothingSaveable: () => false,
  dotsSaveable: isDot,
  checkpointDots: isDot,
  dotsWithNoBatchDimsSaveable: isUnbatchedDot,
  checkpointDotsWithNoBatchDims: isUnbatchedDot,
  saveOnlyTheseNames:
    (...names) =>
    (p, params) =>
      is(p, nameP) && names.includes(nameOf(params)),
  saveAnyNamesButThese:
    (...names) =>
    (p, params) =>
      is(p, nameP) && !names.includes(nameOf(params)),
  saveAnythingExceptTheseNames:
    (...names) =>
    (p, params) =>
      !is(p, nameP) || !names.includes(nameOf(params)),
  saveFromBothPolicies: (a, b) => (p, params) => a(p, params) || b(p, params),
};
