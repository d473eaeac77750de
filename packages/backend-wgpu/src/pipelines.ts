import { BackendError, LruCache } from "@traceform/core";
import type { Origin } from "@traceform/compiler";
import type { Dispatch } from "./dispatches.ts";
import { type Written, writeKernel } from "./emit/kernel.ts";
import type { WordSource } from "./emit/words.ts";
import { computeStage, usage } from "./flags.ts";
import type { Slab } from "./memory.ts";
import { Outcome } from "./outcome.ts";

/**
 * The pipeline of a kernel, and whether WebGPU has accepted it. It is made when it is first needed, at once, unless it was prepared:
 * then WebGPU compiles it while the host does other things.
 */
export class Compiled {
  readonly #device: GPUDevice;
  readonly #name: string;
  readonly #code: string;
  readonly #origins: readonly Origin[];
  readonly #layout: GPUPipelineLayout;
  #pipeline: GPUComputePipeline | null = null;
  #outcome: Outcome | null = null;

  constructor(device: GPUDevice, { name, origins }: Dispatch, code: string, layout: GPUPipelineLayout) {
    this.#device = device;
    this.#name = name;
    this.#origins = origins;
    this.#code = code;
    this.#layout = layout;
  }

  get pipeline(): GPUComputePipeline {
    if (this.#pipeline === null) {
      this.#device.pushErrorScope("validation");
      const descriptor = this.#describe();
      this.#pipeline = this.#device.createComputePipeline(descriptor);
      const refused = this.#device.popErrorScope();
      this.#outcome = new Outcome(refused.then((error) => (error === null ? undefined : this.#explain(descriptor, error))));
    }
    return this.#pipeline;
  }
  get outcome(): Outcome {
    void this.pipeline;
    return this.#outcome!;
  }

  /** @throws {BackendError} when WebGPU does not take the kernel */
  async prepare(): Promise<void> {
    if (this.#pipeline !== null || this.#outcome !== null) return this.#outcome!.check();
    this.#device.pushErrorScope("validation");
    const descriptor = this.#describe();
    void this.#device.popErrorScope();
    const made = this.#device.createComputePipelineAsync(descriptor).then(
      // A call that could not wait may have made it meanwhile.
      (pipeline) => void (this.#pipeline ??= pipeline),
      (error: unknown) => this.#explain(descriptor, error as Error),
    );
    this.#outcome = new Outcome(made);
    return this.#outcome.check();
  }

  #describe(): GPUComputePipelineDescriptor & { readonly compute: { readonly module: GPUShaderModule } } {
    const module = this.#device.createShaderModule({ label: this.#name, code: this.#code });
    return { label: this.#name, layout: this.#layout, compute: { module, entryPoint: "main" } };
  }

  async #explain(
    { compute }: { readonly compute: { readonly module: GPUShaderModule } },
    error: { readonly message: string },
  ): Promise<never> {
    const { messages } = await compute.module.getCompilationInfo();
    const lines = this.#code.split("\n");
    const reasons = messages.map((m) => `${m.message} in line ${m.lineNum}: ${lines[m.lineNum - 1]?.trim()}`);
    throw new BackendError(this.#name, {
      message: `WebGPU did not take the kernel${writeOrigins(this.#origins)}: ${reasons.join("; ") || error.message}`,
      fix: "report the message with the adapter's name; the CPU backend runs the program meanwhile",
      cause: error,
    });
  }
}

/** The first equations of a kernel, as errors name them. */
function writeOrigins(origins: readonly Origin[]): string {
  if (origins.length === 0) return "";
  const named = origins.slice(0, 4).map(({ primitive, source }) => (source?.frame ? `${primitive} (${source.frame})` : primitive));
  const more = origins.length - named.length;
  return ` of ${named.join(", ")}${more > 0 ? ` and ${more} more equations` : ""}`;
}

/** Bytes of so many words in the uniform buffer, in which bindings begin at multiples of 256. */
export function wordBytes(words: number): number {
  return Math.ceil((words * 4) / 256) * 256;
}

/** The pipeline of a dispatch, and what the dispatch gives it. */
export interface Ready extends Pick<Written, "source" | "sizes"> {
  readonly compiled: Compiled;
}

interface Layout {
  readonly group: GPUBindGroupLayout;
  readonly pipeline: GPUPipelineLayout;
}

/** As many as large models have, and more. */
const mostPipelines = 4096;
const mostGroups = 1024;

