/** What a table must say about where it was measured. */
export interface AdapterReport {
  readonly name: string;
  /** Whether the adapter is a CPU that pretends to be a GPU: its times say nothing about GPUs. */
  readonly cpu: boolean;
  readonly features: readonly string[];
}

/** Names of Vulkan and Direct3D drivers that run on the CPU. */
const software = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|\bwarp\b/i;

export function reportAdapter(adapter: Pick<GPUAdapter, "info" | "features">): AdapterReport {
  const info = adapter.info as GPUAdapterInfo & { readonly isFallbackAdapter?: boolean };
  const words = [info.description, info.device, info.vendor, info.architecture].filter((w) => w !== "");
  const name = [...new Set(words)].join(", ") || "an adapter without a name";
  return { name, cpu: info.isFallbackAdapter === true || software.test(words.join(" ")), features: [...adapter.features].sort() };
}

/** What is said instead of figures. */
export function refusal({ name }: AdapterReport): string {
  return `The adapter is ${name}: a CPU that runs WebGPU. Its times would say nothing about GPUs, so none are measured. Run this on a machine with a GPU and its driver; with --allow-cpu it runs all the same, to see that it works, and says so in every table.`;
}
