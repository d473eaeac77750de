import { makeArrayFromCallback, type Mesh, NamedSharding, type NDArray } from "@traceform/core";
import { checkpoint, valueAndGrad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import { allGather, pmean } from "@traceform/lax";
import { gelu } from "@traceform/nn";
import { mean, square } from "@traceform/numpy";
import "@traceform/numpy/methods";
import { PartitionSpec as P, shardMap } from "@traceform/pmap";

/** Two layers: float32[inputs, hidden] and float32[hidden, outputs]. */
export interface Layers {
  readonly up: NDArray;
  readonly down: NDArray;
}

/** Rows of all weights, of the batch, and of the moments that an optimizer may have: every device has its part only. */
const rows = P("data");

/**
 * The product with a weight of which each device has some rows: it is whole while it is used, and gathered again for the backward pass.
 * Its gradient comes back by `psumScatter`, the transpose of `allGather`.
 */
const product = checkpoint((x: NDArray, w: NDArray): NDArray => x.matmul(allGather(w, "data", { tiled: true })));

const loss = ({ up, down }: Layers, x: NDArray, y: NDArray): NDArray => mean(square(product(gelu(product(x, up)), down).sub(y)));

/**
 * A step of gradient descent: parts of the weights in, the loss and parts of the new weights out. Nobody has all weights at any time
 * but those of the layer that it computes.
 *
 * @see Rajbhandari et al. (2020), "ZeRO: memory optimizations toward training trillion parameter models"
 * @see Zhao et al. (2023), "PyTorch FSDP: experiences on scaling fully sharded data parallel"
 */
export function descend(mesh: Mesh, rate: number): (p: Layers, x: NDArray, y: NDArray) => readonly [NDArray, Layers] {
  const step = (p: Layers, x: NDArray, y: NDArray): readonly [NDArray, Layers] => {
    const [value, g] = valueAndGrad((q: Layers) => pmean(loss(q, x, y), "data"))(p);
    return [value, { up: p.up.sub(g.up.mul(rate)), down: p.down.sub(g.down.mul(rate)) }];
  };
  return jit(shardMap(step, { mesh, inSpecs: rows, outSpecs: [P(), rows] }), { donateArgnums: [0] });
}

/** Some weight, of which each process makes its rows only. */
function weight(mesh: Mesh, inputs: number, outputs: number): NDArray {
  return makeArrayFromCallback([inputs, outputs], new NamedSharding(mesh, rows), ([r]) =>
    Float32Array.from({ length: (r.stop - r.start) * outputs }, (_, k) => Math.sin(r.start * outputs + k) / Math.sqrt(inputs)),
  );
}

/** A network on a mesh with the axis "data". */
export function network(mesh: Mesh, inputs: number, hidden: number, outputs: number): Layers {
  return { up: weight(mesh, inputs, hidden), down: weight(mesh, hidden, outputs) };
}
