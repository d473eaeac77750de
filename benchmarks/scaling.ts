// How data-parallel training would scale to many devices: a model of latency and bandwidth, with the numbers of this machine where it
// has them, checked against what was measured. Writes docs/scaling.md.
//
//   node scaling.ts            (in benchmarks/; needs mpirun)
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { median } from "./median.ts";
import { underMpi } from "./mpirun.ts";

/** A way between neighbours: seconds for nothing at all, and bytes in a second. */
interface Link {
  readonly name: string;
  readonly latency: number;
  readonly bandwidth: number;
}

/**
 * Seconds of an all-reduce over n members in a ring: 2(n - 1) steps, each of one n-th of the bytes; or over a tree, up and down, where that is
 * faster, as for few bytes.
 * @see Thakur, Rabenseifner & Gropp (2005), "Optimization of collective communication operations in MPICH"
 */
function allReduce(n: number, bytes: number, { latency, bandwidth }: Link): number {
  if (n === 1) return 0;
  const ring = 2 * (n - 1) * (latency + bytes / n / bandwidth);
  const doubling = Math.ceil(Math.log2(n)) * (latency + bytes / bandwidth);
  return Math.min(ring, doubling);
}

/** A network, and what one device needs for its part of a step. */
interface Workload {
  readonly name: string;
  readonly parameters: number;
  /** Seconds of the forward and of the backward pass of one device. */
  readonly forward: number;
  readonly backward: number;
  /** Layers, whose gradients are there one after the other. */
  readonly layers: number;
}

/** Seconds of a step on n devices. With `overlap` the gradient of a layer travels while those before it are computed. */
function step(n: number, w: Workload, link: Link, overlap: boolean): number {
  const bytes = (4 * w.parameters) / w.layers;
  const each = allReduce(n, bytes, link);
  if (!overlap) return w.forward + w.backward + w.layers * each;
  let computed = w.forward;
  let sent = 0;
  for (let i = 0; i < w.layers; i++) {
    computed += w.backward / w.layers;
    sent = Math.max(sent, computed) + each;
  }
  return sent;
}

interface Point {
  readonly bytes: number;
  readonly seconds: number;
}

/** All-reduces over two processes on this machine. */
async function measure(): Promise<void> {
  const { mpi } = await import("../packages/distributed/dist/mpi.js");
  const transport = await mpi();
  const points: Point[] = [];
  for (let bytes = 4; bytes <= 2 ** 24; bytes *= 16) {
    const [send, receive] = [0, 1].map(() => new Uint8Array(new SharedArrayBuffer(bytes)));
    const samples: number[] = [];
    for (let r = 0; r < 220; r++) {
      transport.barrier();
      const begun = performance.now();
      transport.allReduce(send, receive, "float32", "sum");
      if (r >= 20) samples.push((performance.now() - begun) / 1000);
    }
    points.push({ bytes, seconds: median(samples) });
  }
  if (transport.processIndex === 0) console.log(JSON.stringify(points));
  transport[Symbol.dispose]();
}

if (process.argv.includes("--measure")) await measure();
else report();

function report(): void {
  const stdout = underMpi("./scaling.ts", "--measure");
  if (stdout === null) throw new Error("there is no mpirun");
  const points = JSON.parse(stdout) as Point[];
  // Two numbers are taken from the measurements, the smallest and the largest; the others check the model.
  const [first, last] = [points[0], points[points.length - 1]];
  const here: Link = {
    name: "two processes on this machine, measured",
    latency: first.seconds,
    bandwidth: last.bytes / (last.seconds - first.seconds),
  };
  const links: readonly Link[] = [
    { name: "10 Gbit/s Ethernet, assumed", latency: 25e-6, bandwidth: 1.25e9 },
    { name: "100 Gbit/s InfiniBand, assumed", latency: 2e-6, bandwidth: 12.5e9 },
    { name: "400 Gbit/s InfiniBand, assumed", latency: 2e-6, bandwidth: 50e9 },
  ];
  const workloads: readonly Workload[] = [
    { name: "a small network: 1 million parameters, 10 ms a step", parameters: 1e6, forward: 3.3e-3, backward: 6.7e-3, layers: 4 },
    { name: "25 million parameters, 100 ms a step", parameters: 25e6, forward: 33e-3, backward: 67e-3, layers: 50 },
    { name: "350 million parameters, 1 s a step", parameters: 350e6, forward: 0.33, backward: 0.67, layers: 24 },
  ];
  const sizes = [2, 8, 32, 128, 512, 1024];
  const us = (s: number): string => (s * 1e6 < 10 ? (s * 1e6).toFixed(2) : (s * 1e6).toFixed(0));
  const percent = (x: number): string => `${(100 * x).toFixed(0)} %`;
  const lines = [
    "# Scaling",
    "",
    "How data-parallel training would scale, by a model; nothing on this page but the first table was measured. `node benchmarks/scaling.ts`",
    "writes it.",
    "",
    "## The model, against this machine",
    "",
    `Each step of an all-reduce costs a latency, and its bytes over a bandwidth: in a ring 2(n - 1) steps of an n-th of the bytes, by doubling`,
    `log n steps of all of them, whichever is faster. Over two processes on this machine (${cpus()[0].model.trim()}, ${cpus().length} cores) the smallest and`,
    `the largest sum give a latency of ${us(here.latency)} µs and ${(here.bandwidth / 1e9).toFixed(1)} GB/s; between them the model says:`,
    "",
    "| bytes | measured, µs | model, µs | model / measured |",
    "| ---: | ---: | ---: | ---: |",
    ...points.map(({ bytes, seconds }) => {
      const modelled = here.latency + bytes / here.bandwidth;
      return `| ${bytes.toLocaleString("en")} | ${us(seconds)} | ${us(modelled)} | ${(modelled / seconds).toFixed(2)} |`;
    }),
    "",
    "Where the ratio is far from 1 the library changes its way of sending, and the caches make a difference: a model of two numbers knows",
    "neither. It has not been checked over a network, nor over more than two processes: this machine has two cores.",
    "",
    "## Efficiency of data-parallel training",
    "",
    "Every device has an equal minibatch of its own (weak scaling); 100 % is a step that costs what one device alone needs. The second figure is with",
    "gradients that travel while those of the layers before them are computed; today's programs reduce each gradient where `psum` stands,",
    "which is the first figure.",
    "",
  ];
  for (const w of workloads) {
    lines.push(`### ${w.name[0].toUpperCase()}${w.name.slice(1)}`, "", `| devices | ${links.map((l) => l.name).join(" | ")} |`);
    lines.push(`| ---: | ${links.map(() => "---: |").join(" ")}`);
    const alone = w.forward + w.backward;
    for (const n of sizes) {
      const cells = links.map((link) => [false, true].map((o) => percent(alone / step(n, w, link, o))).join(", "));
      lines.push(`| ${n} | ${cells.join(" | ")} |`);
    }
    lines.push("");
  }
  lines.push(
    "In the model every gradient pays the latency of a ring, 2(n - 1) times, or travels whole log n times: many small gradients cost more than their",
    "bytes, so programs for many devices should join them into few large sums.",
    "",
  );
  writeFileSync(new URL("../docs/scaling.md", import.meta.url), lines.join("\n"));
}
