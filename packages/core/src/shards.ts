import { heldOf, heldShape } from "./blocks.ts";
import type { ConcreteArray } from "./concrete.ts";
import { copyBlock, zerosOnHost } from "./copyblock.ts";
import { type Buffer, type Device, type Fleet, type HostArray, physical } from "./device.ts";
import { type Aval, updateAval } from "./avals.ts";
import type { NDArray } from "./ndarray.ts";
import { processIndex, processOf } from "./process.ts";
import { type Sharding, type Slice, wholeSlices } from "./sharding.ts";

/** The part of an array that one device holds. */
export interface Shard {
  readonly device: Device;
  /** Which part of the array it is: a slice for each axis. */
  readonly index: readonly Slice[];
  /** 0 for the first of the devices that hold this part, 1 for the second, … */
  readonly replicaId: number;
  /** The part as an array on that device; made when it is asked for. */
  readonly data: NDArray;
}

/** The part of an array that one device holds, of this process or of another, whose data are not here. */
export interface GlobalShard extends Omit<Shard, "data"> {
  readonly data: NDArray | null;
}

type Part = Omit<Shard, "data">;

/** Which part each device has of an array that is laid out so, in the order of the devices. */
function partsOf(shape: readonly number[], sharding: Sharding): Part[] {
  const indices = sharding.indices(shape);
  const copies = new Map<string, number>();
  return sharding.devices.map((device, k) => {
    const index = indices[k];
    const part = index.map((s) => s.start).join(",");
    const replicaId = copies.get(part) ?? 0;
    copies.set(part, replicaId + 1);
    return { device, index, replicaId };
  });
}

/** Which part one of the devices of this process holds, of the whole array, and of the block that the process holds. */
export interface OwnPart extends Part {
  readonly inside: readonly Slice[];
}

/** The parts that the devices of this process have of an array that is laid out so, in the order of the devices. */
export function ownParts(shape: readonly number[], sharding: Sharding): OwnPart[] {
  const stored = (heldOf(sharding)?.sharding ?? sharding).devicesIndicesMap(heldShape(shape, sharding));
  return partsOf(shape, sharding).flatMap((part) =>
    processOf(part.device) === processIndex() ? [{ ...part, inside: stored.get(part.device)! }] : [],
  );
}

/** The parts of an array that all devices hold: those of this process, and what others have. */
export function globalShardsOf(x: ConcreteArray): GlobalShard[] {
  const own = new Map(x.addressableShards.map((s) => [s.device, s]));
  return partsOf(x.shape, x.sharding).map((part) => own.get(part.device) ?? { ...part, data: null });
}

/**
 * The parts of an array that devices of this process hold, in the order of the devices. `place` makes an array on a device of host
 * values, or of a buffer that is there.
 */
export function shardsOf(x: ConcreteArray, place: (part: HostArray | Buffer, aval: Aval, device: Device) => NDArray): Shard[] {
  let host: HostArray | null = null;
  return ownParts(x.shape, x.sharding).map(({ device, index, inside, replicaId }) => {
    let data: NDArray | null = null;
    const make = (): NDArray => {
      if (x.sharding.devices.length === 1) return x;
      const { fleet } = device.backend;
      const aval = updateAval(x.aval, { shape: index.map((s) => s.stop - s.start) });
      if (fleet !== undefined) return place(partOnFleet(x, fleet, index, device), aval, device);
      host ??= x.storedSync();
      const { shape, dtype } = physical(aval);
      const part = zerosOnHost(shape, dtype);
      copyBlock(host, inside, part, wholeSlices(aval.shape));
      return place(part, aval, device);
    };
    return {
      device,
      index,
      replicaId,
      get data(): NDArray {
        return (data ??= make());
      },
    };
  });
}

/** The part of an array that one device of a fleet has: nothing is copied where that is what its memory holds. */
function partOnFleet(x: ConcreteArray, fleet: Fleet, index: readonly Slice[], { memoryIndex: member = 0 }: Device): Buffer {
  const buffer = fleet.part(x.bufferOn(x.device!), member, index);
  const { shape, dtype } = buffer;
  return fleet.join(shape, dtype, [{ member, block: wholeSlices(shape), buffer }]);
}