/** Pipelines and bind groups of a device, made once for equal kernels of all programs. */
export class Pipelines {
  readonly #device: GPUDevice;
  /** By the text of their modules. */
  readonly #pipelines = new LruCache<Compiled>(mostPipelines);
  /** By the kernel, which has sizes. */
  readonly #ready = new LruCache<Ready>(4 * mostPipelines);
  readonly #layouts = new Map<string, Layout>();
  /** Bytes of immediates that a kernel may have. */
  readonly #immediateBytes: number;
  readonly #groups = new LruCache<GPUBindGroup>(mostGroups);
  #words: GPUBuffer | null = null;

  constructor(device: GPUDevice, immediates: boolean) {
    this.#device = device;
    this.#immediateBytes = immediates ? (device.limits as unknown as ImmediateLimits).maxImmediateSize : 0;
  }

  /** The layout of kernels over so many slabs: the words of the dispatch, if they are uniforms, then the slabs. */
  #layout(slabs: number, source: WordSource): Layout {
    const key = `${slabs} ${source}`;
    let layout = this.#layouts.get(key);
    if (layout === undefined) this.#layouts.set(key, (layout = this.#makeLayout(slabs, source)));
    return layout;
  }
  #makeLayout(slabs: number, source: WordSource): Layout {
    const most = this.#device.limits.maxStorageBuffersPerShaderStage;
    if (slabs > most) {
      throw new BackendError("wgpu", {
        message: `a kernel reaches into ${slabs} pieces of the device's memory, and the device binds ${most} at the most`,
        fix: "split the program, or use fewer and smaller arrays at a time",
      });
    }
    const visibility = computeStage;
    const words: GPUBindGroupLayoutEntry = { binding: 0, visibility, buffer: { type: "uniform", hasDynamicOffset: true } };
    const memory = Array.from({ length: slabs }, (_, i): GPUBindGroupLayoutEntry => ({
      binding: i + 1,
      visibility,
      buffer: { type: "storage" },
    }));
    const group = this.#device.createBindGroupLayout({ entries: source === "uniform" ? [words, ...memory] : memory });
    const immediateSize = source === "uniform" ? 0 : this.#immediateBytes;
    const descriptor: GPUPipelineLayoutDescriptor & { immediateSize: number } = { bindGroupLayouts: [group], immediateSize };
    return { group, pipeline: this.#device.createPipelineLayout(descriptor) };
  }

  /** The pipeline of a dispatch whose pointers are in the slabs that `bindings` counts. */
  pipeline(dispatch: Dispatch, bindings: readonly number[]): Ready {
    const { key, name, kernel } = dispatch;
    const full = `${bindings.join()} ${key}`;
    let known = this.#ready.get(full);
    if (known === undefined) {
      const written = writeKernel(kernel, name, bindings, this.#immediateBytes / 4);
      this.#ready.set(full, (known = { ...written, compiled: this.#compiled(dispatch, bindings, written) }));
    }
    return known;
  }
  #compiled(dispatch: Dispatch, bindings: readonly number[], { code, source }: Written): Compiled {
    let known = this.#pipelines.get(code);
    if (known === undefined) {
      const layout = this.#layout(Math.max(0, ...bindings) + 1, source).pipeline;
      known = new Compiled(this.#device, dispatch, `// ${dispatch.name}\n${code}`, layout);
      this.#pipelines.set(code, known);
    }
    return known;
  }
  /** A buffer for the words of so many bytes of dispatches. Its contents last until the next submit. */
  words(bytes: number): GPUBuffer {
    if (this.#words === null || this.#words.size < bytes) {
      this.#words?.destroy();
      this.#groups.clear();
      this.#words = this.#device.createBuffer({
        label: "words",
        size: Math.max(2 * bytes, 1 << 16),
        usage: usage.uniform | usage.copyTo,
      });
    }
    return this.#words;
  }

  /** The slabs of a dispatch, and the place of so many words of it among the uniforms; of none, where its words are immediates. */
  group(slabs: readonly Slab[], words: number): GPUBindGroup {
    const size = wordBytes(words);
    const key = `${size} ${slabs.map((s) => s.id).join()}`;
    let group = this.#groups.get(key);
    if (group === undefined) {
      const entries = slabs.map((s, i): GPUBindGroupEntry => ({ binding: i + 1, resource: { buffer: s.gpu } }));
      if (words > 0) entries.unshift({ binding: 0, resource: { buffer: this.#words!, size } });
      const { group: layout } = this.#layout(slabs.length, words > 0 ? "uniform" : "immediate");
      this.#groups.set(key, (group = this.#device.createBindGroup({ layout, entries })));
    }
    return group;
  }
}

/** Immediates are newer than the declarations of WebGPU that TypeScript brings. */
export interface ImmediateLimits {
  readonly maxImmediateSize: number;
}
