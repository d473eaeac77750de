import { bind, jitP, type NDArray } from "@traceform/core";
import { drop, merge, pick, place } from "../internal/flags.ts";
import { forwarded, residualsOf } from "../internal/residuals.ts";
import {
  isLinear,
  type JvpEntry,
  jvpEntry,
  type PartialEvalEntry,
  partialEvalEntry,
  type TransposeEntry,
  transposeEntry,
} from "../rule.ts";

const noDonation = (n: number): boolean[] => new Array<boolean>(n).fill(false);

export const jitJvps = (): JvpEntry[] => [
  jvpEntry(jitP, (primals, tangents, params, { jvpJaxpr }) => {
    const nonzero = tangents.map((t) => t !== null);
    const { jaxpr, consts, nonzeroOut } = jvpJaxpr(params.jaxpr, nonzero, false);
    const args = [...consts, ...primals, ...(pick(tangents, nonzero) as NDArray[])];
    const outs = bind(jitP, args, { ...params, jaxpr, donated: noDonation(args.length) });
    const n = params.jaxpr.outvars.length;
    return [outs.slice(0, n), place(nonzeroOut, outs.slice(n))];
  }),
];

export const jitPartialEvals = (): PartialEvalEntry[] => [
  partialEvalEntry(jitP, (args, unknowns, params, { partialEvalJaxpr, known, stage }) => {
    const split = partialEvalJaxpr(params.jaxpr, unknowns);
    const forward = forwarded(split);
    const knownArgs = drop(args, unknowns);
    const knownOuts = known(jitP as never, knownArgs, { ...params, jaxpr: forward.known, donated: noDonation(knownArgs.length) });
    const unknownArgs = [...residualsOf(forward, knownArgs, knownOuts), ...pick(args, unknowns)];
    const unknownOuts = stage(jitP as never, unknownArgs, {
      ...params,
      jaxpr: split.unknown,
      donated: noDonation(unknownArgs.length),
    });
    return merge(split.unknownOut, unknownOuts, knownOuts);
  }),
];

export const jitTransposes = (): TransposeEntry[] => [
  transposeEntry(jitP, (cts, operands, params, { transposeJaxpr }) => {
    const linear = operands.map(isLinear);
    const nonzero = cts.map((ct) => ct !== null);
    const { jaxpr, consts, nonzeroOut } = transposeJaxpr(params.jaxpr, linear, nonzero);
    const args = [...consts, ...(drop(operands, linear) as NDArray[]), ...(pick(cts, nonzero) as NDArray[])];
    const outs = bind(jitP, args, { ...params, jaxpr, donated: noDonation(args.length) });
    return merge(
      linear,
      place(nonzeroOut, outs),
      operands.map(() => null),
    ) as (NDArray | null)[];
  }),
];
