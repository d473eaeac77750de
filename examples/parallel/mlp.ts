import { type Mesh, type NDArray } from "@traceform/core";
import { grad } from "@traceform/grad";
import { pmean, psum } from "@traceform/lax";
import { gelu } from "@traceform/nn";
import { mean, square } from "@traceform/numpy";
import "@traceform/numpy/methods";
import { PartitionSpec as P, shardMap } from "@traceform/pmap";

/** Two layers: float32[inputs, hidden] and float32[hidden, outputs]. */
export interface Layers {
  readonly up: NDArray;
  readonly down: NDArray;
}

/** What every device would compute if it had everything. */
export const apply = ({ up, down }: Layers, x: NDArray): NDArray => gelu(x.matmul(up)).matmul(down);
const loss = (prediction: NDArray, y: NDArray): NDArray => mean(square(prediction.sub(y)));

/** Hidden units are cut along "model", examples along "data". */
const layers = { up: P(null, "model"), down: P("model") };

/**
 * The network of which each device along "model" has a part of the hidden units: the first product needs no communication, the
 * second is a sum over devices.
 * @see Shoeybi et al. (2019), "Megatron-LM: training multi-billion parameter language models using model parallelism"
 */
const tensorParallel = ({ up, down }: Layers, x: NDArray): NDArray => psum(gelu(x.matmul(up)).matmul(down), "model");

/** Predictions on a mesh with the axes "data" and "model". */
export function predict(mesh: Mesh): (p: Layers, x: NDArray) => NDArray {
  return shardMap(tensorParallel, { mesh, inSpecs: [layers, P("data")], outSpecs: P("data") });
}

/** The gradient of the mean squared error: parts of the weights in, parts of their gradients out, where they are. */
export function gradient(mesh: Mesh): (p: Layers, x: NDArray, y: NDArray) => Layers {
  return shardMap(
    grad((p: Layers, x: NDArray, y: NDArray) => pmean(loss(tensorParallel(p, x), y), "data")),
    {
      mesh,
      inSpecs: [layers, P("data"), P("data")],
      outSpecs: layers,
    },
  );
}

/** The same gradient on one device. */
export const wholeGradient: (p: Layers, x: NDArray, y: NDArray) => Layers = grad((p: Layers, x: NDArray, y: NDArray) =>
  loss(apply(p, x), y),
);
