import { bind, DTypeError, formatShape, type NDArray, sameShape, ShapeError, TransformError } from "@traceform/core";
import { customVmapCallP, type CustomVmapCallParams } from "@traceform/lax";
import { moveAxis } from "../internal/axes.ts";
import { type BatchDim, type BatchEntry, entry } from "../rule.ts";

function checkTypes(
  { name, callJaxpr }: CustomVmapCallParams,
  outs: readonly NDArray[],
  batched: readonly boolean[],
  n: number,
): void {
  outs.forEach((x, i) => {
    const want = callJaxpr.outAvals[i];
    const shape = batched[i] ? [n, ...want.shape] : want.shape;
    const details = {
      message: `result ${i} of the batching rule, which is ${batched[i] ? "" : "not "}batched, must be ${formatShape(shape, want.dtype)}`,
      operands: { returned: x },
    };
    if (!sameShape(x.shape, shape)) {
      throw new ShapeError(name, {
        ...details,
        fix: "batched results have the batch as their leading axis; mark the others with false",
      });
    }
    if (x.dtype !== want.dtype)
      throw new DTypeError(name, { ...details, fix: "convert it to the dtype that the function returns" });
  });
}

export const customVmapRules = (): BatchEntry[] => [
  entry(customVmapCallP, (args, dims, params, { axisSize }) => {
    const { numConsts, name } = params;
    const batched = dims.map((d) => d !== null);
    // An axis name inside is the only reason to be here without a batched operand.
    if (!batched.includes(true)) return [bind(customVmapCallP, args, params), dims];
    if (batched.slice(0, numConsts).includes(true)) {
      throw new TransformError(name, {
        message: "the function closes over a batched value, of which its batching rule does not know",
        fix: "make the value an argument of the function",
      });
    }
    const front = args.map((x, i) => (dims[i] === null ? x : moveAxis(x, dims[i], 0)));
    const { outs, outBatched } = params.rule(axisSize, batched.slice(numConsts), front.slice(numConsts));
    checkTypes(params, outs, outBatched, axisSize);
    return [outs, outBatched.map((b): BatchDim => (b ? 0 : null))];
  }),
];
