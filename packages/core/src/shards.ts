import type { ConcreteArray } from "./concrete.ts";
import type { Device, HostArray } from "./device.ts";
import { itemsize } from "./dtypes.ts";
import { type Aval, updateAval } from "./avals.ts";
import type { NDArray } from "./ndarray.ts";
import { processIndex, processOf } from "./process.ts";
import type { Slice } from "./sharding.ts";

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

/**
 * The parts of an array that devices of this process hold, in the order of the devices. `place` makes an array on a device of host
 * values.
 */
export function shardsOf(x: ConcreteArray, place: (host: HostArray, aval: Aval, device: Device) => NDArray): Shard[] {
  const { devices } = x.sharding;
  const indices = x.sharding.indices(x.shape);
  const copies = new Map<string, number>();
  let host: HostArray | null = null;
  return devices.flatMap((device, k) => {
    const index = indices[k];
    const part = index.map((s) => s.start).join(",");
    const replicaId = copies.get(part) ?? 0;
    copies.set(part, replicaId + 1);
    if (processOf(device) !== processIndex()) return [];
    let data: NDArray | null = null;
    const make = (): NDArray => {
      if (devices.length === 1) return x;
      host ??= x.hostSync();
      const aval = updateAval(x.aval, { shape: index.map((s) => s.stop - s.start) });
      return place(cut(host, index), aval, device);
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

/** The part of a host array; axes that an extended dtype adds are taken whole. */
function cut({ shape, dtype, bytes }: HostArray, index: readonly Slice[]): HostArray {
  const whole = [...index, ...shape.slice(index.length).map((stop) => ({ start: 0, stop }))];
  const sizes = whole.map((s) => s.stop - s.start);
  const out = new Uint8Array(sizes.reduce((a, b) => a * b, itemsize(dtype)));
  const copy = (d: number, from: number, to: number): void => {
    const inner = shape.slice(d + 1).reduce((a, b) => a * b, itemsize(dtype));
    if (d === shape.length || shape.slice(d + 1).every((n, i) => n === sizes[d + 1 + i])) {
      const length = d === shape.length ? itemsize(dtype) : sizes[d] * inner;
      const start = d === shape.length ? from : from + whole[d].start * inner;
      out.set(bytes.subarray(start, start + length), to);
      return;
    }
    const step = sizes.slice(d + 1).reduce((a, b) => a * b, itemsize(dtype));
    for (let i = 0; i < sizes[d]; i++) copy(d + 1, from + (whole[d].start + i) * inner, to + i * step);
  };
  if (out.length > 0) copy(0, 0, 0);
  return { shape: sizes, dtype, bytes: out };
}
