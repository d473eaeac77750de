import type { Mesh, NDArray } from "@traceform/core";
import { axisSize, ppermute, scan, sliceInDim } from "@traceform/lax";
import { concatenate, pad } from "@traceform/numpy";
import "@traceform/numpy/methods";
import { PartitionSpec as P, shardMap } from "@traceform/pmap";

/** One explicit step of the heat equation from a plate with a rim of one cell around it; what is beyond the plate is cold. */
function step(rimmed: NDArray, rate: number): NDArray {
  const [rows, columns] = [rimmed.shape[0] - 2, rimmed.shape[1] - 2];
  const part = (y: number, x: number): NDArray => sliceInDim(sliceInDim(rimmed, y, y + rows, 1, 0), x, x + columns, 1, 1);
  const here = part(1, 1);
  const around = part(0, 1).add(part(2, 1)).add(part(1, 0)).add(part(1, 2));
  return here.add(around.sub(here.mul(4)).mul(rate));
}

/** `steps` steps on a plate float32[rows, columns]. */
export function heat(plate: NDArray, steps: number, rate = 0.2): NDArray {
  return scan((u: NDArray, _: null) => [step(pad(u, 1), rate), null] as const, plate, null, { length: steps })[0];
}

/** The rows, or columns, at the ends of the neighbours' parts along a mesh axis, on both sides of one's own. */
function withHalo(u: NDArray, axisName: string, axis: number): NDArray {
  const n = axisSize(axisName);
  const size = u.shape[axis];
  const forward = Array.from({ length: n - 1 }, (_, i) => [i, i + 1] as const);
  const back = forward.map(([from, to]) => [to, from] as const);
  // Whoever has no neighbour gets zeros: the cold beyond the plate.
  const before = ppermute(sliceInDim(u, size - 1, size, 1, axis), axisName, forward);
  const after = ppermute(sliceInDim(u, 0, 1, 1, axis), axisName, back);
  return concatenate([before, u, after], axis);
}

/** The same on a mesh with the axes "y" and "x": each device has a part of the plate, and exchanges its rim in every step. */
export function parallelHeat(mesh: Mesh, steps: number, rate = 0.2): (plate: NDArray) => NDArray {
  const run = (plate: NDArray): NDArray =>
    scan((u: NDArray, _: null) => [step(withHalo(withHalo(u, "y", 0), "x", 1), rate), null] as const, plate, null, {
      length: steps,
    })[0];
  return shardMap(run, { mesh, inSpecs: P("y", "x"), outSpecs: P("y", "x") });
}
