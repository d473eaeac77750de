export { wgpu, type WgpuOptions } from "./wgpu.ts";
