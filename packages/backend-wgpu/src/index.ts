export type { TileTable } from "./emit/candidates.ts";
export { wgpu, type WgpuOptions } from "./wgpu.ts";
