import { type Backend, BackendError } from "@traceform/core";
import type { TileTable } from "./emit/candidates.ts";
import { dialects, unitProbe } from "./emit/dialects.ts";
import { subgroupProbe } from "./emit/kernel.ts";
import type { KernelSize, UnitConfig, Units } from "./emit/schedule.ts";
import { declareWords } from "./emit/words.ts";
import type { ImmediateLimits } from "./pipelines.ts";
import { requestAdapter, requestDevice, unitsFeature } from "./adapters.ts";
import { WebGpuBackend } from "./backend.ts";
import { FleetBackend } from "./fleet/backend.ts";

export interface WgpuOptions {
  /**
   * The adapter to take a device of, with all of its limits; the one that the platform prefers unless given. Of several the backend has
   * a device each: GPUs with memory of their own, over which a mesh lays arrays out.
   */
  readonly adapter?: GPUAdapter | readonly GPUAdapter[];
  /** A device to work on, or several, which stay their owner's: they are not destroyed with the backend. */
  readonly device?: GPUDevice | readonly GPUDevice[];
  /** The most memory that the backend takes of each GPU; 4 GiB by default. */
  readonly maxMemoryBytes?: number;
  /** How much kernels do at a time: `tiny` for GPUs that a CPU imitates, where large kernels take long to compile. Default `full`. */
  readonly schedule?: KernelSize;
  /**
   * The tiles of matrix products that were found to be the fastest, by adapter. `await jit(f).lower(x).compile()` measures large products of which
   * nothing is known here, and adds what it finds; programs that are compiled without waiting take what is there, or go by rule. Keep it as JSON,
   * and nobody has to measure again. What this process has measured unless given; null for the rule alone.
   */
  readonly tiles?: TileTable | null;
  /** How many logical devices each GPU has, which share it and its memory; 1 by default. For programs of several devices on one GPU. */
  readonly devices?: number;
}

/**
 * A backend that runs programs on WebGPU: that of the browser, or in Node that of the package `webgpu` (Dawn), which has to be
 * installed beside this one.
 *
 * @throws {BackendError} where there is no WebGPU, or no adapter or device can be had; it says which
 * @example
 * ```ts
 * setDefaultBackend(await wgpu());
 * ```
 */
export async function wgpu(options: WgpuOptions = {}): Promise<Backend> {
  const { devices = 1 } = options;
  if (!Number.isInteger(devices) || devices < 1) {
    throw new BackendError("wgpu", { message: `${devices} is no number of devices`, fix: "give a positive integer" });
  }
  const given = options.device === undefined ? null : [options.device].flat();
  const gpus = given ?? (await requestDevices([options.adapter ?? (await requestAdapter())].flat()));
  if (gpus.length === 0) {
    throw new BackendError("wgpu", { message: "the list of GPUs is empty", fix: "name at least one adapter or device" });
  }
  const members: WebGpuBackend[] = [];
  for (const gpu of gpus) members.push(await backendOn(gpu, given === null, options));
  return members.length * devices === 1 ? members[0] : new FleetBackend(members, devices);
}

/** A device of each adapter. */
async function requestDevices(adapters: readonly GPUAdapter[]): Promise<GPUDevice[]> {
  const devices: GPUDevice[] = [];
  for (const adapter of adapters) devices.push(await requestDevice(adapter));
  return devices;
}

/** The backend of one GPU. */
async function backendOn(device: GPUDevice, owned: boolean, options: WgpuOptions): Promise<WebGpuBackend> {
  const { maxMemoryBytes = 2 ** 32, schedule = "full" } = options;
  // Not in pages: in Chromium 153 a loop that the device ends by itself does not end if its kernels have immediates.
  const immediates = globalThis.navigator?.gpu === undefined && (await takesImmediates(device));
  const subgroups = await largestSubgroup(device);
  const halves = device.features.has("shader-f16");
  const units = subgroups > 0 ? await unitsOf(device, subgroups) : null;
  const memory = device.limits.maxComputeWorkgroupStorageSize;
  const kernels = { size: schedule, subgroups, memory, halves, units };
  return new WebGpuBackend(device, { owned, maxMemoryBytes, schedule: kernels, tiles: options.tiles, immediates });
}

/** The most invocations of a subgroup; 0 where kernels cannot use subgroups, which is found by trying. */
async function largestSubgroup(device: GPUDevice): Promise<number> {
  const { subgroupMaxSize = 0 } = (device as { adapterInfo?: { readonly subgroupMaxSize?: number } }).adapterInfo ?? {};
  if (!device.features.has("subgroups" as GPUFeatureName)) return 0;
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: subgroupProbe });
  device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  try {
    return (await device.popErrorScope()) === null ? subgroupMaxSize : 0;
  } catch {
    // The device is lost, and says so itself.
    return 0;
  }
}

/** What the device says of its units, of which WGSL knows nothing yet. */
interface StatedConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** The units that multiply matrices, in the dialect that the platform takes, which is found by trying; null where there are none. */
async function unitsOf(device: GPUDevice, subgroup: number): Promise<Units | null> {
  if (!device.features.has(unitsFeature)) return null;
  const { subgroupMatrixConfigs = [] } =
    (device as { adapterInfo?: { readonly subgroupMatrixConfigs?: readonly StatedConfig[] } }).adapterInfo ?? {};
  // Sums of half precision are less exact than those of other kernels.
  const stated = [...subgroupMatrixConfigs].filter((c) => c.resultComponentType === "f32" && c.N % 4 === 0);
  const configs = stated.flatMap(({ componentType: component, M, N, K }): UnitConfig[] =>
    component === "f32" || (component === "f16" && device.features.has("shader-f16")) ? [{ component, M, N, K }] : [],
  );
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = device.limits;
  const invocations = Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX);
  for (const dialect of configs.length > 0 ? dialects : []) {
    device.pushErrorScope("validation");
    for (const config of configs) {
      const module = device.createShaderModule({ code: unitProbe(dialect, config, subgroup) });
      device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    }
    // A device that is lost says so itself.
    const refused = await device.popErrorScope().catch(() => "lost");
    if (refused === null) return { dialect, configs, subgroup, invocations };
  }
  return null;
}

/** Whether kernels can have words that are part of the commands: asked for by trying, since platforms name it differently. */
async function takesImmediates(device: GPUDevice): Promise<boolean> {
  const { maxImmediateSize } = device.limits as unknown as Partial<ImmediateLimits>;
  if (maxImmediateSize === undefined || maxImmediateSize < 64) return false;
  device.pushErrorScope("validation");
  const code = [...declareWords("immediate", 16), "@compute @workgroup_size(1) fn main() { _ = words.w3; }"].join("\n");
  const descriptor: GPUPipelineLayoutDescriptor & { immediateSize: number } = { bindGroupLayouts: [], immediateSize: 64 };
  const layout = device.createPipelineLayout(descriptor);
  device.createComputePipeline({ layout, compute: { module: device.createShaderModule({ code }), entryPoint: "main" } });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  const settable = "setImmediates" in pass;
  pass.end();
  encoder.finish();
  try {
    return (await device.popErrorScope()) === null && settable;
  } catch {
    // The device is lost, and says so itself.
    return false;
  }
}
