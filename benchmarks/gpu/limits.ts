// What the GPU can do at the most: multiplications and additions in registers, and copying memory. Nothing of Traceform is involved.

export interface GpuLimits {
  readonly gflops: number;
  readonly gigabytesPerSecond: number;
}

const copy = `
@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> b: array<vec4f>;
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = id.x + id.y * n.x * 256;
  if (i < arrayLength(&b)) { b[i] = a[i]; }
}`;

/** Rounds of eight independent vectors, so that no operation waits for the one before. */
const chains = 8;
const fmaRounds = 512;
const fma = `
@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> b: array<vec4f>;
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = a[0];
  let y = a[1];
${Array.from({ length: chains }, (_, i) => `  var v${i} = vec4f(f32(id.x + ${i}u));`).join("\n")}
  for (var i = 0; i < ${fmaRounds}; i++) {
${Array.from({ length: chains }, (_, i) => `    v${i} = fma(v${i}, x, y);`).join("\n")}
  }
  b[id.x] = ${Array.from({ length: chains }, (_, i) => `v${i}`).join(" + ")};
}`;

/** Measures a device of its own, so that no library's memory is in the way. */
export async function measureGpuLimits(adapter: GPUAdapter, size: "full" | "tiny"): Promise<GpuLimits> {
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const device = await adapter.requestDevice({ requiredLimits: { maxBufferSize, maxStorageBufferBindingSize } });
  const bytes = Math.min(maxBufferSize, maxStorageBufferBindingSize, size === "full" ? 1 << 28 : 1 << 16);
  const [a, b] = [0, 1].map(() => device.createBuffer({ size: bytes, usage: 0x0080 | 0x0008 }));
  const pipelineOf = (code: string): GPUComputePipeline =>
    device.createComputePipeline({ layout: "auto", compute: { module: device.createShaderModule({ code }) } });
  /** The best rate of several passes of the same work, in units of `amount` a nanosecond. */
  const best = async (pipeline: GPUComputePipeline, groups: readonly [number, number], amount: number): Promise<number> => {
    const layout = pipeline.getBindGroupLayout(0);
    const group = device.createBindGroup({
      layout,
      entries: [a, b].map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    let rate = 0;
    for (let round = 0, calls = 1; round < (size === "full" ? 12 : 2); round++) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < calls; i++) pass.dispatchWorkgroups(...groups);
      pass.end();
      const begin = performance.now();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      const milliseconds = performance.now() - begin;
      rate = Math.max(rate, (calls * amount) / milliseconds / 1e6);
      // The clock must see the work and not the submission.
      if (milliseconds < 50 && calls < 1024) calls *= 4;
    }
    return rate;
  };
  const vectors = bytes / 16;
  const groups = Math.ceil(vectors / 256);
  const rows = Math.ceil(groups / 65535);
  const gigabytesPerSecond = await best(pipelineOf(copy), [Math.ceil(groups / rows), rows], 2 * bytes);
  const invocations = Math.min(vectors, size === "full" ? 1 << 20 : 1 << 10);
  const gflops = await best(pipelineOf(fma), [invocations / 256, 1], invocations * fmaRounds * chains * 4 * 2);
  device.destroy();
  return { gflops, gigabytesPerSecond };
}
