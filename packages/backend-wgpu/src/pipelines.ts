import { BackendError, LruCache } from "@traceform/core";
import type { Dispatch } from "./dispatches.ts";
import { firstPointer, writeKernel } from "./emit/kernel.ts";
import { computeStage, usage } from "./flags.ts";
import type { Slab } from "./memory.ts";
import { Outcome } from "./outcome.ts";

/** A pipeline, and whether WebGPU has accepted it. */
export interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly outcome: Outcome;
}

/** Bytes of the words of a dispatch in the uniform buffer: copies have one more than pointers, and bindings begin at multiples of 256. */
export function wordBytes(pointers: number): number {
  return Math.ceil(((firstPointer + pointers + 1) * 4) / 256) * 256;
}

/** As many as large models have, and more. */
const mostPipelines = 4096;
const mostGroups = 1024;

/** Pipelines and bind groups of a device, made once for equal kernels of all programs. */
export class Pipelines {
  readonly #device: GPUDevice;
  readonly #pipelines = new LruCache<Compiled>(mostPipelines);
  readonly #layouts: { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }[] = [];
  readonly #groups = new LruCache<GPUBindGroup>(mostGroups);
  #words: GPUBuffer | null = null;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** The layout of kernels over so many slabs: the words of the dispatch, then the slabs. */
  #layout(slabs: number): { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout } {
    return (this.#layouts[slabs] ??= this.#makeLayout(slabs));
  }
  #makeLayout(slabs: number): { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout } {
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
    const group = this.#device.createBindGroupLayout({ entries: [words, ...memory] });
    return { group, pipeline: this.#device.createPipelineLayout({ bindGroupLayouts: [group] }) };
  }

  /** The pipeline of a dispatch whose pointers are in the slabs that `bindings` counts. */
  pipeline({ key, name, kernel }: Dispatch, bindings: readonly number[]): Compiled {
    const full = `${bindings.join()} ${key}`;
    let known = this.#pipelines.get(full);
    if (known === undefined) {
      const code = writeKernel(kernel, name, bindings);
      this.#pipelines.set(full, (known = this.#compile(name, code, Math.max(0, ...bindings) + 1)));
    }
    return known;
  }
  #compile(name: string, code: string, slabs: number): Compiled {
    const device = this.#device;
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label: name, code });
    const layout = this.#layout(slabs).pipeline;
    const pipeline = device.createComputePipeline({ label: name, layout, compute: { module, entryPoint: "main" } });
    const outcome = device.popErrorScope().then(async (error) => {
      if (error === null) return;
      const { messages } = await module.getCompilationInfo();
      const lines = code.split("\n");
      const reasons = messages.map((m) => `${m.message} in line ${m.lineNum}: ${lines[m.lineNum - 1]?.trim()}`);
      throw new BackendError(name, {
        message: `WebGPU did not take the kernel: ${reasons.join("; ") || error.message}`,
        fix: "report the message with the adapter's name; the CPU backend runs the program meanwhile",
        cause: error,
      });
    });
    return { pipeline, outcome: new Outcome(outcome) };
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

  group(slabs: readonly Slab[], pointers: number): GPUBindGroup {
    const size = wordBytes(pointers);
    const key = `${size} ${slabs.map((s) => s.id).join()}`;
    let group = this.#groups.get(key);
    if (group === undefined) {
      const words: GPUBindGroupEntry = { binding: 0, resource: { buffer: this.#words!, size } };
      const memory = slabs.map((s, i): GPUBindGroupEntry => ({ binding: i + 1, resource: { buffer: s.gpu } }));
      const { group: layout } = this.#layout(slabs.length);
      this.#groups.set(key, (group = this.#device.createBindGroup({ layout, entries: [words, ...memory] })));
    }
    return group;
  }
}
