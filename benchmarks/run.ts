// Traceform beside other libraries: all sides in one process, timed alternately, medians, results compared.
//
//   npm run bench -- --parallel          several devices on this machine: see parallel.ts
//   npm run bench [-- --json] [--only matmul] [--rounds 9] [--python python3]
//   npm run bench -- --gpu                          (see gpu/run.ts)
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Case } from "./cases.ts";
import type { Library, Side } from "./library.ts";
import { median } from "./median.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
/** The peers are large, so nobody but the benchmarks that need them install them. Their install scripts download; none is needed. */
async function installPeers(): Promise<void> {
  if (existsSync(`${here}node_modules/@tensorflow/tfjs-backend-webgpu`)) return;
  const { packageManager } = (await import("../package.json", { with: { type: "json" } })).default;
  execFileSync("npx", ["-y", packageManager, "install", "--ignore-scripts"], { cwd: here, stdio: "inherit" });
}

if (process.argv.includes("--gpu")) {
  await installPeers();
  // Has options of its own, runs to its end, and ends the process.
  await import("./gpu/run.ts");
}

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    only: { type: "string" },
    parallel: { type: "boolean", default: false },
    rounds: { type: "string", default: "9" },
    python: { type: "string", default: "python3" },
  },
});
if (options.parallel) {
  const { benchParallel } = await import("./parallel.ts");
  await benchParallel(Number(options.rounds), options.json);
  process.exit(0);
}
await installPeers();

const rounds = Number(options.rounds);
const warmUpMilliseconds = 300;
/** Of every library that can use several. */
const threads = 2;

const { cases } = await import("./cases.ts");
const { measureLimits } = await import("./limits.ts");
// Not for users: the limit of the arithmetic is that of code compiled as ours is.
const { compileWide } = await import("../packages/backend-cpu/dist/gemm.js");
const { traceform } = await import("./libraries/traceform.ts");
const { jaxjs } = await import("./libraries/jaxjs.ts");
const { tfjs } = await import("./libraries/tfjs.ts");
const { onnxNode, onnxWeb } = await import("./libraries/onnx.ts");

async function start(make: () => Library | Promise<Library>, name: string): Promise<Library | null> {
  try {
    return await make();
  } catch (error) {
    console.error(`${name} does not start: ${String(error).split("\n")[0]}`);
    return null;
  }
}

interface Entry {
  readonly library: Library;
  readonly side: Side;
  readonly samples: number[];
  failed: boolean;
}

/**
 * One sample: the median of calls in a row. Before them a pause, in which the threads of the library before go to sleep, and, if the
 * calls are short, some that do not count: they wake up this one's threads, and the processor.
 */
async function sample({ side, samples }: Entry, repeat: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds));
  if ((samples.at(-1) ?? 0) < longCall) await callsFor(side, wakeMilliseconds, repeat);
  samples.push(await callsFor(side, sampleMilliseconds, repeat));
}
/** The threads of onnxruntime look for work for 40 to 60 ms. */
const pauseMilliseconds = 60;
const wakeMilliseconds = 10;
const sampleMilliseconds = 20;
/** Milliseconds from which on a call needs none before it. */
const longCall = 100;

/**
 * Calls in a row for some milliseconds: the median time of `repeat` of them. A mean would be that of a few calls in which the
 * machine was doing something else.
 */
async function callsFor(side: Side, milliseconds: number, repeat: number): Promise<number> {
  const begun = performance.now();
  const times: number[] = [];
  do {
    const start = performance.now();
    for (let i = 0; i < repeat; i++) {
      const pending = side.run();
      if (pending instanceof Promise) await pending;
    }
    times.push((performance.now() - start) / repeat);
  } while (performance.now() - begun < milliseconds);
  return median(times);
}

/** The largest difference relative to the largest value of `expected`. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let scale = 0;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    scale = Math.max(scale, Math.abs(b[i]));
    const d = Math.abs(a[i] - b[i]);
    if (!(d <= worst)) worst = d;
  }
  return worst / (scale || 1);
}

interface Row {
  readonly name: string;
  readonly ours_ms: number | null;
  readonly peers: Record<string, number | null>;
  readonly ratio_vs_best_js: number | null;
  /** The time that the machine needs at the least for the arithmetic or the memory traffic, divided by ours. */
  readonly of_limit: number | null;
  readonly notes?: string[];
}

async function measure(c: Case, libraries: readonly Library[]): Promise<Row> {
  const notes: string[] = [];
  const entries: Entry[] = [];
  const times: Record<string, number | null> = {};
  for (const library of libraries) {
    times[library.name] = null;
    const setup = library.cases[c.name];
    if (setup === undefined) continue;
    try {
      entries.push({ library, side: await setup(c.inputs), samples: [], failed: false });
    } catch (error) {
      notes.push(`${library.name} fails: ${String(error).split("\n")[0].slice(0, 120)}`);
    }
  }
  // A library that fails halfway is reported as missing, with its error.
  const attempt = async (e: Entry, work: () => Promise<void>): Promise<void> => {
    if (e.failed) return;
    try {
      await work();
    } catch (error) {
      e.failed = true;
      notes.push(`${e.library.name} fails: ${String(error).split("\n")[0].slice(0, 120)}`);
    }
  };
  const results = new Map<Entry, ArrayLike<number>>();
  for (const e of entries) await attempt(e, async () => void results.set(e, await e.side.result()));
  const [judge, reference] = [...results].at(-1) ?? [null, []];
  for (const [e, result] of results) {
    const d = difference(result, reference);
    if (!(d <= Math.max(c.tolerance, 1e-7)))
      notes.push(`${e.library.name} differs by ${d.toExponential(1)} from ${judge!.library.name}`);
  }
  const repeat = c.repeat ?? 1;
  for (const e of entries) {
    // Engines compile again what runs often: every side comes to its best.
    const until = performance.now() + warmUpMilliseconds;
    for (let i = 0; !e.failed && (i < 2 || (performance.now() < until && i < 100)); i++) await attempt(e, () => sample(e, repeat));
    e.samples.length = 0;
  }
  for (let r = 0; r < rounds; r++) for (const e of entries) await attempt(e, () => sample(e, repeat));
  for (const e of entries) if (!e.failed) times[e.library.name] = median(e.samples);
  return row(c.name, times, libraries, notes, c.work);
}

