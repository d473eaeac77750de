import type { Backend, Device } from "./device.ts";
import { BackendError, TransformError } from "./errors.ts";
import { devices } from "./backends.ts";
import { processCount, processOf } from "./process.ts";

/** Devices in nested lists, one level for each axis of a mesh. */
export type NestedDevices = readonly Device[] | readonly NestedDevices[];

const backendIds = new WeakMap<Backend, number>();
let nextBackendId = 1;

/** A number that a backend keeps: devices of two backends may have the same id. */
function backendId(backend: Backend): number {
  let id = backendIds.get(backend);
  if (id === undefined) backendIds.set(backend, (id = nextBackendId++));
  return id;
}

/** Names a device among those of all backends. */
export function deviceKey(device: Device): string {
  return `${backendId(device.backend)}:${device.id}@${processOf(device)}`;
}

/**
 * Devices as a grid whose axes have names, by which shardings and collectives speak of them.
 *
 * @throws {TransformError} for lists that are no grid, for names that are not one for each axis, and for names given twice
 * @throws {BackendError} when the devices belong to several backends, or one occurs twice
 * @example
 * ```ts
 * const [d0, d1, d2, d3] = devices();
 * new Mesh([[d0, d1], [d2, d3]], ["data", "model"]).shape; // => { data: 2, model: 2 }
 * ```
 */
export class Mesh {
  /** In row-major order. */
  readonly devices: readonly Device[];
  readonly axisNames: readonly string[];
  readonly axisSizes: readonly number[];
  /** The size of each axis, by name. */
  readonly shape: Readonly<Record<string, number>>;
  /** Equal for meshes of the same devices in the same order under the same names. */
  readonly key: string;

  constructor(devices: NestedDevices, axisNames: readonly string[]) {
    const { flat, sizes } = flatten(devices);
    if (sizes.length !== axisNames.length || new Set(axisNames).size !== axisNames.length) {
      throw new TransformError("Mesh", {
        message: `the names [${axisNames.join(", ")}] must be one for each of the ${sizes.length} axes of the devices, each different`,
        fix: 'nest the lists of devices as many times as there are names: new Mesh([[d0, d1], [d2, d3]], ["x", "y"])',
      });
    }
    checkFleet(flat);
    this.devices = flat;
    this.axisNames = [...axisNames];
    this.axisSizes = sizes;
    this.shape = Object.fromEntries(axisNames.map((name, i) => [name, sizes[i]]));
    this.key = `${axisNames.map((name, i) => `${name}:${sizes[i]}`).join(",")}|${flat.map(deviceKey).join(",")}`;
  }

  get size(): number {
    return this.devices.length;
  }
  get backend(): Backend {
    return this.devices[0].backend;
  }
  /** The size of one axis, or the product of several. @throws {TransformError} for a name that the mesh does not have */
  axisSize(names: string | readonly string[]): number {
    return [names].flat().reduce((n, name) => {
      const size = this.shape[name];
      if (size === undefined) {
        throw new TransformError("Mesh", {
          message: `the mesh has no axis "${name}"; its axes are ${this.axisNames.join(", ")}`,
          fix: "name axes of the mesh",
        });
      }
      return n * size;
    }, 1);
  }
  /** The position of the k-th device along each axis. */
  coordinates(k: number): Readonly<Record<string, number>> {
    let rest = k;
    const at: Record<string, number> = {};
    for (let i = this.axisNames.length - 1; i >= 0; i--) {
      at[this.axisNames[i]] = rest % this.axisSizes[i];
      rest = Math.floor(rest / this.axisSizes[i]);
    }
    return at;
  }
  equals(other: unknown): boolean {
    return other instanceof Mesh && other.key === this.key;
  }
  hash(): string {
    return this.key;
  }
  toString(): string {
    return `Mesh(${this.axisNames.map((name, i) => `'${name}': ${this.axisSizes[i]}`).join(", ")})`;
  }
}

function flatten(devices: NestedDevices): { flat: Device[]; sizes: number[] } {
  const sizes: number[] = [];
  const flat: Device[] = [];
  const visit = (x: NestedDevices | Device, depth: number): void => {
    if (!Array.isArray(x)) {
      if (depth !== sizes.length) throw ragged();
      flat.push(x as Device);
      return;
    }
    if (depth === sizes.length && flat.length === 0) sizes.push(x.length);
    if (x.length !== sizes[depth] || x.length === 0) throw ragged();
    for (const item of x as NestedDevices) visit(item, depth + 1);
  };
  visit(devices, 0);
  return { flat, sizes };
}

function ragged(): TransformError {
  return new TransformError("Mesh", {
    message: "the nested lists of devices must have equal lengths at each level, and none may be empty",
    fix: "give a grid, e.g. [[d0, d1], [d2, d3]]",
  });
}

function checkFleet(devices: readonly Device[]): void {
  const backends = [...new Set(devices.map((d) => d.backend))];
  if (backends.length > 1) {
    throw new BackendError("Mesh", {
      message: `a mesh has devices of one backend, but these belong to ${backends.map((b) => b.name).join(" and ")}`,
      operands: { devices: devices.map(String) },
      fix: "make one mesh for each backend, and move arrays between them with devicePut",
    });
  }
  const twice = devices.find((d, i) => devices.indexOf(d) !== i);
  if (twice !== undefined) {
    throw new BackendError("Mesh", { message: `the device ${twice} occurs twice`, fix: "name each device once" });
  }
}

export interface MakeMeshOptions {
  /** The devices to take, the first ones as many as are needed; those of the default backend unless given. */
  readonly devices?: readonly Device[];
}

/**
 * A mesh of the given sizes from the first devices there are.
 *
 * @throws {BackendError} when there are fewer devices than the mesh has places
 * @example
 * ```ts
 * const mesh = makeMesh([2, 2], ["data", "model"]);
 * ```
 */
export function makeMesh(axisSizes: readonly number[], axisNames: readonly string[], options: MakeMeshOptions = {}): Mesh {
  for (const n of axisSizes) {
    if (Number.isInteger(n) && n > 0) continue;
    throw new TransformError("makeMesh", { message: `${n} is no size of an axis`, fix: "sizes are positive integers" });
  }
  const size = axisSizes.reduce((a, b) => a * b, 1);
  const all = options.devices ?? devices();
  if (all.length < size) throw tooFewDevices("makeMesh", size, all);
  let grid: NestedDevices = all.slice(0, size);
  for (let i = axisSizes.length - 1; i > 0; i--) grid = groups(grid as readonly never[], axisSizes[i]);
  return new Mesh(grid, axisNames);
}

function groups<T>(xs: readonly T[], n: number): T[][] {
  return Array.from({ length: xs.length / n }, (_, i) => xs.slice(i * n, (i + 1) * n));
}

/** The error for a mesh, or a map over devices, that needs more of them than there are. */
export function tooFewDevices(fn: string, needed: number, devices: readonly Device[]): BackendError {
  const name = devices[0]?.backend.name ?? "default";
  const each = Math.ceil(needed / processCount());
  const where = processCount() > 1 ? " in every process" : "";
  return new BackendError(fn, {
    message: `needs ${needed} devices, but there ${devices.length === 1 ? "is" : "are"} ${devices.length}`,
    operands: { devices: devices.map(String) },
    fix:
      name === "cpu"
        ? `setDefaultBackend(cpu({ devices: ${each} })) before the first operation${where} makes logical devices that share the machine`
        : `use at most ${devices.length}, or a backend with more: cpu({ devices: ${each} })${where} has logical ones`,
  });
}
