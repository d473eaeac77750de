// What the machine can do at the most: multiplications and additions in registers, and copying memory, with all threads that
// take part in the comparison. Nothing of Traceform's compiler is involved.
import { Worker } from "node:worker_threads";

export interface Limits {
  readonly gflops: number;
  readonly gigabytesPerSecond: number;
}

/** A module whose `f(n)` does n rounds of 24 fused multiply-adds on vectors of four numbers; pairs of them can be joined. */
function fmaModule(): Uint8Array<ArrayBuffer> {
  const accumulators = 24;
  const body: number[] = [];
  const leb = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, n >> 7]);
  // Parameter 0: rounds; 1: address. Locals: the accumulators, then the two factors.
  const [x, y] = [2 + accumulators, 3 + accumulators];
  const get = (l: number): void => void body.push(0x20, ...leb(l));
  const set = (l: number): void => void body.push(0x21, ...leb(l));
  for (const l of [x, y]) {
    get(1);
    body.push(0xfd, 9, 2, 0); // v128.load32_splat
    set(l);
  }
  body.push(0x03, 0x40); // loop
  for (let i = 0; i < accumulators; i++) {
    get(x);
    get(y);
    get(2 + i);
    body.push(0xfd, 0x85, 0x02); // f32x4.relaxed_madd
    set(2 + i);
  }
  get(0);
  body.push(0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b); // n - 1, again while it is not 0
  for (let i = 0; i < accumulators; i++) {
    get(1);
    get(2 + i);
    body.push(0xfd, 11, 4, ...leb(16 * i)); // v128.store
  }
  const code = [1, accumulators + 2, 0x7b, ...body, 0x0b];
  const sized = (list: readonly number[]): number[] => [...leb(list.length), ...list];
  const section = (id: number, list: readonly number[]): number[] => [id, ...sized(list)];
  return Uint8Array.from([
    0,
    0x61,
    0x73,
    0x6d,
    1,
    0,
    0,
    0,
    ...section(1, [1, 0x60, 2, 0x7f, 0x7f, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [1, 1, 0x66, 0, 0]),
    ...section(10, [1, ...sized(code)]),
  ]);
}

const worker = `
const { workerData, parentPort } = require("node:worker_threads");
const best = (work, amount) => {
  let rate = 0;
  const end = performance.now() + 400;
  while (performance.now() < end) {
    const start = performance.now();
    work();
    rate = Math.max(rate, amount / (performance.now() - start) / 1e6);
  }
  return rate;
};
const { f } = new WebAssembly.Instance(workerData.module).exports;
const rounds = 200000;
const gflops = best(() => f(rounds, 0), rounds * 24 * 4 * 2);
const bytes = 64 << 20;
const [from, to] = [new Uint8Array(bytes).fill(1), new Uint8Array(bytes)];
const gigabytesPerSecond = best(() => to.set(from), 2 * bytes);
parentPort.postMessage({ gflops, gigabytesPerSecond });
`;

/** Measures `threads` threads at once. `compile` is the way in which the module is compiled. */
export async function measureLimits(
  threads: number,
  compile: (bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module,
): Promise<Limits> {
  const module = compile(fmaModule());
  const parts = await Promise.all(
    Array.from(
      { length: threads },
      () =>
        new Promise<Limits>((resolve, reject) => {
          const w = new Worker(worker, { eval: true, workerData: { module } });
          w.once("message", resolve);
          w.once("error", reject);
        }),
    ),
  );
  const sum = (key: keyof Limits): number => parts.reduce((a, p) => a + p[key], 0);
  return { gflops: sum("gflops"), gigabytesPerSecond: sum("gigabytesPerSecond") };
}
