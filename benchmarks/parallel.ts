// What several devices cost and gain on one machine: logical CPU devices, their collectives, and the goals for them.
//
//   npm run bench -- --parallel [--json] [--rounds 9]
import { Worker } from "node:worker_threads";
import { cpu } from "../packages/backend-cpu/dist/index.js";
import { devicePut, fromTyped, NamedSharding, type NDArray, setDefaultBackend } from "../packages/core/dist/index.js";
import { valueAndGrad } from "../packages/grad/dist/index.js";
import { jit } from "../packages/jit/dist/index.js";
import * as lax from "../packages/lax/dist/index.js";
import { makeMesh, P, pmap, shardMap } from "../packages/pmap/dist/index.js";
import { median } from "./median.ts";
import { underMpi } from "./mpirun.ts";

/** One line of the report. */
interface Measured {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the value should be: at least, or at most. */
  readonly goal: { readonly atLeast?: number; readonly atMost?: number };
  readonly detail: string;
}

/** Median milliseconds of one call, over samples of some milliseconds each; sides take turns. */
function timed(sides: readonly (() => unknown)[], rounds: number, milliseconds = 60): number[] {
  const samples = sides.map((): number[] => []);
  for (const side of sides) for (const end = performance.now() + 400; performance.now() < end;) side();
  for (let r = 0; r < rounds; r++) {
    sides.forEach((side, i) => {
      const begun = performance.now();
      let calls = 0;
      while (performance.now() - begun < milliseconds) {
        side();
        calls++;
      }
      samples[i].push((performance.now() - begun) / calls);
    });
  }
  return samples.map(median);
}

const random = (seed: number, ...shape: number[]): NDArray => {
  let s = seed;
  const size = shape.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length: size }, () => ((s = (s * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff - 0.5) / 8);
  return fromTyped(data, shape, "float32");
};
const dot = (x: NDArray, y: NDArray): NDArray =>
  lax.dotGeneral(x, y, [
    [[1], [0]],
    [[], []],
  ]);

interface Layers {
  readonly up: NDArray;
  readonly down: NDArray;
}
const loss = ({ up, down }: Layers, x: NDArray): NDArray => {
  const y = dot(lax.tanh(dot(x, up)), down);
  return lax.reduceSum(lax.mul(y, y), [0, 1]);
};
const makeLayers = (): Layers => ({ up: random(1, 512, 1024), down: random(2, 1024, 256) });

/** A training step of 1,024 examples, on one thread, and on two devices with a thread each. */
function computeBound(rounds: number): Measured {
  const one = cpu({ devices: 1, threads: 1 });
  setDefaultBackend(one);
  const whole = jit(valueAndGrad(loss));
  const [layers, x] = [makeLayers(), random(3, 1024, 512)];
  const alone = (): unknown => whole(layers, x)[0].itemSync();
  alone();
  const two = cpu({ devices: 2, threads: 2 });
  setDefaultBackend(two);
  const mesh = makeMesh([2], ["data"]);
  const step = jit(
    shardMap(
      valueAndGrad((p: Layers, part: NDArray) => lax.psum(loss(p, part), "data")),
      {
        mesh,
        inSpecs: [P(), P("data")],
        outSpecs: P(),
      },
    ),
  );
  const [copies, parts] = [makeLayers(), devicePut(random(3, 1024, 512), new NamedSharding(mesh, P("data")))];
  const together = (): unknown => step(copies, parts)[0].itemSync();
  const [before, after] = timed([alone, together], rounds);
  one[Symbol.dispose]();
  two[Symbol.dispose]();
  return {
    name: "training step, two devices of one thread against one",
    value: before / after,
    unit: "x",
    goal: { atLeast: 1.85 },
    detail: `${before.toFixed(2)} ms -> ${after.toFixed(2)} ms`,
  };
}

/** The sum of 16 MB over two devices, against a copy of 16 MB. */
function bandwidth(rounds: number): Measured {
  const backend = cpu({ devices: 2, threads: 2 });
  setDefaultBackend(backend);
  const bytes = 16 * 2 ** 20;
  const mesh = makeMesh([2], ["i"]);
  const sum = jit(shardMap((x: NDArray) => lax.psum(x, "i"), { mesh, inSpecs: P("i"), outSpecs: P() }));
  const x = devicePut(random(4, (2 * bytes) / 4), new NamedSharding(mesh, P("i")));
  const source = new Uint8Array(new SharedArrayBuffer(bytes)).fill(1);
  const target = new Uint8Array(new SharedArrayBuffer(bytes));
  const [summed, copied] = timed([() => sum(x).dispose(), () => target.set(source)], rounds);
  backend[Symbol.dispose]();
  const rate = (ms: number): number => bytes / ms / 1e6;
  return {
    name: "psum of 16 MB over two devices, against the bandwidth of a copy",
    value: rate(summed) / rate(copied),
    unit: "x",
    goal: { atLeast: 0.5 },
    detail: `${rate(summed).toFixed(1)} GB/s, copy ${rate(copied).toFixed(1)} GB/s`,
  };
}

