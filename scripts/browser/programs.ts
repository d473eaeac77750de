/** What pages and Node run alike: programs of every family, and a training run, on data that they make themselves. */
import "@traceform/numpy/methods";
import { cpu, type CpuOptions } from "@traceform/backend-cpu";
import { fromTyped, type NDArray, setDefaultBackend, treeLeaves } from "@traceform/core";
import { grad } from "@traceform/grad";
import { jit } from "@traceform/jit";
import * as lax from "@traceform/lax";
import { softmax } from "@traceform/nn";
import * as np from "@traceform/numpy";
import { fft, rfft } from "@traceform/numpy/fft";
import { key, normal, split } from "@traceform/random";
import { mlp } from "../../examples/mnist/models.ts";
import { train } from "../../examples/mnist/train.ts";

type Program = readonly [fn: (...xs: NDArray[]) => unknown, shapes: readonly (readonly number[])[]];

const programs: Readonly<Record<string, Program>> = {
  "a product": [
    (a, b) => np.matmul(a, b),
    [
      [301, 210],
      [210, 187],
    ],
  ],
  "a batch of products in double precision": [
    (a, b) => np.matmul(a.astype("float64"), b.astype("float64")),
    [
      [8, 65, 64],
      [8, 64, 33],
    ],
  ],
  softmax: [(x) => softmax(x), [[999, 77]]],
  "a convolution": [
    (x, w) => lax.convGeneralDilated(x, w, [1, 1], "SAME", { dimensionNumbers: ["NHWC", "HWIO", "NHWC"] }),
    [
      [4, 28, 28, 16],
      [3, 3, 16, 32],
    ],
  ],
  "Fourier transforms": [(x) => [fft(x), rfft(x.reshape([-1]))], [[48, 1000]]],
  "sorts of rows and of a long vector": [(x) => [np.sort(x), np.argsort(x.reshape([-1]))], [[300, 211]]],
  "a scan of products": [
    (x, w) =>
      lax.scan((c: NDArray, _: null) => [np.tanh(np.matmul(c, w)), np.sum(c)] as [NDArray, NDArray], x, null, { length: 9 }),
    [
      [130, 128],
      [128, 128],
    ],
  ],
  "a gradient of a network": [
    grad((w1: NDArray, w2: NDArray, x: NDArray) => np.mean(np.square(np.matmul(np.tanh(np.matmul(x, w1)), w2))), {
      argnums: [0, 1],
    } as const),
    [
      [100, 200],
      [200, 10],
      [256, 100],
    ],
  ],
  "large sums": [(x) => [np.sum(x), np.sum(x, 0), np.mean(x, 1), np.max(x), np.argmin(x, 0), np.cumsum(x, 0)], [[1024, 300]]],
  "elementary functions": [(x) => [np.exp(x), np.log(np.abs(x)), np.sin(x), lax.erf(x), np.power(np.abs(x), 1.7)], [[501, 99]]],
  "integers and half precision": [
    (x) => {
      const i = x.mul(1000).astype("int32");
      return [np.floorDivide(i, 7), i.astype("int64").mul(i.astype("int64")), x.astype("bfloat16").mul(x.astype("bfloat16"))];
    },
    [[401, 103]],
  ],
};

/** What a run was like, and a digest of the bytes of every result. */
export interface Outcome {
  /** Threads that took part in the end, the calling one included. */
  readonly threads: number;
  /** How often this thread slept, or tried to. */
  readonly sleeps: number;
  readonly digests: Readonly<Record<string, string>>;
}

/** Runs everything. It starts when as many threads as `expected` have come up, or after ten seconds. */
export async function run(options: CpuOptions, expected: number): Promise<Outcome> {
  let sleeps = 0;
  const { wait } = Atomics;
  Atomics.wait = ((...args: Parameters<typeof wait>) => (sleeps++, wait(...args))) as typeof wait;
  const backend = setDefaultBackend(cpu(options));
  const begun = performance.now();
  while (backend.threads < expected && performance.now() - begun < 10_000) {
    normal(key(0), [1 << 16]);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const digests: Record<string, string> = {};
  for (const [name, [fn, shapes]] of Object.entries(programs)) {
    const args = [...split(key(7), shapes.length)].map((k, i) => normal(k, shapes[i]));
    digests[name] = await digest(jit(fn as (...xs: NDArray[]) => NDArray)(...args));
  }
  digests["a network, trained"] = await trained();
  Atomics.wait = wait;
  const { threads } = backend;
  backend[Symbol.dispose]();
  return { threads, sleeps, digests };
}

/** Two epochs of the MNIST example, on digits made up here. */
async function trained(): Promise<string> {
  const size = 256;
  const hostLabels = Uint8Array.from({ length: size }, (_, i) => i % 10);
  const hostImages = Uint8Array.from({ length: size * 784 }, (_, i) => (((i % 784) * (((i / 784) % 10) | 0)) % 5) * 51);
  const data = {
    images: fromTyped(hostImages, [size, 28, 28], "uint8"),
    labels: fromTyped(hostLabels, [size], "uint8"),
    size,
    hostLabels,
    hostImages,
  };
  const { params, losses } = await train(mlp, data, data, { epochs: 2, batch: 64, learningRate: 1e-3, seed: 0 });
  return `${losses.join(" ")} ${await digest(params)}`;
}

async function digest(results: unknown): Promise<string> {
  const parts: Uint8Array[] = [];
  for (const x of treeLeaves(results) as NDArray[]) {
    const { buffer, byteOffset, byteLength } = await x.data();
    parts.push(new Uint8Array(buffer, byteOffset, byteLength));
  }
  const bytes = new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  return Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (b) => b.toString(16).padStart(2, "0")).join("");
}
