import "@traceform/numpy/methods";
import { cpu } from "@traceform/backend-cpu";
import { wgpu } from "@traceform/backend-wgpu";
import { type Backend, fromTyped, type NDArray, scalar, setDefaultBackend } from "@traceform/core";
import { jit } from "@traceform/jit";
import { foldIn, key, permutation } from "@traceform/random";
import { byteType } from "../mnist/bytes.ts";
import type { Dataset } from "../mnist/data.ts";
import { models, type Params } from "../mnist/models.ts";
import { makeTrainer, predict, share, type Trainer } from "../mnist/train.ts";
import { type Digits, place, unpackDigits } from "./digits.ts";
import type { BackendName, News, Request } from "./messages.ts";

/** How often the losses are read, and how many digits are tested in between: reading waits for the steps. */
const lossEvery = 10;
const testEvery = 40;
const quickTest = 500;

const tell = (news: News, transfer: Transferable[] = []): void => postMessage(news, { transfer });
/** Lets messages in. */
const breathe = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

/** The digits, once they have been fetched. */
let digits: { readonly training: Digits; readonly test: Digits };
/** The backend in use, and the network on it. */
let backend: Backend | null = null;
let backendName: BackendName = "cpu";
let modelName = "mlp";
let params: Params | null = null;
let trainer: Trainer | null = null;
/** How many steps the network has learned. */
let learned = 0;
let stopping = false;

/** A short training for the functions that only look. */
const looking = { steps: 1, batch: 1, learningRate: 0 };

/** Makes a backend the one that is used. The network moves there, if it is to stay the same. */
async function open(name: BackendName, model: string): Promise<void> {
  // What was on a GPU that is lost cannot be kept: then the network begins anew.
  const kept = params !== null && model === modelName ? await toHost(params).catch(() => null) : null;
  if (backend === null || name !== backendName) {
    const next = name === "cpu" ? cpu() : await wgpu();
    backend?.[Symbol.dispose]();
    backend = setDefaultBackend(next);
  }
  if (kept === null) learned = 0;
  [backendName, modelName] = [name, model];
  params = kept === null ? null : fromHost(kept);
  trainer = makeTrainer(models[model], looking);
  tell({ kind: "opened", backend: name, model, device: describe(backend), trained: learned > 0 });
}

function describe(b: Backend): string {
  if (backendName === "cpu") return `WebAssembly, ${crossOriginIsolated ? navigator.hardwareConcurrency : 1} threads`;
  const [device] = b.devices as readonly { readonly gpu?: GPUDevice }[];
  const info = device.gpu?.adapterInfo;
  return `WebGPU, ${info?.description || [info?.vendor, info?.architecture].filter(Boolean).join(" ") || "a GPU"}`;
}

interface HostLeaf {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}
const toHost = (tree: Params): Promise<HostLeaf[][]> =>
  Promise.all(
    tree.map((layer) =>
      Promise.all([layer.w, layer.b].map(async (x) => ({ shape: x.shape, values: (await x.data()) as Float32Array }))),
    ),
  );
const fromHost = (layers: readonly (readonly HostLeaf[])[]): Params =>
  layers.map(([w, b]) => ({ w: fromTyped(w.values, w.shape, "float32"), b: fromTyped(b.values, b.shape, "float32") }));

async function train({ epochs, batch, digits: count }: Extract<Request, { kind: "train" }>): Promise<void> {
  const model = models[modelName];
  const data = place(digits.training, Math.min(count, digits.training.size));
  const test = place(digits.test);
  const some = place(digits.test, quickTest);
  const perEpoch = Math.floor(data.size / batch);
  const steps = perEpoch * epochs;
  const root = key(learned);
  trainer = makeTrainer(model, { steps, batch, learningRate: model.learningRate });
  const { step, init, classify } = trainer;
  let weights = params ?? model.init(foldIn(root, 0));
  let state = init(weights);
  const shuffle = jit((k: NDArray): NDArray => permutation(k, data.size));
  stopping = false;
  let order = shuffle(foldIn(root, 1));
  let waiting: NDArray[] = [];
  let begun = performance.now();
  let timed = 0;
  const check = async (at: number, on: Dataset): Promise<void> => {
    const predictions = await predict(classify, weights, on);
    tell({ kind: "tested", step: at, accuracy: share(predictions, on.hostLabels), predictions });
  };
  for (let i = 0; i < steps && !stopping; i++) {
    const epoch = Math.floor(i / perEpoch);
    if (i > 0 && i % perEpoch === 0) order = shuffle(foldIn(root, epoch + 1));
    let loss: NDArray;
    const start = scalar((i % perEpoch) * batch, "int32");
    [weights, state, loss] = step(weights, state, data.images, data.labels, order, start);
    // The network of every moment can read digits.
    params = weights;
    learned++;
    waiting.push(loss);
    if ((i + 1) % lossEvery !== 0 && i + 1 < steps) continue;
    const losses = await Promise.all(waiting.map(async (x) => Number(await x.item())));
    waiting = [];
    // The first steps compile.
    const now = performance.now();
    const digitsPerSecond = timed > 0 ? (1000 * timed * batch) / (now - begun) : 0;
    if (i + 1 === lossEvery) begun = now;
    else timed += losses.length;
    tell({ kind: "step", step: i + 1, steps, epoch: epoch + 1, digitsPerSecond, losses });
    await breathe();
    if ((i + 1) % testEvery === 0) {
      const before = performance.now();
      await check(i + 1, some);
      begun += performance.now() - before;
    }
  }
  await check(steps, test);
  tell({ kind: "stopped", step: learned });
}

async function read({ id, pixels }: Extract<Request, { kind: "read" }>): Promise<void> {
  params ??= models[modelName].init(key(0));
  const image = fromTyped(pixels, [1, 28, 28], byteType());
  const probabilities = await trainer!.probabilities(params, image).data();
  tell({ kind: "answer", id, probabilities: Array.from(probabilities as Float32Array) });
}

async function load({ url }: Extract<Request, { kind: "load" }>): Promise<void> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`digits.bin: ${response.status} ${response.statusText}`);
  digits = unpackDigits(await response.arrayBuffer());
  tell({ kind: "loaded", training: digits.training.size, test: digits.test.size });
}

const failed = (error: unknown): void => tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });

/** Everything but `stop` and `read` happens in the order in which it was asked for. */
let last: Promise<void> = Promise.resolve();

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  switch (data.kind) {
    case "load":
      last = load(data).catch(failed);
      break;
    case "open":
      stopping = true;
      last = last.then(() => open(data.backend, data.model)).catch(failed);
      break;
    case "train":
      last = last.then(() => train(data)).catch(failed);
      break;
    case "stop":
      stopping = true;
      break;
    case "read":
      read(data).catch(failed);
  }
});