/** Microseconds for a word to go to another thread, which spins, and back. */
async function roundTrip(): Promise<number> {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const turns = 200_000;
  const source = `
    const { workerData: w } = require("node:worker_threads");
    Atomics.store(w, 1, 1);
    for (let i = 1; i <= ${turns}; i++) { while (Atomics.load(w, 0) !== 2 * i - 1); Atomics.store(w, 0, 2 * i); }`;
  const worker = new Worker(source, { eval: true, workerData: words });
  while (Atomics.load(words, 1) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const begun = performance.now();
  for (let i = 1; i <= turns; i++) {
    Atomics.store(words, 0, 2 * i - 1);
    while (Atomics.load(words, 0) !== 2 * i);
  }
  const microseconds = ((performance.now() - begun) * 1000) / turns;
  await worker.terminate();
  return microseconds;
}

/** The sum of one number over two devices, one after the other inside of a program. */
async function latency(rounds: number): Promise<Measured> {
  const backend = cpu({ devices: 2, threads: 2 });
  setDefaultBackend(backend);
  const turns = 1000;
  const mesh = makeMesh([2], ["i"]);
  const f = jit(
    shardMap(
      (x: NDArray) =>
        // Each device has a number of its own, which the sum changes.
        lax.scan((c: NDArray, _: null) => [lax.add(lax.mul(lax.psum(c, "i"), 0.25), lax.mul(c, 0.5)), null] as const, x, null, {
          length: turns,
        })[0],
      { mesh, inSpecs: P("i"), outSpecs: P("i") },
    ),
  );
  const x = random(5, 2);
  const [ms] = timed([() => f(x).dispose()], rounds);
  backend[Symbol.dispose]();
  const trip = await roundTrip();
  const own = (ms * 1000) / turns;
  return {
    name: "psum of 4 bytes over two devices, against a round trip between two threads",
    value: own / trip,
    unit: "x",
    goal: { atMost: 10 },
    detail: `${own.toFixed(3)} us, round trip ${trip.toFixed(3)} us`,
  };
}

/** A call of a tiny function. */
function callCost(rounds: number): Measured {
  const backend = cpu({ devices: 2, threads: 2 });
  setDefaultBackend(backend);
  const f = (x: NDArray): NDArray => lax.mul(lax.sin(x), 2);
  const mapped = pmap(f);
  const single = jit(f);
  const x = random(6, 2, 4);
  const [p, j] = timed([() => mapped(x).dispose(), () => single(x).dispose()], rounds);
  backend[Symbol.dispose]();
  return {
    name: "pmap of a tiny function over two devices, against jit",
    value: p / j,
    unit: "x",
    goal: { atMost: 5 },
    detail: `${(p * 1000).toFixed(2)} us, jit ${(j * 1000).toFixed(2)} us`,
  };
}

/** Sums over two processes; none where there is no mpirun. */
function overProcesses(): Measured[] {
  const stdout = underMpi("./mpi.ts");
  if (stdout === null) {
    console.error("there is no mpirun: sums over processes are left out");
    return [];
  }
  const report = JSON.parse(stdout) as { readonly bytes: number; readonly bare: number; readonly program: number }[];
  return report.map(({ bytes, bare, program }) => ({
    name: `psum of ${bytes < 2 ** 20 ? `${bytes} bytes` : `${bytes / 2 ** 20} MB`} over two processes, against a program without it and the bare call`,
    value: program / bare,
    unit: "x",
    goal: bytes < 2 ** 20 ? {} : { atMost: 1.2 },
    detail: `${(program * 1000).toFixed(1)} us, bare ${(bare * 1000).toFixed(1)} us`,
  }));
}

/** Runs all, and prints a line for each. */
export async function benchParallel(rounds: number, json: boolean): Promise<void> {
  const measured = [computeBound(rounds), bandwidth(rounds), await latency(rounds), callCost(rounds), ...overProcesses()];
  if (json) {
    console.log(JSON.stringify(measured, null, 1));
    return;
  }
  for (const { name, value, unit, goal, detail } of measured) {
    const met = value >= (goal.atLeast ?? -Infinity) && value <= (goal.atMost ?? Infinity);
    const { atLeast, atMost } = goal;
    const wanted = atLeast !== undefined ? `at least ${atLeast}` : atMost !== undefined ? `at most ${atMost}` : "no goal";
    console.log(`${met ? "ok  " : "MISS"} ${name}: ${value.toFixed(2)}${unit} (${wanted}); ${detail}`);
  }
}
