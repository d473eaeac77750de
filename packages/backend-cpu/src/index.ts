export { cpu, type CpuOptions } from "./backend.ts";
