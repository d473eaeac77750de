// Runs training and eager loops for a long time, and fails if memory has grown: `npm run soak [-- --only eager] [-- --steps N]`.
import { cpu, grad, jit, nn, numpy as np, type NDArray, optim, random, setDefaultBackend, valueAndGrad } from "traceform";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { only: { type: "string" }, steps: { type: "string", default: "100000" } } });
const steps = Number(values.steps);
const { key, normal, randint, split } = random;
const gc = (globalThis as { gc?: () => void }).gc;
if (gc === undefined) throw new Error("run it with --expose-gc, as `npm run soak` does");

const backend = setDefaultBackend(cpu());
const [device] = backend.devices;

/** What is held, in bytes and numbers, after collection. */
interface Held {
  /** Live bytes and buffers of the device. */
  readonly inUse: number;
  readonly buffers: number;
  /** The WebAssembly memory. */
  readonly heap: number;
  readonly javascript: number;
  readonly resident: number;
}

/** How much more may be held at the end of a loop than when it was warm: after its first tenth unless it says otherwise. */
const margins: Held = {
  // Nothing of a loop may stay.
  inUse: 64 << 10,
  buffers: 8,
  // The memory grows by 64 MiB at a time, when the collector happens to be late; it was seen to do so once.
  heap: 128 << 20,
  // Caches of strings and code of the engine.
  javascript: 8 << 20,
  // As above, and what the system's allocator keeps.
  resident: 192 << 20,
};

async function held(): Promise<Held> {
  // Finalizers are tasks, and what they release may itself have finalizers.
  for (let i = 0; i < 4; i++) {
    gc!();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { bytesInUse, liveBuffers, bytesReserved } = device.memoryStats();
  const { heapUsed, rss } = process.memoryUsage();
  return { inUse: bytesInUse, buffers: liveBuffers, heap: bytesReserved, javascript: heapUsed, resident: rss };
}

type Loop = (step: number) => Promise<void> | void;

const batch = 128;
/** The network of the MNIST example, and a narrower one for a second loop: what may leak are handles, not widths. */
const example = [784, 512, 256, 10];
const narrow = [784, 32, 10];
type Params = readonly { readonly w: NDArray; readonly b: NDArray }[];

/** The MNIST example's training step, on noise. The loss is read now and then. */
function training(sizes: readonly number[], donate: boolean): Loop {
  const keys = [...split(key(0), sizes.length + 1)];
  let params: Params = sizes.slice(1).map((n, i) => ({ w: normal(keys[i], [sizes[i], n]).mul(0.05), b: normal(keys[i], [n]) }));
  const optimizer = optim.adam(1e-4);
  let state: optim.OptState = optimizer.init(params);
  const images = normal(keys[sizes.length - 1], [batch, sizes[0]]);
  const labels = randint(keys[sizes.length], [batch], 0, 10);
  const loss = (ps: Params): NDArray => {
    let x = images;
    ps.forEach(({ w, b }, i) => (x = i === ps.length - 1 ? np.matmul(x, w).add(b) : nn.relu(np.matmul(x, w).add(b))));
    return np.mean(np.sum(nn.logSoftmax(x).mul(nn.oneHot(labels, 10)), -1)).neg();
  };
  const step = jit(
    (ps: Params, s: optim.OptState): [Params, optim.OptState, NDArray] => {
      const [value, grads] = valueAndGrad(loss)(ps);
      const [updates, next] = optimizer.update(grads, s, ps);
      return [optim.applyUpdates(ps, updates), next, value];
    },
    donate ? { donateArgnums: [0, 1] } : {},
  );
  return async (i) => {
    let value: NDArray;
    [params, state, value] = step(params, state);
    if (i % 20 !== 0) return;
    if (!Number.isFinite(await value.item())) throw new Error(`the loss is no number at step ${i}`);
  };
}

/** Shapes from a few bytes to half a megabyte; no two neighbours have the same size. */
const shapes: readonly (readonly number[])[] = Array.from({ length: 48 }, (_, i) => [
  1 + ((i * 29) % 47),
  1 + ((i * i * 53) % 2801),
]);

const loops: Readonly<Record<string, { readonly steps: number; readonly warm?: number; readonly make: () => Loop }>> = {
  "training with donation": { steps, make: () => training(example, true) },
  "training without donation": { steps, make: () => training(narrow, false) },
  "eager operations with awaited reads": {
    steps,
    make: () => {
      const inputs = shapes.map((s, i) => normal(key(i), s));
      const operations = [np.exp, np.tanh, (x: NDArray) => x.mul(2), (x: NDArray) => np.sum(x, 0), (x: NDArray) => x.T, np.sort];
      return async (i) => {
        await operations[i % operations.length](inputs[(i * 7) % inputs.length]).data();
      };
    },
  },
  "eager operations inside grad": {
    steps: steps / 50,
    make: () => {
      const inputs = shapes.map((s, i) => normal(key(i), s));
      const slope = grad((x: NDArray) => np.sum(np.tanh(x.mul(3)).add(np.cos(x))));
      return async (i) => {
        const g = slope(inputs[(i * 7) % inputs.length]);
        if (i % 10 === 0) await g.data();
      };
    },
  },
  "programs that are all different": {
    // The caches hold some thousands; growth counts from when they are full.
    steps: Math.max(steps / 10, 10_000),
    warm: 5_000,
    make: () => (i) => {
      np.array(new Float32Array(1 + i)).mul(2);
      // The loop itself never yields, so finalizers need a moment.
      return i % 100 === 0 ? new Promise<void>((resolve) => setTimeout(resolve, 1)) : undefined;
    },
  },
};

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const show = (h: Held): string =>
  `${mebibytes(h.inUse)} in ${h.buffers} buffers, heap ${mebibytes(h.heap)}, JavaScript ${mebibytes(h.javascript)}, resident ${mebibytes(h.resident)}`;

let failed = false;
for (const [name, { steps: count, warm = Math.ceil(count / 10), make }] of Object.entries(loops)) {
  if (values.only !== undefined && !name.includes(values.only)) continue;
  const loop = make();
  const begun = performance.now();
  let start: Held | null = null;
  for (let i = 0; i < count; i++) {
    if (i === warm) start = await held();
    await loop(i);
  }
  const end = await held();
  console.log(
    `${name}: ${count} steps in ${((performance.now() - begun) / 1000).toFixed(0)} s\n  after ${warm}: ${show(start!)}\n  at the end: ${show(end)}`,
  );
  for (const what of Object.keys(margins) as (keyof Held)[]) {
    const growth = end[what] - start![what];
    if (growth <= margins[what]) continue;
    failed = true;
    console.log(`  FAIL: ${what} grew by ${growth}; ${margins[what]} are allowed`);
  }
}
backend[Symbol.dispose]();
process.exit(failed ? 1 : 0);
