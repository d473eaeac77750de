// What several devices cost and gain on one machine: logical CPU devices, their collectives, and the goals for them.
//
//   npm run bench -- --parallel [--json] [--rounds 9]
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { cpu } from "../packages/backend-cpu/dist/index.js";
import { devicePut, NamedSharding, type NDArray, setDefaultBackend } from "../packages/core/dist/index.js";
import { jit } from "../packages/jit/dist/index.js";
import * as lax from "../packages/lax/dist/index.js";
import { makeMesh, P, pmap, shardMap } from "../packages/pmap/dist/index.js";
import { median } from "./median.ts";
import { underMpi } from "./mpirun.ts";
import { random, sample, trainingStep } from "./step.ts";

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
  for (const side of sides) sample(side, 400);
  for (let r = 0; r < rounds; r++) {
    for (const [i, side] of sides.entries()) samples[i].push(sample(side, milliseconds));
  }
  return samples.map(median);
}

/**
 * A training step on one thread, on two devices with a thread each, and, for comparison, on one thread beside another process that
 * takes it too: these two share nothing, so what they gain is what the machine gives.
 */
async function computeBound(rounds: number): Promise<Measured[]> {
  const twin = fork(fileURLToPath(new URL("./twin.ts", import.meta.url)));
  const answer = async (): Promise<number> => (await once(twin, "message"))[0] as number;
  await answer();
  using one = trainingStep(1);
  using two = trainingStep(2);
  for (const { run } of [one, two]) sample(run, 500);
  const turns: { readonly alone: number; readonly together: number; readonly given: number }[] = [];
  // The machine is faster and slower from one second to the next, so what is compared comes right after another.
  for (let i = 0; i < 3 * rounds; i++) {
    const alone = sample(one.run, stepWindow);
    const together = sample(two.run, stepWindow);
    const others = answer();
    twin.send(stepWindow);
    const beside = sample(one.run, stepWindow);
    turns.push({ alone, together, given: alone / beside + alone / (await others) });
  }
  twin.disconnect();
  const middle = (of: (turn: (typeof turns)[number]) => number): number => median(turns.map(of));
  const gained = middle((t) => t.alone / t.together);
  const given = middle((t) => t.given);
  return [
    {
      name: "training step, two devices of one thread against one",
      value: gained,
      unit: "x",
      goal: { atLeast: 1.85 },
      detail: `${middle((t) => t.alone).toFixed(2)} ms -> ${middle((t) => t.together).toFixed(2)} ms`,
    },
    {
      name: "the same, of what two processes gain that share nothing",
      value: middle((t) => t.alone / t.together / t.given),
      unit: "x",
      // What 1.85 is of the 2 that two cores would give.
      goal: { atLeast: 1.85 / 2 },
      detail: `${gained.toFixed(2)}x of ${given.toFixed(2)}x`,
    },
  ];
}
/** Milliseconds for each side of a turn. */
const stepWindow = 250;

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
  const measured = [
    ...(await computeBound(rounds)),
    bandwidth(rounds),
    await latency(rounds),
    callCost(rounds),
    ...overProcesses(),
  ];
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
