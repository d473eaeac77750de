import { updateAval } from "./avals.ts";
import { defaultDevice } from "./backends.ts";
import { heldOf, heldShape } from "./blocks.ts";
import { ConcreteArray } from "./concrete.ts";
import { copyBlock, zerosOnHost } from "./copyblock.ts";
import type { HostArray } from "./device.ts";
import { type OwnPart, ownParts } from "./shards.ts";
import { type Sharding, SingleDeviceSharding } from "./sharding.ts";

/** The block that this process holds of an array that is laid out so, from parts of it: `part` is asked once for each. */
export function assembleHeld(
  shape: readonly number[],
  sharding: Sharding,
  dtype: HostArray["dtype"],
  physical: readonly number[],
  part: (own: OwnPart, into: HostArray) => void,
): HostArray {
  const block = zerosOnHost([...heldShape(shape, sharding), ...physical], dtype);
  const seen = new Set<string>();
  for (const own of ownParts(shape, sharding)) {
    const key = own.inside.map((s) => s.start).join(",");
    if (seen.has(key)) continue;
    seen.add(key);
    part(own, block);
  }
  return block;
}

/** A whole array laid out over processes: the block of it that this one holds. */
export function cutBlock(x: ConcreteArray, sharding: Sharding): ConcreteArray {
  const host = x.hostSync();
  const extra = host.shape.slice(x.ndim);
  const block = assembleHeld(x.shape, sharding, host.dtype, extra, ({ index, inside }, into) =>
    copyBlock(host, index, into, inside),
  );
  return ConcreteArray.fromHeld(block, x.aval, sharding);
}

/** What this process holds of an array, as one over its own devices: all of it, or its block. A handle of its own on the same buffer. */
export function heldPart(x: ConcreteArray): ConcreteArray {
  const own = heldOf(x.givenSharding);
  const device = x.device ?? defaultDevice();
  if (own === null) return x.withSharding(new SingleDeviceSharding(device));
  const buffer = x.bufferOn(device);
  buffer.retain();
  return ConcreteArray.fromBuffer(buffer, updateAval(x.aval, { shape: heldShape(x.shape, x.sharding) }), own.sharding);
}
