import { type NDArray } from "@traceform/core";
import { gather } from "../gather.ts";
import { expandDims } from "../shape.ts";

function take(x: NDArray, indices: NDArray, axis: number): NDArray {
  const batch = Array.from({ length: indices.ndim - 1 }, (_, i) => i);
  return gather(
    x,
    expandDims(indices, [indices.ndim]),
    {
      // The result has the axes of x; all but the batch axes and the one that is permuted run over a slice.
      offsetDims: Array.from({ length: x.ndim }, (_, i) => i).filter((i) => !batch.includes(i) && i !== axis),
      collapsedSliceDims: [axis],
      startIndexMap: [axis],
      operandBatchingDims: batch,
      startIndicesBatchingDims: batch,
    },
    x.shape.map((n, i) => (batch.includes(i) || i === axis ? 1 : n)),
  );
}

/** The rows of each matrix in another order: x [..., m, n], indices int32[..., k] -> [..., k, n]. */
export function takeRows(x: NDArray, indices: NDArray): NDArray {
  return take(x, indices, x.ndim - 2);
}
/** The columns of each matrix in another order: x [..., m, n], indices int32[..., k] -> [..., m, k]. */
export function takeColumns(x: NDArray, indices: NDArray): NDArray {
  // The gather puts the indexed axis behind the batch axes; the columns are at the end.
  return take(x, indices, x.ndim - 1);
}
/** The elements of each vector in another order: x [..., n], indices int32[..., k] -> [..., k]. */
export function takeElements(x: NDArray, indices: NDArray): NDArray {
  return take(x, indices, x.ndim - 1);
}
