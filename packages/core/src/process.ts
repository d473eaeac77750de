import type { Device } from "./device.ts";
import { BackendError } from "./errors.ts";
import type { Mesh } from "./mesh.ts";
import type { NDArray } from "./ndarray.ts";

/** Groups of processes that exchange data among themselves, each in the order of its members' parts. */
export type ProcessGroups = readonly (readonly number[])[];

/** Collectives between processes, on whole arrays: operations of a program, which every process of a group runs. */
export interface ProcessExchange {
  /** The arrays of all members reduced element by element. */
  reduce(op: "sum" | "max" | "min", xs: readonly NDArray[], groups: ProcessGroups): NDArray[];
  /** An array whose first axis has a part for each member of a group: the sum of the parts that all have for this process. */
  reduceScatter(x: NDArray, groups: ProcessGroups): NDArray;
  /** The arrays of all members of a group, along a new first axis. */
  gather(x: NDArray, groups: ProcessGroups): NDArray;
  /** An array whose first axis has a part for each member of a group: the parts that all have for this process. */
  allToAll(x: NDArray, groups: ProcessGroups): NDArray;
  /**
   * An array whose first axis are the positions that this process has, as many as every member of its group: what comes to them, and
   * zeros where nothing does. `perm` speaks of the positions of all members.
   */
  permute(x: NDArray, perm: Permutation, groups: ProcessGroups): NDArray;
  /**
   * Compares a text of all processes, once for each text: all of them have to come.
   * @throws {BackendError} in every process, with what each of them said, when they differ in `what`
   */
  agree(fn: string, what: string, own: string, fix: string): void;
  /** The block of a mesh over processes that this one has: `meshBlock`. */
  blockOf(mesh: Mesh): MeshBlock;
}

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

/** Which positions are moved where: no position is a source or a target twice. */
export type Permutation = readonly (readonly [from: number, to: number])[];

/** One of several that each hold a block of arrays: a process, or, within one, a GPU with memory of its own (see `Fleet`). */
export interface Place {
  readonly index: number;
  readonly count: number;
  readonly exchange: ProcessExchange | null;
  /** The place of a device. */
  of(device: Device): number;
}

/** The place of this process among those of one program: what `@traceform/distributed` sets. */
let place: Place = { index: 0, count: 1, exchange: null, of: () => 0 };

/** Says which of how many processes this one is, and how they exchange data. For packages that start several. */
export function provideProcess(index: number, count: number, exchange: ProcessExchange | null = null): void {
  place = { index, count, exchange, of: (device) => device.processIndex ?? index };
}

/** Runs a function as if this process were the one at another place: how the program of one GPU among several is made. */
export function withPlace<T>(other: Place, run: () => T): T {
  const before = place;
  place = other;
  try {
    return run();
  } finally {
    place = before;
  }
}

/** What is known of something at each place: what is computed at one does not hold at another. */
export class PlaceMemo<K extends WeakKey, V> {
  readonly #tables = new WeakMap<Place, WeakMap<K, V>>();

  get(key: K, make: () => V): V {
    let table = this.#tables.get(place);
    if (table === undefined) this.#tables.set(place, (table = new WeakMap()));
    let value = table.get(key);
    if (value === undefined) table.set(key, (value = make()));
    return value;
  }
}

/** The number of this process among those that run the program together; 0 unless there are several. */
export function processIndex(): number {
  return place.index;
}

/** How many processes run the program together. */
export function processCount(): number {
  return place.count;
}

/** The process that a device belongs to. */
export function processOf(device: Device): number {
  return place.of(device);
}

/** The first of some devices that belongs to this process, on which its part of the work is done. */
export function ownDevice(devices: readonly Device[]): Device {
  return devices.find((d) => processOf(d) === place.index) ?? devices[0];
}

/** The exchange between processes. @throws {BackendError} when this process runs alone */
export function processExchange(fn: string): ProcessExchange {
  if (place.exchange !== null) return place.exchange;
  throw new BackendError(fn, {
    message: "the mesh has devices of other processes, and nothing says how to reach them",
    fix: "call `await initialize({ transport: mpi() })` of @traceform/distributed before the mesh is made",
  });
}