function row(
  name: string,
  times: Record<string, number | null>,
  libraries: readonly Library[],
  notes: string[] = [],
  work?: Case["work"],
): Row {
  const { traceform: ours = null, ...peers } = times;
  const js = libraries
    .filter((l) => !l.native && l.name !== "traceform")
    .map((l) => peers[l.name])
    .filter((t) => t != null);
  return {
    name,
    ours_ms: ours,
    peers,
    ratio_vs_best_js: ours === null || js.length === 0 ? null : Math.min(...(js as number[])) / ours,
    of_limit: ours === null || work === undefined ? null : limitTime(work) / ours,
    ...(notes.length > 0 ? { notes } : {}),
  };
}

/** The least time, in milliseconds, that the work can take on two threads. */
function limitTime(work: NonNullable<Case["work"]>): number {
  return "flops" in work ? work.flops / limits.gflops / 1e6 : work.bytes / limits.gigabytesPerSecond / 1e6;
}

function firstCalls(libraries: readonly Library[]): Row {
  const samples: Record<string, number[]> = { traceform: [], "jax-js": [] };
  const notes: string[] = [];
  for (let r = 0; r < 5; r++) {
    for (const name of Object.keys(samples)) {
      const { stdout, status, stderr } = spawnSync(process.execPath, [join(here, "firstcall.ts"), name], { encoding: "utf8" });
      if (status === 0) samples[name].push((JSON.parse(stdout.trim().split("\n").at(-1)!) as { ms: number }).ms);
      else if (r === 0)
        notes.push(
          `${name} fails: ${
            stderr
              .trim()
              .split("\n")
              .find((l) => l.includes("Error")) ?? status
          }`,
        );
    }
  }
  const times = Object.fromEntries(Object.entries(samples).map(([k, v]) => [k, v.length > 0 ? median(v) : null]));
  return row("mlp adam step, first call", times, libraries, notes);
}

/** JAX itself, where Python has it: in a process of its own, after the others. */
function nativeJax(selected: readonly Case[], python: string): Record<string, number> {
  const folder = mkdtempSync(join(tmpdir(), "traceform-bench-"));
  try {
    if (spawnSync(python, ["-c", "import jax"]).status !== 0) return {};
    const spec = selected.map((c, i) => ({
      name: c.name,
      repeat: c.repeat ?? 1,
      inputs: Object.fromEntries(
        Object.entries(c.inputs).map(([k, t]) => {
          const file = join(folder, `${i}-${k}.bin`);
          writeFileSync(file, new Uint8Array(t.data.buffer));
          return [k, { shape: t.shape, file }];
        }),
      ),
    }));
    writeFileSync(join(folder, "spec.json"), JSON.stringify(spec));
    return JSON.parse(
      execFileSync(python, [join(here, "native_jax.py"), join(folder, "spec.json")], { encoding: "utf8" }),
    ) as Record<string, number>;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const limits = await measureLimits(threads, (bytes) => compileWide(bytes) ?? new WebAssembly.Module(bytes));

const format = (t: number | null | undefined): string =>
  t == null ? "missing" : t < 0.1 ? `${(t * 1000).toFixed(2)} µs` : `${t.toPrecision(3)} ms`;

const libraries = (
  await Promise.all([
    start(() => traceform({ threads }), "traceform"),
    start(jaxjs, "jax-js"),
    start(tfjs, "tfjs-wasm"),
    start(onnxWeb, "onnxruntime-web"),
    start(onnxNode, "onnxruntime-node"),
  ])
).filter((l) => l !== null);
const selected = cases.filter((c) => options.only === undefined || c.name.includes(options.only));
const rows: Row[] = [];
for (const c of selected) {
  rows.push(await measure(c, libraries));
  if (!options.json) console.error(`measured ${c.name}`);
}
if (options.only === undefined || "mlp adam step, first call".includes(options.only)) rows.push(firstCalls(libraries));
const native = nativeJax(selected, options.python);
for (const r of rows) r.peers["jax (native)"] = native[r.name] ?? null;

if (options.json) {
  for (const r of rows) console.log(JSON.stringify(r));
} else {
  const names = [...libraries.map((l) => l.name).filter((n) => n !== "traceform"), "jax (native)"];
  console.log(
    `| case | traceform | ${names.join(" | ")} | best JS peer / ours | of the machine's limit |\n| --- |${" ---: |".repeat(names.length + 3)}`,
  );
  for (const r of rows) {
    const ratio = r.ratio_vs_best_js === null ? "" : `${r.ratio_vs_best_js.toFixed(2)}×`;
    const limit = r.of_limit === null ? "" : `${(100 * r.of_limit).toFixed(0)} %`;
    console.log(`| ${r.name} | ${format(r.ours_ms)} | ${names.map((n) => format(r.peers[n])).join(" | ")} | ${ratio} | ${limit} |`);
  }
  console.log(
    `\nLimits of ${threads} threads: ${limits.gflops.toFixed(0)} GFLOP/s, ${limits.gigabytesPerSecond.toFixed(1)} GB/s copied (read and written).`,
  );
  for (const r of rows) for (const note of r.notes ?? []) console.log(`\n${r.name}: ${note}`);
}
process.exit(0);
