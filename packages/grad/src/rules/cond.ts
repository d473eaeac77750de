import { bind, Jaxpr, JaxprMemo, type NDArray, or, Var } from "@traceform/core";
import { type CondParams, condP } from "@traceform/lax";
import { fillSlots, shareConsts, shareSlots } from "../internal/branches.ts";
import { merge, pick, place } from "../internal/flags.ts";
import {
  isLinear,
  type JvpEntry,
  jvpEntry,
  type PartialEvalContext,
  type PartialEvalEntry,
  partialEvalEntry,
  type PartialEvalJaxpr,
  type TransposeEntry,
  transposeEntry,
} from "../rule.ts";

const memo = new JaxprMemo<{ readonly jaxpr: Jaxpr }>();

export const condJvps = (): JvpEntry[] => [
  jvpEntry(condP, ([index, ...operands], [, ...tangents], { branches }, { jvpJaxpr }) => {
    const nonzero = tangents.map((t) => t !== null);
    // A result has a tangent when it has one in some branch; the others return zeros there.
    const nonzeroOut = branches.map((b) => jvpJaxpr(b, nonzero, false).nonzeroOut).reduce(or);
    const { jaxprs, consts } = shareConsts(branches.map((b) => jvpJaxpr(b, nonzero, nonzeroOut)));
    const outs = bind(condP, [index, ...consts, ...operands, ...(pick(tangents, nonzero) as NDArray[])], { branches: jaxprs });
    const n = branches[0].outvars.length;
    return [outs.slice(0, n), place(nonzeroOut, outs.slice(n))];
  }),
];

interface SplitCond {
  readonly known: readonly Jaxpr[];
  readonly unknown: readonly Jaxpr[];
}

/**
 * Branches have different residuals, a conditional returns one list: residuals of one type share places between
 * branches, and a branch fills the places it does not need.
 */
function shareResiduals(splits: readonly PartialEvalJaxpr[]): SplitCond {
  const { slots, slotsOf } = shareSlots(splits.map(({ residuals }) => residuals));
  const key = `${slots.map((a) => a.id).join()}|`;
  return {
    known: splits.map(
      ({ known, residuals }, k) =>
        memo.get(known, `known${key}${slotsOf[k].join()}`, () => ({
          jaxpr: fillSlots(known, residuals.length, slots, slotsOf[k]),
        })).jaxpr,
    ),
    unknown: splits.map(
      ({ unknown, residuals }, k) =>
        memo.get(unknown, `unknown${key}${slotsOf[k].join()}`, () => {
          const leading = slots.map((aval, s) => {
            const i = slotsOf[k].indexOf(s);
            return i < 0 ? new Var(aval) : unknown.invars[i];
          });
          return {
            jaxpr: new Jaxpr(
              [],
              [...leading, ...unknown.invars.slice(residuals.length)],
              unknown.eqns,
              unknown.outvars,
              unknown.effects,
            ),
          };
        }).jaxpr,
    ),
  };
}

function partialEvalCond(
  args: readonly NDArray[],
  unknowns: readonly boolean[],
  params: CondParams,
  context: PartialEvalContext,
): NDArray[] {
  const [ukIndex, ...ukOperands] = unknowns;
  if (ukIndex) return context.stage(condP as never, args, params as never);
  const [index, ...operands] = args;
  const { branches } = params;
  const unknownOut = branches.map((b) => context.partialEvalJaxpr(b, ukOperands).unknownOut).reduce(or);
  const split = shareResiduals(branches.map((b) => context.partialEvalJaxpr(b, ukOperands, unknownOut)));
  const knownOperands = operands.filter((_, i) => !ukOperands[i]);
  const outs = context.known(condP as never, [index, ...knownOperands], { branches: split.known });
  const numKnown = unknownOut.filter((u) => !u).length;
  const unknownOuts = context.stage(condP as never, [index, ...outs.slice(numKnown), ...pick(operands, ukOperands)], {
    branches: split.unknown,
  });
  return merge(unknownOut, unknownOuts, outs.slice(0, numKnown));
}

export const condPartialEvals = (): PartialEvalEntry[] => [partialEvalEntry(condP, partialEvalCond)];

export const condTransposes = (): TransposeEntry[] => [
  transposeEntry(condP, (cts, [index, ...operands], { branches }, { transposeJaxpr }) => {
    const linear = operands.map(isLinear);
    const nonzero = cts.map((ct) => ct !== null);
    const transposed = branches.map((b) => transposeJaxpr(b, linear, nonzero, true));
    const { jaxprs, consts } = shareConsts(transposed);
    const others = operands.filter((_, i) => !linear[i]) as NDArray[];
    const outs = bind(condP, [index as NDArray, ...consts, ...others, ...(pick(cts, nonzero) as NDArray[])], { branches: jaxprs });
    return [
      null,
      ...(merge(
        linear,
        place(transposed[0].nonzeroOut, outs),
        operands.map(() => null),
      ) as (NDArray | null)[]),
    ];
  }),
];
