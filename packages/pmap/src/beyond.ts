import { type AxisBlock, blockOf, type Mesh, PlaceMemo, processExchange, type ProcessGroups } from "@traceform/core";
import type { Beyond } from "@traceform/vmap";

/** What this process has of an axis of a mesh: so many positions that follow each other, and what lies beyond them. */
export interface AxisShare {
  readonly size: number;
  readonly beyond: Beyond | null;
}

const known = new PlaceMemo<Mesh, readonly AxisShare[]>();

/**
 * The positions of a mesh that this process has, along each axis: all of them unless the mesh has devices of other processes.
 * @throws {TransformError} when the devices of a process are no block of the mesh, or blocks differ in size
 * @throws {BackendError} when this process runs alone, but the mesh has devices of others
 */
export function sharesOf(mesh: Mesh): readonly AxisShare[] {
  return known.get(mesh, () => computeShares(mesh));
}

function computeShares(mesh: Mesh): AxisShare[] {
  const { axes } = blockOf(mesh);
  return axes.map(({ size, count, index }, axis) => {
    if (count === 1) return { size, beyond: null };
    const exchange = processExchange("Mesh");
    const groups = groupsAlong(axes, axis);
    return {
      size,
      beyond: {
        count,
        index,
        key: `${mesh.axisNames[axis]}:${index}:${JSON.stringify(groups)}`,
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
function groupsAlong(axes: readonly AxisBlock[], axis: number): ProcessGroups {
  const groups = new Map<string, number[]>();
  for (const process of axes[axis].indexOf.keys()) {
    const key = axes.map((a, i) => (i === axis ? "" : a.indexOf.get(process))).join();
    groups.set(key, [...(groups.get(key) ?? []), process]);
  }
  const at = (process: number): number => axes[axis].indexOf.get(process)!;
  return [...groups.values()].map((g) => g.toSorted((a, b) => at(a) - at(b)));
}
