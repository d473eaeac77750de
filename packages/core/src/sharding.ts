import type { Device } from "./device.ts";
import { ShapeError, TransformError } from "./errors.ts";
import { deviceKey, type Mesh } from "./mesh.ts";
import { PartitionSpec } from "./partitionspec.ts";
import { processIndex, processOf } from "./process.ts";

/** A part of one axis of an array: elements `start` to `stop` - 1. */
export interface Slice {
  readonly start: number;
  readonly stop: number;
}

/** All of an array. */
export function wholeSlices(shape: readonly number[]): Slice[] {
  return shape.map((stop) => ({ start: 0, stop }));
}

/** How an array is laid out over devices: which part of it each of them holds. */
export abstract class Sharding {
  /** Equal for equal shardings. */
  abstract readonly key: string;
  /** In the order of the mesh. */
  abstract readonly devices: readonly Device[];
  /** The shape of the part that each device holds. @throws {ShapeError} for arrays that cannot be laid out so */
  abstract shardShape(shape: readonly number[]): readonly number[];
  /** The part that each device holds, in the order of `devices`. */
  abstract indices(shape: readonly number[]): readonly (readonly Slice[])[];
  /** Whether every device holds all of the array. */
  abstract readonly isFullyReplicated: boolean;
  abstract toString(): string;

  equals(other: unknown): boolean {
    return other instanceof Sharding && other.key === this.key;
  }
  hash(): string {
    return this.key;
  }
  get deviceSet(): ReadonlySet<Device> {
    return new Set(this.devices);
  }
  get numDevices(): number {
    return this.devices.length;
  }
  /** The devices that belong to this process. */
  get addressableDevices(): readonly Device[] {
    return this.devices.filter((d) => processOf(d) === processIndex());
  }
  /** The part that each device holds, by device. */
  devicesIndicesMap(shape: readonly number[]): ReadonlyMap<Device, readonly Slice[]> {
    const parts = this.indices(shape);
    return new Map(this.devices.map((d, i) => [d, parts[i]]));
  }
  /** Whether all devices belong to this process. */
  get isFullyAddressable(): boolean {
    return this.addressableDevices.length === this.devices.length;
  }
  /** Whether arrays of `ndim` axes have the same parts on the same devices. */
  isEquivalentTo(other: Sharding, ndim: number): boolean {
    if (this.key === other.key) return true;
    if (this.devices.length !== other.devices.length) return false;
    // A shape that all shardings over these devices can cut shows every difference.
    const shape = new Array<number>(ndim).fill(this.devices.length);
    const [mine, theirs] = [this, other].map((s) => s.devicesIndicesMap(shape));
    return this.devices.every((d) => JSON.stringify(mine.get(d)) === JSON.stringify(theirs.get(d)));
  }
}

/** All of an array on one device. */
export class SingleDeviceSharding extends Sharding {
  readonly key: string;
  readonly devices: readonly Device[];
  readonly isFullyReplicated = true;
  constructor(device: Device) {
    super();
    this.devices = [device];
    this.key = `one:${deviceKey(device)}`;
  }
  shardShape(shape: readonly number[]): readonly number[] {
    return shape;
  }
  indices(shape: readonly number[]): readonly (readonly Slice[])[] {
    return [wholeSlices(shape)];
  }
  toString(): string {
    return `SingleDeviceSharding(${this.devices[0]})`;
  }
}

/**
 * An array laid out over a mesh as a partition spec says.
 *
 * @throws {TransformError} when the spec names an axis that the mesh does not have, or one twice
 * @example
 * ```ts
 * const rows = new NamedSharding(makeMesh([4], ["data"]), PartitionSpec("data"));
 * rows.shardShape([8, 3]); // => [2, 3]
 * ```
 */
export class NamedSharding extends Sharding {
  readonly mesh: Mesh;
  readonly spec: PartitionSpec;
  readonly key: string;
  constructor(mesh: Mesh, spec: PartitionSpec = PartitionSpec()) {
    super();
    checkSpec("NamedSharding", spec, mesh);
    this.mesh = mesh;
    this.spec = spec;
    this.key = `named:${mesh.key}|${spec.key}`;
  }
  get devices(): readonly Device[] {
    return this.mesh.devices;
  }
  get isFullyReplicated(): boolean {
    return this.spec.axes.every((names) => this.mesh.axisSize(names) === 1);
  }
  shardShape(shape: readonly number[]): readonly number[] {
    return shardShape("NamedSharding", shape, this.spec, this.mesh);
  }
  indices(shape: readonly number[]): readonly (readonly Slice[])[] {
    const sizes = this.shardShape(shape);
    return this.devices.map((_, k) => {
      const at = this.mesh.coordinates(k);
      return sizes.map((size, d) => {
        const place = (this.spec.axes[d] ?? []).reduce((p, name) => p * this.mesh.shape[name] + at[name], 0);
        return { start: place * size, stop: (place + 1) * size };
      });
    });
  }
  toString(): string {
    return `NamedSharding(${this.mesh}, ${this.spec})`;
  }
}

/** @throws {TransformError} when a spec names an axis that the mesh does not have, or one twice */
export function checkSpec(fn: string, spec: PartitionSpec, mesh: Mesh): void {
  const seen = new Set<string>();
  for (const name of spec.axes.flat()) {
    if (!(name in mesh.shape)) {
      throw new TransformError(fn, {
        message: `${spec} names the axis "${name}", which ${mesh} does not have`,
        fix: `name axes of the mesh: ${mesh.axisNames.join(", ")}`,
      });
    }
    if (seen.has(name)) {
      throw new TransformError(fn, {
        message: `${spec} names the axis "${name}" twice, but a mesh axis can cut one axis of an array only`,
        fix: "name each mesh axis once, and null for axes that are not cut",
      });
    }
    seen.add(name);
  }
}

/**
 * The shape of one shard. `what` names the array in messages.
 * @throws {ShapeError} when the spec has more entries than the array has axes, or an axis cannot be cut into equal parts
 */
export function shardShape(
  fn: string,
  shape: readonly number[],
  spec: PartitionSpec,
  mesh: Mesh,
  what = "the array",
): readonly number[] {
  if (spec.axes.length > shape.length) {
    throw new ShapeError(fn, {
      message: `${spec} has ${spec.axes.length} entries, but ${what} of shape [${shape.join(",")}] has ${shape.length} axes`,
      fix: "give at most one entry for each axis of the array",
    });
  }
  return shape.map((size, d) => {
    const names = spec.axes[d] ?? [];
    const parts = mesh.axisSize(names);
    if (size % parts !== 0) {
      throw new ShapeError(fn, {
        message: `axis ${d} of ${what}, of size ${size}, cannot be cut into ${parts} equal shards along ${names.map((n) => `"${n}"`).join(" and ")}`,
        operands: { shape, spec },
        fix: `pad the axis to ${Math.ceil(size / parts) * parts}, or leave it uncut with null in the spec`,
      });
    }
    return size / parts;
  });
}
