import type { Mesh } from "./mesh.ts";
import { type MeshBlock, PlaceMemo, processCount, processExchange, processIndex, processOf } from "./process.ts";
import { NamedSharding, type Sharding } from "./sharding.ts";

const known = new PlaceMemo<Mesh, MeshBlock>();

/** Whether a mesh has devices of other processes. */
export function spansProcesses(mesh: Mesh): boolean {
  return processCount() > 1 && mesh.devices.some((d) => processOf(d) !== processIndex());
}

/** Whether the devices of a mesh have several memories: those of other processes, or of several GPUs. */
export function spansMemories(mesh: Mesh): boolean {
  return spansProcesses(mesh) || mesh.devices.some((d) => d.memoryIndex !== mesh.devices[0].memoryIndex);
}

/**
 * The block of a mesh that this process has.
 * @throws {TransformError} when the devices of a process are no block of the mesh, blocks differ in size, or a process has none
 * @throws {BackendError} when this process runs alone, but the mesh has devices of others
 */
export function blockOf(mesh: Mesh): MeshBlock {
  return known.get(mesh, () => (spansProcesses(mesh) ? processExchange("Mesh").blockOf(mesh) : wholeOf(mesh)));
}

function wholeOf(mesh: Mesh): MeshBlock {
  return { axes: mesh.axisSizes.map((size) => ({ size, count: 1, index: 0, indexOf: new Map() })), local: mesh };
}

/** What a process holds of arrays that are laid out so. */
export interface Held {
  /** How the block that it holds is laid out over its own devices. */
  readonly sharding: NamedSharding;
  /** Into how many blocks each axis of the array is cut; axes after the last are not. */
  readonly blocks: readonly number[];
}

const holdings = new PlaceMemo<Sharding, { readonly held: Held | null }>();

/** What this process holds of an array that is laid out so; `null` where it holds all of it. */
export function heldOf(sharding: Sharding | null): Held | null {
  if (!(sharding instanceof NamedSharding) || processCount() === 1 || !spansProcesses(sharding.mesh)) return null;
  return holdings.get(sharding, () => ({ held: computeHeld(sharding) })).held;
}

function computeHeld({ mesh, spec }: NamedSharding): Held | null {
  const { axes, local } = blockOf(mesh);
  const counts = new Map(mesh.axisNames.map((name, i) => [name, axes[i].count]));
  const blocks = spec.axes.map((names) => names.reduce((n, name) => n * counts.get(name)!, 1));
  return blocks.every((n) => n === 1) ? null : { sharding: new NamedSharding(local, spec), blocks };
}

/** The shape of the block of an array that this process holds. */
export function heldShape(shape: readonly number[], sharding: Sharding | null): readonly number[] {
  const held = heldOf(sharding);
  return held === null ? shape : shape.map((n, d) => n / (held.blocks[d] ?? 1));
}
