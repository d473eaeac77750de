import {
  type Mesh,
  processCount,
  processExchange,
  type ProcessGroups,
  processIndex,
  processOf,
  TransformError,
} from "@traceform/core";
import type { Beyond } from "@traceform/vmap";

/** What this process has of an axis of a mesh: so many positions that follow each other, and what lies beyond them. */
export interface AxisShare {
  readonly size: number;
  readonly beyond: Beyond | null;
}

const known = new WeakMap<Mesh, readonly AxisShare[]>();

/**
 * The positions of a mesh that this process has, along each axis: all of them unless the mesh has devices of other processes.
 * @throws {TransformError} when the devices of a process are no block of the mesh, or blocks differ in size
 * @throws {BackendError} when this process runs alone, but the mesh has devices of others
 */
export function sharesOf(mesh: Mesh): readonly AxisShare[] {
  let shares = known.get(mesh);
  if (shares === undefined) known.set(mesh, (shares = computeShares(mesh)));
  return shares;
}

function computeShares(mesh: Mesh): AxisShare[] {
  const blocks = new Map<number, Readonly<Record<string, number>>[]>();
  mesh.devices.forEach((device, k) => {
    const process = processOf(device);
    blocks.set(process, [...(blocks.get(process) ?? []), mesh.coordinates(k)]);
  });
  if (blocks.size === 1 && processCount() === 1) return mesh.axisSizes.map((size) => ({ size, beyond: null }));
  /** Where the block of each process begins and how long it is, along an axis. */
  const ranges = mesh.axisNames.map(
    (name) =>
      new Map(
        [...blocks].map(([process, places]) => {
          const at = places.map((place) => place[name]);
          const from = Math.min(...at);
          return [process, { from, size: Math.max(...at) - from + 1 }];
        }),
      ),
  );
  const sizes = ranges.map((r) => [...r.values()][0].size);
  const volume = sizes.reduce((a, b) => a * b, 1);
  const even = [...blocks].every(
    ([process, places]) =>
      places.length === volume &&
      ranges.every((r, i) => r.get(process)!.size === sizes[i] && r.get(process)!.from % sizes[i] === 0),
  );
  if (!even || blocks.size !== processCount()) {
    throw new TransformError("Mesh", {
      message: `the devices of each process must be a block of ${mesh}, all blocks of one size, and every process must have one`,
      operands: { devices: mesh.devices.map(String) },
      fix: "make the mesh with makeMesh from devices(), which lists the devices of one process after those of another",
    });
  }
  const exchange = processExchange("Mesh");
  const own = processIndex();
  return mesh.axisNames.map((name, axis) => {
    const size = sizes[axis];
    const count = mesh.axisSizes[axis] / size;
    if (count === 1) return { size, beyond: null };
    const groups = groupsAlong(ranges, axis, [...blocks.keys()]);
    const index = ranges[axis].get(own)!.from / size;
    return {
      size,
      beyond: {
        count,
        index,
        key: `${name}:${index}:${JSON.stringify(groups)}`,
        reduce: (op, xs) => exchange.reduce(op, xs, groups),
        reduceScatter: (x) => exchange.reduceScatter(x, groups),
        gather: (x) => exchange.gather(x, groups),
        allToAll: (x) => exchange.allToAll(x, groups),
        permute: (x, perm) => exchange.permute(x, perm, groups),
      },
    };
  });
}

/** The processes whose blocks differ along one axis only, in the order of that axis. */
function groupsAlong(
  ranges: readonly ReadonlyMap<number, { readonly from: number }>[],
  axis: number,
  processes: readonly number[],
): ProcessGroups {
  const groups = new Map<string, number[]>();
  for (const process of processes) {
    const key = ranges.map((r, i) => (i === axis ? "" : r.get(process)!.from)).join();
    groups.set(key, [...(groups.get(key) ?? []), process]);
  }
  const at = (process: number): number => ranges[axis].get(process)!.from;
  return [...groups.values()].map((g) => g.toSorted((a, b) => at(a) - at(b)));
}
