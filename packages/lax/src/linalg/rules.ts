import { bind, type NDArray, type Params, type Primitive } from "@traceform/core";
import { broadcastInDim, transpose } from "../shape.ts";

/** What a batching rule is given that matters here: see `BatchRule` in @traceform/vmap. */
interface Context {
  readonly primitive: Primitive<never>;
  readonly axisSize: number;
}

/** The batching rule of operations on stacks of matrices: the batch is one more leading axis of every operand. */
export function batchLeading(
  args: readonly NDArray[],
  dims: readonly (number | null)[],
  params: Params,
  { primitive, axisSize }: Context,
): readonly [outs: readonly NDArray[], dims: readonly number[]] {
  const moved = args.map((x, i) => leading(x, dims[i], axisSize));
  const outs = bind(primitive as unknown as Primitive, moved, params);
  return [outs, outs.map(() => 0)];
}

function leading(x: NDArray, dim: number | null, size: number): NDArray {
  const axes = Array.from({ length: x.ndim }, (_, i) => i);
  if (dim === null) {
    return broadcastInDim(
      x,
      [size, ...x.shape],
      axes.map((i) => i + 1),
    );
  }
  return dim === 0 ? x : transpose(x, [dim, ...axes.filter((i) => i !== dim)]);
}
