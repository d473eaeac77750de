import type { Device } from "./device.ts";
import { TransformError } from "./errors.ts";
import { Mesh, type NestedDevices } from "./mesh.ts";
import { type AxisBlock, type MeshBlock, processCount, processIndex, processOf } from "./process.ts";

/**
 * The block that this process has of a mesh over several. Whoever connects processes gives it to `provideProcess`.
 * @throws {TransformError} when the devices of a process are no block of the mesh, blocks differ in size, or a process has none
 */
export function meshBlock(mesh: Mesh): MeshBlock {
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
