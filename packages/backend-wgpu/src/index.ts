export { type AdapterOptions, requestAdapter } from "./adapters.ts";
export type { TileTable } from "./emit/candidates.ts";
export { wgpu, type WgpuOptions } from "./wgpu.ts";
