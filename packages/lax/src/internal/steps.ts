import { type Jaxpr, type StepsRule } from "@traceform/core";
import type { CondParams } from "../cond.ts";
import type { ScanParams, WhileParams } from "../loops.ts";
import { indexInDim } from "../slice.ts";
import { stack } from "../shape.ts";

// Control flow on concrete arrays, one jaxpr at a time.

export const checkpointSteps: StepsRule<{ readonly jaxpr: Jaxpr }> = (args, { jaxpr }, run) => run(jaxpr, args);
export const customSteps: StepsRule<{ readonly callJaxpr: Jaxpr }> = (args, { callJaxpr }, run) => run(callJaxpr, args);

export const condSteps: StepsRule<CondParams> = ([index, ...operands], { branches }, run) => {
  const i = Math.min(Math.max(Number(index.itemSync()), 0), branches.length - 1);
  return run(branches[i], operands);
};

export const whileSteps: StepsRule<WhileParams> = (args, p, run) => {
  const condConsts = args.slice(0, p.condNconsts);
  const bodyConsts = args.slice(p.condNconsts, p.condNconsts + p.bodyNconsts);
  let carry = args.slice(p.condNconsts + p.bodyNconsts);
  while (run(p.condJaxpr, [...condConsts, ...carry])[0].itemSync()) carry = run(p.bodyJaxpr, [...bodyConsts, ...carry]);
  return carry;
};

export const scanSteps: StepsRule<ScanParams> = (args, p, run) => {
  if (p.length === 0) return null;
  const consts = args.slice(0, p.numConsts);
  const xs = args.slice(p.numConsts + p.numCarry);
  let carry = args.slice(p.numConsts, p.numConsts + p.numCarry);
  const rows = Array.from({ length: p.length }, (_, k) => {
    const i = p.reverse ? p.length - 1 - k : k;
    const outs = run(p.jaxpr, [...consts, ...carry, ...xs.map((x) => indexInDim(x, i, 0, false))]);
    carry = outs.slice(0, p.numCarry);
    return outs.slice(p.numCarry);
  });
  if (p.reverse) rows.reverse();
  return [...carry, ...rows[0].map((_, k) => stack(rows.map((row) => row[k])))];
};
