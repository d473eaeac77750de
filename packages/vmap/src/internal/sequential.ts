import { bind, type NDArray } from "@traceform/core";
import { map } from "@traceform/lax";
import type { BatchRule } from "../rule.ts";
import { moveAxis } from "./axes.ts";

/** The rule of last resort: the operation once for each member, one after the other, in one compiled loop. */
export const sequential: BatchRule<never> = (args, dims, params, { primitive }) => {
  const batched = args.flatMap((x, i) => (dims[i] === null ? [] : [moveAxis(x, dims[i], 0)]));
  const outs = map((members: NDArray[]) => {
    let k = 0;
    return bind(
      primitive,
      args.map((x, i) => (dims[i] === null ? x : members[k++])),
      params,
    );
  }, batched as NDArray[]);
  return [outs, outs.map(() => 0)];
};
