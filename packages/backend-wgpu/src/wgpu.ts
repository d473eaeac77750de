import { type Backend, BackendError } from "@traceform/core";
import type { TileTable } from "./emit/candidates.ts";
import { dialects, unitProbe } from "./emit/dialects.ts";
import { subgroupProbe } from "./emit/kernel.ts";
import type { KernelSize, UnitConfig, Units } from "./emit/schedule.ts";
import { declareWords } from "./emit/words.ts";
import type { ImmediateLimits } from "./pipelines.ts";
import { WebGpuBackend } from "./backend.ts";

export interface WgpuOptions {
  /** The adapter to take a device of, with all of its limits; the one that the platform prefers unless given. */
  readonly adapter?: GPUAdapter;
  /** A device to work on, which stays its owner's: it is not destroyed with the backend. */
  readonly device?: GPUDevice;
  /** The most memory that the backend takes of the GPU; 4 GiB by default. */
  readonly maxMemoryBytes?: number;
  /** How much kernels do at a time: `tiny` for GPUs that a CPU imitates, where large kernels take long to compile. Default `full`. */
  readonly schedule?: KernelSize;
  /**
   * The tiles of matrix products that were found to be the fastest, by adapter. `await jit(f).lower(x).compile()` measures large products of which
   * nothing is known here, and adds what it finds; programs that are compiled without waiting take what is there, or go by rule. Keep it as JSON,
   * and nobody has to measure again. What this process has measured unless given; null for the rule alone.
   */
  readonly tiles?: TileTable | null;
  /** How many logical devices there are, which share the GPU and its memory; 1 by default. For programs of several devices on one GPU. */
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
  const { maxMemoryBytes = 2 ** 32, schedule = "full", devices = 1 } = options;
  if (!Number.isInteger(devices) || devices < 1) {
    throw new BackendError("wgpu", { message: `${devices} is no number of devices`, fix: "give a positive integer" });
  }
  const owned = options.device === undefined;
  const device = options.device ?? (await requestDevice(options.adapter ?? (await requestAdapter())));
  // Not in pages: in Chromium 153 a loop that the device ends by itself does not end if its kernels have immediates.
  const immediates = globalThis.navigator?.gpu === undefined && (await takesImmediates(device));
  const subgroups = await largestSubgroup(device);
  const halves = device.features.has("shader-f16");
  const units = subgroups > 0 ? await unitsOf(device, subgroups) : null;
  const memory = device.limits.maxComputeWorkgroupStorageSize;
  const kernels = { size: schedule, subgroups, memory, halves, units };
  return new WebGpuBackend(device, { owned, maxMemoryBytes, schedule: kernels, tiles: options.tiles, immediates, devices });
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

async function requestAdapter(): Promise<GPUAdapter> {
  const gpu = globalThis.navigator?.gpu ?? (await dawn());
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter !== null) return adapter;
  // What has WebGPU's subset for old drivers only shows when that is asked for (lib.dom does not know the option).
  const old = await gpu.requestAdapter({ featureLevel: "compatibility" } as GPURequestAdapterOptions);
  if (old !== null) {
    throw new BackendError("wgpu", {
      message: `the driver of ${adapterName(old)} is too old: WebGPU has only its compatibility mode there`,
      fix: "install a newer driver (Vulkan 1.1, Metal 2 or D3D12), pass another adapter, or use the CPU backend",
    });
  }
  throw new BackendError("wgpu", {
    message: "there is WebGPU, but no adapter: no GPU with a driver that it can use",
    fix: "install a Vulkan, Metal or D3D12 driver, or a newer one, pass an adapter, or use the CPU backend",
  });
}

/** What an adapter is, as far as the platform tells. */
function adapterName({ info }: GPUAdapter): string {
  return [info.description || info.device, info.vendor, info.architecture].filter(Boolean).join(", ") || "the adapter";
}

/** What programs or traces are better with. */
const unitsFeature = "chromium-experimental-subgroup-matrix" as GPUFeatureName;
const wanted = ["timestamp-query", "subgroups", "shader-f16", unitsFeature] as readonly GPUFeatureName[];

/** A device with the limits of its adapter: the defaults are small. */
async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const requiredLimits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = adapter.limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number") requiredLimits[name] = value;
  }
  try {
    const requiredFeatures = wanted.filter((f) => adapter.features?.has(f));
    return await adapter.requestDevice({ label: "traceform", requiredLimits, requiredFeatures });
  } catch (error) {
    throw new BackendError("wgpu", {
      message: `the adapter gave no device: ${error instanceof Error ? error.message : String(error)}`,
      fix: "adapters give one device; ask for another adapter",
      cause: error,
    });
  }
}

/** What the package `webgpu` exports. */
interface Dawn {
  create(options: readonly string[]): GPU;
}

let instance: GPU | null = null;

/** Dawn in Node. One for the process: it must live as long as what it has made. */
async function dawn(): Promise<GPU> {
  if (instance !== null) return instance;
  // A name that bundlers cannot see: pages have no use for it.
  const name = "webgpu";
  let found: Dawn;
  try {
    found = (await import(/* @vite-ignore */ name)) as Dawn;
  } catch (error) {
    throw new BackendError("wgpu", {
      message: "this JavaScript engine has no navigator.gpu, and the package `webgpu` could not be loaded",
      fix: "in Node, `npm install webgpu`; in browsers, use one with WebGPU on a secure page (https or localhost)",
      cause: error,
    });
  }
  // Timestamps are rounded to 100 microseconds for pages that must not measure one another; here there are none.
  return (instance = found.create(["disable-dawn-features=timestamp_quantization"]));
}
