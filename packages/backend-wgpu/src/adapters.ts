import { BackendError } from "@traceform/core";

/** Which GPU is wanted. */
export interface AdapterOptions {
  /** A part of its name, such as "H100" or "Radeon"; any unless given. */
  readonly name?: string;
  /** That of several GPUs which is the faster one, or which saves power; the faster one unless given. */
  readonly powerPreference?: GPUPowerPreference;
}

/**
 * An adapter of the platform: in Node of the package `webgpu` (Dawn), which has to be installed beside this one. Each gives one device.
 * Pages can choose between the faster GPU and the one that saves power only.
 *
 * @throws {BackendError} where there is no WebGPU, or no such adapter; it says which
 * @example
 * ```ts
 * const both = [await requestAdapter(), await requestAdapter({ powerPreference: "low-power" })];
 * setDefaultBackend(await wgpu({ adapter: both }));
 * ```
 */
export async function requestAdapter(options: AdapterOptions = {}): Promise<GPUAdapter> {
  const { name, powerPreference = "high-performance" } = options;
  const gpu = globalThis.navigator?.gpu ?? (await dawn(name));
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter({ powerPreference });
  } catch (error) {
    if (name === undefined) throw error;
    // So Dawn says that none has the name, and which there are.
    throw new BackendError("requestAdapter", {
      message: `there is no adapter "${name}": ${error instanceof Error ? error.message : String(error)}`,
      fix: "give a part of the name of an adapter that there is, or leave it out",
      cause: error,
    });
  }
  if (adapter !== null) {
    if (name === undefined || adapterName(adapter).toLowerCase().includes(name.toLowerCase())) return adapter;
    throw new BackendError("requestAdapter", {
      message: `the adapter that the platform gives is ${adapterName(adapter)}, not ${name}`,
      fix: "leave the name out, or ask with another powerPreference: pages cannot name a GPU",
    });
  }
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

/** Units that multiply matrices. */
export const unitsFeature = "chromium-experimental-subgroup-matrix" as GPUFeatureName;
/** What programs or traces are better with. */
const wanted = ["timestamp-query", "subgroups", "shader-f16", unitsFeature] as readonly GPUFeatureName[];

/** A device with the limits of its adapter: the defaults are small. */
export async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
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

/** Dawn in Node, one for each name: they must live as long as what they have made. */
const instances = new Map<string, GPU>();

async function dawn(name = ""): Promise<GPU> {
  let instance = instances.get(name);
  if (instance !== undefined) return instance;
  // A name that bundlers cannot see: pages have no use for it.
  const specifier = "webgpu";
  let found: Dawn;
  try {
    found = (await import(/* @vite-ignore */ specifier)) as Dawn;
  } catch (error) {
    throw new BackendError("wgpu", {
      message: "this JavaScript engine has no navigator.gpu, and the package `webgpu` could not be loaded",
      fix: "in Node, `npm install webgpu`; in browsers, use one with WebGPU on a secure page (https or localhost)",
      cause: error,
    });
  }
  // Timestamps are rounded to 100 microseconds for pages that must not measure one another; here there are none.
  const options = ["disable-dawn-features=timestamp_quantization"];
  if (name !== "") options.push(`adapter=${name}`);
  instance = found.create(options);
  instances.set(name, instance);
  return instance;
}
