import type { Device } from "./device.ts";
import { TransformError } from "./errors.ts";
import { Mesh, type NestedDevices } from "./mesh.ts";
import { processCount, processIndex, processOf } from "./process.ts";
import { NamedSharding, type Sharding } from "./sharding.ts";

/** What this process has of an axis of a mesh: so many positions that follow each other, one of `count` equal blocks. */
export interface AxisBlock {
  readonly size: number;
  readonly count: number;
  readonly index: number;
  /** In which block each process is. */
  readonly indexOf: ReadonlyMap<number, number>;
}

/** What this process has of a mesh whose devices belong to several: a block of it, and as a mesh of its own. */
export interface MeshBlock {
  readonly axes: readonly AxisBlock[];
  readonly local: Mesh;
}

const known = new WeakMap<Mesh, MeshBlock>();

/** Whether a mesh has devices of other processes. */
export function spansProcesses(mesh: Mesh): boolean {
  return processCount() > 1 && mesh.devices.some((d) => processOf(d) !== processIndex());
}

/**
 * The block of a mesh that this process has.
 * @throws {TransformError} when the devices of a process are no block of the mesh, blocks differ in size, or a process has none
 */
export function blockOf(mesh: Mesh): MeshBlock {
  let block = known.get(mesh);
  if (block === undefined) known.set(mesh, (block = spansProcesses(mesh) ? blockAmong(mesh) : wholeOf(mesh)));
  return block;
}

function wholeOf(mesh: Mesh): MeshBlock {
  return { axes: mesh.axisSizes.map((size) => ({ size, count: 1, index: 0, indexOf: new Map() })), local: mesh };
}

function blockAmong(mesh: Mesh): MeshBlock {
  const places = new Map<number, Readonly<Record<string, number>>[]>();
  mesh.devices.forEach((device, k) => {
    const process = processOf(device);
    places.set(process, [...(places.get(process) ?? []), mesh.coordinates(k)]);
  });
  /** Where the devices of each process begin, and how far they go, along an axis. */
  const ranges = mesh.axisNames.map(
    (name) =>
      new Map(
        [...places].map(([process, own]) => {
          const at = own.map((place) => place[name]);
          const from = Math.min(...at);
          return [process, { from, size: Math.max(...at) - from + 1 }];
        }),
      ),
  );
  const sizes = ranges.map((r) => [...r.values()][0].size);
  const volume = sizes.reduce((a, b) => a * b, 1);
  const even = [...places].every(
    ([process, own]) =>
      own.length === volume && ranges.every((r, i) => r.get(process)!.size === sizes[i] && r.get(process)!.from % sizes[i] === 0),
  );
  if (!even || places.size !== processCount()) {
    throw new TransformError("Mesh", {
      message: `the devices of each process must be a block of ${mesh}, all blocks of one size, and every process must have one`,
      operands: { devices: mesh.devices.map(String) },
      fix: "make the mesh with makeMesh from all of devices(), which lists the devices of one process after those of another, or from localDevices() only",
    });
  }
  const own = processIndex();
  const axes = ranges.map((r, i): AxisBlock => {
    const indexOf = new Map([...r].map(([process, { from }]) => [process, from / sizes[i]]));
    return { size: sizes[i], count: mesh.axisSizes[i] / sizes[i], index: indexOf.get(own)!, indexOf };
  });
  const here = mesh.devices.filter((d) => processOf(d) === own);
  return { axes, local: new Mesh(nested(here, sizes), mesh.axisNames) };
}

function nested(devices: readonly Device[], sizes: readonly number[]): NestedDevices {
  let grid: readonly unknown[] = devices;
  for (const size of sizes.slice(1).reverse())
    grid = Array.from({ length: grid.length / size }, (_, i) => grid.slice(i * size, (i + 1) * size));
  return grid as NestedDevices;
}

/** What a process holds of arrays that are laid out so. */
export interface Held {
  /** How the block that it holds is laid out over its own devices. */
  readonly sharding: NamedSharding;
  /** Into how many blocks each axis of the array is cut; axes after the last are not. */
  readonly blocks: readonly number[];
}

const holdings = new WeakMap<Sharding, { readonly held: Held | null }>();

/** What this process holds of an array that is laid out so; `null` where it holds all of it. */
export function heldOf(sharding: Sharding | null): Held | null {
  if (!(sharding instanceof NamedSharding) || processCount() === 1 || !spansProcesses(sharding.mesh)) return null;
  let known = holdings.get(sharding);
  if (known === undefined) holdings.set(sharding, (known = { held: computeHeld(sharding) }));
  return known.held;
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
