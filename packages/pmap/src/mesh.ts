import { makeMesh as grid, type MakeMeshOptions, type Mesh } from "@traceform/core";
import { provideParallel } from "./inblocks.ts";

/**
 * A mesh of the given sizes from the first devices there are.
 *
 * @throws {BackendError} when there are fewer devices than the mesh has places
 * @example
 * ```ts
 * const mesh = makeMesh([2], ["data"]);
 * mesh.shape; // => { data: 2 }
 * ```
 */
export function makeMesh(axisSizes: readonly number[], axisNames: readonly string[], options: MakeMeshOptions = {}): Mesh {
  provideParallel();
  return grid(axisSizes, axisNames, options);
}
