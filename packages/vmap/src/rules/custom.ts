import { bind, type NDArray, scalar } from "@traceform/core";
import {
  type CustomJvpThunk,
  customJvpCallP,
  type CustomVjpBwd,
  type CustomVjpFwd,
  customVjpCallP,
  mul,
  reduceSum,
} from "@traceform/lax";
import { moveAxis, toFront } from "../internal/axes.ts";
import { type BatchContext, type BatchDim, type BatchEntry, entry } from "../rule.ts";

function inFront(args: readonly NDArray[], dims: readonly BatchDim[]): NDArray[] {
  return args.map((x, i) => (dims[i] === null ? x : moveAxis(x, dims[i], 0)));
}

/** Separates arrays from the `null`s among them, for functions that take arrays only. */
function present(xs: readonly (NDArray | null)[]): { arrays: NDArray[]; restore(ys: readonly NDArray[]): (NDArray | null)[] } {
  return {
    arrays: xs.filter((x) => x !== null),
    restore: (ys) => {
      let k = 0;
      return xs.map((x) => (x === null ? null : ys[k++]));
    },
  };
}

/** The rule of one member, run on batches. All results are batched, as those of the call are. */
function batchJvp(jvp: CustomJvpThunk, batched: readonly boolean[], numConsts: number, context: BatchContext): CustomJvpThunk {
  return (primals, tangents) => {
    const own = primals.slice(numConsts);
    const dots = tangents.slice(numConsts);
    const { arrays, restore } = present(dots);
    let shape: readonly (NDArray | null)[] = [];
    let count = 0;
    const [outs, dims] = context.batched(
      (...xs) => {
        const [ys, ts] = jvp(xs.slice(0, own.length), restore(xs.slice(own.length)));
        count = ys.length;
        shape = ts;
        return [...ys, ...ts.filter((t) => t !== null)];
      },
      [...own, ...arrays],
      [...batched, ...batched.filter((_, i) => dots[i] !== null)],
    );
    const front = outs.map((x, i) => toFront(x, dims[i], context.axisSize));
    return [front.slice(0, count), present(shape).restore(front.slice(count))];
  };
}

function batchVjp(fwd: CustomVjpFwd, batched: readonly boolean[], numConsts: number, context: BatchContext): CustomVjpFwd {
  return (args, perturbed) => {
    let count = 0;
    let backward: CustomVjpBwd | null = null;
    const [outs, dims] = context.batched(
      (...xs) => {
        const result = fwd(xs, perturbed.slice(numConsts));
        count = result.outs.length;
        backward = result.bwd;
        return [...result.outs, ...result.residuals];
      },
      args.slice(numConsts),
      batched,
    );
    const residualDims = dims.slice(count);
    return {
      outs: outs.slice(0, count).map((x, i) => toFront(x, dims[i], context.axisSize)),
      residuals: inFront(outs.slice(count), residualDims),
      bwd: batchBwd(
        backward!,
        batched,
        residualDims.map((d) => d !== null),
        numConsts,
        context,
      ),
    };
  };
}

function batchBwd(
  bwd: CustomVjpBwd,
  batched: readonly boolean[],
  residualBatched: readonly boolean[],
  numConsts: number,
  context: BatchContext,
): CustomVjpBwd {
  return (residuals, cotangents) => {
    const { arrays, restore } = present(cotangents);
    let shape: readonly (NDArray | null)[] = [];
    const [outs, dims] = context.batched(
      (...xs) => {
        shape = bwd(xs.slice(0, residuals.length), restore(xs.slice(residuals.length)));
        return shape.filter((ct) => ct !== null);
      },
      [...residuals, ...arrays],
      [...residualBatched, ...arrays.map(() => true)],
    );
    let k = 0;
    const own = shape.map((ct, i) => {
      if (ct === null) return null;
      const x = outs[k];
      const d = dims[k++];
      if (batched[i]) return toFront(x, d, context.axisSize);
      // Every member contributes to the cotangent of an operand that all of them share.
      return d === null ? mul(x, scalar(context.axisSize, x.dtype)) : reduceSum(x, [d]);
    });
    return [...new Array<null>(numConsts).fill(null), ...own];
  };
}

export const customRules = (): BatchEntry[] => [
  entry(customJvpCallP, (args, dims, params, context) => {
    const batched = dims.map((d) => d !== null);
    const { jaxpr, consts } = context.batchJaxpr(params.callJaxpr, batched, true);
    const jvp = batchJvp(params.jvp, batched, consts.length, context);
    const outs = bind(customJvpCallP, [...consts, ...inFront(args, dims)], { ...params, callJaxpr: jaxpr, jvp });
    return [outs, outs.map(() => 0)];
  }),
  entry(customVjpCallP, (args, dims, params, context) => {
    const batched = dims.map((d) => d !== null);
    const { jaxpr, consts } = context.batchJaxpr(params.callJaxpr, batched, true);
    const fwd = batchVjp(params.fwd, batched, consts.length, context);
    const outs = bind(customVjpCallP, [...consts, ...inFront(args, dims)], { ...params, callJaxpr: jaxpr, fwd });
    return [outs, outs.map(() => 0)];
  }),
];
