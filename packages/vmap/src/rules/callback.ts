import { bind, type NDArray, TransformError, updateAval, watchP } from "@traceform/core";
import { debug, debugCallbackP, indexInDim, ioCallbackP, type PureCallbackParams, pureCallbackP, stack } from "@traceform/lax";
import { insert, moveAxis, repeat } from "../internal/axes.ts";
import { sequential } from "../internal/sequential.ts";
import { type BatchDim, type BatchEntry, type BatchRule, entry } from "../rule.ts";

type Result = ReturnType<BatchRule>;

/** One call for each member, written out. */
function unrolled(args: readonly NDArray[], dims: readonly BatchDim[], params: PureCallbackParams, size: number): Result {
  const members = Array.from({ length: size }, (_, i) =>
    bind(
      pureCallbackP,
      args.map((x, k) => (dims[k] === null ? x : indexInDim(x, i, dims[k], false))),
      params,
    ),
  );
  const outs = params.resultAvals.map((_, k) => stack(members.map((m) => m[k])));
  return [outs, outs.map(() => 0)];
}

/** One call for the whole batch, which is the leading axis of every argument and result. */
function together(args: readonly NDArray[], dims: readonly BatchDim[], params: PureCallbackParams, size: number): Result {
  const shared = params.vmapMethod === "expandDims" ? 1 : size;
  const operands = args.map((x, i) => (dims[i] === null ? repeat(x, shared, 0) : moveAxis(x, dims[i], 0)));
  const resultAvals = params.resultAvals.map((aval) => updateAval(aval, { shape: insert(aval.shape, 0, size) }));
  const outs = bind(pureCallbackP, operands, { ...params, resultAvals });
  return [outs, outs.map(() => 0)];
}

export const callbackRules = (): BatchEntry[] => [
  entry(pureCallbackP, (args, dims, params, context) => {
    switch (params.vmapMethod) {
      case "sequential":
        return sequential(args, dims, params as never, context);
      case "sequentialUnrolled":
        if (context.axisSize === 0) return sequential(args, dims, params as never, context);
        return unrolled(args, dims, params, context.axisSize);
      case "expandDims":
      case "broadcastAll":
        return together(args, dims, params, context.axisSize);
      case null:
        // Devices call for themselves, whatever a batch would do.
        if (context.isMesh) return unrolled(args, dims, params, context.axisSize);
        throw new TransformError("vmap", {
          message: "a pureCallback does not say how it is to be vectorised",
          fix: "pass { vmapMethod } as its last argument: sequential, sequentialUnrolled, expandDims or broadcastAll",
        });
    }
  }),
  entry(ioCallbackP, (args, dims, params, context) => {
    if (params.ordered) {
      throw new TransformError("vmap", {
        message: "an ordered ioCallback cannot be vectorised: the members of a batch have no order",
        fix: "leave ordered away, call it outside vmap, or go through the members with map or scan",
      });
    }
    return sequential(args, dims, params as never, context);
  }),
  // For debugging: one call for each member, in order.
  entry(debugCallbackP, sequential),
  entry(debug.debugPrintP, sequential),
  entry(watchP, (args, _dims, params) => [bind(watchP, args, params), []]),
];
