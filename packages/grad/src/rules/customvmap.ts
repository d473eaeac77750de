import { bind, bits, Jaxpr, type JitParams, type NDArray, splitList } from "@traceform/core";
import { broadcastInDim, customVmapCallP, type CustomVmapCallParams, type CustomVmapRule } from "@traceform/lax";
import { pick, place } from "../internal/flags.ts";
import { hasTangent, instantiate } from "../internal/zeros.ts";
import {
  type JvpContext,
  type JvpEntry,
  jvpEntry,
  type PartialEvalEntry,
  partialEvalEntry,
  type PartialEvalRule,
  type TransposeEntry,
  transposeEntry,
  type TransposeRule,
} from "../rule.ts";
import { jitPartialEvals, jitTransposes } from "./jit.ts";

function repeated(x: NDArray, size: number): NDArray {
  return broadcastInDim(
    x,
    [size, ...x.shape],
    x.shape.map((_, i) => i + 1),
  );
}

const memo = new WeakMap<CustomVmapRule, Map<string, CustomVmapRule>>();

/**
 * The batching rule of the tangents: the derivative of the batching rule. It gets the arguments, then the tangents of
 * those that `nonzero` marks, and returns the tangents of the results (after the results themselves, with `both`).
 */
function jvpOfRule(rule: CustomVmapRule, nonzero: readonly boolean[], both: boolean, context: JvpContext): CustomVmapRule {
  let byKey = memo.get(rule);
  if (byKey === undefined) memo.set(rule, (byKey = new Map()));
  const key = `${bits(nonzero)}:${both}`;
  let derived = byKey.get(key);
  if (derived === undefined) {
    derived = (axisSize, inBatched, args) => {
      const [primals, dots] = splitList(args, nonzero.length);
      const [primalBatched, dotBatched] = splitList(inBatched, nonzero.length);
      const tangents = place(nonzero, dots);
      const tangentBatched = place(nonzero, dotBatched);
      // A value and its tangent are batched together.
      const batched = primalBatched.map((b, i) => b || tangentBatched[i] === true);
      const fit = (x: NDArray, has: boolean | null, i: number): NDArray => (batched[i] && !has ? repeated(x, axisSize) : x);
      let outBatched: readonly boolean[] = [];
      const { outs, tangents: outTangents } = context.jvp(
        (inputs) => {
          const result = rule(axisSize, batched, inputs);
          outBatched = result.outBatched;
          return result.outs;
        },
        primals.map((x, i) => fit(x, primalBatched[i], i)),
        tangents.map((t, i) => (t === null ? null : fit(t, tangentBatched[i], i))),
      );
      const inexact = outs.map((x) => hasTangent(x.aval));
      const outDots = pick(
        outs.map((x, i) => (inexact[i] ? instantiate(outTangents[i], x.aval) : x)),
        inexact,
      );
      const dotsBatched = pick(outBatched, inexact);
      return both
        ? { outs: [...outs, ...outDots], outBatched: [...outBatched, ...dotsBatched] }
        : { outs: outDots, outBatched: dotsBatched };
    };
    byKey.set(key, derived);
  }
  return derived;
}

export const customVmapJvps = (): JvpEntry[] => [
  jvpEntry(customVmapCallP, (primals, tangents, params, context) => {
    const { callJaxpr, rule, numConsts } = params;
    const numOuts = callJaxpr.outvars.length;
    // The results by a call of their own, so that reverse mode knows them, and they keep their rule. Effects happen once.
    const both = callJaxpr.effects.size > 0;
    const nonzero = tangents.map((t) => t !== null);
    const inexact = callJaxpr.outAvals.map(hasTangent);
    const { jaxpr, consts } = context.jvpJaxpr(callJaxpr, nonzero, inexact);
    const [own, primalVars, dotVars] = splitList(jaxpr.invars, consts.length, primals.length);
    const dotOf = place(nonzero, dotVars);
    // What the function closes over comes first, and so do its tangents.
    const order = <T>(first: readonly T[], xs: readonly T[], ts: readonly (T | null)[]): T[] => [
      ...first,
      ...xs.slice(0, numConsts),
      ...ts.slice(0, numConsts).filter((t) => t !== null),
      ...xs.slice(numConsts),
      ...ts.slice(numConsts).filter((t) => t !== null),
    ];
    const derivative = new Jaxpr(
      [],
      order(own, primalVars, dotOf),
      jaxpr.eqns,
      both ? jaxpr.outvars : jaxpr.outvars.slice(numOuts),
      jaxpr.effects,
    );
    const results = bind(customVmapCallP, order(consts, primals, tangents), {
      ...params,
      callJaxpr: derivative,
      rule: jvpOfRule(rule, nonzero.slice(numConsts), both, context),
      numConsts: consts.length + numConsts + nonzero.slice(0, numConsts).filter(Boolean).length,
    });
    const outs = both ? results.slice(0, numOuts) : bind(customVmapCallP, primals, params);
    return [outs, place(inexact, both ? results.slice(numOuts) : results)];
  }),
];

const asJit = ({ name, callJaxpr }: CustomVmapCallParams): JitParams => ({
  name,
  jaxpr: callJaxpr,
  donated: [],
  inline: false,
  keepUnused: false,
});

// What is left to be linear is the function, not its rule: batches were resolved before, or they see its operations.
export const customVmapPartialEvals = (): PartialEvalEntry[] => [
  partialEvalEntry(customVmapCallP, (args, unknowns, params, context) => {
    const [[, split]] = jitPartialEvals() as [[unknown, PartialEvalRule<JitParams>]];
    return split(args, unknowns, asJit(params), context);
  }),
];

export const customVmapTransposes = (): TransposeEntry[] => [
  transposeEntry(customVmapCallP, (cts, operands, params, context) => {
    const [[, transpose]] = jitTransposes() as [[unknown, TransposeRule<JitParams>]];
    return transpose(cts, operands, asJit(params), context);
  }),
];
