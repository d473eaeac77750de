import type { Library, Side } from "../library.ts";
import { median } from "../median.ts";
import type { AdapterReport } from "./adapter.ts";
import type { GpuCase } from "./cases.ts";
import type { GpuLimits } from "./limits.ts";

export interface GpuRow {
  readonly name: string;
  /** Milliseconds a call, by library; null for what is missing or has failed. */
  readonly milliseconds: Readonly<Record<string, number | null>>;
  /** The time of the best peer divided by ours. */
  readonly ratio: number | null;
  /** The least time that the adapter needs for the arithmetic or the memory traffic, divided by ours. */
  readonly ofLimit: number | null;
  readonly notes: readonly string[];
}

export interface GpuReport {
  readonly adapter: AdapterReport;
  readonly limits: GpuLimits;
  readonly rows: readonly GpuRow[];
}

interface Timing {
  readonly rounds: number;
  /** Milliseconds of one sample, and of the warm-up. */
  readonly sample: number;
  readonly warmUp: number;
}
const timings: Readonly<Record<"full" | "tiny", Timing>> = {
  full: { rounds: 9, sample: 60, warmUp: 500 },
  tiny: { rounds: 1, sample: 0, warmUp: 0 },
};

const firstLine = (error: unknown): string => String(error).split("\n")[0].slice(0, 160);

/** The largest difference relative to the largest value of `expected`. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let [scale, worst] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    scale = Math.max(scale, Math.abs(b[i]));
    const d = Math.abs(a[i] - b[i]);
    if (!(d <= worst)) worst = d;
  }
  return worst / (scale || 1);
}

/** Milliseconds a call: so many calls in a row, then waiting until the GPU has done them all. */
async function callsFor(side: Side, library: Library, calls: number): Promise<number> {
  const begin = performance.now();
  for (let i = 0; i < calls; i++) {
    const pending = side.run();
    if (pending instanceof Promise) await pending;
  }
  await library.settle?.();
  return (performance.now() - begin) / calls;
}

/** Measures one case on all libraries, alternately. The first library is ours. */
export async function measureCase(
  c: GpuCase,
  libraries: readonly Library[],
  limits: GpuLimits,
  size: "full" | "tiny",
): Promise<GpuRow> {
  const { rounds, sample, warmUp } = timings[size];
  const notes: string[] = [];
  const milliseconds: Record<string, number | null> = Object.fromEntries(libraries.map((l) => [l.name, null]));
  const inputs = c.inputs();
  const entries: { library: Library; side: Side; calls: number; samples: number[]; failed: boolean }[] = [];
  let reference: { readonly by: string; readonly values: ArrayLike<number> } | null = null;
  for (const library of libraries) {
    const setup = library.cases[c.like];
    if (setup === undefined) continue;
    try {
      const side = await setup(inputs);
      const values = await side.result();
      if (reference === null) reference = { by: library.name, values: Float32Array.from(values) };
      else {
        const d = difference(values, reference.values);
        if (!(d <= Math.max(c.tolerance, 1e-7)))
          notes.push(`${library.name} differs by ${d.toExponential(1)} from ${reference.by}`);
      }
      entries.push({ library, side, calls: 1, samples: [], failed: false });
    } catch (error) {
      notes.push(`${library.name} fails: ${firstLine(error)}`);
    }
  }
  const attempt = async (entry: (typeof entries)[number], work: () => Promise<void>): Promise<void> => {
    if (entry.failed) return;
    try {
      await work();
    } catch (error) {
      notes.push(`${entry.library.name} fails: ${firstLine(error)}`);
      entry.failed = true;
    }
  };
  for (const entry of entries) {
    await attempt(entry, async () => {
      const until = performance.now() + warmUp;
      let each = await callsFor(entry.side, entry.library, 1);
      while (performance.now() < until) each = await callsFor(entry.side, entry.library, entry.calls);
      entry.calls = Math.max(1, Math.min(10_000, Math.round(sample / Math.max(each, 1e-3))));
    });
  }
  for (let r = 0; r < rounds; r++) {
    for (const entry of entries)
      await attempt(entry, async () => void entry.samples.push(await callsFor(entry.side, entry.library, entry.calls)));
  }
  for (const { library, samples, failed } of entries) if (!failed) milliseconds[library.name] = median(samples);
  const ours = milliseconds[libraries[0].name];
  const peers = libraries.slice(1).flatMap((l) => milliseconds[l.name] ?? []);
  const least =
    c.work === undefined
      ? null
      : "flops" in c.work
        ? c.work.flops / limits.gflops / 1e6
        : c.work.bytes / limits.gigabytesPerSecond / 1e6;
  return {
    name: c.name,
    milliseconds,
    ratio: ours === null || peers.length === 0 ? null : Math.min(...peers) / ours,
    ofLimit: ours === null || least === null ? null : least / ours,
    notes,
  };
}

export function formatTime(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return "missing";
  return ms < 0.1 ? `${(1000 * ms).toFixed(2)} µs` : ms < 100 ? `${ms.toPrecision(3)} ms` : `${ms.toFixed(0)} ms`;
}

/** What the adapter is, and can do at the most. */
export function headline({ adapter, limits }: GpuReport): string {
  return adapter.cpu
    ? `NOT A GPU: ${adapter.name} is a CPU that runs WebGPU. These times show that the benchmark works, and nothing else.`
    : `Adapter: ${adapter.name}; copies ${limits.gigabytesPerSecond.toFixed(0)} GB/s (read and written), multiplies and adds ${limits.gflops.toFixed(0)} GFLOP/s.`;
}

/** The report as a table in Markdown. */
export function writeTable(report: GpuReport): string {
  const { rows } = report;
  const names = rows.length === 0 ? [] : Object.keys(rows[0].milliseconds);
  const lines = [
    headline(report),
    "",
    `| case | ${names.join(" | ")} | best peer / ours | of the adapter's limit |`,
    `| --- |${" ---: |".repeat(names.length + 2)}`,
    ...rows.map(({ name, milliseconds, ratio, ofLimit }) => {
      const cells = names.map((n) => formatTime(milliseconds[n]));
      return `| ${name} | ${cells.join(" | ")} | ${ratio === null ? "" : `${ratio.toFixed(2)}×`} | ${ofLimit === null ? "" : `${(100 * ofLimit).toFixed(0)} %`} |`;
    }),
  ];
  for (const { name, notes } of rows) for (const note of notes) lines.push("", `${name}: ${note}`);
  return lines.join("\n");
}
