import type { Sharding, Slice } from "./sharding.ts";

/**
 * The block of an array laid out so that each memory has, by its index: what the parts of the devices that work on it span. It is all of
 * them if the devices of a memory are a block of the mesh: see `meshBlock`, which refuses all else.
 */
export function memoryBlocks(shape: readonly number[], sharding: Sharding): ReadonlyMap<number, readonly Slice[]> {
  const indices = sharding.indices(shape);
  const blocks = new Map<number, readonly Slice[]>();
  sharding.devices.forEach(({ memoryIndex = 0 }, k) => {
    const known = blocks.get(memoryIndex) ?? indices[k];
    const block = known.map(({ start, stop }, d) => ({
      start: Math.min(start, indices[k][d].start),
      stop: Math.max(stop, indices[k][d].stop),
    }));
    blocks.set(memoryIndex, block);
  });
  return blocks;
}
