/** Traceform and those of its peers that are installed: see `vite.config.ts`. */
declare module "virtual:libraries" {
  export const makers: Readonly<Record<string, () => Promise<import("../../benchmarks/library.ts").Library>>>;
}
