import type { Backend, Device } from "./device.ts";
import { BackendError } from "./errors.ts";
import { processCount, processExchange, processIndex } from "./process.ts";

let chosen: Backend | null = null;
let chosenDevice: Device | null = null;
let provided: (() => Backend) | null = null;

/** Names the backend to start when an operation needs one and none was chosen. The umbrella package does so. */
export function provideBackend(factory: () => Backend): void {
  provided = factory;
}

/** Makes `backend` the one on which eager operations and `jit` run; `null` takes it away. Returns the backend. */
export function setDefaultBackend<B extends Backend | null>(backend: B): B {
  chosen = backend;
  chosenDevice = null;
  if (backend === null) provided = null;
  return backend;
}

/** @throws {BackendError} when no backend was chosen */
export function defaultBackend(): Backend {
  if (chosen === null && provided !== null) chosen = provided();
  if (chosen === null) {
    throw new BackendError("defaultBackend", {
      message: "no backend was chosen, so there is nothing to run on",
      fix: 'import { cpu } from "@traceform/backend-cpu" and call setDefaultBackend(cpu()), or import "traceform"',
    });
  }
  return chosen;
}

export function hasDefaultBackend(): boolean {
  return chosen !== null || provided !== null;
}

/** The device on which new arrays are made. */
export function defaultDevice(): Device {
  return chosenDevice ?? defaultBackend().devices[0];
}

/** Makes `device` the default within its backend, which becomes the default backend. */
export function setDefaultDevice(device: Device): void {
  chosen = device.backend;
  chosenDevice = device;
}

/**
 * The devices of the default backend, or of the one given, in all processes. Where there are several, all of them have to ask.
 * @throws {BackendError} when processes have different numbers of devices
 */
export function devices(backend: Backend = defaultBackend()): readonly Device[] {
  const count = processCount();
  if (count === 1) return backend.devices;
  let all = fleets.get(backend);
  if (all === undefined) {
    const own = `${backend.devices.length} of the backend ${backend.name}`;
    const fix = "start every process with the same number of devices: cpu({ devices: n })";
    processExchange("devices").agree("devices", "their devices", own, fix);
    const others = (process: number): Device[] => backend.devices.map((d) => new RemoteDevice(d, process));
    all = Array.from({ length: count }, (_, process) => (process === processIndex() ? backend.devices : others(process))).flat();
    fleets.set(backend, all);
  }
  return all;
}
const fleets = new WeakMap<Backend, readonly Device[]>();

/** A device of another process, which has as many of them as this one: a place in a mesh, and nothing else. */
class RemoteDevice implements Device {
  readonly id: number;
  readonly kind: string;
  readonly backend: Backend;
  readonly processIndex: number;

  constructor(twin: Device, process: number) {
    this.id = twin.id;
    this.kind = twin.kind;
    this.backend = twin.backend;
    this.processIndex = process;
  }
  releaseById(): void {}
  memoryStats(): never {
    throw new BackendError("memoryStats", {
      message: `${this} belongs to another process`,
      fix: "ask for the memory of localDevices()",
    });
  }
  toString(): string {
    return `${this.kind}:${this.id} of process ${this.processIndex}`;
  }
}

/** The devices that belong to this process. */
export function localDevices(backend: Backend = defaultBackend()): readonly Device[] {
  return backend.devices;
}

/** How many devices the default backend, or the one given, has in all processes. */
export function deviceCount(backend: Backend = defaultBackend()): number {
  return devices(backend).length;
}

/** How many of them belong to this process. */
export function localDeviceCount(backend: Backend = defaultBackend()): number {
  return localDevices(backend).length;
}
