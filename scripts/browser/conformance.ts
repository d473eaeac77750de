import { cpu } from "@traceform/backend-cpu";
import { requestAdapter, wgpu } from "@traceform/backend-wgpu";
import {
  type Backend,
  BackendError,
  DTypeError,
  type NDArray,
  profiler,
  setDefaultBackend,
  type StandardDType,
} from "@traceform/core";
import { grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { pmap } from "@traceform/pmap";
import type { ConformanceCase } from "../../packages/testing/src/conformance/case.ts";
import { checkCase, compileCase, families, inputsOf } from "../../packages/testing/src/conformance/check.ts";
import { referenceBackend } from "../../packages/testing/src/reference/backend.ts";

/** One case and dtype of the conformance suite in a page. */
interface Chosen {
  readonly title: string;
  readonly case: ConformanceCase;
  readonly dtype: StandardDType;
}

/** What became of the cases that a page ran. */
export interface ConformanceReport {
  readonly isolated: boolean;
  readonly ran: number;
  /** The families of which cases ran. */
  readonly families: readonly string[];
  /** What differs from the reference backend, by case. */
  readonly problems: readonly string[];
  /** Cases that the backend says it cannot run, when it compiles them. */
  readonly refused: readonly string[];
  readonly seconds: number;
}

/** How much of the suite a page runs. */
export type Extent = "part" | "whole";
/** Of a part: one in so many names of each family, and one dtype of each. */
const stride = 5;

/** The whole suite, or a part that has something of every family, the same one everywhere. */
function* choose(backend: Backend, extent: Extent): Generator<readonly [family: string, Chosen]> {
  for (const [family, cases] of Object.entries(families)) {
    const byName = Map.groupBy(cases(), (c) => c.name);
    let n = 0;
    for (const [name, variants] of byName) {
      if (n++ % stride !== 0 && extent === "part") continue;
      const all = variants.flatMap((c) => c.dtypes.map((dtype) => ({ case: c, dtype })));
      const possible = all.filter(({ dtype }) => backend.capabilities.dtypes.includes(dtype));
      if (possible.length === 0) continue;
      for (const chosen of extent === "whole" ? possible : [possible[n % possible.length]]) {
        yield [family, { title: `${name} ${chosen.dtype}`, ...chosen }];
      }
    }
  }
}

/** Whether the backend says that it cannot run a case. */
function refuses(backend: Backend, { case: c, dtype }: Chosen): boolean {
  try {
    compileCase(backend, c, inputsOf(c, dtype))[Symbol.dispose]();
    return false;
  } catch (error) {
    if (error instanceof BackendError || error instanceof DTypeError) return true;
    throw error;
  }
}

/** What a page should find: the families that can run, and the titles of the cases that the backend refuses. Nothing runs. */
export function expectations(backend: Backend, extent: Extent): Pick<ConformanceReport, "families" | "refused"> {
  const possible = new Set<string>();
  const refused: string[] = [];
  for (const [family, chosen] of choose(backend, extent)) {
    if (refuses(backend, chosen)) refused.push(chosen.title);
    else possible.add(family);
  }
  return { families: [...possible], refused };
}

const factories = { wgpu: () => wgpu({ schedule: "tiny" }), cpu: () => Promise.resolve(cpu({ threads: 2 })) };

/** Runs the suite, or a part of it, on a backend, against the reference backend, which runs in the page as well. */
export async function conformance({ name, extent }: { name: keyof typeof factories; extent: Extent }): Promise<ConformanceReport> {
  const begun = performance.now();
  const backend = setDefaultBackend(await factories[name]());
  const reference = referenceBackend();
  const problems: string[] = [];
  const refused: string[] = [];
  const seen = new Set<string>();
  let ran = 0;
  for (const [family, chosen] of choose(backend, extent)) {
    if (refuses(backend, chosen)) {
      refused.push(chosen.title);
      continue;
    }
    const problem = await checkCase(backend, reference, chosen.case, chosen.dtype, name === "wgpu");
    if (problem !== null) problems.push(`${chosen.title}: ${problem}`);
    seen.add(family);
    ran++;
  }
  setDefaultBackend(null);
  backend[Symbol.dispose]();
  const seconds = (performance.now() - begun) / 1000;
  return { isolated: globalThis.crossOriginIsolated, ran, families: [...seen], problems, refused, seconds };
}

/** Work that keeps the GPU busy for a while: the sum of what many steps on a matrix of ones give. */
export async function busy(steps: number): Promise<number> {
  const backend = setDefaultBackend(await wgpu());
  const step = jit((x: NDArray) => np.subtract(np.multiply(np.matmul(x, x), 1 / 128), 0.5));
  let x: NDArray = np.ones([128, 128]);
  for (let i = 0; i < steps; i++) x = step(x);
  const sum = Number(await np.sum(x).item());
  setDefaultBackend(null);
  backend[Symbol.dispose]();
  return sum;
}

/** The names of the kernels of a traced program, and their whole time in microseconds. */
export async function traced(): Promise<{ readonly kernels: readonly string[]; readonly duration: number }> {
  const backend = setDefaultBackend(await wgpu());
  const f = jit((x: NDArray) => np.sum(np.sort(np.tanh(np.matmul(x, x)))));
  const x = np.full([256, 256], 0.01);
  await f(x).item();
  const { trace } = await profiler.trace(() => f(x).item());
  setDefaultBackend(null);
  backend[Symbol.dispose]();
  const events = trace.traceEvents.filter((e) => e.ph === "X").filter((e) => e.cat === "kernel");
  return { kernels: events.map((e) => e.name), duration: events.reduce((sum, e) => sum + e.dur, 0) };
}

/** What two GPUs that have met have, in a mapped function and its gradient: the parts of both, read from both. */
export async function together(): Promise<readonly unknown[]> {
  const backend = setDefaultBackend(await wgpu({ adapter: [await requestAdapter(), await requestAdapter()] }));
  const f = (x: NDArray): NDArray => lax.psum(np.square(x), "i");
  const x = np.array([
    [1, 2],
    [3, 4],
  ]);
  const mapped = pmap(f, { axisName: "i" });
  const g = grad((v: NDArray) => np.sum(mapped(v)))(x);
  const own = await Promise.all(mapped(x).addressableShards.map((s) => s.data.js()));
  const results = [...own, await g.js()];
  setDefaultBackend(null);
  backend[Symbol.dispose]();
  return results;
}

Object.assign(globalThis, { conformance, busy, traced, together });
