import type { Library } from "../library.ts";
import { refusal, reportAdapter } from "./adapter.ts";
import { gpuCases } from "./cases.ts";
import { measureGpuLimits } from "./limits.ts";
import { type GpuReport, type GpuRow, measureCase } from "./measure.ts";

export interface BenchmarkOptions {
  readonly size: "full" | "tiny";
  /** Only the cases whose name has this in it. */
  readonly only?: string;
  /** Whether to measure on an adapter that is a CPU. */
  readonly allowCpu: boolean;
  /** Told of libraries that do not start. */
  readonly complain: (line: string) => void;
  readonly onRow?: (row: GpuRow, soFar: GpuReport) => void;
}

/**
 * Runs the benchmark in this process or page, on the adapter that the platform prefers.
 *
 * @throws {Error} where there is no adapter, or where it is a CPU and that is not allowed
 */
export async function benchmarkGpu(
  gpu: GPU,
  makers: Readonly<Record<string, () => Promise<Library>>>,
  { size, only, allowCpu, complain, onRow }: BenchmarkOptions,
): Promise<GpuReport> {
  const found = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (found === null) throw new Error("There is no WebGPU adapter here.");
  const adapter = reportAdapter(found);
  if (adapter.cpu && !allowCpu) throw new Error(refusal(adapter));
  const limits = await measureGpuLimits(found, size);
  const libraries: Library[] = [];
  for (const [name, make] of Object.entries(makers)) {
    try {
      libraries.push(await make());
    } catch (error) {
      complain(`${name} does not start: ${String(error).split("\n")[0]}`);
    }
  }
  const rows: GpuRow[] = [];
  for (const c of gpuCases(size)) {
    if (only !== undefined && !c.name.includes(only)) continue;
    const row = await measureCase(c, libraries, limits, size);
    rows.push(row);
    onRow?.(row, { adapter, limits, rows });
  }
  return { adapter, limits, rows };
}
